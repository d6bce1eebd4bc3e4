//! Tries every point at which a command could lose data, with the tests in `crates/cccm-cli/tests/faults`.

use anyhow::bail;

/// The commands that write, as users type them.
const COMMANDS: [&str; 5] = ["train", "convert", "fetch-teacher", "eval", "search-steps"];
/// The tests in their usual build profile: optimised code would only speed up the computations, and this is
/// about files.
const TESTS: &str = "test -p cccm-cli --test faults -- --nocapture --test-threads 1";

/// Tries all points of some commands, or of all commands; or a single point of one command.
pub(crate) fn faults(args: &[&str]) -> anyhow::Result<u8> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("`faults` stops programs by a filter of system calls, as Linux on x86-64 has it: run it there");
    }
    // An argument with blanks is a single try; names of commands have no blanks.
    let (tries, commands): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.contains(' '));
    let names: Vec<String> = commands.iter().map(|name| name.replace('-', "_")).collect();
    // Names of scenarios start with the name of their command.
    let is_known = |name: &&str| COMMANDS.iter().any(|known| name.replace('_', "-").starts_with(known));
    if let Some(unknown) = commands.iter().find(|name| !is_known(name)) {
        bail!("there is no `{unknown}` to try: {}", COMMANDS.join(", "));
    }
    let args: Vec<&str> = TESTS.split(' ').chain(names.iter().map(String::as_str)).collect();
    let mut command = crate::cargo_command();
    command.args(&args).env("CCCM_SLOW_TESTS", "1");
    match tries[..] {
        [] => {}
        [one] if names.len() == 1 => {
            // Only this scenario: its name may also be the start of another scenario's name.
            command.arg("--exact").env("CCCM_FAULT", one);
        }
        _ => bail!("one try of one command at a time"),
    }
    crate::run_cargo(&mut command, &args.join(" "))
}

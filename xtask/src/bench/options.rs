//! The arguments of `cargo xtask bench`.

use std::num::NonZero;

use anyhow::{Context, Result, bail};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Task {
    /// Every size and work, by every contender.
    Compare,
    /// Time against threads, images and pixels.
    Scaling,
}

/// The arguments, with defaults filled in.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) task: Task,
    /// The Python that has PyTorch.
    pub(crate) python: Option<String>,
    pub(crate) sizes: Vec<&'static str>,
    pub(crate) works: Vec<&'static str>,
    /// Of PyTorch; of no use without its Python.
    pub(crate) modes: Vec<&'static str>,
    /// `cpu` or `cuda`.
    pub(crate) device: &'static str,
    /// A `cccm-bench` that was built before; without it one is built.
    pub(crate) program: Option<String>,
    pub(crate) threads: usize,
    /// Timed calls within a process.
    pub(crate) rounds: usize,
    /// Processes.
    pub(crate) repeats: usize,
    /// Whether `BENCHMARKS.md` gets the result.
    pub(crate) write: bool,
    /// The command, to be shown.
    pub(crate) command: String,
}

/// The names of one flag: all that it takes, and those taken without it.
struct Names {
    flag: &'static str,
    known: &'static [&'static str],
    default: &'static [&'static str],
}

const SIZES: Names = Names { flag: "--size", known: &["S", "L64", "L128"], default: &["S", "L64", "L128"] };
const WORKS: Names = Names {
    flag: "--work",
    known: &["forward", "sample1", "sample2", "sample4", "ddim50", "backward", "step"],
    default: &["forward", "sample1", "sample2", "sample4", "step"],
};
const DEVICES: Names = Names { flag: "--device", known: &["cpu", "cuda"], default: &["cpu"] };
/// What a GPU is for: the networks of the smallest and the largest images, sampling many at a time, training.
const GPU_SIZES: [&str; 2] = ["S", "L128"];
const GPU_WORKS: [&str; 3] = ["forward", "sample4", "step"];
const GPU_MODES: [&str; 3] = ["eager", "bf16_channels_last", "bf16_channels_last_compile"];

/// Those of `bench_torch.py`.
const MODES: Names = Names {
    flag: "--mode",
    known: &[
        "eager",
        "channels_last",
        "compile",
        "bf16",
        "bf16_channels_last",
        "bf16_compile",
        "bf16_channels_last_compile",
    ],
    default: &[
        "eager",
        "channels_last",
        "compile",
        "bf16",
        "bf16_channels_last",
        "bf16_channels_last_compile",
    ],
};

/// The options behind the arguments.
pub(crate) fn parse(args: &[&str]) -> Result<Options> {
    let (mut options, flags) = match args {
        ["scaling", flags @ ..] => (Options::new(Task::Scaling, "cargo xtask bench scaling"), flags),
        flags => (Options::new(Task::Compare, "cargo xtask bench"), flags),
    };
    let mut words = flags.iter().copied();
    while let Some(flag) = words.next() {
        options.set(flag, &mut words)?;
    }
    if options.python.is_none() && !options.modes.is_empty() {
        bail!("`--mode` is one of PyTorch; name its Python with `--against-torch PYTHON`");
    }
    if options.device == "cuda" {
        for (asked, default) in [
            (&mut options.sizes, &GPU_SIZES[..]),
            (&mut options.works, &GPU_WORKS[..]),
            (&mut options.modes, &GPU_MODES[..]),
        ] {
            if asked.is_empty() {
                asked.extend(default);
            }
        }
    }
    options.sizes = SIZES.chosen(&options.sizes);
    options.works = WORKS.chosen(&options.works);
    options.modes = MODES.chosen(&options.modes);
    Ok(options)
}

impl Options {
    fn new(task: Task, command: &str) -> Self {
        Self {
            task,
            python: None,
            sizes: Vec::new(),
            works: Vec::new(),
            modes: Vec::new(),
            device: "cpu",
            program: None,
            threads: 2,
            rounds: 5,
            repeats: 3,
            write: false,
            command: command.to_owned(),
        }
    }

    /// Takes a flag, and its value from the words behind it.
    fn set<'a>(&mut self, flag: &str, words: &mut impl Iterator<Item = &'a str>) -> Result<()> {
        // Before its value is asked for: a misspelled flag is not one without a value.
        let known: &[&str] = match self.task {
            Task::Compare => &FLAGS,
            Task::Scaling => &SCALING_FLAGS,
        };
        if !known.contains(&flag) {
            bail!("`{flag}` is unknown here; known are {}", known.join(", "));
        }
        self.command.extend([" ", flag]);
        if flag == "--write" {
            self.write = true;
            return Ok(());
        }
        let value = words.next().filter(|value| !value.starts_with("--"));
        let value = value.with_context(|| format!("`{flag}` needs a value"))?;
        // Where somebody's programs lie is no part of the result.
        self.command.extend([" ", shown(flag, value)]);
        match flag {
            "--size" => self.sizes.push(SIZES.find(value)?),
            "--work" => self.works.push(WORKS.find(value)?),
            "--mode" => self.modes.push(MODES.find(value)?),
            "--device" => self.device = DEVICES.find(value)?,
            "--program" => self.program = Some(value.to_owned()),
            "--threads" => self.threads = count(flag, value)?,
            "--rounds" => self.rounds = count(flag, value)?,
            "--repeats" => self.repeats = count(flag, value)?,
            _ => self.python = Some(value.to_owned()),
        }
        Ok(())
    }
}

/// A flag's value, but for where somebody's programs lie.
fn shown<'a>(flag: &str, value: &'a str) -> &'a str {
    match flag {
        "--against-torch" => "PYTHON",
        "--program" => "PROGRAM",
        _ => value,
    }
}

/// `scaling` stands before them, or not.
const FLAGS: [&str; 10] = [
    "--against-torch",
    "--device",
    "--size",
    "--work",
    "--mode",
    "--threads",
    "--rounds",
    "--repeats",
    "--program",
    "--write",
];
const SCALING_FLAGS: [&str; 5] = ["--threads", "--rounds", "--repeats", "--program", "--write"];

impl Names {
    /// The name, if it is known.
    fn find(&self, name: &str) -> Result<&'static str> {
        let found = self.known.iter().find(|&&known| known == name);
        let (flag, known) = (self.flag, self.known.join(", "));
        found.copied().with_context(|| format!("`{flag} {name}` is unknown; known are {known}"))
    }

    /// The names asked for, in the order of the table; without any, the default ones.
    fn chosen(&self, asked: &[&str]) -> Vec<&'static str> {
        if asked.is_empty() {
            return self.default.to_vec();
        }
        self.known.iter().copied().filter(|name| asked.contains(name)).collect()
    }
}

/// A number of at least 1.
fn count(flag: &str, value: &str) -> Result<usize> {
    let number = value.parse::<NonZero<usize>>();
    Ok(number.with_context(|| format!("`{flag} {value}` must be a number of at least 1"))?.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_all_that_a_user_meets() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.sizes, ["S", "L64", "L128"]);
        assert_eq!(options.works, ["forward", "sample1", "sample2", "sample4", "step"]);
        assert_eq!((options.threads, options.rounds, options.repeats), (2, 5, 3));
        assert!(options.python.is_none() && !options.write);
        assert_eq!(options.command, "cargo xtask bench");
    }

    #[test]
    fn flags_restrict_in_the_order_of_the_table() {
        let args = "--work step --work ddim50 --size S --against-torch /home/me/python --threads 4 --write";
        let options = parse(&args.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!((options.sizes, options.works), (vec!["S"], vec!["ddim50", "step"]));
        assert_eq!(options.modes, MODES.default);
        assert_eq!((options.threads, options.write), (4, true));
        assert_eq!(options.python.unwrap(), "/home/me/python");
        let shown =
            "cargo xtask bench --work step --work ddim50 --size S --against-torch PYTHON --threads 4 --write";
        assert_eq!(options.command, shown);
        let options = parse(&["scaling", "--rounds", "1"]).unwrap();
        assert_eq!((options.task, options.rounds), (Task::Scaling, 1));
        assert_eq!(options.command, "cargo xtask bench scaling --rounds 1");
    }

    #[test]
    fn a_gpu_has_other_work() {
        let options = parse(&["--device", "cuda", "--program", "/x/cccm-bench"]).unwrap();
        assert_eq!((options.device, options.sizes), ("cuda", vec!["S", "L128"]));
        assert_eq!(options.works, ["forward", "sample4", "step"]);
        assert_eq!(options.command, "cargo xtask bench --device cuda --program PROGRAM");
        let options = parse(&["--device", "cuda", "--work", "backward"]).unwrap();
        assert_eq!(options.works, ["backward"]);
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_is_known() {
        for (args, parts) in [
            ("--size M", &["`--size M` is unknown", "S, L64, L128"][..]),
            ("--work sample3", &["sample1, sample2"]),
            ("--against-torch python --mode eagre", &["eager, channels_last, compile"]),
            ("--mode eager", &["--against-torch"]),
            ("--szie S", &["`--szie` is unknown", "--size"]),
            ("scaling --size S", &["`--size` is unknown here", "--threads"]),
            ("--rounds 0", &["at least 1"]),
            ("--size", &["`--size` needs a value"]),
            ("--against-torch --write", &["`--against-torch` needs a value"]),
        ] {
            let message = format!("{:#}", parse(&args.split(' ').collect::<Vec<_>>()).unwrap_err());
            assert!(parts.iter().all(|part| message.contains(part)), "{args}: {message}");
        }
    }
}

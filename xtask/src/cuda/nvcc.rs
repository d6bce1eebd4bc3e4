//! A stand-in for `nvcc`, CUDA's compiler, played by this very program: cargo's build scripts start it as `nvcc`.
//!
//! If there is a real `nvcc`, it passes the work on, but leaves out candle's kernels for quantized networks
//! and mixtures of experts, which we never call and which take most of the time. Otherwise it creates empty
//! files, which are enough to check types.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// If this variable is set, to the real `nvcc` or to [`NONE`], this program acts as `nvcc`.
pub(crate) const ENV: &str = "CCCM_XTASK_NVCC";

/// No `nvcc` at all.
pub(super) const NONE: &str = "none";

/// A module without kernels.
const EMPTY_PTX: &str = ".version 7.0\n.target sm_80\n.address_size 64\n";

/// An archive without members.
const EMPTY_ARCHIVE: &str = "!<arch>\n";

/// Does what `nvcc` with these arguments is asked for, as far as candle asks; gives its exit code.
pub(crate) fn run(real: OsString, args: &[String]) -> Result<u8> {
    let real = (real != NONE).then(|| PathBuf::from(real));
    let job = Job::read(args)?;
    if let (Some(real), true) = (&real, job.is_needed()) {
        let status = Command::new(real).args(args).status();
        let status = status.with_context(|| format!("starting {}", real.display()))?;
        return Ok(u8::from(!status.success()));
    }
    match job {
        Job::Version => println!("Cuda compilation tools, release 13.0, V13.0.88"),
        Job::Architectures => println!("sm_80\nsm_90"),
        Job::Ptx { source, folder } => {
            let name = source.with_extension("ptx");
            fs::write(folder.join(name.file_name().context("a source without a name")?), EMPTY_PTX)?;
        }
        Job::Object { source, object } if real.is_some() => write_object(&source, &object)?,
        Job::Object { object, .. } => fs::write(object, "")?,
        Job::Archive { archive, objects } if real.is_some() => write_archive(&archive, &objects)?,
        Job::Archive { archive, .. } => fs::write(archive, EMPTY_ARCHIVE)?,
    }
    Ok(0)
}

/// What is asked of `nvcc`.
#[derive(Debug, PartialEq)]
enum Job {
    Version,
    Architectures,
    Ptx { source: PathBuf, folder: PathBuf },
    Object { source: PathBuf, object: PathBuf },
    Archive { archive: PathBuf, objects: Vec<PathBuf> },
}

impl Job {
    fn read(args: &[String]) -> Result<Self> {
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        let after = |flag: &str| {
            let value = args.iter().skip_while(|arg| *arg != flag).nth(1);
            value.map(PathBuf::from).with_context(|| format!("`nvcc {}` lacks {flag}", args.join(" ")))
        };
        let ending = |end: &'static str| args.iter().filter(move |arg| arg.ends_with(end)).map(PathBuf::from);
        let source = || ending(".cu").next().context("nothing to compile");
        if has("--version") {
            Ok(Self::Version)
        } else if has("--list-gpu-code") {
            Ok(Self::Architectures)
        } else if has("--ptx") {
            Ok(Self::Ptx { source: source()?, folder: after("--output-directory")? })
        } else if has("--lib") {
            let archive = after("-o")?;
            Ok(Self::Archive { archive, objects: ending(".o").collect() })
        } else if has("-c") {
            Ok(Self::Object { source: source()?, object: after("-o")? })
        } else {
            bail!("this stand-in for nvcc does not know what `nvcc {}` is to do", args.join(" "))
        }
    }

    /// Whether the real `nvcc` is to do it.
    fn is_needed(&self) -> bool {
        match self {
            Self::Version | Self::Architectures => true,
            Self::Ptx { source, .. } => !source.ends_with("quantized.cu"),
            Self::Object { .. } | Self::Archive { .. } => false,
        }
    }
}

/// candle compiles only its quantized kernels into objects. One of our objects defines all functions that
/// candle declares, which are linked but never called; the others are empty.
fn write_object(source: &Path, object: &Path) -> Result<()> {
    let mut code = "void abort(void);\n".to_owned();
    if source.ends_with("moe/moe_gguf.cu") {
        // Build scripts run in the folder of their crate.
        for name in declared(&fs::read_to_string("src/ffi.rs").context("candle-kernels declares nothing")?) {
            writeln!(
                code,
                "__attribute__((visibility(\"hidden\"))) int {name}(void) {{ abort(); return 1; }}"
            )?;
        }
    }
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-x", "c", "-c", "-fPIC", "-fno-builtin", "-w", "-o"]).arg(object).arg("-");
    let mut running = compiler.stdin(Stdio::piped()).spawn().context("starting the C compiler")?;
    running.stdin.take().context("a compiler that reads nothing")?.write_all(code.as_bytes())?;
    ensure!(running.wait()?.success(), "the C compiler fails");
    Ok(())
}

/// Names of the functions that Rust code declares.
fn declared(rust: &str) -> Vec<&str> {
    let name = |line: &'_ str| line.trim_start().strip_prefix("pub fn ").map(str::len);
    let mut names: Vec<&str> = rust
        .lines()
        .filter_map(|line| name(line).map(|len| &line[line.len() - len..]))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn write_archive(archive: &Path, objects: &[PathBuf]) -> Result<()> {
    let _ = fs::remove_file(archive);
    let status =
        Command::new("ar").arg("rcs").arg(archive).args(objects).status().context("starting `ar`")?;
    ensure!(status.success(), "`ar` fails");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &str) -> Result<Job> {
        Job::read(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn jobs_are_told_apart() {
        assert_eq!(job("--version").unwrap(), Job::Version);
        let ptx = job("-gencode=x --ptx --output-directory out -std=c++17 src/fill.cu").unwrap();
        assert_eq!(ptx, Job::Ptx { source: "src/fill.cu".into(), folder: "out".into() });
        assert!(ptx.is_needed());
        let quantized = job("--ptx --output-directory out src/quantized.cu").unwrap();
        assert!(!quantized.is_needed());
        let object = job("-gencode=x -c -o a.o --default-stream per-thread src/moe/moe_gguf.cu").unwrap();
        assert_eq!(object, Job::Object { source: "src/moe/moe_gguf.cu".into(), object: "a.o".into() });
        let archive = job("--lib -o libmoe.a a.o b.o").unwrap();
        let objects = vec!["a.o".into(), "b.o".into()];
        assert_eq!(archive, Job::Archive { archive: "libmoe.a".into(), objects });
        assert!(job("--dryrun x.cu").is_err());
        assert!(job("-c x.cu").is_err(), "no -o");
    }

    #[test]
    fn declared_functions_are_found_once() {
        let rust = "extern \"C\" {\n    pub fn b(\n        x: u8);\n    pub fn a(y: u8) -> u8;\n    pub fn a(z: u8);\n}";
        assert_eq!(declared(rust), ["a", "b"]);
    }

    #[test]
    fn without_a_compiler_the_files_are_empty() {
        let dir = env::temp_dir().join(format!("cccm-nvcc-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let line = format!("--ptx --output-directory {} src/fill.cu", dir.display());
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(run(NONE.into(), &args).unwrap(), 0);
        assert_eq!(fs::read_to_string(dir.join("fill.ptx")).unwrap(), EMPTY_PTX);
        fs::remove_file(dir.join("fill.ptx")).unwrap();
        fs::remove_dir(dir).unwrap();
    }
}

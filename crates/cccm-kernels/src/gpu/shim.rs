//! A [`Queue`] that runs CUDA kernels on the CPU, compiled by the C++ compiler.
#![expect(unsafe_code, reason = "calls compiled kernels")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use candle_core::{Error, Result};
use libloading::Library;
use tempfile::TempDir;

use super::{Arg, Grid, Queue, Source};

/// A compiled kernel: sizes of grid and blocks, addresses of the arguments.
type Run = unsafe extern "C" fn(*const u32, *mut *mut c_void);

/// Where there is no GPU.
pub(crate) struct Shim {
    compiler: String,
    dir: TempDir,
    libraries: RefCell<HashMap<&'static str, Library>>,
}

impl Shim {
    /// None if there is no C++ compiler; a message says so.
    #[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
    pub(crate) fn new() -> Option<Self> {
        let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        if Command::new(&compiler).arg("--version").output().is_err() {
            eprintln!("kernels are not checked: no C++ compiler `{compiler}`; set CXX to one");
            return None;
        }
        Some(Self { compiler, dir: TempDir::new().unwrap(), libraries: RefCell::default() })
    }

    fn compile(&self, source: &Source) -> Library {
        let written = |name: &str, text: &str| -> PathBuf {
            let path = self.dir.path().join(format!("{}{name}", source.name));
            fs::write(&path, text).unwrap();
            path
        };
        let mut text = format!("{}{}", include_str!("shim.h"), source.text);
        let plain = self.call(&["-E", "-P"], &written(".cpp", &text));
        // Names may be made by macros, so they are looked for behind the preprocessor.
        for kernel in plain.split("extern \"C\" void ").skip(1) {
            let name = kernel.split('(').next().unwrap();
            write!(
                text,
                "\nextern \"C\" void run_{name}(const unsigned *dims, void **args) {{ run({name}, dims, args); }}"
            )
            .unwrap();
        }
        let library = self.dir.path().join(format!("{}.so", source.name));
        let out = library.to_str().unwrap();
        self.call(
            &["-shared", "-fPIC", "-O1", "-ffp-contract=off", "-pthread", "-o", out],
            &written("_all.cpp", &text),
        );
        // SAFETY: it is ours, and runs nothing when it is loaded.
        unsafe { Library::new(&library) }.unwrap()
    }

    fn call(&self, args: &[&str], file: &Path) -> String {
        let output = Command::new(&self.compiler).arg("-std=c++20").args(args).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Queue for Shim {
    type Memory = Vec<u32>;

    fn allocate(&self, numbers: usize) -> Result<Vec<u32>> {
        // NaN shows where a kernel reads values that nothing has written.
        Ok(vec![f32::NAN.to_bits(); numbers])
    }

    fn upload(&self, words: &[u64]) -> Result<Vec<u32>> {
        Ok(words.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]).collect())
    }

    fn pointer(&self, memory: &Vec<u32>) -> Arg {
        Arg::Pointer(memory.as_ptr() as u64)
    }

    unsafe fn launch(&self, source: &'static Source, kernel: &str, grid: Grid, args: &[Arg]) -> Result<()> {
        /// One kernel runs at a time: what a template has for a block is there once in a process, whichever libraries the
        /// template is in.
        static TURN: Mutex<()> = Mutex::new(());
        let mut libraries = self.libraries.borrow_mut();
        let library = libraries.entry(source.name).or_insert_with(|| self.compile(source));
        // SAFETY: `compile` has made a function of this type for every kernel.
        let run = unsafe { library.get::<Run>(format!("run_{kernel}").as_bytes()) }.map_err(Error::wrap)?;
        let mut addresses: Vec<_> = args.iter().map(Arg::address).collect();
        let dims: Vec<u32> = grid.blocks.into_iter().chain(grid.threads).collect();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: by the caller's promise.
        unsafe { run(dims.as_ptr(), addresses.as_mut_ptr()) };
        Ok(())
    }
}

/// Numbers of one kind, in memory that a kernel may be given.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    F32(Vec<f32>),
    Bf16(Vec<half::bf16>),
}

impl Values {
    pub(crate) fn new(elements: super::Elements, values: &[f32]) -> Self {
        match elements {
            super::Elements::F32 => Self::F32(values.to_vec()),
            super::Elements::Bf16 => Self::Bf16(values.iter().map(|v| half::bf16::from_f32(*v)).collect()),
        }
    }

    pub(crate) fn unwritten(elements: super::Elements, len: usize) -> Self {
        Self::new(elements, &vec![f32::NAN; len])
    }

    pub(crate) fn pointer(&mut self) -> Arg {
        Arg::Pointer(match self {
            Self::F32(values) => values.as_mut_ptr() as u64,
            Self::Bf16(values) => values.as_mut_ptr() as u64,
        })
    }

    pub(crate) fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::Bf16(values) => values.iter().map(|v| v.to_f32()).collect(),
        }
    }
}

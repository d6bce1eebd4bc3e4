//! NVRTC, the compiler of kernels at run time. It needs no GPU and no driver.

#![expect(unsafe_code, reason = "calls of NVRTC")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use anyhow::{Context, Result, ensure};
use libloading::Library;

type Program = *mut c_void;

/// NVRTC's functions that compiling needs, as its header declares them.
pub(super) struct Nvrtc {
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
}

impl Nvrtc {
    /// From its library.
    pub(super) fn load(file: &Path) -> Result<Self> {
        // NVRTC loads a second library by its name alone: found if it is loaded already.
        let folder = file.parent().and_then(|folder| std::fs::read_dir(folder).ok());
        for beside in folder.into_iter().flatten() {
            let path = beside?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().contains("nvrtc-builtins.so")) {
                keep(&path)?;
            }
        }
        let library = keep(file)?;
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the type is that of the field it goes to, which NVRTC's header declares.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }.context($name)?
            };
        }
        Ok(Self {
            create: function!("nvrtcCreateProgram"),
            compile: function!("nvrtcCompileProgram"),
            log_size: function!("nvrtcGetProgramLogSize"),
            log: function!("nvrtcGetProgramLog"),
            destroy: function!("nvrtcDestroyProgram"),
        })
    }

    /// Whether `source` compiles with these options, and what the compiler has to say.
    pub(super) fn compiles(&self, source: &str, options: &[&str]) -> Result<(bool, String)> {
        let source = CString::new(source)?;
        let options = options.iter().map(|option| CString::new(*option)).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: `source` ends with a zero and outlives the call; without headers their lists are not read.
        let created = unsafe {
            (self.create)(&raw mut program, source.as_ptr(), ptr::null(), 0, ptr::null(), ptr::null())
        };
        ensure!(created == 0, "NVRTC starts with error {created}");
        // SAFETY: as many options as are said, each ending with a zero.
        let result = unsafe { (self.compile)(program, options.len() as c_int, options.as_ptr()) };
        let mut size = 0;
        // SAFETY: `program` was made above.
        let sized = unsafe { (self.log_size)(program, &raw mut size) };
        ensure!(sized == 0, "NVRTC keeps no log: error {sized}");
        let mut log = vec![0u8; size.max(1)];
        // SAFETY: the log has `size` bytes.
        unsafe { (self.log)(program, log.as_mut_ptr().cast()) };
        // SAFETY: `program` was made above, and is not used again.
        unsafe { (self.destroy)(&raw mut program) };
        let log = CStr::from_bytes_until_nul(&log).map(|log| log.to_string_lossy().trim().to_owned());
        Ok((result == 0, log.unwrap_or_default()))
    }
}

/// A library that stays loaded for as long as the program runs.
fn keep(file: &Path) -> Result<&'static Library> {
    // SAFETY: NVIDIA's libraries may be loaded at any time.
    let library = unsafe { Library::new(file) }.with_context(|| format!("cannot load {}", file.display()))?;
    Ok(Box::leak(Box::new(library)))
}

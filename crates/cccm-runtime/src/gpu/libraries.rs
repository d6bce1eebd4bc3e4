//! CUDA's libraries on this machine, and their versions.
//!
//! They are asked through the system's loader, not through what the program is linked to: a library that is missing is to be
//! reported, and its functions cannot be called then.

#![expect(unsafe_code, reason = "calls into libraries that were just found")]

use std::ffi::c_int;
use std::path::PathBuf;

use libloading::{Library, Symbol};

use super::{FoundLibrary, GpuLibrary};

type Version = fn(&Library) -> Result<String, libloading::Error>;

/// A library to look for: its file names, newest first, and how to read its version.
struct Wanted {
    name: &'static str,
    purpose: &'static str,
    required: bool,
    files: &'static [&'static str],
    version: Version,
}

const DRIVER: Wanted = Wanted {
    name: "driver",
    purpose: "everything",
    required: true,
    files: &["libcuda.so.1"],
    version: driver_version,
};

const CUBLAS: Wanted = Wanted {
    name: "cuBLAS",
    purpose: "matrix products",
    required: true,
    files: &["libcublas.so.13", "libcublas.so.12"],
    version: cublas_version,
};

const CURAND: Wanted = Wanted {
    name: "cuRAND",
    purpose: "opening a device",
    required: true,
    files: &["libcurand.so.10"],
    version: curand_version,
};

const NVRTC: Wanted = Wanted {
    name: "NVRTC",
    purpose: "compiling our kernels",
    required: true,
    files: &["libnvrtc.so.13", "libnvrtc.so.12"],
    version: nvrtc_version,
};

const CUDNN: Wanted = Wanted {
    name: "cuDNN",
    purpose: "fast convolutions",
    required: false,
    files: &["libcudnn.so.9"],
    version: cudnn_version,
};

const NCCL: Wanted = Wanted {
    name: "NCCL",
    purpose: "several GPUs",
    required: false,
    files: &["libnccl.so.2"],
    version: nccl_version,
};

pub(crate) fn all() -> Vec<GpuLibrary> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let look = |wanted: Wanted| GpuLibrary {
        name: wanted.name,
        purpose: wanted.purpose,
        required: wanted.required,
        found: find(&wanted),
    };
    [DRIVER, CUBLAS, CURAND, NVRTC, CUDNN, NCCL].map(look).into()
}

/// Whether the driver's library loads, and if not, what the loader says. Known on Linux alone.
pub(crate) fn driver() -> Result<(), String> {
    if cfg!(target_os = "linux") { load(&DRIVER).map(drop) } else { Ok(()) }
}

fn find(wanted: &Wanted) -> Result<FoundLibrary, String> {
    let (file, library) = load(wanted)?;
    let version = (wanted.version)(library).map_err(|error| format!("{file}: {error}"))?;
    Ok(FoundLibrary { version, path: path(file) })
}

/// The first that loads. It stays loaded: NVIDIA's libraries are not made for being unloaded.
fn load(wanted: &Wanted) -> Result<(&'static str, &'static Library), String> {
    let mut reason = String::new();
    for file in wanted.files {
        // SAFETY: NVIDIA's libraries may be loaded at any time, from any thread.
        match unsafe { Library::new(*file) } {
            Ok(library) => return Ok((file, Box::leak(Box::new(library)))),
            Err(error) if reason.is_empty() => reason = said(&error),
            Err(_) => {}
        }
    }
    Err(reason)
}

/// What the loader itself says, which names the file.
fn said(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Where a library lies that is loaded.
fn path(file: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    let named = |path: &&str| path.rsplit('/').next().is_some_and(|name| name.starts_with(file));
    paths.filter(|path| named(path)).map(PathBuf::from).next()
}

fn driver_version(library: &Library) -> Result<String, libloading::Error> {
    number(library, b"cuDriverGetVersion\0").map(|n| format!("CUDA {}.{}", n / 1000, n % 1000 / 10))
}

fn curand_version(library: &Library) -> Result<String, libloading::Error> {
    number(library, b"curandGetVersion\0").map(|n| format!("{}.{}.{}", n / 1000, n % 1000 / 100, n % 100))
}

fn nccl_version(library: &Library) -> Result<String, libloading::Error> {
    number(library, b"ncclGetVersion\0").map(|n| format!("{}.{}.{}", n / 10_000, n % 10_000 / 100, n % 100))
}

/// What a function writes through its only argument.
fn number(library: &Library, function: &[u8]) -> Result<c_int, libloading::Error> {
    let mut number = 0;
    // SAFETY: the functions asked for are `int f(int *)` in NVIDIA's headers, and need no initialisation.
    let get: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> = unsafe { library.get(function)? };
    // SAFETY: as above, and `number` outlives the call.
    unsafe { get(&raw mut number) };
    Ok(number)
}

fn cublas_version(library: &Library) -> Result<String, libloading::Error> {
    /// `libraryPropertyType`: major version, minor version, patch level.
    const PROPERTIES: [c_int; 3] = [0, 1, 2];
    // SAFETY: `cublasStatus_t cublasGetProperty(libraryPropertyType, int *)`; enums are ints in C.
    let get: Symbol<'_, unsafe extern "C" fn(c_int, *mut c_int) -> c_int> =
        unsafe { library.get(b"cublasGetProperty\0")? };
    let parts = PROPERTIES.map(|property| {
        let mut value = 0;
        // SAFETY: as above, and `value` outlives the call.
        unsafe { get(property, &raw mut value) };
        value.to_string()
    });
    Ok(parts.join("."))
}

fn nvrtc_version(library: &Library) -> Result<String, libloading::Error> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: `nvrtcResult nvrtcVersion(int *, int *)`.
    let get: Symbol<'_, unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int> =
        unsafe { library.get(b"nvrtcVersion\0")? };
    // SAFETY: as above, and the numbers outlive the call.
    unsafe { get(&raw mut major, &raw mut minor) };
    Ok(format!("{major}.{minor}"))
}

fn cudnn_version(library: &Library) -> Result<String, libloading::Error> {
    // SAFETY: `size_t cudnnGetVersion(void)`.
    let get: Symbol<'_, unsafe extern "C" fn() -> usize> = unsafe { library.get(b"cudnnGetVersion\0")? };
    // SAFETY: as above.
    let number = unsafe { get() };
    Ok(format!("{}.{}.{}", number / 10_000, number % 10_000 / 100, number % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_tells_its_version_and_its_place_or_the_loader_why_it_is_not_there() {
        for library in all() {
            match library.found {
                Ok(found) => assert!(found.version.contains('.') && found.path.is_some(), "{found:?}"),
                Err(reason) => assert!(reason.contains(".so"), "{}: {reason}", library.name),
            }
        }
    }
}

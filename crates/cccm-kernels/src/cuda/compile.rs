//! Kernels are compiled for the GPU at hand when they are first used, and kept on disk for the next process.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaModule};
use candle_core::cuda_backend::cudarc::nvrtc::{self, Ptx};
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, Error, Result, bail};
use cccm_files::PrivateCache;
use sha2::{Digest, Sha256};

use crate::gpu::Source;

/// What is loaded on one device.
#[derive(Default)]
struct Loaded {
    /// By the name of their source.
    modules: HashMap<&'static str, Arc<CudaModule>>,
    /// By their name.
    functions: HashMap<String, CudaFunction>,
}

static LOADED: Mutex<Option<HashMap<DeviceId, Loaded>>> = Mutex::new(None);

/// A kernel of the source, compiled and loaded if this is its first use on the device.
pub(super) fn function(device: &CudaDevice, source: &'static Source, kernel: &str) -> Result<CudaFunction> {
    let mut all = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = all.get_or_insert_default().entry(device.id()).or_default();
    if let Some(function) = loaded.functions.get(kernel) {
        return Ok(function.clone());
    }
    let module = match loaded.modules.get(source.name) {
        Some(module) => Arc::clone(module),
        None => load(device, source)?,
    };
    let function = module.load_function(kernel).w()?;
    loaded.modules.insert(source.name, module);
    loaded.functions.insert(kernel.to_owned(), function.clone());
    Ok(function)
}

fn load(device: &CudaDevice, source: &Source) -> Result<Arc<CudaModule>> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let (major, minor) = context.compute_capability().w()?;
    // Machine code for this GPU instead of PTX: a driver refuses PTX of a newer minor version of CUDA than
    // its own.
    let architecture = format!("--gpu-architecture=sm_{major}{minor}");
    // The driver takes no length and trusts the code, so the code must be complete and from NVRTC.
    let kept = cache_dir().map(PrivateCache::new);
    let name = format!("{}.cubin", digest(source, &architecture));
    if let Some(code) = kept.as_ref().and_then(|kept| kept.get(&name))
        && let Ok(module) = context.load_module(Ptx::from_binary(code))
    {
        return Ok(module);
    }
    let code = compile(source, &architecture)?;
    if let Some(kept) = kept
        && let Err(error) = kept.put(&name, &code)
    {
        // The only loss is that the next process compiles again.
        tracing::debug!("cannot keep the kernels `{}`: {error}", source.name);
    }
    match context.load_module(Ptx::from_binary(code)) {
        Ok(module) => Ok(module),
        Err(error) => bail!(
            "the driver refuses the kernels `{}`: {error}; is it older than the CUDA libraries? `nvidia-smi` shows the \
             CUDA version that it is good for",
            source.name
        ),
    }
}

/// The source as machine code.
fn compile(source: &Source, architecture: &str) -> Result<Vec<u8>> {
    let failed = |what: &dyn Display| {
        Error::Msg(format!("NVRTC cannot compile the kernels `{}`: {what}", source.name)).bt()
    };
    let text = CString::new(source.text).map_err(|error| failed(&error))?;
    let program = Program(nvrtc::result::create_program(&text, None).map_err(|error| failed(&error))?);
    // SAFETY: a living program.
    let compiled = unsafe { nvrtc::result::compile_program(program.0, &[architecture, "--std=c++17"]) };
    if let Err(error) = compiled {
        // SAFETY: the same. The log ends with a zero.
        let log = unsafe { nvrtc::result::get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).take_while(|c| *c != 0).collect();
        return Err(failed(&format!("{error}\n{}", String::from_utf8_lossy(&log))));
    }
    let mut len = 0;
    // SAFETY: the same; writes one number.
    unsafe { nvrtc::sys::nvrtcGetCUBINSize(program.0, &raw mut len) }.result().map_err(|e| failed(&e))?;
    let mut code = vec![0; len];
    // SAFETY: the same; writes so many bytes.
    unsafe { nvrtc::sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()) }
        .result()
        .map_err(|error| failed(&error))?;
    Ok(code)
}

/// A program of NVRTC's, destroyed with its owner.
struct Program(nvrtc::sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once. There is nobody to tell of a failure.
        let _ = unsafe { nvrtc::result::destroy_program(self.0) };
    }
}

fn cache_dir() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("cccm").join("kernels"))
}

fn digest(source: &Source, architecture: &str) -> String {
    let version = nvrtc_version();
    let all = format!("{architecture}\n{version:?}\n{}", source.text);
    hex::encode(Sha256::digest(all.as_bytes()))
}

fn nvrtc_version() -> (i32, i32) {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two numbers.
    unsafe { nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    (major, minor)
}

//! Kernels are compiled for the GPU at hand when they are first used, and kept on disk for the next process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, process};

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaModule};
use candle_core::cuda_backend::cudarc::nvrtc::{self, CompileError, CompileOptions, Ptx};
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, Result, bail};
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
    let capability = context.compute_capability().w()?;
    let text = compiled(source, capability)?;
    match context.load_module(Ptx::from_src(text)) {
        Ok(module) => Ok(module),
        Err(error) => bail!(
            "the driver refuses the kernels `{}`: {error}; is it older than the CUDA libraries? `nvidia-smi` shows the \
             CUDA version that it is good for",
            source.name
        ),
    }
}

/// The source as PTX, from the disk if it was compiled before.
fn compiled(source: &Source, (major, minor): (i32, i32)) -> Result<String> {
    let architecture = format!("--gpu-architecture=compute_{major}{minor}");
    let kept = cache_dir().map(|dir| dir.join(format!("{}.ptx", digest(source, &architecture))));
    if let Some(text) = kept.as_deref().and_then(|path| fs::read_to_string(path).ok()) {
        return Ok(text);
    }
    let options = vec![architecture, "--std=c++17".to_owned()];
    let options = CompileOptions { options, name: Some(format!("{}.cu", source.name)), ..Default::default() };
    let text = match nvrtc::compile_ptx_with_opts(source.text, options) {
        Ok(ptx) => ptx.to_src(),
        Err(CompileError::CompileError { log, .. }) => {
            bail!("NVRTC cannot compile the kernels `{}`: {}", source.name, log.to_string_lossy())
        }
        Err(error) => bail!("NVRTC cannot compile the kernels `{}`: {error:?}", source.name),
    };
    if let Some(path) = kept {
        keep(&path, &text);
    }
    Ok(text)
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

/// Written beside its place and renamed. Where that fails the next process compiles once more, and nothing else is lost.
fn keep(path: &Path, text: &str) {
    let partial = path.with_extension(format!("{}.partial", process::id()));
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&partial, text))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
}

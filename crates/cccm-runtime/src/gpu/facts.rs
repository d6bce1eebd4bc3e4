//! What is known about GPUs, their driver and its libraries.

use std::path::PathBuf;

use crate::Result;

/// Whether this program was built with feature `cuda`. Without it there are no GPUs, whatever the machine has.
pub const CUDA_IN_BUILD: bool = cfg!(feature = "cuda");

/// The oldest compute capability that GPUs may have: Ampere's, the first with `bf16`.
pub const MIN_COMPUTE_CAPABILITY: (u32, u32) = (8, 0);

/// How a GPU multiplies matrices of `f32`, and convolves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum F32Products {
    /// Factors rounded to TF32, 10 bits behind the point, and summed in `f32`, as tensor cores do.
    Tf32,
    /// In `f32`.
    Exact,
}

/// A GPU, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number, from 0, as `CUDA_VISIBLE_DEVICES` leaves it.
    pub ordinal: usize,
    /// As its maker calls it.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (u32, u32),
    /// Its memory, whoever uses it.
    pub total_bytes: u64,
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
}

impl Gpu {
    /// Whether our kernels run on it.
    pub fn is_new_enough(&self) -> bool {
        self.compute_capability >= MIN_COMPUTE_CAPABILITY
    }
}

/// The driver of the GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDriver {
    /// The newest version of CUDA that it supports, major and minor.
    pub cuda: (u32, u32),
    /// The version of CUDA that this build needs.
    pub needed: (u32, u32),
    /// Its release, such as `580.65.06`, where the system tells.
    pub release: Option<String>,
}

/// A library that computing on GPUs needs.
#[derive(Clone, Debug)]
pub struct GpuLibrary {
    /// Its name, such as `cuDNN`.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    /// What the system's loader found, or why it found nothing.
    pub found: Result<FoundLibrary, String>,
}

/// A library on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLibrary {
    /// Its version, as it tells.
    pub version: String,
    /// Where it lies, if the system tells.
    pub path: Option<PathBuf>,
}

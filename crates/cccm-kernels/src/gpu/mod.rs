//! What a GPU is asked to do, apart from the library that asks it: which kernel, over which grid, with which arguments.
//!
//! Operations write their launches for any [`Queue`]. One is a CUDA stream; tests have another, which runs the same kernels
//! on the CPU, so that kernels and launches are checked where there is no GPU.
#![expect(unsafe_code, reason = "kernels are launched by address")]

mod images;
#[cfg(test)]
pub(crate) mod shim;

pub(crate) use images::{Elements, Images};

use candle_core::Result;

/// Threads of a block; `THREADS` in `element.cuh`.
pub(crate) const THREADS: usize = 256;

/// The text of some kernels.
#[derive(Debug)]
pub(crate) struct Source {
    /// Names it, in files and errors.
    pub(crate) name: &'static str,
    /// With `element.cuh` in front.
    pub(crate) text: &'static str,
}

/// A [`Source`] from the file of this name, beside the file that asks.
macro_rules! source {
    ($name:literal) => {
        $crate::gpu::Source {
            name: $name,
            text: concat!(include_str!("../cuda/element.cuh"), include_str!(concat!($name, ".cu"))),
        }
    };
}
pub(crate) use source;

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arg {
    /// Address in the GPU's memory; 0 is null.
    Pointer(u64),
    /// `size_t`
    Size(usize),
    /// `int`
    Int(i32),
    /// `float`
    Float(f32),
}

impl Arg {
    /// Where the argument itself is, as launches want it.
    pub(crate) fn address(&self) -> *mut std::ffi::c_void {
        match self {
            Self::Pointer(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::Size(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::Int(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::Float(value) => std::ptr::from_ref(value).cast_mut().cast(),
        }
    }
}

/// Blocks and threads of a launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: [u32; 3],
}

impl Grid {
    /// At least one thread per item, in a row of blocks for each of `rows`.
    pub(crate) fn of_items(items: usize, rows: usize) -> Result<Self> {
        Ok(Self {
            blocks: [blocks(items.div_ceil(THREADS))?, second_blocks(rows)?, 1],
            threads: [THREADS as u32, 1, 1],
        })
    }
}

impl Grid {
    /// A column of threads for each of so many sums, over `rows`.
    pub(crate) fn of_sums(sums: usize, rows: usize) -> Result<Self> {
        const SIDE: usize = 16;
        Ok(Self {
            blocks: [blocks(sums.div_ceil(SIDE))?, second_blocks(rows)?, 1],
            threads: [SIDE as u32, SIDE as u32, 1],
        })
    }
}

/// A count of blocks along the first dimension of a grid.
pub(crate) fn blocks(count: usize) -> Result<u32> {
    match i32::try_from(count) {
        Ok(count) => Ok(count as u32),
        Err(_) => candle_core::bail!("{count} blocks are more than a GPU takes at once; use smaller batches"),
    }
}

/// A count of blocks along the second or third dimension of a grid.
pub(crate) fn second_blocks(count: usize) -> Result<u32> {
    match u16::try_from(count) {
        Ok(count) => Ok(count.into()),
        Err(_) => candle_core::bail!("{count} images are more than a GPU takes at once; use smaller batches"),
    }
}

/// Runs kernels one after the other.
pub(crate) trait Queue {
    /// Memory of the GPU, free to be used again once dropped.
    type Memory;

    /// Room for so many numbers of 4 bytes, of any values.
    fn allocate(&self, numbers: usize) -> Result<Self::Memory>;

    /// Memory with these words.
    fn upload(&self, words: &[u64]) -> Result<Self::Memory>;

    /// Where the memory is.
    fn pointer(&self, memory: &Self::Memory) -> Arg;

    /// Has a kernel run behind those before it.
    ///
    /// # Safety
    /// The arguments must be those that the kernel has, and its accesses lie within the memory that they point at.
    unsafe fn launch(&self, source: &'static Source, kernel: &str, grid: Grid, args: &[Arg]) -> Result<()>;
}

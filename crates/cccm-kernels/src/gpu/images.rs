//! How images are shared out among the threads of a GPU.

use candle_core::Result;

use super::{Arg, Grid, THREADS, blocks, second_blocks};

/// Pixels of a block. The sums of a chunk are added up in a fixed order, so results do not depend on the GPU.
const CHUNK: usize = 256;

/// Numbers as kernels see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Elements {
    F32,
    Bf16,
}

impl Elements {
    /// As kernels are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// How many of them are read at once, 16 bytes, if channels and addresses allow; the end of a kernel's name with it.
    pub(crate) fn vector(self, channels: usize, pointers: &[Arg]) -> Vector {
        const BYTES: usize = 16;
        let len = BYTES / self.bytes();
        let aligned =
            pointers.iter().all(|arg| matches!(arg, Arg::Pointer(at) if at.is_multiple_of(BYTES as u64)));
        let len = if aligned && channels.is_multiple_of(len) { len } else { 1 };
        Vector { len, suffix: format!("{}_{len}", self.name()) }
    }
}

/// Neighbouring values that a thread takes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    pub(crate) len: usize,
    /// End of the names of kernels for it.
    pub(crate) suffix: String,
}

/// Images `(batch, pixels, channels)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Images {
    pub(crate) batch: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
}

impl Images {
    /// Chunks of an image's pixels.
    pub(crate) fn chunks(&self) -> usize {
        self.pixels.div_ceil(CHUNK)
    }

    /// A block for every sample and chunk, and for as many channels as it has threads for.
    pub(crate) fn grid(&self, vector: &Vector) -> Result<Grid> {
        let vectors = self.channels.div_ceil(vector.len);
        let columns = vectors.min(THREADS);
        let tiles = vectors.div_ceil(columns);
        // A power of two, as sums over the rows of threads want it.
        let rows = 1usize << (THREADS / columns).ilog2();
        Ok(Grid {
            blocks: [blocks(self.chunks())?, second_blocks(self.batch)?, second_blocks(tiles)?],
            threads: [columns as u32, rows as u32, 1],
        })
    }

    /// What kernels want to know of them.
    pub(crate) fn args(&self) -> [Arg; 3] {
        [Arg::Size(self.pixels), Arg::Int(self.channels as i32), Arg::Int(CHUNK as i32)]
    }

    /// A block for each group of each sample, if there are so many groups.
    pub(crate) fn grid_of_groups(&self, groups: usize) -> Result<Grid> {
        const GROUP_THREADS: u32 = 64;
        Ok(Grid { blocks: [blocks(groups)?, second_blocks(self.batch)?, 1], threads: [GROUP_THREADS, 1, 1] })
    }
}

//! Launches of the kernels around a convolution, for images whose channels come last.
#![expect(unsafe_code, reason = "kernels are launched by address")]

use candle_core::Result;

use crate::gpu::{Arg, Elements, Grid, Images, Queue, Source, second_blocks, source};

static KERNELS: Source = source!("parts");

/// Adds a bias to images.
///
/// # Safety
/// `y` must be the address of `images` of `elements`, `bias` of `channels` `f32`, per sample if `per_sample` is
/// [`Bias::PerSample`].
pub(super) unsafe fn add_bias<Q: Queue>(
    queue: &Q,
    images: Images,
    elements: Elements,
    y: Arg,
    bias: Arg,
    which: Bias,
) -> Result<()> {
    let vector = elements.vector(images.channels, &[y]);
    let [pixels, channels, chunk] = images.args();
    let stride = match which {
        Bias::OfAll => Arg::Int(0),
        Bias::PerSample => channels,
    };
    let kernel = format!("add_bias_{}", vector.suffix);
    // SAFETY: arguments in the kernel's order, by this function's contract large enough.
    unsafe {
        queue.launch(&KERNELS, &kernel, images.grid(&vector)?, &[y, bias, pixels, channels, chunk, stride])
    }
}

/// Whose a bias is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    /// `(channels,)`
    OfAll,
    /// `(batch, channels)`
    PerSample,
}

/// Sums over the pixels, `(batch, channels)`, or for [`Bias::OfAll`] over the samples as well: a bias' gradient.
///
/// # Safety
/// `x` must be the address of `images` of `elements`, `out` of as many `f32` as there are sums.
pub(super) unsafe fn channel_sums<Q: Queue>(
    queue: &Q,
    images: Images,
    elements: Elements,
    x: Arg,
    out: Arg,
    which: Bias,
) -> Result<()> {
    let vector = elements.vector(images.channels, &[x]);
    let [pixels, channels, chunk] = images.args();
    let chunks = images.chunks();
    let partial = queue.allocate(images.batch * chunks * images.channels)?;
    let partial = queue.pointer(&partial);
    let kernel = format!("channel_sums_{}", vector.suffix);
    // SAFETY: arguments in the kernels' order, by this function's contract and the allocation large enough.
    unsafe {
        queue.launch(&KERNELS, &kernel, images.grid(&vector)?, &[x, partial, pixels, channels, chunk])?;
        let (rows, summands) = match which {
            Bias::OfAll => (1, images.batch * chunks),
            Bias::PerSample => (images.batch, chunks),
        };
        let grid = Grid::of_sums(images.channels, rows)?;
        queue.launch(&KERNELS, "chunk_sums", grid, &[partial, out, channels, Arg::Int(summands as i32)])
    }
}

/// `count` matrices of `rows` times `columns` numbers, each turned around, from one kind of numbers to another: images into
/// another order, or weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transposition {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Transposition {
    /// Writes `y`.
    ///
    /// # Safety
    /// `x` and `y` must be addresses of so many numbers of their kinds.
    pub(super) unsafe fn launch<Q: Queue>(
        self,
        queue: &Q,
        (x, of_x): (Arg, Elements),
        (y, of_y): (Arg, Elements),
    ) -> Result<()> {
        const TILE: usize = 32;
        /// Rows of threads; a block's kernel goes through a tile with them.
        const ROWS: u32 = 8;
        let Self { count, rows, columns } = self;
        let at_most = |blocks: usize| second_blocks(blocks.min(usize::from(u16::MAX)));
        let grid = Grid {
            blocks: [
                crate::gpu::blocks(columns.div_ceil(TILE))?,
                at_most(rows.div_ceil(TILE))?,
                at_most(count)?,
            ],
            threads: [TILE as u32, ROWS, 1],
        };
        let (kernel, grid) = if rows.min(columns) < TILE / 2 {
            ("reorder", Grid::of_items(count * rows * columns, 1)?)
        } else {
            ("transpose", grid)
        };
        let kernel = format!("{kernel}_{}_{}", of_x.name(), of_y.name());
        let args = [x, y, Arg::Size(count), Arg::Int(rows as i32), Arg::Int(columns as i32)];
        // SAFETY: arguments in the kernel's order, by this function's contract large enough.
        unsafe { queue.launch(&KERNELS, &kernel, grid, &args) }
    }
}

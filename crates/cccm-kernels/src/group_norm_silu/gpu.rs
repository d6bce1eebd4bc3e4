//! Launches of the kernels, for images whose channels come last.
#![expect(unsafe_code, reason = "kernels are launched by address")]

use candle_core::Result;

use super::sizes::Sizes;
use crate::gpu::{Arg, Elements, Grid, Images, Queue, Source, source};

static KERNELS: Source = source!("group_norm_silu");

impl Sizes {
    fn images(&self) -> Images {
        Images { batch: self.batch, pixels: self.pixels, channels: self.channels }
    }

    /// Numbers of [`Arguments::moments`]: mean and inverse deviation of every group.
    pub(super) fn moments_len(&self) -> usize {
        2 * self.batch * self.groups
    }
}

/// What both directions read; addresses.
#[derive(Clone, Copy)]
pub(super) struct Arguments {
    pub(super) x: Arg,
    pub(super) weight: Arg,
    pub(super) bias: Arg,
    /// Written by [`forward`], of [`Sizes::moments_len`] numbers.
    pub(super) moments: Arg,
}

/// Writes `y`.
///
/// # Safety
/// All addresses must be of memory of the sizes' lengths: `x` and `y` of `elements`, the rest `f32`.
pub(super) unsafe fn forward<Q: Queue>(
    queue: &Q,
    sizes: &Sizes,
    elements: Elements,
    eps: f64,
    of: Arguments,
    y: Arg,
) -> Result<()> {
    let images = sizes.images();
    let vector = elements.vector(images.channels, &[of.x, y]);
    let grid = images.grid(&vector)?;
    let [pixels, channels, chunk] = images.args();
    let (groups, chunks) = (Arg::Int(sizes.groups as i32), images.chunks());
    let sums = queue.allocate(2 * images.batch * chunks * images.channels)?;
    let sums = queue.pointer(&sums);
    let run = |kernel: &str, grid: Grid, args: &[Arg]| {
        // SAFETY: arguments in the kernels' order; by this function's contract and the allocation they are large enough.
        unsafe { queue.launch(&KERNELS, kernel, grid, args) }
    };
    run(&format!("gn_sums_{}", vector.suffix), grid, &[of.x, sums, pixels, channels, chunk])?;
    let eps = Arg::Float(eps as f32);
    run(
        &format!("gn_moments_{}", elements.name()),
        images.grid_of_groups(sizes.groups)?,
        &[of.x, sums, of.moments, pixels, channels, chunk, groups, Arg::Int(chunks as i32), eps],
    )?;
    run(
        &format!("gn_apply_{}", vector.suffix),
        grid,
        &[of.x, of.weight, of.bias, of.moments, y, pixels, channels, chunk, groups],
    )
}

/// Where [`backward`] writes.
#[derive(Clone, Copy)]
pub(super) struct Gradients {
    pub(super) x: Arg,
    pub(super) weight: Arg,
    pub(super) bias: Arg,
}

/// Writes the gradients.
///
/// # Safety
/// As for [`forward`], which has written the moments; `dy` is of `elements` like `x`.
pub(super) unsafe fn backward<Q: Queue>(
    queue: &Q,
    sizes: &Sizes,
    elements: Elements,
    of: Arguments,
    dy: Arg,
    to: Gradients,
) -> Result<()> {
    let images = sizes.images();
    let vector = elements.vector(images.channels, &[of.x, dy, to.x]);
    let grid = images.grid(&vector)?;
    let [pixels, channels, chunk] = images.args();
    let (groups, chunks) = (Arg::Int(sizes.groups as i32), images.chunks());
    let sums = queue.allocate(2 * images.batch * chunks * images.channels)?;
    let per_channel = queue.allocate(2 * images.batch * images.channels)?;
    let means = queue.allocate(2 * images.batch * sizes.groups)?;
    let [sums, per_channel, means] = [&sums, &per_channel, &means].map(|memory| queue.pointer(memory));
    let run = |kernel: &str, grid: Grid, args: &[Arg]| {
        // SAFETY: as in `forward`.
        unsafe { queue.launch(&KERNELS, kernel, grid, args) }
    };
    run(
        &format!("gn_grad_sums_{}", vector.suffix),
        grid,
        &[of.x, dy, of.weight, of.bias, of.moments, sums, pixels, channels, chunk, groups],
    )?;
    let columns = 2 * images.channels;
    run(
        "gn_chunk_sums",
        Grid::of_sums(columns, images.batch)?,
        &[sums, per_channel, Arg::Int(columns as i32), Arg::Int(chunks as i32)],
    )?;
    run(
        "gn_group_means",
        images.grid_of_groups(sizes.groups)?,
        &[per_channel, of.weight, means, pixels, channels, groups],
    )?;
    run(
        "gn_grad_parameters",
        Grid::of_items(images.channels, 1)?,
        &[per_channel, to.weight, to.bias, Arg::Int(images.batch as i32), channels],
    )?;
    run(
        &format!("gn_grad_x_{}", vector.suffix),
        grid,
        &[of.x, dy, of.weight, of.bias, of.moments, means, to.x, pixels, channels, chunk, groups],
    )
}

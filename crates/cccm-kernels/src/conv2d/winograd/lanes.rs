//! Sixteen channels side by side: what is done to one is done to all of them by the same instructions, whatever the
//! image's size.

#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use crate::isa::Instructions;

pub(super) use crate::isa::Lanes;

/// Channels that are computed together.
pub(super) const LANES: usize = 16;

const ZERO: Lanes = [0.0; LANES];

/// Every `stride`-th of some vectors, from the first on.
///
/// Not `array::from_fn`, nor a closure: the compiler does not promise to inline those, and what is not inlined keeps the
/// baseline's instructions.
#[inline(always)]
pub(super) fn load<I: Instructions, const N: usize>(lanes: &[Lanes], stride: usize) -> [I::Vector; N] {
    let mut vectors = [I::splat(0.0); N];
    for (i, vector) in vectors.iter_mut().enumerate() {
        *vector = I::load(&lanes[i * stride]);
    }
    vectors
}

/// The reverse of [`load`].
#[inline(always)]
pub(super) fn store<I: Instructions, const N: usize>(
    vectors: [I::Vector; N],
    lanes: &mut [Lanes],
    stride: usize,
) {
    for (i, vector) in vectors.into_iter().enumerate() {
        I::store(vector, &mut lanes[i * stride]);
    }
}

/// The `i`-th of every array.
#[inline(always)]
pub(super) fn pick<I: Instructions, const N: usize, const M: usize>(
    arrays: &[[I::Vector; M]; N],
    i: usize,
) -> [I::Vector; N] {
    let mut picked = [I::splat(0.0); N];
    for (to, from) in picked.iter_mut().zip(arrays) {
        *to = from[i];
    }
    picked
}

/// Parts of up to sixteen channels, side by side: `lanes[i][c] = channel(c)[i]`, 0 from `channels` on. The slices may
/// be longer than `lanes`, which makes it faster.
#[inline(always)]
pub(super) fn gather<'a, I: Instructions>(
    channels: usize,
    channel: impl Fn(usize) -> &'a [f32],
    lanes: &mut [Lanes],
) {
    for (i, block) in lanes.chunks_mut(LANES).enumerate() {
        let mut ends = [ZERO; LANES];
        for (c, end) in ends.iter_mut().enumerate().take(channels) {
            let rest = &channel(c)[i * LANES..];
            if rest.len() < LANES {
                end[..rest.len()].copy_from_slice(rest);
            }
        }
        let mut rows = ends.each_ref();
        for (c, row) in rows.iter_mut().enumerate().take(channels) {
            if let Some(whole) = channel(c)[i * LANES..].first_chunk() {
                *row = whole;
            }
        }
        if let [whole] = block.as_chunks_mut().0 {
            I::transpose(rows, whole);
        } else {
            let mut whole = [ZERO; LANES];
            I::transpose(rows, &mut whole);
            block.copy_from_slice(&whole[..block.len()]);
        }
    }
}

/// The reverse of [`gather`], sixteen places at a time: `f` gets a channel, the first of its places, and their values.
#[inline(always)]
pub(super) fn scatter<I: Instructions>(
    channels: usize,
    lanes: &[Lanes],
    mut f: impl FnMut(usize, usize, &[f32]),
) {
    let mut rows = [ZERO; LANES];
    for (i, block) in lanes.chunks(LANES).enumerate() {
        let mut places = [&ZERO; LANES];
        for (place, lanes) in places.iter_mut().zip(block) {
            *place = lanes;
        }
        I::transpose(places, &mut rows);
        for (c, row) in rows.iter().enumerate().take(channels) {
            f(c, i * LANES, &row[..block.len()]);
        }
    }
}

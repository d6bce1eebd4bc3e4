//! Loops over the planes.

use rayon::prelude::*;

/// Planes that are worth a task of their own.
const PLANES_PER_TASK: usize = 4;

/// `x (planes, h, w)` to `y (planes, 2 * h, 2 * w)`.
pub(super) fn forward([h, w]: [usize; 2], x: &[f32], y: &mut [f32]) {
    let planes = y.par_chunks_exact_mut(4 * h * w).zip(x.par_chunks_exact(h * w));
    planes.with_min_len(PLANES_PER_TASK).for_each(|(y, x)| {
        for (rows, x) in y.chunks_exact_mut(4 * w).zip(x.chunks_exact(w)) {
            let (upper, lower) = rows.split_at_mut(2 * w);
            for (pair, v) in upper.as_chunks_mut::<2>().0.iter_mut().zip(x) {
                *pair = [*v; 2];
            }
            lower.copy_from_slice(upper);
        }
    });
}

/// `dy (planes, 2 * h, 2 * w)` to `dx (planes, h, w)`.
pub(super) fn backward([h, w]: [usize; 2], dy: &[f32], dx: &mut [f32]) {
    let planes = dx.par_chunks_exact_mut(h * w).zip(dy.par_chunks_exact(4 * h * w));
    planes.with_min_len(PLANES_PER_TASK).for_each(|(dx, dy)| {
        for (rows, dx) in dy.chunks_exact(4 * w).zip(dx.chunks_exact_mut(w)) {
            let (upper, lower) = rows.split_at(2 * w);
            let blocks = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (dx, ([a, b], [c, d])) in dx.iter_mut().zip(blocks) {
                *dx = a + b + c + d;
            }
        }
    });
}

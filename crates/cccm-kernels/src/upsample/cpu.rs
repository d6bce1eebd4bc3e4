//! Loops over the planes.

use crate::buffer::par_chunks;

/// Planes of a task.
const PLANES: usize = 4;

/// `x (planes, h, w)` to `(planes, 2 * h, 2 * w)`.
pub(super) fn forward([h, w]: [usize; 2], x: &[f32]) -> Vec<f32> {
    let (pairs, _) = par_chunks(2 * x.len(), PLANES * 2 * h * w, |task, pairs| {
        let x = &x[task * PLANES * h * w..][..pairs.capacity() / 2];
        for row in x.chunks_exact(w) {
            for _ in 0..2 {
                pairs.extend(row.iter().map(|v| [*v; 2]));
            }
        }
    });
    pairs.into_flattened()
}

/// `dy (planes, 2 * h, 2 * w)` to `(planes, h, w)`.
pub(super) fn backward([h, w]: [usize; 2], dy: &[f32]) -> Vec<f32> {
    let (dx, _) = par_chunks(dy.len() / 4, PLANES * h * w, |task, dx| {
        let dy = &dy[task * PLANES * 4 * h * w..][..4 * dx.capacity()];
        for rows in dy.chunks_exact(4 * w) {
            let (upper, lower) = rows.split_at(2 * w);
            let blocks = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            dx.extend(blocks.map(|([a, b], [c, d])| a + b + c + d));
        }
    });
    dx
}

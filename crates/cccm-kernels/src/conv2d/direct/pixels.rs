//! Images laid out for vectors of sixteen pixels.

/// Floats in one vector.
pub(super) const LANES: usize = 16;

/// A plane of `(h, w)` pixels with one zero around it, its rows one after the other. Under a 3x3 kernel, the inputs of
/// output `(y, x)` start at offset `y * width + x`, so one offset serves every pixel, and sixteen neighbouring offsets
/// are sixteen outputs, unless they run over the end of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct PaddedPlane {
    h: usize,
    w: usize,
    /// Floats from one plane to the next.
    pub(super) stride: usize,
}

impl PaddedPlane {
    pub(super) fn new(h: usize, w: usize) -> Self {
        // What follows does not wrap: nothing is far larger than the plane.
        let values =
            h.checked_add(4 + LANES).zip(w.checked_add(4 + LANES)).and_then(|(h, w)| h.checked_mul(w));
        assert!(values.is_some_and(|values| values <= isize::MAX as usize / 4), "no plane of {h}x{w} pixels");
        let plane = Self { h, w, stride: 0 };
        // A vector at the last pixel reads this far. An odd number of cache lines from plane to plane spreads the
        // planes over the cache.
        let lines = (plane.offset(h - 1, w - 1) + plane.reach()).div_ceil(LANES);
        Self { stride: (lines | 1) * LANES, ..plane }
    }

    /// Floats in one row.
    pub(super) fn width(self) -> usize {
        self.w + 2
    }

    /// Output pixels.
    pub(super) fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Where the inputs of output `(y, x)` start.
    fn offset(self, y: usize, x: usize) -> usize {
        y * self.width() + x
    }

    /// Floats from a vector's offset to the end of what its nine taps read.
    pub(super) fn reach(self) -> usize {
        self.offset(2, 2) + LANES
    }

    /// Whether all that a vector's taps read is within the plane.
    pub(super) fn holds(self, vector: PixelVector) -> bool {
        vector.source.checked_add(self.reach()).is_some_and(|end| end <= self.stride)
    }

    /// Writes an image of `(h, w)` into `plane`, and zeros around it.
    pub(super) fn fill(self, image: &[f32], plane: &mut [f32]) {
        let (above, rest) = plane.split_at_mut(self.width());
        above.fill(0.0);
        let (rows, below) = rest.split_at_mut(self.h * self.width());
        for (row, source) in rows.chunks_exact_mut(self.width()).zip(image.chunks_exact(self.w)) {
            row[0] = 0.0;
            row[1..=self.w].copy_from_slice(source);
            row[self.w + 1] = 0.0;
        }
        below.fill(0.0);
    }

    /// Whether vectors need not run over the ends of rows.
    fn rows_are_whole_vectors(self) -> bool {
        self.w.is_multiple_of(LANES)
    }

    /// The plane's output pixels in vectors, in order.
    pub(super) fn vectors(self) -> Vec<PixelVector> {
        let last = self.offset(self.h - 1, self.w - 1);
        if self.rows_are_whole_vectors() {
            let row = |y| (0..self.w).step_by(LANES).map(move |x| (y, x));
            let vector =
                |(y, x)| PixelVector { source: self.offset(y, x), first: y * self.w + x, mask: u16::MAX };
            (0..self.h).flat_map(row).map(vector).collect()
        } else {
            (0..=last).step_by(LANES).map(|source| self.vector_at(source)).collect()
        }
    }

    fn vector_at(self, source: usize) -> PixelVector {
        let position = |lane: usize| ((source + lane) / self.width(), (source + lane) % self.width());
        let is_pixel = |lane: &usize| {
            let (y, x) = position(*lane);
            y < self.h && x < self.w
        };
        let pixels = || (0..LANES).filter(is_pixel);
        let first = pixels().next().map_or(0, |lane| {
            let (y, x) = position(lane);
            y * self.w + x
        });
        PixelVector { source, first, mask: pixels().map(|lane| 1 << lane).sum() }
    }
}

/// Sixteen neighbouring offsets of a [`PaddedPlane`], and which of them are output pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PixelVector {
    /// Offset of the first lane in the padded plane.
    pub(super) source: usize,
    /// First output pixel; those that follow lie next to it in the output.
    pub(super) first: usize,
    /// Bit `i` is set where lane `i` is an output pixel.
    pub(super) mask: u16,
}

impl PixelVector {
    pub(super) fn len(self) -> usize {
        self.mask.count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every output pixel is in exactly one lane, in order, and that lane's offset is the pixel's.
    #[test]
    fn vectors_cover_every_pixel_once() {
        for (h, w) in [(1, 1), (1, 40), (5, 7), (3, 16), (4, 32), (8, 8), (9, 15), (2, 17), (40, 1), (7, 2)] {
            let plane = PaddedPlane::new(h, w);
            let mut offsets = Vec::new();
            for vector in plane.vectors() {
                assert_eq!(vector.first, offsets.len(), "{h}x{w}");
                assert!(vector.source + plane.reach() <= plane.stride, "{h}x{w}");
                let lanes = (0..LANES).filter(|lane| vector.mask >> lane & 1 == 1);
                offsets.extend(lanes.map(|lane| vector.source + lane));
            }
            let expected: Vec<_> = (0..h * w).map(|i| plane.offset(i / w, i % w)).collect();
            assert_eq!(offsets, expected, "{h}x{w}");
        }
    }

    #[test]
    fn fill_surrounds_an_image_with_zeros() {
        let image: Vec<f32> = (1..=4).map(|v| v as f32).collect(); // (2, 2)
        let padded = PaddedPlane::new(2, 2);
        let mut plane = vec![f32::NAN; padded.stride];
        padded.fill(&image, &mut plane);
        assert_eq!(plane[..16], [[0.; 4], [0., 1., 2., 0.], [0., 3., 4., 0.], [0.; 4]].concat());
        assert!(plane[16..].iter().all(|&v| v == 0.0));
    }
}

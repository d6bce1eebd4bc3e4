//! How images are cut into tiles of 4 × 4 outputs.

use std::ops::Range;

use crate::conv2d::geometry::Geometry;

/// Outputs of a tile in one dimension.
pub(super) const TILE: usize = 4;

/// Tiles that go through the products together: as many as keep the loads of weights rare, and few enough for their
/// points to stay in the second-level cache.
const GROUP: usize = 48;

/// The tiles of a batch, in rows of tiles, in groups of such rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    pub(super) h: usize,
    pub(super) w: usize,
    /// Tiles of a row.
    pub(super) per_row: usize,
    /// Rows of tiles of a sample.
    rows_per_sample: usize,
    /// Rows of tiles of the batch.
    rows: usize,
    /// Rows of tiles of a group; the last one may have fewer.
    rows_per_group: usize,
}

/// A row of tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileRow {
    pub(super) sample: usize,
    /// The first of its rows of pixels.
    pub(super) y: usize,
    /// The first of its tiles among those of its group.
    pub(super) first: usize,
}

impl Tiles {
    pub(super) fn new(g: &Geometry) -> Self {
        let (per_row, rows_per_sample) = (g.w.div_ceil(TILE), g.h.div_ceil(TILE));
        let rows = g.batch * rows_per_sample;
        // The size, down to half of the largest, that leaves the fewest tiles of the last group missing.
        let most = (GROUP / per_row).clamp(1, rows.max(1));
        let sizes = (most.div_ceil(2)..=most).rev();
        let rows_per_group = sizes.min_by_key(|size| rows.next_multiple_of(*size)).unwrap_or(most);
        Self { h: g.h, w: g.w, per_row, rows_per_sample, rows, rows_per_group }
    }

    pub(super) fn count(&self) -> usize {
        self.rows * self.per_row
    }

    pub(super) fn groups(&self) -> usize {
        self.rows.div_ceil(self.rows_per_group)
    }

    /// Tiles of a group, those missing in the last one included.
    pub(super) fn per_group(&self) -> usize {
        self.rows_per_group * self.per_row
    }

    /// The rows of a group.
    pub(super) fn rows(&self, group: usize) -> impl Iterator<Item = TileRow> + use<> {
        let Self { per_row, rows_per_sample, .. } = *self;
        let first = group * self.rows_per_group;
        let rows: Range<usize> = first..(first + self.rows_per_group).min(self.rows);
        rows.map(move |row| TileRow {
            sample: row / rows_per_sample,
            y: row % rows_per_sample * TILE,
            first: (row - first) * per_row,
        })
    }
}

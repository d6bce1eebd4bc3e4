//! Portions of a batch for the loops that run over its pixels.

use std::ops::Range;

use super::geometry::Geometry;

/// Some rows of one sample's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) sample: usize,
    pub(super) rows: Range<usize>,
}

/// All output rows of the batch, in groups of bands that are equally high and have together at most `pixels` pixels, or
/// one row.
pub(super) fn groups(g: &Geometry, pixels: usize) -> Vec<Vec<Band>> {
    let (out_h, out_w) = (g.out_h(), g.out_w());
    let height = (pixels / out_w).clamp(1, out_h);
    // What is left at the bottom of every sample is lower, and gets groups of its own.
    let regular = out_h / height * height;
    let mut groups = Vec::new();
    for (rows, height) in [(0..regular, height), (regular..out_h, out_h - regular)] {
        if height > 0 {
            let bands: Vec<_> = (0..g.batch)
                .flat_map(|sample| {
                    let starts = rows.clone().step_by(height);
                    starts.map(move |start| Band { sample, rows: start..start + height })
                })
                .collect();
            let per_group = (pixels / (height * out_w)).max(1);
            groups.extend(bands.chunks(per_group).map(<[Band]>::to_vec));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_band() {
        for (batch, h, w, pixels) in
            [(3, 7, 5, 15), (3, 7, 5, 70), (2, 4, 100, 16), (1, 1, 1, 64), (0, 4, 4, 64)]
        {
            let g = Geometry { batch, c_in: 1, h, w, c_out: 1, k: 1, stride: 1, padding: 0 };
            let mut rows = Vec::new();
            for group in groups(&g, pixels) {
                let height = group[0].rows.len();
                assert!(group.iter().all(|band| band.rows.len() == height));
                assert!(group.len() * height * w <= pixels.max(w), "{group:?}");
                rows.extend(group.into_iter().flat_map(|band| band.rows.map(move |row| (band.sample, row))));
            }
            rows.sort_unstable();
            let all: Vec<_> = (0..batch).flat_map(|sample| (0..h).map(move |row| (sample, row))).collect();
            assert_eq!(rows, all);
        }
    }
}

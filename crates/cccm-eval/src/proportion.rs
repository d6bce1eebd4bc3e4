//! A share of images, and how far the share of all possible images may lie from it.

use serde::{Deserialize, Serialize};

/// Standard deviations to either side of the mean that hold 95 % of a normal distribution.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;

/// How many of how many, with a 95 % confidence interval (Wilson 1927).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// Number of hits.
    pub hits: u64,
    /// Number of images.
    pub of: u64,
    /// `hits / of`; 0 of 0 is 0.
    pub rate: f64,
    /// Lower end of the interval, in `[0, rate]`.
    pub low: f64,
    /// Upper end of the interval, in `[rate, 1]`.
    pub high: f64,
}

impl Proportion {
    /// `hits` of `of`, `hits <= of`.
    ///
    /// With `p = hits / n` and `z = 1.96` the interval is
    /// `(p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)` (Wilson 1927, as in Brown et al. 2001, eq. 4): unlike
    /// `p ± z sqrt(p (1 - p) / n)` it holds what it says near 0 and 1 too.
    pub fn new(hits: u64, of: u64) -> Self {
        if of == 0 {
            return Self { hits, of, rate: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, p) = (of as f64, hits as f64 / of as f64);
        let z2 = Z_95 * Z_95;
        let middle = p + z2 / (2.0 * n);
        let half = Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        // Rounding must not push the ends beyond what they enclose.
        let low = ((middle - half) / scale).clamp(0.0, p);
        Self { hits, of, rate: p, low, high: ((middle + half) / scale).clamp(p, 1.0) }
    }

    /// The share of those that `hit` says yes to.
    pub fn count(items: impl IntoIterator<Item = bool>) -> Self {
        let (hits, of) = items.into_iter().fold((0, 0), |(hits, of), hit| (hits + u64::from(hit), of + 1));
        Self::new(hits, of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // scipy.stats.binomtest(k, n).proportion_ci(0.95, "wilson"), scipy 1.17
        for (hits, of, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_888_6),
            (8, 10, 0.490_162_471_536_641_8, 0.943_317_848_545_624_8),
            (480, 500, 0.939_026_404_165_149_2, 0.973_959_202_610_222_7),
            (50, 50, 0.928_652_400_866_641_2, 1.0),
        ] {
            let got = Proportion::new(hits, of);
            assert!((got.low - low).abs() < 1e-12 && (got.high - high).abs() < 1e-12, "{got:?}");
        }
        assert_eq!(Proportion::new(0, 0).high, 1.0);
    }
}

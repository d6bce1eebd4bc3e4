//! Finding better timesteps for few-step sampling.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Passes over all timesteps, at most.
const MAX_PASSES: usize = 3;
/// Candidates of the first, coarse look between two neighbours.
const COARSE: usize = 8;

/// Searches for the timesteps of few-step sampling with the lowest score, one timestep after the other
/// (coordinate descent). Each is moved between its neighbours, first in coarse strides, then in strides that
/// are halved around the best. The first timestep moves, too: a little earlier in the schedule, the noisy
/// image shows hardly more of the image, but a noise prediction says more about it. Consistency models gain
/// by such a search (Song et al. 2023, section 5 and the choice of time points of algorithm 1).
/// - `grid`: timesteps that the student was trained at, ascending
/// - `start`: where to begin, descending, each of the grid
/// - `score`: the score of some timesteps, such as a Fréchet distance; lower is better. Called once for each
///   list
/// - result: the best timesteps and their score, never worse than the start's
///
/// ```
/// let grid: Vec<u32> = (0..50).map(|i| 20 * i + 19).collect();
/// // Best at 999, 619, 99.
/// let mut score = |t: &[u32]| Ok::<_, cccm_sample::Error>((f64::from(t[1]) - 619.0).abs() + (f64::from(t[2]) - 99.0).abs());
/// let (best, _) = cccm_sample::search_timesteps(&grid, &[999, 679, 339], &mut score)?;
/// assert_eq!(best, [999, 619, 99]);
/// # Ok::<(), cccm_sample::Error>(())
/// ```
/// # Errors
/// [`Error::InvalidConfig`] when `start` is empty, does not descend, or leaves the grid; what `score` fails with.
pub fn search_timesteps<E: From<Error>>(
    grid: &[u32],
    start: &[u32],
    score: &mut dyn FnMut(&[u32]) -> Result<f64, E>,
) -> Result<(Vec<u32>, f64), E> {
    let mut places = places(grid, start)?;
    let mut known = BTreeMap::new();
    let mut worth = |places: &[usize]| -> Result<f64, E> {
        if let Some(found) = known.get(places) {
            return Ok(*found);
        }
        let timesteps: Vec<u32> = places.iter().map(|place| grid[*place]).collect();
        let found = score(&timesteps)?;
        known.insert(places.to_vec(), found);
        Ok(found)
    };
    let mut best = worth(&places)?;
    for _ in 0..MAX_PASSES {
        let before = places.clone();
        for step in 0..places.len() {
            // Strictly between the neighbours; places descend.
            let low = places.get(step + 1).map_or(0, |below| below + 1);
            let high = if step == 0 { grid.len() } else { places[step - 1] } - 1;
            let mut stride = ((high - low) / COARSE).max(1);
            let mut candidates: Vec<usize> = (low..=high).step_by(stride).collect();
            loop {
                for candidate in candidates {
                    let mut tried = places.clone();
                    tried[step] = candidate;
                    let found = worth(&tried)?;
                    if found < best {
                        (best, places) = (found, tried);
                    }
                }
                if stride == 1 {
                    break;
                }
                stride = stride.div_ceil(2);
                let around = [places[step].checked_sub(stride), Some(places[step] + stride)];
                candidates =
                    around.into_iter().flatten().filter(|place| (low..=high).contains(place)).collect();
            }
        }
        if places == before {
            break;
        }
    }
    Ok((places.into_iter().map(|place| grid[place]).collect(), best))
}

/// Where in the grid the timesteps are.
fn places(grid: &[u32], timesteps: &[u32]) -> Result<Vec<usize>> {
    let bad = |got: String| Error::invalid("start", got, "descending timesteps of the grid, at least one");
    if timesteps.is_empty() || timesteps.windows(2).any(|pair| pair[0] <= pair[1]) {
        return Err(bad(format!("{timesteps:?}")));
    }
    timesteps.iter().map(|t| grid.binary_search(t).map_err(|_| bad(t.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<u32> {
        (0..50).map(|i| 20 * i + 19).collect()
    }

    #[test]
    fn it_never_leaves_the_order_and_asks_once() {
        let mut asked = Vec::new();
        let mut score = |t: &[u32]| -> Result<f64> {
            assert!(t.windows(2).all(|pair| pair[0] > pair[1]));
            asked.push(t.to_vec());
            // All want to be at 500.
            Ok(t.iter().map(|t| (f64::from(*t) - 500.0).abs()).sum())
        };
        let (best, worth) = search_timesteps(&grid(), &[999, 659, 319], &mut score).unwrap();
        assert!(worth <= 60.0, "{best:?}");
        let many = asked.len();
        asked.sort();
        asked.dedup();
        assert!(asked.len() == many && many < 90, "{many}");
    }

    #[test]
    fn a_start_that_is_best_stays() {
        let mut score = |t: &[u32]| -> Result<f64> { Ok(f64::from(u8::from(t != [999, 499]))) };
        assert_eq!(search_timesteps(&grid(), &[999, 499], &mut score).unwrap(), (vec![999, 499], 0.0));
        let mut score = |_: &[u32]| -> Result<f64> { Ok(1.0) };
        assert_eq!(search_timesteps(&grid(), &[999], &mut score).unwrap(), (vec![999], 1.0));
    }

    #[test]
    fn bad_starts_and_failures_are_told() {
        let mut score = |_: &[u32]| -> Result<f64> { Ok(0.0) };
        for start in [&[][..], &[499, 999], &[999, 500]] {
            let error = search_timesteps(&grid(), start, &mut score).unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { field: "start", .. }), "{error}");
        }
        let mut failing = |_: &[u32]| -> Result<f64> { Err(Error::NonFinite { t: 7 }) };
        let failed = search_timesteps(&grid(), &[999], &mut failing);
        assert!(matches!(failed, Err(Error::NonFinite { t: 7 })));
    }
}

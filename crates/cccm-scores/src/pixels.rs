//! Distances of pixels from real images: of all combinations, of seen ones and of unseen ones.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;
use cccm_eval::{PixelDistances, PixelReference};
use cccm_labels::{Combination, Vocabulary};
use cccm_sched::Streams;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::comparing::{MIN_ROWS, SEED};

/// Values of the real images that are kept in memory for a moment, at most: half a gibibyte.
const MAX_VALUES: usize = 1 << 27;

/// Distances of pixels; each absent where there are too few pictures or real images, or where they are too small.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PixelScores {
    /// On all combinations.
    pub all: Option<PixelDistances>,
    /// On combinations of training images.
    pub seen: Option<PixelDistances>,
    /// On all others.
    pub unseen: Option<PixelDistances>,
}

/// A set of combinations.
#[derive(Clone, Copy)]
enum Part {
    All,
    Seen,
    Unseen,
}

impl Part {
    const EVERY: [Self; 3] = [Self::All, Self::Seen, Self::Unseen];

    fn holds(self, combination: &Combination, is_unseen: &dyn Fn(&Combination) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Seen => !is_unseen(combination),
            Self::Unseen => is_unseen(combination),
        }
    }
}

/// What pixels are compared with.
pub(super) struct PixelReferences {
    /// Of all combinations, of seen ones, of unseen ones.
    parts: [Option<PixelReference>; 3],
}

/// Real images, gathered part by part: of every combination as many as memory allows.
pub(super) struct RealPixels {
    images: Vec<Tensor>,
    combinations: Vec<Combination>,
    counts: BTreeMap<Combination, usize>,
    per_combination: usize,
}

impl RealPixels {
    /// - `combinations`: how many there are
    pub(super) fn new(combinations: usize, image_px: usize) -> Self {
        let per_combination = MAX_VALUES / (3 * image_px * image_px * combinations).max(1);
        Self {
            images: Vec::new(),
            combinations: Vec::new(),
            counts: BTreeMap::new(),
            per_combination: per_combination.max(1),
        }
    }

    /// - `images`: `(n, 3, px, px)`, in `[-1, 1]`, one for each of `combinations`
    pub(super) fn add(&mut self, images: &Tensor, combinations: &[Combination]) -> Result<()> {
        let mut is_kept = |combination: &Combination| {
            let count = self.counts.entry(*combination).or_default();
            *count += 1;
            *count <= self.per_combination
        };
        let kept: Vec<usize> = (0..combinations.len()).filter(|row| is_kept(&combinations[*row])).collect();
        if !kept.is_empty() {
            self.images.push(rows(images, &kept)?);
            self.combinations.extend(kept.into_iter().map(|row| combinations[row]));
        }
        Ok(())
    }

    /// Prepares them for comparison.
    pub(super) fn reference(
        self,
        is_unseen: &(dyn Fn(&Combination) -> bool + Sync),
    ) -> Result<PixelReferences> {
        let images = Tensor::cat(&self.images, 0)?;
        let [all, seen, unseen] = Part::EVERY.map(|part| -> Result<Option<PixelReference>> {
            let Some((images, _)) = select(&images, &self.combinations, part, is_unseen)? else {
                return Ok(None);
            };
            Ok(Some(PixelReference::new(&images, &Streams::new(SEED))?))
        });
        Ok(PixelReferences { parts: [all?, seen?, unseen?] })
    }
}

impl PixelReferences {
    /// Compares pictures.
    /// - `images`: `(n, 3, px, px)`, in `[-1, 1]`, one for each of `combinations`
    pub(super) fn score(
        &self,
        images: &Tensor,
        combinations: &[Combination],
        vocabulary: &Vocabulary,
        is_unseen: &(dyn Fn(&Combination) -> bool + Sync),
    ) -> Result<PixelScores> {
        let score = |(part, reference): (Part, &Option<PixelReference>)| -> Result<_> {
            let Some(reference) = reference else { return Ok(None) };
            let Some((images, rows)) = select(images, combinations, part, is_unseen)? else {
                return Ok(None);
            };
            let groups: Vec<usize> =
                rows.into_iter().map(|row| vocabulary.place_of(&combinations[row])).collect();
            Ok(Some(reference.distances(&images, &groups)?))
        };
        // Much of the work for one part runs on a single thread, so the parts run in parallel.
        let scores: Vec<Result<_>> = Part::EVERY.into_par_iter().zip(&self.parts).map(score).collect();
        let mut scores = scores.into_iter();
        let mut next = || scores.next().transpose().map(Option::flatten);
        Ok(PixelScores { all: next()?, seen: next()?, unseen: next()? })
    }
}

/// The images of some combinations, and their rows; none if they are too few or too small to compare.
fn select(
    images: &Tensor,
    combinations: &[Combination],
    part: Part,
    is_unseen: &(dyn Fn(&Combination) -> bool + Sync),
) -> Result<Option<(Tensor, Vec<usize>)>> {
    let (_, _, h, w) = images.dims4()?;
    let kept: Vec<usize> =
        (0..combinations.len()).filter(|row| part.holds(&combinations[*row], is_unseen)).collect();
    if kept.len() < MIN_ROWS || h.min(w) < PixelReference::MIN_PX {
        return Ok(None);
    }
    Ok(Some((rows(images, &kept)?, kept)))
}

fn rows(images: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let index = Tensor::from_iter(rows.iter().map(|row| *row as u32), images.device())?;
    Ok(images.index_select(&index, 0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn combination(object: u32) -> Combination {
        Combination::from([0, object])
    }

    fn vocabulary() -> Vocabulary {
        Vocabulary::of_pairs(vec!["a"], vec!["x", "y"]).unwrap()
    }

    fn levels(values: &[f32]) -> Tensor {
        let image = |value: &f32| Tensor::full(*value, (1, 3, 8, 8), &Device::Cpu).unwrap();
        Tensor::cat(&values.iter().map(image).collect::<Vec<_>>(), 0).unwrap()
    }

    #[test]
    fn each_part_is_compared_with_its_own_pairs() -> Result<()> {
        let mut real = RealPixels::new(2, 8);
        let combinations = [vec![combination(0); 10], vec![combination(1); 10]].concat();
        real.add(&levels(&[[-1.0; 10], [0.5; 10]].concat()), &combinations)?;
        let is_unseen = |combination: &Combination| combination[1] == 1;
        let reference = real.reference(&is_unseen)?;
        let ours = levels(&[[-0.9; 10], [0.5; 10]].concat());
        let scores = reference.score(&ours, &combinations, &vocabulary(), &is_unseen)?;
        let distance =
            |part: &Option<PixelDistances>| part.as_ref().map(|part| (part.images, part.pixels.value));
        // 48 halved pixels, each 0.1 off.
        let (images, seen) = distance(&scores.seen).unwrap();
        assert!(images == 10 && (seen - 0.48).abs() < 1e-4, "{seen}");
        let (images, unseen) = distance(&scores.unseen).unwrap();
        assert!(images == 10 && unseen < 1e-6, "{unseen}");
        assert_eq!(scores.all.as_ref().map(|all| all.images), Some(20));
        let background = |part: &Option<PixelDistances>| part.as_ref().and_then(|part| part.background);
        assert!(background(&scores.seen).is_some_and(|of| (of.distance.value - 12.75).abs() < 1e-3));
        assert!(background(&scores.all).is_none(), "two backgrounds are none that is known");

        let few = reference.score(&levels(&[-0.9; 5]), &combinations[8..13], &vocabulary(), &is_unseen)?;
        assert!(few.all.is_none() && few.seen.is_none());
        Ok(())
    }

    #[test]
    fn of_every_pair_as_many_real_images_are_kept_as_memory_allows() -> Result<()> {
        let mut real = RealPixels { per_combination: 2, ..RealPixels::new(2, 8) };
        real.add(&levels(&[0.0; 3]), &[combination(0), combination(0), combination(0)])?;
        real.add(&levels(&[0.0; 2]), &[combination(0), combination(1)])?;
        assert_eq!(real.combinations, [combination(0), combination(0), combination(1)]);
        assert_eq!(RealPixels::new(50, 32).per_combination, 873);
        assert_eq!(RealPixels::new(50, 4096).per_combination, 1);
        Ok(())
    }
}

//! Counter-based randomness: every number is a function of seed, purpose, step and sample.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Independent random streams of one seed, addressed by purpose, step and sample.
///
/// The numbers do not depend on threads, batch splits, processes or interruptions, and are the same on every
/// platform. Tensors are drawn on the CPU; callers move them to other devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// All streams of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The generator of one sample's numbers for one purpose at one step.
    pub fn stream(&self, purpose: &str, step: u64, sample: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip(self.key(purpose, step, sample)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }

    /// The four words are the whole 256-bit key of `ChaCha`, so that distinct addresses never share a stream.
    fn key(&self, purpose: &str, step: u64, sample: u64) -> [u64; 4] {
        [self.seed, fnv1a(purpose), step, sample]
    }

    /// The streams of consecutive samples at one step. Samples are numbered from the start of the step's
    /// whole batch.
    pub fn draws(&self, step: u64, samples: Range<u64>) -> Draws {
        Draws { streams: *self, step, samples: samples.collect() }
    }
}

/// The draws of one batch at one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draws {
    streams: Streams,
    step: u64,
    samples: Vec<u64>,
}

impl Draws {
    /// Number of samples.
    pub fn batch(&self) -> usize {
        self.samples.len()
    }

    /// The step of these draws.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The same samples at another step.
    #[must_use]
    pub fn at_step(&self, step: u64) -> Self {
        Self { step, ..self.clone() }
    }

    /// Samples `start..start + len` of these.
    #[must_use]
    pub fn narrow(&self, start: usize, len: usize) -> Self {
        self.at((start..start + len).map(|place| self.samples[place]))
    }

    /// The samples at these places, in this order. A place that occurs twice draws the same numbers twice.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        self.at(places.iter().map(|place| self.samples[*place]))
    }

    fn at(&self, samples: impl Iterator<Item = u64>) -> Self {
        Self { streams: self.streams, step: self.step, samples: samples.collect() }
    }

    /// Standard normal noise, `(batch, item_shape…)`, `f32`, on the CPU.
    ///
    /// # Errors
    /// When the tensor cannot be made.
    pub fn normal(&self, purpose: &str, item_shape: &[usize]) -> Result<Tensor> {
        self.tensor(purpose, item_shape, |rng, item| item.fill_with(|| rng.sample(StandardNormal)))
    }

    /// Uniform numbers in `low..high` (`low` itself when both are equal), `(batch, item_shape…)`, `f32`, on the CPU;
    /// with an empty `item_shape` one per sample.
    ///
    /// # Errors
    /// When the tensor cannot be made.
    pub fn uniform(&self, purpose: &str, item_shape: &[usize], (low, high): (f64, f64)) -> Result<Tensor> {
        let uniform = |rng: &mut ChaCha8Rng| (low + (high - low) * rng.random::<f64>()) as f32;
        self.tensor(purpose, item_shape, |rng, item| item.fill_with(|| uniform(rng)))
    }

    /// Integers uniform in `0..below`, `(batch,)`, `u32`, on the CPU; `below` is at least 1.
    ///
    /// # Errors
    /// When `below` is 0.
    pub fn below(&self, purpose: &str, below: u32) -> Result<Tensor> {
        if below == 0 {
            candle_core::bail!("no integer lies in 0..0 (purpose `{purpose}`)")
        }
        let values = self.each(purpose, |rng| rng.random_range(0..below));
        Tensor::from_vec(values, self.batch(), &Device::Cpu)
    }

    /// Indices in `0..weights.len()`, each as likely as its weight says, `(batch,)`, `u32`, on the CPU.
    /// - `weights`: finite and not negative, not all 0; they need not add up to 1
    ///
    /// # Errors
    /// When the weights are not as described above.
    pub fn weighted(&self, purpose: &str, weights: &[f64]) -> Result<Tensor> {
        let ends: Vec<f64> = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let total = ends.last().copied().unwrap_or_default();
        if !(total > 0.0 && total.is_finite() && weights.iter().all(|weight| *weight >= 0.0)) {
            candle_core::bail!("no index can be drawn by the weights {weights:?} (purpose `{purpose}`)")
        }
        let values = self.each(purpose, |rng| {
            let place = total * rng.random::<f64>();
            // Rounding may put `place` at the very end, where no index follows.
            ends.partition_point(|end| *end <= place).min(weights.len() - 1) as u32
        });
        Tensor::from_vec(values, self.batch(), &Device::Cpu)
    }

    /// True with the given probability, one per sample.
    pub fn coin(&self, purpose: &str, probability: f64) -> Vec<bool> {
        self.each(purpose, |rng| rng.random::<f64>() < probability)
    }

    /// Keys of the samples' streams, the generator's 256 bits as four words: for operations that draw random
    /// numbers on their own device.
    pub fn keys(&self, purpose: &str) -> Vec<[u64; 4]> {
        self.samples.iter().map(|sample| self.streams.key(purpose, self.step, *sample)).collect()
    }

    /// Inverted-dropout mask (Srivastava et al. 2014, section 10): 0 with probability `p`, else `1 / (1 - p)`;
    /// `(batch, item_shape…)`, `f32`, on the CPU. `p` in `0..1`, used in steps of 2⁻¹⁶.
    ///
    /// # Errors
    /// When the tensor cannot be made.
    pub fn dropout_mask(&self, purpose: &str, item_shape: &[usize], p: f64) -> Result<Tensor> {
        // Masks are the bulk of all random numbers in teacher training: two elements per generated word.
        let threshold = (p * f64::from(1 << 16)).round() as u32;
        let keep = (1.0 / (1.0 - p)) as f32;
        self.tensor(purpose, item_shape, |rng, item| {
            for pair in item.chunks_mut(2) {
                let word = rng.next_u32();
                for (value, bits) in pair.iter_mut().zip([word & 0xffff, word >> 16]) {
                    *value = if bits < threshold { 0.0 } else { keep };
                }
            }
        })
    }

    fn tensor(
        &self,
        purpose: &str,
        item_shape: &[usize],
        fill: impl Fn(&mut ChaCha8Rng, &mut [f32]) + Sync,
    ) -> Result<Tensor> {
        let item_len = item_shape.iter().product::<usize>();
        let mut values = vec![0f32; self.batch() * item_len];
        values.par_chunks_mut(item_len.max(1)).enumerate().for_each(|(i, item)| {
            fill(&mut self.streams.stream(purpose, self.step, self.samples[i]), item);
        });
        let shape = [&[self.batch()], item_shape].concat();
        Tensor::from_vec(values, shape, &Device::Cpu)
    }

    fn each<T>(&self, purpose: &str, draw: impl Fn(&mut ChaCha8Rng) -> T) -> Vec<T> {
        let sample = |sample: &u64| draw(&mut self.streams.stream(purpose, self.step, *sample));
        self.samples.iter().map(sample).collect()
    }
}

/// 64-bit FNV-1a.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_part_of_the_address_matters() {
        let base = Streams::new(1).draws(2, 3..4);
        let noise = |draws: &Draws, purpose| values(draws.normal(purpose, &[4]).unwrap());
        let first = noise(&base, "eps");
        assert_eq!(first, noise(&base, "eps"));
        for other in
            [Streams::new(2).draws(2, 3..4), Streams::new(1).draws(3, 3..4), Streams::new(1).draws(2, 4..5)]
        {
            assert_ne!(first, noise(&other, "eps"));
        }
        assert_ne!(first, noise(&base, "other"));
    }

    #[test]
    fn a_split_batch_draws_the_same() {
        let whole = Streams::new(9).draws(5, 0..4);
        let parts = [whole.narrow(0, 1), whole.narrow(1, 3)];
        let join = |f: &dyn Fn(&Draws) -> Vec<f32>| [f(&parts[0]), f(&parts[1])].concat();
        let normal = |d: &Draws| values(d.normal("eps", &[3, 7]).unwrap());
        assert_eq!(normal(&whole), join(&normal));
        let mask = |d: &Draws| values(d.dropout_mask("drop", &[3, 7], 0.3).unwrap());
        assert_eq!(mask(&whole), join(&mask));
        let picked = values(whole.select(&[3, 0, 3]).normal("eps", &[2]).unwrap());
        let all = values(whole.normal("eps", &[2]).unwrap());
        assert_eq!(picked, [&all[6..], &all[..2], &all[6..]].concat());
        let index = |d: &Draws| d.weighted("index", &[0.3, 1.0, 0.5]).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(index(&whole), [index(&parts[0]), index(&parts[1])].concat());
    }

    #[test]
    fn distributions_are_what_they_say() {
        let draws = Streams::new(4).draws(0, 0..1000);
        let mean = |v: &[f32]| v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len() as f64;
        let noise = values(draws.normal("eps", &[100]).unwrap());
        let squares: Vec<f32> = noise.iter().map(|x| x * x).collect();
        assert!(mean(&noise).abs() < 0.02 && (mean(&squares) - 1.0).abs() < 0.02);
        let w = values(draws.uniform("w", &[], (2.6, 3.0)).unwrap());
        assert!(w.iter().all(|w| (2.6..3.0).contains(w)) && (mean(&w) - 2.8).abs() < 0.02);
        let mask = values(draws.dropout_mask("drop", &[100], 0.15).unwrap());
        assert!((mean(&mask) - 1.0).abs() < 0.01);
        assert!((mask.iter().filter(|m| **m == 0.0).count() as f64 / 1e5 - 0.15).abs() < 0.01);
        let index = draws.below("index", 3).unwrap().to_vec1::<u32>().unwrap();
        assert!((0..3).all(|i| index.contains(&i)) && index.iter().all(|i| *i < 3));
        let weighted = Streams::new(4).draws(0, 0..20_000).weighted("index", &[3.0, 0.0, 1.0, 4.0]).unwrap();
        let weighted = weighted.to_vec1::<u32>().unwrap();
        let share = |index| weighted.iter().filter(|i| **i == index).count() as f64 / 20_000.0;
        // The margin is four standard deviations.
        for (index, want) in [(0, 0.375), (1, 0.0), (2, 0.125), (3, 0.5)] {
            assert!((share(index) - want).abs() < 0.015, "{index}: {}", share(index));
        }
        assert_eq!(share(1), 0.0);
        for bad in [&[][..], &[0.0, 0.0], &[1.0, -0.5], &[f64::NAN], &[f64::INFINITY]] {
            assert!(draws.weighted("index", bad).is_err(), "{bad:?}");
        }
        let dropped = draws.coin("drop", 0.1).into_iter().filter(|d| *d).count();
        assert!((50..150).contains(&dropped), "{dropped}");
    }

    /// A change here silently changes every run: it must be deliberate, with a line in the changelog.
    #[test]
    fn the_numbers_of_a_seed_are_part_of_the_interface() {
        let noise = values(Streams::new(42).draws(7, 0..1).normal("eps", &[3]).unwrap());
        assert_eq!(noise, [0.022_067_426, -0.458_177_2, 0.274_661_03]);
    }
}

//! What every sampler offers, and the network evaluation they share.

use candle_core::{DType, Device, Tensor};
use cccm_sched::Denoiser;

use crate::{Error, NoiseSource, Observer, Result};

/// Turns noise into images with any network.
///
/// One call is one batch. To sample more images than fit into memory, call it in turn with the labels and the
/// [`crate::SeededNoise`] of each part: the images are those of one large batch.
pub trait Sampler {
    /// Images of one batch.
    /// - `labels`: per label kind `(batch,)` `u32` indices, on the device of the noise
    /// - `noise`: the batch's noise; its shape is the shape of the images
    /// - result: `(batch, channels, height, width)`, about `[-1, 1]`; see [`crate::to_unit_range`]
    ///
    /// # Errors
    /// [`Error::Shape`] for labels, noise or a prediction that does not fit the batch; [`Error::NonFinite`] when the
    /// network breaks down; [`Error::Candle`] when it, the noise or the observer fails.
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        labels: &[Tensor],
        noise: &dyn NoiseSource,
        observer: &mut dyn Observer,
    ) -> Result<Tensor>;

    /// Network evaluations each image costs.
    fn evaluations(&self) -> usize;
}

/// The noise a batch starts from, checked against its labels.
pub(crate) fn start(labels: &[Tensor], noise: &dyn NoiseSource) -> Result<Tensor> {
    let x_t = noise.noise(0)?;
    let (batch, ..) = x_t.dims4()?;
    for (kind, labels) in labels.iter().enumerate() {
        expect_shape(|| format!("labels of kind {kind}"), labels, &[batch])?;
    }
    Ok(x_t)
}

/// The timestep of a whole batch, `(batch,)`, on the CPU, where the schedule reads it without waiting for a GPU.
pub(crate) fn timestep(t: u32, x_t: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::full(t, x_t.dim(0)?, &Device::Cpu)
}

/// The evaluations of one run of a sampler, which are checked all at once at its end: a GPU is waited for only then.
#[derive(Default)]
pub(crate) struct Evaluations {
    /// Sums of the network's answers, by their timesteps.
    sums: Vec<(u32, Tensor)>,
}

impl Evaluations {
    /// One more: `predict` gets the timesteps on the device of `x_t`.
    pub(crate) fn evaluate(
        &mut self,
        x_t: &Tensor,
        t: u32,
        predict: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Tensor> {
        // A network in training holds variables, whose graph would keep every step's activations alive.
        let prediction = predict(&timestep(t, x_t)?.to_device(x_t.device())?)?.detach();
        expect_shape(|| "the network's prediction".to_owned(), &prediction, x_t.dims())?;
        // Image by image first: on a GPU, candle adds up a whole tensor in a single block.
        let sum = prediction.to_dtype(DType::F32)?.flatten_from(1)?.sum(1)?.sum_all()?;
        self.sums.push((t, sum));
        Ok(prediction)
    }

    /// Fails if an answer was not finite: clamping turns NaN into a proper pixel, so that a broken network would go unnoticed.
    pub(crate) fn check(self) -> Result<()> {
        let (timesteps, sums): (Vec<_>, Vec<_>) = self.sums.into_iter().unzip();
        let sums: Vec<f32> = Tensor::stack(&sums, 0)?.to_vec1()?;
        match timesteps.into_iter().zip(sums).find(|(_, sum)| !sum.is_finite()) {
            Some((t, _)) => Err(Error::NonFinite { t }),
            None => Ok(()),
        }
    }
}

pub(crate) fn expect_shape(what: impl FnOnce() -> String, got: &Tensor, want: &[usize]) -> Result<()> {
    if got.dims() == want {
        return Ok(());
    }
    Err(Error::Shape { what: what(), got: got.dims().to_vec(), want: want.to_vec() })
}

/// Guidance weight as papers count it, from the scale that users type.
pub(crate) fn w_from_guidance_scale(guidance_scale: f64) -> Result<f64> {
    if !guidance_scale.is_finite() {
        return Err(Error::invalid("guidance_scale", guidance_scale, "a finite number; 1 is no guidance"));
    }
    Ok(guidance_scale - 1.0)
}

/// One weight for a whole batch, `(batch,)`, `f32`, on the CPU, where networks read it without waiting for a GPU.
pub(crate) fn guidance_weights(w: f64, x_t: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::full(w as f32, x_t.dim(0)?, &Device::Cpu)
}

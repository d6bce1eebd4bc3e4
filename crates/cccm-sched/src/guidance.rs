//! Classifier-free guidance and the embedding of its weight.

use candle_core::{DType, Result, Tensor};

use crate::{Conditions, Denoiser};

/// Sinusoidal embedding of guidance weights, which tells a student how strongly its teacher was guided
/// (Meng et al. 2023; as in Luo et al. 2023): angles `1000 w exp(-j ln(10000) / (width/2 - 1))`, all sines, then
/// all cosines; an odd width ends in one zero.
/// - `w`: `(batch,)`, float, as papers count it: 0 is no guidance
/// - result: `(batch, width)`, `f32`, on the device of `w`; `width` is at least 4
///
/// # Errors
/// When `w` is not a vector, or `width` below 4.
pub fn guidance_embedding(w: &Tensor, width: usize) -> Result<Tensor> {
    if width < 4 {
        candle_core::bail!("guidance embedding: width is {width}, but must be at least 4")
    }
    // Angles reach thousands, where f32 rounding is visible: f64 would give other values than the published
    // networks were trained with.
    let half = width / 2;
    let step = -(10000f64.ln() / (half - 1) as f64) as f32;
    let frequencies: Vec<f32> = (0..half).map(|j| (j as f32 * step).exp()).collect();
    let weights = w.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let mut rows = Vec::with_capacity(weights.len() * width);
    for w in &weights {
        let angle = |frequency: &f32| w * 1000.0 * frequency;
        rows.extend(frequencies.iter().map(|f| angle(f).sin()));
        rows.extend(frequencies.iter().map(|f| angle(f).cos()));
        rows.extend(std::iter::repeat_n(0.0, width % 2));
    }
    Tensor::from_vec(rows, (weights.len(), width), w.device())
}

/// Guided prediction `cond + w (cond - uncond)` (Ho & Salimans 2022, eq. 6), linear in whatever is predicted.
/// - `cond`, `uncond`, result: `(batch, …)`; `w`: `(batch,)`, as papers count it
///
/// # Errors
/// When shapes differ.
pub fn guided(cond: &Tensor, uncond: &Tensor, w: &Tensor) -> Result<Tensor> {
    cond + guidance_shift(cond, uncond, w)?
}

/// What guidance adds to the conditional prediction, `w (cond - uncond)`; shapes as for [`guided`].
///
/// # Errors
/// When shapes differ.
pub fn guidance_shift(cond: &Tensor, uncond: &Tensor, w: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; cond.rank()];
    shape[0] = w.dim(0)?;
    let w = w.to_dtype(cond.dtype())?.to_device(cond.device())?.reshape(shape)?;
    (cond - uncond)?.broadcast_mul(&w)
}

/// Conditional and unconditional prediction, evaluated as one batch of twice the size.
/// - `x_t`: `(batch, channels, height, width)`; `t`: `(batch,)`, `u32`; results: as `x_t`
/// - `null_labels`: per label kind the null token, which is its number of labels
///
/// # Errors
/// When the network fails, or the numbers of label kinds differ.
pub fn predict_pair(
    denoiser: &dyn Denoiser,
    x_t: &Tensor,
    t: &Tensor,
    conds: &Conditions,
    null_labels: &[u32],
) -> Result<(Tensor, Tensor)> {
    let batch = x_t.dim(0)?;
    let both = conds.cat(&conds.unconditional(null_labels)?)?;
    let prediction = denoiser.predict(&Tensor::cat(&[x_t, x_t], 0)?, &Tensor::cat(&[t, t], 0)?, &both)?;
    Ok((prediction.narrow(0, 0, batch)?, prediction.narrow(0, batch, batch)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn an_odd_width_ends_in_zero() -> Result<()> {
        let w = Tensor::new(&[0.0f32, 1.5], &Device::Cpu)?;
        let rows = guidance_embedding(&w, 9)?.to_vec2::<f32>()?;
        assert_eq!(rows[0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(rows[1][8], 0.0);
        assert!(guidance_embedding(&w, 3).is_err());
        Ok(())
    }

    #[test]
    fn weight_0_is_the_conditional() -> Result<()> {
        let cond = Tensor::new(&[[1.0f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
        let uncond = Tensor::new(&[[0.0f32, 1.0], [1.0, 1.0]], &Device::Cpu)?;
        let w = Tensor::new(&[0.0f32, 2.0], &Device::Cpu)?;
        assert_eq!(guided(&cond, &uncond, &w)?.to_vec2::<f32>()?, [[1.0, 2.0], [7.0, 10.0]]);
        Ok(())
    }

    #[test]
    fn the_pair_is_one_evaluation() -> Result<()> {
        // A network that answers its own label shows which half is which.
        let calls = std::cell::Cell::new(0);
        let network = |x: &Tensor, _: &Tensor, conds: &Conditions| {
            calls.set(calls.get() + 1);
            conds.labels[0].to_dtype(DType::F32)?.reshape((x.dim(0)?, 1, 1, 1))?.broadcast_as(x.shape())
        };
        let labels = vec![Tensor::new(&[1u32, 2], &Device::Cpu)?];
        let x = Tensor::zeros((2, 1, 1, 1), DType::F32, &Device::Cpu)?;
        let t = Tensor::zeros(2, DType::U32, &Device::Cpu)?;
        let (cond, uncond) = predict_pair(&network, &x, &t, &Conditions::new(labels), &[7])?;
        assert_eq!(cond.flatten_all()?.to_vec1::<f32>()?, [1.0, 2.0]);
        assert_eq!(uncond.flatten_all()?.to_vec1::<f32>()?, [7.0, 7.0]);
        assert_eq!(calls.get(), 1);
        Ok(())
    }
}

//! The arithmetic of one AdamW step on one parameter.

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use super::{AdamWConfig, Moments};
use crate::Ema;
use crate::in_place::{CHUNK, has_slice, with_slice, with_slices};

/// The scalars of one step, the same for every element:
///
/// ```text
/// g     = grad_scale * grad
/// m     = beta1 * m + (1 - beta1) * g
/// v     = beta2 * v + (1 - beta2) * g²
/// param = keep * param - step_size * m / (sqrt(v) * root_correction + eps)
/// ```
pub(super) struct Update {
    grad_scale: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    /// `1 - lr * weight_decay`.
    keep: f64,
    /// `lr / (1 - beta1^steps)`.
    step_size: f64,
    /// `1 / sqrt(1 - beta2^steps)`.
    root_correction: f64,
}

impl Update {
    /// The `steps`-th step, counted from 1.
    pub(super) fn new(cfg: &AdamWConfig, steps: u64, lr: f64, grad_scale: f64) -> Self {
        let bias_correction = |beta: f64| 1.0 - beta.powf(steps as f64);
        Self {
            grad_scale,
            beta1: cfg.beta1,
            beta2: cfg.beta2,
            eps: cfg.eps,
            keep: 1.0 - lr * cfg.weight_decay,
            step_size: lr / bias_correction(cfg.beta1),
            root_correction: 1.0 / bias_correction(cfg.beta2).sqrt(),
        }
    }

    /// The same numbers, as all variables at once take them.
    #[cfg(feature = "cuda")]
    pub(super) fn rule(&self, ema: Option<Ema>) -> cccm_kernels::UpdateRule {
        let (decay, rest) = ema.map_or((1.0, 0.0), Ema::weights);
        cccm_kernels::UpdateRule {
            grad_scale: self.grad_scale as f32,
            beta1: self.beta1 as f32,
            rest1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            rest2: (1.0 - self.beta2) as f32,
            eps: self.eps as f32,
            keep: self.keep as f32,
            step_size: self.step_size as f32,
            root_correction: self.root_correction as f32,
            decay,
            rest,
        }
    }

    /// With `average`, a moving average of the parameter follows it.
    pub(super) fn apply(
        &self,
        param: &Var,
        moments: &mut Moments,
        grad: &Tensor,
        average: Option<(Ema, &Var)>,
    ) -> Result<()> {
        match average {
            None if has_slice(param) => self.fused(param, moments, &grad.contiguous()?),
            Some((ema, target)) if has_slice(param) && has_slice(target) => {
                self.fused_with(param, moments, &grad.contiguous()?, ema, target)
            }
            _ => {
                self.composed(param, moments, grad)?;
                average.map_or(Ok(()), |(ema, target)| ema.follow(target, param))
            }
        }
    }

    /// One pass over memory: reads four arrays, writes three.
    fn fused(&self, param: &Var, moments: &mut Moments, grad: &Tensor) -> Result<()> {
        with_slice(&moments.m, |m| {
            with_slice(&moments.v, |v| {
                with_slices(param, grad, |p, g| {
                    chunks(p, m, v, g).for_each(|((p, m), (v, g))| self.elements(p, m, v, g));
                    Ok(())
                })
            })
        })
    }

    /// One pass over memory: reads five arrays, writes four.
    fn fused_with(
        &self,
        param: &Var,
        moments: &mut Moments,
        grad: &Tensor,
        ema: Ema,
        target: &Var,
    ) -> Result<()> {
        with_slice(&moments.m, |m| {
            with_slice(&moments.v, |v| {
                with_slice(target, |t| {
                    with_slices(param, grad, |p, g| {
                        chunks(p, m, v, g).zip(t.par_chunks_mut(CHUNK)).for_each(|(((p, m), (v, g)), t)| {
                            self.elements(p, m, v, g);
                            ema.elements(t, p);
                        });
                        Ok(())
                    })
                })
            })
        })
    }

    /// In the order of `torch.optim.AdamW`'s operations, each rounded to `f32`.
    fn elements(&self, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        let (grad_scale, eps) = (self.grad_scale as f32, self.eps as f32);
        let (beta1, rest1) = (self.beta1 as f32, (1.0 - self.beta1) as f32);
        let (beta2, rest2) = (self.beta2 as f32, (1.0 - self.beta2) as f32);
        let (keep, step_size) = (self.keep as f32, self.step_size as f32);
        let root_correction = self.root_correction as f32;
        for ((p, (m, v)), g) in p.iter_mut().zip(m.iter_mut().zip(v)).zip(g) {
            let g = grad_scale * g;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            let root = v.sqrt() * root_correction + eps;
            *p = keep * *p - step_size * *m / root;
        }
    }

    /// The same from candle's operations, for every device and dtype.
    fn composed(&self, param: &Var, moments: &mut Moments, grad: &Tensor) -> Result<()> {
        let g = grad.affine(self.grad_scale, 0.0)?;
        let m = (moments.m.affine(self.beta1, 0.0)? + g.affine(1.0 - self.beta1, 0.0)?)?;
        let v = (moments.v.affine(self.beta2, 0.0)? + (g.affine(1.0 - self.beta2, 0.0)? * &g)?)?;
        let root = v.sqrt()?.affine(self.root_correction, self.eps)?;
        let kept = param.as_detached_tensor().affine(self.keep, 0.0)?;
        param.set(&(kept - (m.affine(self.step_size, 0.0)? / root)?)?)?;
        *moments = Moments { m, v };
        Ok(())
    }
}

/// A chunk of the parameter with one of its mean gradient, and one of its mean squared gradient with one of the gradient.
type Chunks<'a> = ((&'a mut [f32], &'a mut [f32]), (&'a mut [f32], &'a [f32]));

/// All chunks.
fn chunks<'a>(
    p: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a [f32],
) -> impl IndexedParallelIterator<Item = Chunks<'a>> {
    let first = p.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK));
    first.zip(v.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Several chunks and a rest; the same operations in the same order give the same bits.
    #[test]
    fn fused_and_composed_give_the_same_bits() -> Result<()> {
        let len = 2 * CHUNK + 77;
        let wave = |step: f64| {
            Tensor::arange(0u32, len as u32, &Device::Cpu)?
                .to_dtype(candle_core::DType::F32)?
                .affine(step, 0.3)?
                .sin()
        };
        let cfg = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
        let (fused, composed) = (Var::from_tensor(&wave(0.1)?)?, Var::from_tensor(&wave(0.1)?)?);
        let zeros =
            || Ok::<_, candle_core::Error>(Moments { m: fused.zeros_like()?, v: fused.zeros_like()? });
        let (mut fused_moments, mut composed_moments) = (zeros()?, zeros()?);
        for steps in 1..=3 {
            let update = Update::new(&cfg, steps, 1e-2, 0.7);
            let grad = wave(0.2 * steps as f64)?;
            update.fused(&fused, &mut fused_moments, &grad)?;
            update.composed(&composed, &mut composed_moments, &grad)?;
        }
        // With a moving average in the same pass, and behind it.
        let (fused_average, average) = (Var::from_tensor(&wave(0.3)?)?, Var::from_tensor(&wave(0.3)?)?);
        let ema = Ema::new(0.9).map_err(candle_core::Error::wrap)?;
        let (update, grad) = (Update::new(&cfg, 4, 1e-2, 0.7), wave(0.8)?);
        update.apply(&fused, &mut fused_moments, &grad, Some((ema, &fused_average)))?;
        update.composed(&composed, &mut composed_moments, &grad)?;
        ema.follow(&average, &composed)?;
        let bits = |t: &Tensor| -> Result<Vec<u32>> {
            Ok(t.to_vec1::<f32>()?.iter().map(|x| x.to_bits()).collect())
        };
        assert_eq!(bits(&fused_moments.m)?, bits(&composed_moments.m)?);
        assert_eq!(bits(&fused_moments.v)?, bits(&composed_moments.v)?);
        assert_eq!(bits(&fused)?, bits(&composed)?);
        assert_eq!(bits(&fused_average)?, bits(&average)?);
        Ok(())
    }
}

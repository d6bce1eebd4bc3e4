//! Keeping a solver's clean images within the range that images have.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::{NoiseSchedule, Result};

/// What is done to the guided clean image before a solver's step, so that guidance and the division by
/// `sqrt(alpha_bar)` near the end of the schedule do not saturate a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thresholding {
    /// Nothing, as the published sampler.
    #[default]
    None,
    /// Values are clamped to `[-1, 1]` (Ho et al. 2020, section 3.2 of the published code).
    Clip,
    /// Each image is clamped to `[-s, s]` and divided by `s`, the larger of 1 and the 99.5th percentile of its absolute
    /// values (Saharia et al. 2022, section 2.3). Meant for photographs: it turns a flat background at the
    /// end of the range grey. It reads the values, so it waits for a GPU.
    Dynamic,
}

/// The share of absolute values that dynamic thresholding leaves within the range.
const PERCENTILE: f64 = 0.995;

impl Thresholding {
    /// Clean images `(batch, channels, height, width)`, float, within `[-1, 1]` unless this is [`Self::None`].
    ///
    /// # Errors
    /// When the tensor cannot be read or made.
    pub fn apply(self, x_0: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::None => Ok(x_0.clone()),
            Self::Clip => x_0.clamp(-1f32, 1f32),
            Self::Dynamic => {
                let rows = x_0.abs()?.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
                let inverse: Vec<f32> =
                    rows.into_iter().map(|values| 1.0 / percentile(values).max(1.0)).collect();
                // Dividing first makes the bounds the same for every image.
                let scale = crate::schedule::per_sample(inverse, x_0).map_err(candle_core::Error::wrap)?;
                x_0.broadcast_mul(&scale)?.clamp(-1f32, 1f32)
            }
        }
    }
}

/// The 99.5th percentile with numpy's linear interpolation; 0 for no values.
fn percentile(mut values: Vec<f32>) -> f32 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = PERCENTILE * last as f64;
    let below = place as usize;
    let (_, at, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let at = *at;
    let next = above.iter().copied().min_by(f32::total_cmp).unwrap_or(at);
    at + (next - at) * (place - below as f64) as f32
}

impl NoiseSchedule {
    /// Clean image and noise behind what the network predicts. Where a thresholding changes the image, the noise follows, so
    /// that the two still make `x_t`: `eps = (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar)`.
    /// - `x_t`, `prediction`, results: `(batch, channels, height, width)`, float
    /// - `t`: `(batch,)`, `u32`, each in `0..train_timesteps`
    ///
    /// # Errors
    /// [`crate::Error::TimestepOutOfRange`] for the first bad `t`; [`crate::Error::Candle`] when shapes differ.
    pub fn clean_and_noise(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        prediction: &Tensor,
        thresholding: Thresholding,
    ) -> Result<(Tensor, Tensor)> {
        let x_0 = self.x0_from_prediction(x_t, t, prediction)?;
        if thresholding == Thresholding::None {
            return Ok((x_0, self.eps_from_prediction(x_t, t, prediction)?));
        }
        let x_0 = thresholding.apply(&x_0)?;
        let eps = self.eps_from_x0(x_t, t, &x_0)?;
        Ok((x_0, eps))
    }
}

impl std::fmt::Display for Thresholding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Clip => "clip",
            Self::Dynamic => "dynamic",
        })
    }
}

impl std::str::FromStr for Thresholding {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "clip" => Ok(Self::Clip),
            "dynamic" => Ok(Self::Dynamic),
            _ => Err(crate::Error::invalid("thresholding", format!("`{name}`"), "none, clip or dynamic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ScheduleConfig, Streams};
    use candle_core::Device;

    /// Two images of 201 values: 0 to 2 in steps of 0.01, and a tenth of that.
    fn ramps() -> Tensor {
        let ramp = |scale: f32| (0..201).map(move |i| scale * 0.01 * i as f32);
        let values: Vec<f32> = ramp(-1.0).chain(ramp(0.1)).collect();
        Tensor::from_vec(values, (2, 1, 1, 201), &Device::Cpu).unwrap()
    }

    #[test]
    fn dynamic_scales_what_is_out_of_range_and_nothing_else() -> anyhow::Result<()> {
        let got = Thresholding::Dynamic.apply(&ramps())?.flatten_from(1)?.to_vec2::<f32>()?;
        // numpy.percentile(ramp, 99.5) is 1.99.
        assert!((got[0][100] + 1.0 / 1.99).abs() < 1e-6, "{}", got[0][100]);
        assert_eq!(got[0][200], -1.0);
        assert_eq!(got[1], ramps().flatten_from(1)?.to_vec2::<f32>()?[1]);
        Ok(())
    }

    #[test]
    fn clip_ends_at_one() -> anyhow::Result<()> {
        let got = Thresholding::Clip.apply(&ramps())?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!((got[50], got[100], got[150]), (-0.5, -1.0, -1.0));
        Ok(())
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(percentile(vec![]), 0.0);
        assert_eq!(percentile(vec![3.0]), 3.0);
        // numpy.percentile([1, 0, 4], 99.5)
        assert!((percentile(vec![1.0, 0.0, 4.0]) - 3.97).abs() < 1e-6);
    }

    #[test]
    fn image_and_noise_make_the_noisy_image() -> anyhow::Result<()> {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
        let draws = Streams::new(1).draws(0, 0..3);
        let (x_t, prediction) = (draws.normal("x", &[1, 4, 4])?, draws.normal("prediction", &[1, 4, 4])?);
        let t = Tensor::new(&[900u32, 400, 20], &Device::Cpu)?;
        for thresholding in [Thresholding::None, Thresholding::Clip, Thresholding::Dynamic] {
            let (x_0, eps) = schedule.clean_and_noise(&x_t, &t, &prediction, thresholding)?;
            let far = (schedule.add_noise(&x_0, &t, &eps)? - &x_t)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(far < 1e-5, "{thresholding}: {far}");
            let largest = x_0.abs()?.max_all()?.to_scalar::<f32>()?;
            assert_eq!(thresholding == Thresholding::None, largest > 1.0, "{thresholding}: {largest}");
        }
        Ok(())
    }

    #[test]
    fn names_round_trip() {
        for kind in [Thresholding::None, Thresholding::Clip, Thresholding::Dynamic] {
            assert_eq!(kind.to_string().parse::<Thresholding>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        assert!("static".parse::<Thresholding>().is_err());
    }
}

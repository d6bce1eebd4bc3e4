//! Noise schedules: betas and their running product `alpha_bar`.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How noise grows over the training timesteps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Evenly spaced betas (Ho et al. 2020, section 4).
    #[default]
    Linear,
    /// Evenly spaced square roots of beta, squared (Rombach et al. 2022).
    ScaledLinear,
    /// `alpha_bar` follows a squared cosine, betas capped at 0.999 (Nichol & Dhariwal 2021, eq. 17).
    SquaredcosCapV2,
    /// A logistic curve over -6..6, scaled into the beta range (Xu et al. 2022, `GeoDiff`).
    Sigmoid,
    /// Betas given one by one, each in `(0, 1)`; their count must be `train_timesteps`.
    Explicit(Vec<f32>),
}

/// What the network's output means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise `eps` (Ho et al. 2020); the published teachers.
    #[default]
    Epsilon,
    /// The clean image `x_0`.
    Sample,
    /// The velocity `v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0` (Salimans & Ho 2022, section 4).
    VPrediction,
}

impl std::fmt::Display for PredictionType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
            Self::VPrediction => "v_prediction",
        })
    }
}

impl std::str::FromStr for PredictionType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "epsilon" => Ok(Self::Epsilon),
            "sample" => Ok(Self::Sample),
            "v_prediction" => Ok(Self::VPrediction),
            _ => {
                Err(Error::invalid("prediction_type", format!("`{name}`"), "epsilon, sample or v_prediction"))
            }
        }
    }
}

/// Settings of a noise schedule; field names and values are those of the `diffusers` library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Timesteps the teacher was trained with, at least 2. Default 1000 (Ho et al. 2020, section 4).
    pub train_timesteps: usize,
    /// How betas are spaced. Default linear.
    pub beta_schedule: BetaSchedule,
    /// First and last beta, `0 < first <= last < 1`. Default `(1e-4, 0.02)` (Ho et al. 2020, section 4).
    pub beta_range: (f64, f64),
    /// What the network predicts. Default `epsilon`.
    pub prediction_type: PredictionType,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            train_timesteps: 1000,
            beta_schedule: BetaSchedule::Linear,
            beta_range: (1e-4, 2e-2),
            prediction_type: PredictionType::Epsilon,
        }
    }
}

impl ScheduleConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        if self.train_timesteps < 2 {
            return Err(Error::invalid("train_timesteps", self.train_timesteps, "at least 2"));
        }
        let (first, last) = self.beta_range;
        if !(0.0 < first && first <= last && last < 1.0) {
            let got = format!("({first}, {last})");
            return Err(Error::invalid("beta_range", got, "two numbers with 0 < first <= last < 1"));
        }
        if let BetaSchedule::Explicit(betas) = &self.beta_schedule {
            if betas.len() != self.train_timesteps {
                let got = format!("a list of {}", betas.len());
                return Err(Error::invalid("beta_schedule", got, "a list of `train_timesteps` betas"));
            }
            if let Some(bad) = betas.iter().find(|b| !(0.0 < **b && **b < 1.0)) {
                return Err(Error::invalid("beta_schedule", bad, "a list of numbers between 0 and 1"));
            }
        }
        Ok(())
    }

    fn betas(&self) -> Vec<f32> {
        let n = self.train_timesteps;
        let (first, last) = self.beta_range;
        match &self.beta_schedule {
            BetaSchedule::Linear => linspace(first, last, n),
            BetaSchedule::ScaledLinear => {
                linspace(first.sqrt(), last.sqrt(), n).into_iter().map(|root| root * root).collect()
            }
            BetaSchedule::SquaredcosCapV2 => {
                let signal = |i: usize| {
                    let angle = (i as f64 / n as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
                    angle.cos().powi(2)
                };
                (0..n).map(|i| (1.0 - signal(i + 1) / signal(i)).min(0.999) as f32).collect()
            }
            BetaSchedule::Sigmoid => linspace(-6.0, 6.0, n)
                .into_iter()
                .map(|x| 1.0 / (1.0 + (-x).exp()) * (last - first) as f32 + first as f32)
                .collect(),
            BetaSchedule::Explicit(betas) => betas.clone(),
        }
    }
}

/// `n` evenly spaced `f32` numbers from `first` to `last`, counted from the nearer end as `torch.linspace` does.
fn linspace(first: f64, last: f64, n: usize) -> Vec<f32> {
    let (first, last) = (first as f32, last as f32);
    let step = (last - first) / (n - 1) as f32;
    (0..n)
        .map(|i| if i < n / 2 { first + step * i as f32 } else { last - step * (n - 1 - i) as f32 })
        .collect()
}

/// The tables of a noise schedule, and the arithmetic that needs only them.
///
/// Methods take timesteps as a `(batch,)` `u32` tensor. They read its values, so a tensor on the CPU costs no
/// synchronisation with a GPU; coefficients are moved to the device of the images.
#[derive(Clone, Debug)]
pub struct NoiseSchedule {
    alpha_bar: Vec<f32>,
    prediction_type: PredictionType,
}

impl NoiseSchedule {
    /// Computes the tables of `cfg`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when a value is out of range.
    pub fn new(cfg: &ScheduleConfig) -> Result<Self> {
        cfg.validate()?;
        // Factors are f32, the product accumulates in f64 and each entry is rounded once: `torch.cumprod` on a CPU.
        let mut product = 1f64;
        let alpha_bar = cfg
            .betas()
            .into_iter()
            .map(|beta| {
                product *= f64::from(1.0 - beta);
                product as f32
            })
            .collect();
        Ok(Self { alpha_bar, prediction_type: cfg.prediction_type })
    }

    /// Running product of `1 - beta` per timestep; falls within `(0, 1)`.
    pub fn alpha_bar(&self) -> &[f32] {
        &self.alpha_bar
    }

    /// Number of training timesteps.
    pub fn train_timesteps(&self) -> usize {
        self.alpha_bar.len()
    }

    /// What the network's output means.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction_type
    }

    /// The same schedule for a network with another prediction type.
    #[must_use]
    pub fn predicting(self, prediction_type: PredictionType) -> Self {
        Self { prediction_type, ..self }
    }

    /// `table(alpha_bar[t])` for every timestep of the batch, shaped to multiply `like`:
    /// `(batch, 1, …)` in its dtype and on its device.
    pub(crate) fn coefficient(
        &self,
        t: &Tensor,
        like: &Tensor,
        table: impl Fn(f32) -> f32,
    ) -> Result<Tensor> {
        let values = timesteps(t)?
            .into_iter()
            .map(|t| match self.alpha_bar.get(t as usize) {
                Some(alpha_bar) => Ok(table(*alpha_bar)),
                None => Err(Error::TimestepOutOfRange { t, last: self.alpha_bar.len() as u32 - 1 }),
            })
            .collect::<Result<Vec<f32>>>()?;
        per_sample(values, like)
    }
}

/// The values of a `(batch,)` `u32` tensor.
pub(crate) fn timesteps(t: &Tensor) -> Result<Vec<u32>> {
    Ok(t.to_vec1::<u32>()?)
}

/// One number per sample, shaped `(batch, 1, …)` to broadcast against `like`, in its dtype and on its device.
pub(crate) fn per_sample(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    if let Some(batch) = shape.first_mut() {
        *batch = values.len();
    }
    Ok(Tensor::from_vec(values, shape, like.device())?.to_dtype(like.dtype())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(beta_schedule: BetaSchedule) -> NoiseSchedule {
        NoiseSchedule::new(&ScheduleConfig { beta_schedule, ..Default::default() }).unwrap()
    }

    #[test]
    fn every_schedule_falls_within_0_and_1() {
        use BetaSchedule::{Explicit, Linear, ScaledLinear, Sigmoid, SquaredcosCapV2};
        for kind in [Linear, ScaledLinear, SquaredcosCapV2, Sigmoid, Explicit(vec![0.01; 1000])] {
            let table = schedule(kind.clone());
            let table = table.alpha_bar();
            assert!(table[0] < 1.0 && table[999] > 0.0, "{kind:?}");
            assert!(table.windows(2).all(|pair| pair[1] < pair[0]), "{kind:?}");
        }
    }

    /// The formulas of `diffusers.DDPMScheduler` under the same names, evaluated in PyTorch 2.11.
    #[test]
    fn schedules_match_diffusers() {
        let check = |kind, want: [(usize, f32); 3]| {
            let table = schedule(kind);
            for (t, want) in want {
                let got = table.alpha_bar()[t];
                assert!((got - want).abs() <= 2e-6 * want, "t {t}: got {got}, want {want}");
            }
        };
        check(BetaSchedule::ScaledLinear, [(0, 0.999_9), (500, 0.331_274_63), (999, 7.334_12e-4)]);
        check(BetaSchedule::SquaredcosCapV2, [(0, 0.999_958_7), (500, 0.492_285_04), (999, 2.428_735e-9)]);
        check(BetaSchedule::Sigmoid, [(0, 0.999_850_8), (500, 0.298_887_58), (999, 3.968_182e-5)]);
    }
    #[test]
    fn prediction_types_have_one_name() {
        for kind in [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction] {
            assert_eq!(kind.to_string().parse::<PredictionType>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        assert!("x_0".parse::<PredictionType>().is_err());
    }

    #[test]
    fn bad_configs_name_the_field() {
        let bad = |cfg: ScheduleConfig, name: &str| match NoiseSchedule::new(&cfg) {
            Err(Error::InvalidConfig { field, .. }) => assert_eq!(field, name),
            other => panic!("{other:?}"),
        };
        bad(ScheduleConfig { train_timesteps: 1, ..Default::default() }, "train_timesteps");
        bad(ScheduleConfig { beta_range: (0.5, 0.1), ..Default::default() }, "beta_range");
        bad(ScheduleConfig { beta_range: (f64::NAN, 0.1), ..Default::default() }, "beta_range");
        let explicit =
            |betas| ScheduleConfig { beta_schedule: BetaSchedule::Explicit(betas), ..Default::default() };
        bad(explicit(vec![0.1; 3]), "beta_schedule");
        bad(explicit(vec![1.5; 1000]), "beta_schedule");
    }

    proptest! {
        #[test]
        fn configs_survive_json(t in 2usize..2000, first in 1e-6f64..1e-3, last in 1e-3f64..0.9) {
            let cfg = ScheduleConfig { train_timesteps: t, beta_range: (first, last), ..Default::default() };
            let text = serde_json::to_string(&cfg).unwrap();
            prop_assert_eq!(serde_json::from_str::<ScheduleConfig>(&text).unwrap(), cfg);
        }
    }
}

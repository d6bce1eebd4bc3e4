//! How a teacher's answers under several conditions become one guided answer.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::guidance_shift as weighted_difference;
use crate::{Conditions, Denoiser, Error, Result, Thresholding};

/// How a teacher is guided: by which conditions, and at which timesteps.
///
/// Let `e_0` be the prediction without labels, `e(c)` the one with all labels, and `e(k)` the one with the
/// label of kind `k` alone. The guided prediction at the guidance scale `s = w + 1` is
/// `e_0 + s (joint (e(c) - e_0) + Σ_k kinds[k] (e(k) - e_0))`. By default this is classifier-free guidance
/// (Ho & Salimans 2022, eq. 6). With `joint` 0 it is the product of one condition per kind (Liu et al. 2022,
/// eq. 11), which can draw combinations that no training image showed and that the joint condition fails to
/// draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuidanceConfig {
    /// Weight of the joint condition, finite. Default 1.
    pub joint: f64,
    /// Weight of each label kind's own condition, finite, in the order of the kinds; empty is 0 for all. Default empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<f64>,
    /// First and last timestep at which guidance acts; at others the scale is 1 (Kynkäänniemi et al. 2024). Default none: at
    /// all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<(u32, u32)>,
    /// What is done to the guided clean image. Default none, as published.
    pub thresholding: Thresholding,
}

impl Default for GuidanceConfig {
    /// As published.
    fn default() -> Self {
        Self { joint: 1.0, kinds: Vec::new(), interval: None, thresholding: Thresholding::None }
    }
}

impl GuidanceConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        let weights = || std::iter::once(&self.joint).chain(&self.kinds);
        if let Some(bad) = weights().find(|weight| !weight.is_finite()) {
            return Err(Error::invalid("kind_guidance", bad, "finite"));
        }
        if weights().all(|weight| *weight == 0.0) {
            let want = "above 0 for some kind, or for the joint condition: else labels have no effect";
            return Err(Error::invalid("kind_guidance", "0", want));
        }
        match self.interval {
            Some((first, last)) if first > last => {
                let got = format!("({first}, {last})");
                Err(Error::invalid("guidance_interval", got, "two timesteps, the lower one first"))
            }
            _ => Ok(()),
        }
    }
}

/// Guidance of a teacher whose null tokens are known.
#[derive(Clone, Debug)]
pub struct Guidance {
    cfg: GuidanceConfig,
    null_labels: Vec<u32>,
}

/// A teacher's predictions for one batch under several conditions, without a graph.
#[derive(Clone, Debug)]
pub struct GuidanceAnswers {
    /// With all labels.
    cond: Tensor,
    /// Without labels; absent where no weight needs it.
    uncond: Option<Tensor>,
    /// `(batch,)` weight of `cond - uncond` in what guidance adds to `cond`.
    joint_weight: Tensor,
    /// With the label of one kind alone, and the `(batch,)` weight of its difference from `uncond`.
    alone: Vec<(Tensor, Tensor)>,
}

impl Guidance {
    /// Guidance as `cfg` has it.
    /// - `null_labels`: per label kind the null token, which is its number of labels
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a value out of range, or when there is not one weight per kind.
    pub fn new(cfg: &GuidanceConfig, null_labels: &[u32]) -> Result<Self> {
        cfg.validate()?;
        if !cfg.kinds.is_empty() && cfg.kinds.len() != null_labels.len() {
            let got = format!("{} weights for {} label kinds", cfg.kinds.len(), null_labels.len());
            return Err(Error::invalid("kind_guidance", got, "one weight for each kind of labels"));
        }
        Ok(Self { cfg: cfg.clone(), null_labels: null_labels.to_vec() })
    }

    /// What is done to the guided clean image.
    pub fn thresholding(&self) -> Thresholding {
        self.cfg.thresholding
    }

    /// Number of label kinds.
    pub fn label_kinds(&self) -> usize {
        self.null_labels.len()
    }

    /// Evaluations of the network that [`Self::predict`] costs each image at timestep `t` and guidance weight `w`.
    pub fn evaluations(&self, t: u32, w: f64) -> usize {
        if self.is_conditional(self.w_at(t, w)) {
            return 1;
        }
        let alone = self.kinds().count();
        1 + alone + usize::from(self.cfg.joint != 0.0)
    }

    /// The guided prediction, of the same type as the network's predictions: conversions between types are
    /// linear, so guidance commutes with them.
    /// - `x_t`, result: `(batch, channels, height, width)`, float
    /// - `t`: `(batch,)`, `u32`, on the CPU; `w`: `(batch,)`, `f32`, on the CPU, as papers count it
    /// - `labels`: per kind `(batch,)` `u32` indices, on the device of `x_t`
    ///
    /// # Errors
    /// When the network fails, or the numbers of label kinds differ.
    pub fn predict(
        &self,
        denoiser: &dyn Denoiser,
        x_t: &Tensor,
        t: &Tensor,
        labels: &[Tensor],
        w: &Tensor,
    ) -> candle_core::Result<Tensor> {
        if self.cfg.joint != 0.0 {
            return self.ask(denoiser, x_t, t, labels, w)?.guided();
        }
        // The joint condition has weight 0, so the network is not evaluated under it.
        let whole = Conditions::new(labels.to_vec());
        let none = whole.unconditional(&self.null_labels)?;
        let mut answers = self.answers(denoiser, x_t, t, vec![none.clone()], (&whole, &none))?;
        let uncond = answers.remove(0);
        let mut guided = uncond.clone();
        for (alone, weight) in self.weighted(answers, &self.w_of(t, w)?)? {
            guided = (guided + weighted_difference(&alone, &uncond, &weight)?)?;
        }
        Ok(guided)
    }

    /// The teacher's predictions with all labels, and under every other condition that has a weight in the
    /// guidance. Arguments as for [`Self::predict`].
    ///
    /// # Errors
    /// When the network fails, or the numbers of label kinds differ.
    pub fn ask(
        &self,
        denoiser: &dyn Denoiser,
        x_t: &Tensor,
        t: &Tensor,
        labels: &[Tensor],
        w: &Tensor,
    ) -> candle_core::Result<GuidanceAnswers> {
        let whole = Conditions::new(labels.to_vec());
        let w = self.w_of(t, w)?;
        let joint_weight = weights_of(&w, |w| (w + 1.0) * self.cfg.joint - 1.0)?;
        if w.iter().all(|w| self.is_conditional(*w)) {
            let cond = denoiser.predict(x_t, &t.to_device(x_t.device())?, &whole)?.detach();
            return Ok(GuidanceAnswers { cond, uncond: None, joint_weight, alone: Vec::new() });
        }
        let none = whole.unconditional(&self.null_labels)?;
        let asked = vec![whole.clone(), none.clone()];
        let mut answers = self.answers(denoiser, x_t, t, asked, (&whole, &none))?;
        let alone = self.weighted(answers.split_off(2), &w)?;
        let (uncond, cond) = (answers.pop(), answers.remove(0));
        Ok(GuidanceAnswers { cond, uncond, joint_weight, alone })
    }

    /// The predictions under the conditions `asked`, followed by those for each weighted kind alone. They
    /// come from one evaluation, without a graph.
    fn answers(
        &self,
        denoiser: &dyn Denoiser,
        x_t: &Tensor,
        t: &Tensor,
        mut asked: Vec<Conditions>,
        (whole, none): (&Conditions, &Conditions),
    ) -> candle_core::Result<Vec<Tensor>> {
        asked.extend(self.kinds().map(|(kind, _)| alone(whole, none, kind)));
        let batch = x_t.dim(0)?;
        let all = predict_all(denoiser, x_t, t, &asked)?.detach();
        (0..asked.len()).map(|place| all.narrow(0, place * batch, batch)).collect()
    }

    /// Answers for each kind alone, with their weights.
    fn weighted(&self, alone: Vec<Tensor>, w: &[f64]) -> candle_core::Result<Vec<(Tensor, Tensor)>> {
        let with_weight = |(answer, (_, weight)): (Tensor, (usize, f64))| {
            Ok((answer, weights_of(w, |w| (w + 1.0) * weight)?))
        };
        alone.into_iter().zip(self.kinds()).map(with_weight).collect()
    }

    /// The kinds whose own condition has a weight, each with its weight.
    fn kinds(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.cfg.kinds.iter().copied().enumerate().filter(|(_, weight)| *weight != 0.0)
    }

    /// The guidance weight at a timestep: 0 outside the interval.
    fn w_at(&self, t: u32, w: f64) -> f64 {
        match self.cfg.interval {
            Some((first, last)) if t < first || t > last => 0.0,
            _ => w,
        }
    }

    /// Whether guidance of weight `w` leaves the prediction with all labels unchanged.
    fn is_conditional(&self, w: f64) -> bool {
        w == 0.0 && self.cfg.joint == 1.0 && self.kinds().next().is_none()
    }

    /// [`Self::w_at`] for each sample.
    fn w_of(&self, t: &Tensor, w: &Tensor) -> candle_core::Result<Vec<f64>> {
        let (t, w) = (t.to_vec1::<u32>()?, w.to_dtype(DType::F32)?.to_vec1::<f32>()?);
        Ok(t.into_iter().zip(w).map(|(t, w)| self.w_at(t, f64::from(w))).collect())
    }
}

impl GuidanceAnswers {
    /// The same answers as another quantity, such as noise or clean images instead of what the network
    /// predicts.
    ///
    /// # Errors
    /// What `convert` fails with.
    pub fn map<E>(&self, convert: impl Fn(&Tensor) -> Result<Tensor, E>) -> Result<Self, E> {
        Ok(Self {
            cond: convert(&self.cond)?,
            uncond: self.uncond.as_ref().map(&convert).transpose()?,
            joint_weight: self.joint_weight.clone(),
            alone: self
                .alone
                .iter()
                .map(|(answer, weight)| Ok((convert(answer)?, weight.clone())))
                .collect::<Result<_, E>>()?,
        })
    }

    /// The answer for all labels, without guidance.
    pub fn conditional(&self) -> &Tensor {
        &self.cond
    }

    /// What guidance adds to [`Self::conditional`].
    ///
    /// # Errors
    /// When shapes differ.
    pub fn shift(&self) -> candle_core::Result<Tensor> {
        let Some(uncond) = &self.uncond else { return self.cond.zeros_like() };
        let mut shift = weighted_difference(&self.cond, uncond, &self.joint_weight)?;
        for (answer, weight) in &self.alone {
            shift = (shift + weighted_difference(answer, uncond, weight)?)?;
        }
        Ok(shift)
    }

    /// The guided answer.
    ///
    /// # Errors
    /// When shapes differ.
    pub fn guided(&self) -> candle_core::Result<Tensor> {
        if self.uncond.is_none() {
            return Ok(self.cond.clone());
        }
        &self.cond + self.shift()?
    }
}

/// The conditions that keep the label of one kind.
fn alone(whole: &Conditions, none: &Conditions, kind: usize) -> Conditions {
    let mut alone = none.clone();
    alone.labels[kind] = whole.labels[kind].clone();
    alone
}

/// The same images under several conditions, one behind the other, as one evaluation.
fn predict_all(
    denoiser: &dyn Denoiser,
    x_t: &Tensor,
    t: &Tensor,
    asked: &[Conditions],
) -> candle_core::Result<Tensor> {
    let t = t.to_device(x_t.device())?;
    let repeated = |tensor: &Tensor| Tensor::cat(&vec![tensor; asked.len()], 0);
    let mut all = asked[0].clone();
    for conds in &asked[1..] {
        all = all.cat(conds)?;
    }
    denoiser.predict(&repeated(x_t)?, &repeated(&t)?, &all)
}

/// One weight per sample, `(batch,)`, `f32`, on the CPU.
fn weights_of(w: &[f64], weight: impl Fn(f64) -> f64) -> candle_core::Result<Tensor> {
    Tensor::from_iter(w.iter().map(|w| weight(*w) as f32), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{guided, predict_pair};
    use std::cell::Cell;

    const NULL: [u32; 2] = [9, 9];

    /// Answers `10 a + o` for labels a and o, null tokens counting 9, and counts images.
    struct Network(Cell<usize>);

    impl Denoiser for Network {
        fn predict(&self, x_t: &Tensor, _: &Tensor, conds: &Conditions) -> candle_core::Result<Tensor> {
            let batch = x_t.dim(0)?;
            self.0.set(self.0.get() + batch);
            let [a, o] = [0, 1].map(|kind| conds.labels[kind].to_dtype(DType::F32));
            (a? * 10.0)?.add(&o?)?.reshape((batch, 1, 1, 1))
        }
    }

    /// Samples with labels (1, 2) and (3, 4) at the timesteps 100 and 900.
    fn ask(cfg: &GuidanceConfig, w: [f32; 2]) -> candle_core::Result<(Vec<f32>, usize, GuidanceAnswers)> {
        let network = Network(Cell::new(0));
        let row = |values: [u32; 2]| Tensor::new(&values, &Device::Cpu);
        let (labels, t) = (vec![row([1, 3])?, row([2, 4])?], row([100, 900])?);
        let (x_t, w) =
            (Tensor::zeros((2, 1, 1, 1), DType::F32, &Device::Cpu)?, Tensor::new(&w, &Device::Cpu)?);
        let guidance = Guidance::new(cfg, &NULL).map_err(candle_core::Error::wrap)?;
        let got = guidance.predict(&network, &x_t, &t, &labels, &w)?.flatten_all()?.to_vec1()?;
        let images = network.0.get();
        Ok((got, images, guidance.ask(&network, &x_t, &t, &labels, &w)?))
    }

    /// The answers: 12 and 34 for all labels, 19 and 39 for the first alone, 92 and 94 for the second, 99 for none.
    #[test]
    fn every_direction_by_hand() -> candle_core::Result<()> {
        let product = GuidanceConfig { joint: 0.0, kinds: vec![0.5, 1.0], ..Default::default() };
        // 99 + 2 (0.5 (19 - 99) + (92 - 99)), 99 + 4 (0.5 (39 - 99) + (94 - 99))
        let (got, images, answers) = ask(&product, [1.0, 3.0])?;
        assert_eq!((got, images), (vec![5.0, -41.0], 6));
        assert_eq!(answers.guided()?.flatten_all()?.to_vec1::<f32>()?, [5.0, -41.0]);
        assert_eq!(answers.shift()?.flatten_all()?.to_vec1::<f32>()?, [5.0 - 12.0, -41.0 - 34.0]);

        let both = GuidanceConfig { kinds: vec![0.0, 2.0], ..Default::default() };
        // 12 + 1 (12 - 99) + 2 · 2 (92 - 99), 34 + 3 (34 - 99) + 4 · 2 (94 - 99)
        let (got, images, _) = ask(&both, [1.0, 3.0])?;
        assert_eq!((got, images), (vec![-103.0, -201.0], 6));
        Ok(())
    }

    #[test]
    fn the_default_is_classifier_free_guidance_to_the_bit() -> candle_core::Result<()> {
        let (got, images, answers) = ask(&GuidanceConfig::default(), [1.7, 2.3])?;
        let network = Network(Cell::new(0));
        let row = |values: [u32; 2]| Tensor::new(&values, &Device::Cpu);
        let conds = Conditions::new(vec![row([1, 3])?, row([2, 4])?]);
        let x_t = Tensor::zeros((2, 1, 1, 1), DType::F32, &Device::Cpu)?;
        let (cond, uncond) = predict_pair(&network, &x_t, &row([100, 900])?, &conds, &NULL)?;
        let want = guided(&cond, &uncond, &Tensor::new(&[1.7f32, 2.3], &Device::Cpu)?)?;
        let want = want.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!((got, images), (want, 4));
        assert_eq!(answers.conditional().flatten_all()?.to_vec1::<f32>()?, [12.0, 34.0]);
        Ok(())
    }

    #[test]
    fn outside_the_interval_there_is_no_guidance() -> candle_core::Result<()> {
        let cfg = GuidanceConfig { interval: Some((200, 900)), ..Default::default() };
        let (got, images, _) = ask(&cfg, [1.0, 1.0])?;
        assert_eq!((got, images), (vec![12.0, 34.0 + (34.0 - 99.0)], 4));
        let cfg = GuidanceConfig { interval: Some((200, 800)), ..Default::default() };
        let (got, images, answers) = ask(&cfg, [1.0, 1.0])?;
        assert_eq!((got, images), (vec![12.0, 34.0], 2));
        assert_eq!(answers.shift()?.flatten_all()?.to_vec1::<f32>()?, [0.0, 0.0]);
        let guidance = Guidance::new(&cfg, &NULL).map_err(candle_core::Error::wrap)?;
        assert_eq!([100, 200, 800, 900].map(|t| guidance.evaluations(t, 1.0)), [1, 2, 2, 1]);
        Ok(())
    }

    #[test]
    fn evaluations_are_what_is_asked() -> Result<()> {
        let count = |joint, kinds: &[f64], w| -> Result<usize> {
            let cfg = GuidanceConfig { joint, kinds: kinds.to_vec(), ..Default::default() };
            Ok(Guidance::new(&cfg, &NULL)?.evaluations(500, w))
        };
        assert_eq!((count(1.0, &[], 0.0)?, count(1.0, &[], 2.0)?), (1, 2));
        assert_eq!((count(0.0, &[1.0, 1.0], 0.0)?, count(1.0, &[1.0, 0.0], 2.0)?), (3, 3));
        assert_eq!(count(0.5, &[1.0, 1.0], 2.0)?, 4);
        Ok(())
    }

    #[test]
    fn bad_values_are_named() {
        let field = |cfg: GuidanceConfig| match Guidance::new(&cfg, &NULL) {
            Err(Error::InvalidConfig { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        let with =
            |joint, kinds: &[f64]| GuidanceConfig { joint, kinds: kinds.to_vec(), ..Default::default() };
        for cfg in [with(0.0, &[]), with(0.0, &[0.0, 0.0]), with(1.0, &[1.0]), with(f64::NAN, &[])] {
            assert_eq!(field(cfg), "kind_guidance");
        }
        let interval = Some((5, 4));
        assert_eq!(field(GuidanceConfig { interval, ..Default::default() }), "guidance_interval");
    }
}

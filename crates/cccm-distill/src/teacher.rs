//! Training a teacher: a conditional diffusion model that also knows the unconditional.

use candle_core::Tensor;
use cccm_sched::{Conditions, Denoiser, Draws, NoiseSchedule};
use serde::{Deserialize, Serialize};

use crate::averaging::check_ema_decay;
use crate::independence::Widened;
use crate::objective::Metered;
use crate::{Distance, Error, Evaluation, Objective, Result, TrainBatch};

/// Settings of teacher training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherConfig {
    /// Probability that a label is dropped to its null token, for each kind on its own, in `[0, 1]`. Default 0.1
    /// (Ho & Salimans 2022, section 4; the published teachers).
    pub label_drop: f64,
    /// Share of the averaged weights that stays at every step, in `[0, 1]`. Default 0.9999 (Ho et al. 2020,
    /// appendix B), which remembers 10,000 steps: short runs need less. Pass it to the trainer as
    /// [`Averaging::WarmedUp`](crate::Averaging::WarmedUp).
    pub ema_decay: f64,
    /// Weight, at least 0, of a term that makes the labels act independently of each other, so that unseen
    /// pairs can be composed from what was learnt of seen ones. With the network's answer `e`, the term is
    /// the square of `e(a) + e(o) - e(a, o) - e(∅)` over the samples that keep all their labels (Gaudi et al.
    /// 2025). Above 0, these samples are evaluated three more times, and there must be at least two kinds of
    /// labels. Default 0.
    pub independence_weight: f64,
}

impl Default for TeacherConfig {
    fn default() -> Self {
        Self { label_drop: 0.1, ema_decay: 0.9999, independence_weight: 0.0 }
    }
}

impl TeacherConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.label_drop) {
            return Err(Error::invalid("label_drop", self.label_drop, "at least 0 and at most 1"));
        }
        if !(self.independence_weight >= 0.0 && self.independence_weight.is_finite()) {
            return Err(Error::invalid(
                "independence_weight",
                self.independence_weight,
                "finite and at least 0",
            ));
        }
        check_ema_decay(self.ema_decay)
    }
}

/// Teacher training as an objective: the mean squared error of the prediction at a uniform timestep
/// (Ho et al. 2020, eq. 14), labels dropped now and then (Ho & Salimans 2022, algorithm 1); and, if it has a weight, the
/// independence term.
pub struct TeacherTraining<'a> {
    network: &'a dyn Denoiser,
    schedule: NoiseSchedule,
    label_drop: f64,
    independence_weight: f64,
    null_labels: Vec<u32>,
}

impl<'a> TeacherTraining<'a> {
    /// Training of `network` as `cfg` has it.
    /// - `schedule`: also says what is predicted
    /// - `null_labels`: per label kind the null token, which is its number of labels
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a value out of range.
    pub fn new(
        cfg: &TeacherConfig,
        schedule: NoiseSchedule,
        null_labels: Vec<u32>,
        network: &'a dyn Denoiser,
    ) -> Result<Self> {
        cfg.validate()?;
        let TeacherConfig { label_drop, independence_weight, .. } = *cfg;
        if independence_weight > 0.0 && null_labels.len() < 2 {
            let want = "0 where there are fewer than two kinds of labels";
            return Err(Error::invalid("independence_weight", independence_weight, want));
        }
        Ok(Self { network, schedule, label_drop, independence_weight, null_labels })
    }

    /// Whether each sample loses its label of this kind.
    fn drops(&self, kind: usize, draws: &Draws) -> Vec<bool> {
        draws.coin(&format!("label_drop.{kind}"), self.label_drop)
    }

    /// The labels with some of them dropped.
    fn drop_labels(&self, labels: &[Tensor], draws: &Draws) -> candle_core::Result<Conditions> {
        let whole = Conditions::new(labels.to_vec());
        let null = whole.unconditional(&self.null_labels)?;
        let dropped = |(kind, (label, null)): (usize, (&Tensor, &Tensor))| {
            let coins: Vec<u8> = self.drops(kind, draws).into_iter().map(u8::from).collect();
            Tensor::from_vec(coins, label.shape(), label.device())?.where_cond(null, label)
        };
        let labels = whole.labels.iter().zip(&null.labels).enumerate().map(dropped);
        Ok(Conditions::new(labels.collect::<Result<_, _>>()?))
    }

    /// Places of the samples that keep all their labels.
    fn whole(&self, draws: &Draws) -> Vec<u32> {
        let drops: Vec<_> = (0..self.null_labels.len()).map(|kind| self.drops(kind, draws)).collect();
        (0..draws.batch())
            .filter(|place| !drops.iter().any(|kind| kind[*place]))
            .map(|place| place as u32)
            .collect()
    }

    /// The network's answers, and the weighted independence term where there is one.
    fn answers(
        &self,
        network: &dyn Denoiser,
        (x_t, t, conds): (&Tensor, &Tensor, &Conditions),
        draws: &Draws,
    ) -> candle_core::Result<(Tensor, Option<Tensor>)> {
        let whole = if self.independence_weight > 0.0 { self.whole(draws) } else { Vec::new() };
        if whole.is_empty() {
            return Ok((network.predict_training(x_t, t, conds, draws)?, None));
        }
        let widened = Widened::new(x_t, t, conds, draws, whole, &self.null_labels)?;
        let answers = network.predict_training(&widened.x_t, &widened.t, &widened.conds, &widened.draws)?;
        let (own, term) = widened.split(&answers)?;
        Ok((own, Some(term.affine(self.independence_weight, 0.0)?)))
    }
}

impl Objective for TeacherTraining<'_> {
    fn trained_name(&self) -> &'static str {
        "teacher"
    }

    fn terms(&self) -> &'static [&'static str] {
        if self.independence_weight > 0.0 { &["independence"] } else { &[] }
    }

    fn evaluate(&self, batch: &TrainBatch, draws: &Draws, _progress: f64) -> Result<Evaluation> {
        let TrainBatch { x_0, labels, .. } = batch;
        let t = draws.below("t", self.schedule.train_timesteps() as u32)?;
        let eps = draws.normal("eps", batch.image_shape())?.to_device(x_0.device())?;
        let x_t = self.schedule.add_noise(x_0, &t, &eps)?.detach();
        let conds = self.drop_labels(labels, draws)?;

        let network = Metered::new("teacher", self.network);
        let asked = (&x_t, &t.to_device(x_0.device())?, &conds);
        let (prediction, independence) = self.answers(&network, asked, draws)?;
        let wanted = self.schedule.prediction_target(x_0, &t, &eps)?.detach();
        let error = Distance::L2.between(&prediction, &wanted)?;
        let loss = independence.iter().try_fold(error, |error, term| error + term)?;
        let independence = independence.map(|term| term.detach());
        let work = [network.reading()].into_iter().collect();
        Ok(Evaluation::new(loss, work).with_term("independence", independence))
    }
}

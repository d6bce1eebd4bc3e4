//! Training a teacher: a conditional diffusion model that also knows the unconditional.

use candle_core::Tensor;
use cccm_sched::{Conditions, Denoiser, Draws, NoiseSchedule};
use serde::{Deserialize, Serialize};

use crate::distill::check_ema_decay;
use crate::objective::Metered;
use crate::{Distance, Error, Evaluation, Objective, Result, TrainBatch, Work};

/// Settings of teacher training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherConfig {
    /// Probability that a label is dropped to its null token, for each kind on its own, in `[0, 1]`. Default 0.1
    /// (Ho & Salimans 2022, section 4; the published teachers).
    pub label_drop: f64,
    /// What stays of the averaged weights at every step, in `[0, 1]`. Default 0.9999 (Ho et al. 2020, appendix B),
    /// which remembers 10,000 steps: short runs want less. The trainer is given it as
    /// [`Averaging::WarmedUp`](crate::Averaging::WarmedUp).
    pub ema_decay: f64,
}

impl Default for TeacherConfig {
    fn default() -> Self {
        Self { label_drop: 0.1, ema_decay: 0.9999 }
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
        check_ema_decay(self.ema_decay)
    }
}

/// Teacher training as an objective: the mean squared error of the prediction at a uniform timestep
/// (Ho et al. 2020, eq. 14), labels dropped now and then (Ho & Salimans 2022, algorithm 1).
pub struct TeacherTraining<'a> {
    network: &'a dyn Denoiser,
    schedule: NoiseSchedule,
    label_drop: f64,
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
        Ok(Self { network, schedule, label_drop: cfg.label_drop, null_labels })
    }

    /// The labels with some of them dropped.
    fn drop_labels(&self, labels: &[Tensor], draws: &Draws) -> candle_core::Result<Conditions> {
        let whole = Conditions::new(labels.to_vec());
        let null = whole.unconditional(&self.null_labels)?;
        let dropped = |(kind, (label, null)): (usize, (&Tensor, &Tensor))| {
            let coins = draws.coin(&format!("label_drop.{kind}"), self.label_drop);
            let coins: Vec<u8> = coins.into_iter().map(u8::from).collect();
            Tensor::from_vec(coins, label.shape(), label.device())?.where_cond(null, label)
        };
        let labels = whole.labels.iter().zip(&null.labels).enumerate().map(dropped);
        Ok(Conditions::new(labels.collect::<Result<_, _>>()?))
    }
}

impl Objective for TeacherTraining<'_> {
    fn trained_name(&self) -> &'static str {
        "teacher"
    }

    fn evaluate(&self, batch: &TrainBatch, draws: &Draws, _progress: f64) -> Result<Evaluation> {
        let TrainBatch { x_0, labels } = batch;
        let t = draws.below("t", self.schedule.train_timesteps() as u32)?;
        let eps = draws.normal("eps", batch.image_shape())?.to_device(x_0.device())?;
        let x_t = self.schedule.add_noise(x_0, &t, &eps)?.detach();
        let conds = self.drop_labels(labels, draws)?;

        let network = Metered::new(self.network);
        let prediction = network.predict_training(&x_t, &t.to_device(x_0.device())?, &conds, draws)?;
        let wanted = self.schedule.prediction_target(x_0, &t, &eps)?.detach();
        Ok(Evaluation {
            loss: Distance::L2.between(&prediction, &wanted)?,
            teacher_part: None,
            data_part: None,
            c_t: None,
            work: Work { teacher: network.reading(), ..Work::default() },
        })
    }
}

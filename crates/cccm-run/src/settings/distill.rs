//! What a student learns, and from whom.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use cccm_data::{Combination, Dataset, combination_counts};
use cccm_distill::{
    DataTarget, DistillConfig, FuseMethod, HatTarget, LossType, TeacherSolver, TimestepSampling,
    TrajectoryConfig,
};
use cccm_sched::{FuseSchedule, GuidanceConfig, PredictionType, StudentConfig};
use cccm_unet::GuidanceInit;

use crate::setting::{Effect, OnCard, Values, named_values, required, settings};

settings! {
    /// What a student learns, and from whom.
    pub struct DistillSettings under "Distillation" {
        /// The teacher: a run, a model directory, a checkpoint, a file, or hf://OWNER/NAME/FILE [default: builtin:teacher]
        teacher: String => { value_names: &["PATH"], aliases: &["pretrained-pth"], effect: Effect::Place },

        /// Numbers of labels of each kind that the teacher must have. Only a check: a student has its
        /// teacher's labels
        pretrained_nums_cond: Vec<usize> => { value_names: &["N"] },

        /// Numbers of labels of each kind that the data must have: only checked
        dataset_nums_cond: Vec<usize> => { value_names: &["N"], heading: "Data" },

        /// Named settings to start from: published, or best, which is the default for the built-in data.
        /// Other flags override them; given as a flag, they override --config
        recipe: Recipe => { value_names: &["NAME"] },

        /// How the teacher's prediction and real data are blended: stepfuse, lossfuse, switch
        fuse_method: FuseMethod => { value_names: &["NAME"], on_card: OnCard::Told },

        /// The teacher's share over training: `piecewise 0.2:0.5 0.8:0.1`, `exponential 2`, `switch 0.4`, only_teacher,
        /// only_ode
        fuse_schedule: String => { value_names: &["SCHEDULE"], clears: &["fuse_args"], on_card: OnCard::Told },

        /// Numbers of the schedule, if --fuse-schedule is only a name or is not given
        fuse_args: Vec<String> => { value_names: &["ARG"] },

        /// How the teacher's point is found: ddim, or heun, which evaluates the teacher twice as often
        teacher_solver: TeacherSolver => { value_names: &["NAME"], on_card: OnCard::Told },

        /// The real-data point: published, or guided like the teacher's, which evaluates the teacher at every
        /// c_t
        data_target: DataTarget => { value_names: &["NAME"], on_card: OnCard::Told },

        /// The point for the teacher's share of lossfuse: mixed (with the real-data point, as published), or
        /// teacher (its own)
        hat_target: HatTarget => { value_names: &["NAME"], on_card: OnCard::Told },

        /// How timesteps are drawn: uniform as published, or lognormal, which prefers low noise
        timestep_sampling: TimestepSampling => { value_names: &["NAME"], on_card: OnCard::Told },

        /// Distance between student and target: huber, sample_huber, l2
        loss_type: LossType => { value_names: &["NAME"], on_card: OnCard::Told },

        /// Difference at which the Huber distance turns from quadratic to linear; for sample_huber per square
        /// root of the number of values in an image [default: 0.001, for sample_huber 0.00054]
        huber_c: f64 => { value_names: &["C"] },

        /// Range of guidance weights to train for; the guidance scale is the weight plus 1
        w_interval: Vec<f64> => { value_names: &["LOW", "HIGH"], values: Values::Exactly(2) },

        /// Width of the guidance embedding
        time_cond_proj_dim: usize => { value_names: &["N"] },

        /// How the guidance projection starts: random as published, or zero, so that the student starts as its teacher
        guidance_init: GuidanceStart => { value_names: &["NAME"], on_card: OnCard::Told },

        /// Steps of the solver that the student learns to jump over
        num_ddim_timesteps: usize => { value_names: &["N"], clears: &["few_step_timesteps"] },

        /// Highest timestep at which the student learns the image itself instead of its teacher's answer [default: none]
        data_below: u32 => { value_names: &["T"], on_card: OnCard::Told },

        /// Steps of the solver at the start of training, doubled up to --num-ddim-timesteps in equal shares of the run; each
        /// number must divide the training timesteps [default: --num-ddim-timesteps all along]
        solver_steps_start: usize => { value_names: &["N"], on_card: OnCard::Told },

        /// Highest timestep of the student: it is trained at the points of the solver grid up to here, and
        /// sampling starts at the last of them [default: the schedule's last, as published]
        first_timestep: u32 => { value_names: &["T"], clears: &["few_step_timesteps"], on_card: OnCard::Told },

        /// Timesteps that sampling in a given number of steps visits, highest first: 4:799,599,399,79 is for
        /// four steps. They must be points of the solver grid at which the student is trained [default:
        /// evenly spaced]
        few_step_timesteps: Vec<String> => { value_names: &["N:T,T"], effect: Effect::Bookkeeping },

        /// Optimizer steps at the start of the run in which the student learns trajectories of the teacher from noise to images
        /// instead of single solver steps; this needs no images [default: 0]
        trajectory_steps: u64 => { value_names: &["N"] },

        /// Solver steps of a trajectory; a trajectory takes this many evaluations of the guided teacher, and
        /// is used in this many optimizer steps [default: 16]
        trajectory_solver_steps: usize => { value_names: &["N"], needs: Some("trajectory_steps") },

        /// Pairs that trajectories are made for: seen, which are those of the training images, or all,
        /// including held-out pairs [default: seen]
        trajectory_pairs: TrajectoryPairs => { value_names: &["NAME"], needs: Some("trajectory_steps") },

        /// What the student's network predicts: epsilon, sample or v_prediction. If the teacher predicts
        /// something else, the student needs --trajectory-steps to learn it [default: the teacher's]
        student_prediction: PredictionType => { value_names: &["NAME"] },

        /// Factor on the timestep in the boundary scalings
        timestep_scaling_factor: f64 => { value_names: &["FACTOR"] },

        /// Share that stays at every step of a second, slower average, which is then drawn and saved instead
        /// of the target
        sampling_ema_decay: f64 => { value_names: &["DECAY"], heading: "Optimisation", on_card: OnCard::Told },
    }
}

named_values! {
    /// Settings by name.
    pub enum Recipe ("recipe") {
        /// As the published runs had it
        Published = "published",
        /// The best of what was measured
        Best = "best",
    }
}

named_values! {
    /// Pairs that trajectories are made for.
    pub enum TrajectoryPairs ("pairs of trajectories") {
        /// Those of the training images
        Seen = "seen",
        /// Every pair that the teacher knows
        All = "all",
    }
}

named_values! {
    /// How the guidance projection starts.
    pub enum GuidanceStart ("guidance start") {
        /// Drawn, as published
        Random = "random",
        /// Zero, so that the student starts as its teacher
        Zero = "zero",
    }
}

impl DistillSettings {
    /// The settings of the objective.
    /// - `ema_decay`: of the target network
    /// - `guidance`: of the teacher
    ///
    /// # Errors
    /// When one of them is not set or out of range.
    pub fn config(&self, ema_decay: f64, guidance: GuidanceConfig) -> Result<DistillConfig> {
        let &[low, high] = required(self.w_interval.as_deref(), "w_interval")? else {
            bail!("--w-interval needs two numbers");
        };
        let config = DistillConfig {
            fuse_method: required(self.fuse_method, "fuse_method")?,
            fuse_schedule: self.schedule()?,
            // Runs from before these settings go on as they were.
            teacher_solver: self.teacher_solver.unwrap_or_default(),
            guidance,
            data_target: self.data_target.unwrap_or_default(),
            hat_target: self.hat_target.unwrap_or_default(),
            timestep_sampling: self.timestep_sampling.unwrap_or_default(),
            data_below: self.data_below,
            solver_steps_start: self.solver_steps_start,
            loss_type: required(self.loss_type, "loss_type")?,
            huber_c: required(self.huber_c, "huber_c")?,
            ema_decay,
            sampling_ema_decay: self.sampling_ema_decay,
            trajectory: self.trajectory(),
            student_prediction: self.student_prediction,
            student: StudentConfig {
                w_interval: (low, high),
                num_ddim_timesteps: required(self.num_ddim_timesteps, "num_ddim_timesteps")?,
                timestep_scaling: required(self.timestep_scaling_factor, "timestep_scaling_factor")?,
                first_timestep: self.first_timestep,
                few_step_timesteps: self.few_step_timesteps()?,
            },
        };
        config.validate()?;
        Ok(config)
    }

    fn few_step_timesteps(&self) -> Result<BTreeMap<usize, Vec<u32>>> {
        let read = |text: &String| {
            let (steps, timesteps) = text.split_once(':')?;
            let timesteps: Result<Vec<u32>, _> = timesteps.split(',').map(str::parse).collect();
            Some((steps.parse().ok()?, timesteps.ok()?))
        };
        let mut all = BTreeMap::new();
        for text in self.few_step_timesteps.iter().flatten() {
            let Some((steps, timesteps)) = read(text) else {
                bail!("--few-step-timesteps `{text}` is not STEPS:TIMESTEP,TIMESTEP…, as in 4:799,599,399,79")
            };
            if all.insert(steps, timesteps).is_some() {
                bail!("--few-step-timesteps says twice how to sample in {steps} steps");
            }
        }
        Ok(all)
    }

    fn trajectory(&self) -> TrajectoryConfig {
        let default = TrajectoryConfig::default();
        TrajectoryConfig {
            steps: self.trajectory_steps.unwrap_or(default.steps),
            solver_steps: self.trajectory_solver_steps.unwrap_or(default.solver_steps),
        }
    }

    /// The combinations that trajectories are made for.
    pub fn trajectory_combinations(&self, dataset: &dyn Dataset) -> Vec<Combination> {
        match self.trajectory_pairs.unwrap_or_default() {
            TrajectoryPairs::Seen => combination_counts(dataset).into_keys().collect(),
            TrajectoryPairs::All => dataset.vocabulary().combinations().collect(),
        }
    }

    fn schedule(&self) -> Result<FuseSchedule> {
        let mut text = required(self.fuse_schedule.clone(), "fuse_schedule")?;
        for arg in self.fuse_args.iter().flatten() {
            text = format!("{text} {arg}");
        }
        Ok(text.parse()?)
    }

    /// How the guidance projection starts.
    ///
    /// # Errors
    /// When that is not set.
    pub fn guidance_init(&self) -> Result<GuidanceInit> {
        Ok(match required(self.guidance_init, "guidance_init")? {
            GuidanceStart::Random => GuidanceInit::Random,
            GuidanceStart::Zero => GuidanceInit::Zero,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timesteps(texts: &[&str]) -> Result<BTreeMap<usize, Vec<u32>>> {
        let texts = texts.iter().map(ToString::to_string).collect();
        DistillSettings { few_step_timesteps: Some(texts), ..DistillSettings::default() }.few_step_timesteps()
    }

    #[test]
    fn timesteps_are_told_for_each_number_of_steps() {
        let told = timesteps(&["4:799,499,199,59", "1:759"]).unwrap();
        assert_eq!(told, BTreeMap::from([(4, vec![799, 499, 199, 59]), (1, vec![759])]));
        assert!(DistillSettings::default().few_step_timesteps().unwrap().is_empty());
        for (bad, words) in [
            (&["4"][..], "`4` is not STEPS:TIMESTEP"),
            (&["a:1"], "`a:1` is not"),
            (&["2:1,x"], "`2:1,x` is not"),
            (&["1:7", "1:8"], "twice how to sample in 1 steps"),
        ] {
            let said = timesteps(bad).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}

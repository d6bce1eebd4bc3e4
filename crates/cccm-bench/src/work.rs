//! The networks, and what is done with them.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use cccm_distill::{
    Averaging, DistillConfig, Distillation, LabelSpace, MovingAverage, Networks, TrainBatch, TrainConfig,
    Trainer, TrainerParts,
};
use cccm_kernels::backward;
use cccm_sample::{DdimConfig, DdimSampler, FewStepConfig, FewStepSampler, Sampler, SeededNoise};
use cccm_sched::{Conditions, Denoiser, FuseSchedule, NoiseSchedule, ScheduleConfig, Streams, StudentConfig};
use cccm_unet::{GuidanceInit, Parameters, Tables, UNet, UNetConfig};

use crate::{Size, Work};

/// A student with its teacher, its moving average and a batch of images, all drawn from one seed.
pub(crate) struct Bench {
    parameters: Parameters,
    averaged: Parameters,
    teacher: UNet,
    student: UNet,
    target: UNet,
    streams: Streams,
    batch: usize,
    pixels: usize,
    device: Device,
}

const LABELS: [u32; 2] = [4, 2];

/// The work of one round.
pub(crate) type Round<'a> = &'a mut dyn FnMut() -> Result<()>;

impl Bench {
    /// On a device, computing with numbers of a kind.
    pub(crate) fn new(size: Size, batch: usize, device: &Device, dtype: DType) -> Result<Self> {
        let small = UNetConfig { norm_groups: 32, ..UNetConfig::colored_mnist_32() };
        let (teacher, guidance_dim, pixels) = match size {
            Size::Small => (small, 32, 32),
            Size::Large64 => (UNetConfig::celeba_128(), 128, 64),
            Size::Large128 => (UNetConfig::celeba_128(), 128, 128),
        };
        let (student, tables) = (teacher.student(guidance_dim), Tables::new(LABELS));
        let streams = Streams::new(1);
        let teacher_parameters = UNet::initial_parameters(&teacher, tables, &streams, device)?;
        let parameters =
            UNet::student_parameters(&student, tables, &teacher_parameters, GuidanceInit::Random, &streams)?;
        let averaged = parameters.deep_copy()?;
        Ok(Self {
            teacher: UNet::frozen(&teacher, tables, &teacher_parameters)?.computing_in(dtype),
            student: UNet::trainable(&student, tables, &parameters)?.computing_in(dtype),
            target: UNet::frozen(&student, tables, &averaged)?.computing_in(dtype),
            parameters,
            averaged,
            streams,
            batch,
            pixels,
            device: device.clone(),
        })
    }

    /// With a student that keeps only the results of its blocks.
    pub(crate) fn recomputing(self) -> Self {
        Self { student: self.student.recomputing(), ..self }
    }

    /// Additions and multiplications of one round, in convolutions; a backward pass takes twice those of a forward pass.
    pub(crate) fn flops(&self, work: Work) -> u64 {
        let passes = match work {
            Work::Forward | Work::Sample1 => 1,
            Work::Sample2 => 2,
            Work::Sample4 => 4,
            Work::Ddim50 => 100,
            Work::Backward => 3,
            // The student's, and two evaluations each of teacher and target.
            Work::Step => 3 + 2 + 2,
        };
        passes * self.batch as u64 * self.student.flops(self.pixels)
    }

    /// Hands `measure` the work, to be called once per round.
    pub(crate) fn measure<R>(&self, work: Work, measure: impl FnOnce(Round<'_>) -> Result<R>) -> Result<R> {
        let (x, labels) = (self.images()?, self.labels()?);
        let t = self.streams.draws(0, 0..self.batch as u64).below("t", 1000)?.to_device(&self.device)?;
        let w = Tensor::full(1.8f32, self.batch, &Device::Cpu)?;
        let conds = Conditions::new(labels.clone()).with_w(w);
        let noise = SeededNoise::new(self.streams, 0..self.batch as u64, self.image_shape(), &self.device);
        let few_steps = |steps| {
            let sampler = few_step_sampler(steps)?;
            let (target, labels, noise) = (&self.target, &labels, &noise);
            Ok::<_, anyhow::Error>(move || done(sampler.sample(target, labels, noise, &mut ())))
        };
        match work {
            Work::Forward => measure(&mut || done(self.target.predict(&x, &t, &conds))),
            Work::Backward => {
                measure(&mut || done(backward(&self.student.predict(&x, &t, &conds)?.sqr()?.mean_all()?)))
            }
            Work::Sample1 => measure(&mut few_steps(1)?),
            Work::Sample2 => measure(&mut few_steps(2)?),
            Work::Sample4 => measure(&mut few_steps(4)?),
            Work::Ddim50 => {
                let cfg = DdimConfig::new(50, 2.8);
                let sampler =
                    DdimSampler::new(&ScheduleConfig::default(), &self.teacher.null_labels(), &cfg)?;
                measure(&mut || done(sampler.sample(&self.teacher, &labels, &noise, &mut ())))
            }
            Work::Step => {
                let batch = TrainBatch::new(x.clamp(-1f32, 1f32)?, labels.clone());
                let objective = self.distillation()?;
                let mut trainer = self.trainer(&objective)?;
                measure(&mut || done(trainer.step(&batch)))
            }
        }
    }

    fn images(&self) -> Result<Tensor> {
        let draws = self.streams.draws(0, 0..self.batch as u64);
        Ok(draws.normal("x", &self.image_shape())?.to_device(&self.device)?)
    }

    fn labels(&self) -> Result<Vec<Tensor>> {
        let draws = self.streams.draws(0, 0..self.batch as u64);
        let kind = |(kind, count): (&str, u32)| draws.below(kind, count)?.to_device(&self.device);
        Ok(["attribute", "object"].into_iter().zip(LABELS).map(kind).collect::<candle_core::Result<_>>()?)
    }

    fn image_shape(&self) -> [usize; 3] {
        [3, self.pixels, self.pixels]
    }

    fn distillation(&self) -> Result<Distillation<'_>> {
        // Half of the target from the teacher, from the first step on.
        let fuse_schedule = FuseSchedule::Piecewise(vec![(0.0, 0.5)]);
        let cfg = DistillConfig { fuse_schedule, ..DistillConfig::default() };
        let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
        let networks = Networks { student: &self.student, target: &self.target, teacher: &self.teacher };
        Ok(Distillation::new(&cfg, schedule, LabelSpace::new(self.teacher.null_labels()), networks)?)
    }

    fn trainer<'a>(&self, objective: &'a Distillation<'_>) -> Result<Trainer<'a>> {
        let parts = TrainerParts {
            objective,
            trained: self.parameters.vars().clone(),
            averages: vec![MovingAverage::target(
                self.averaged.vars().clone(),
                Averaging::Constant(DistillConfig::default().ema_decay),
            )],
            streams: self.streams,
            steps_per_epoch: 1,
        };
        Ok(Trainer::new(&TrainConfig::default(), parts)?)
    }
}

/// Whether it worked, the result dropped within the round.
fn done<T, E: Into<anyhow::Error>>(result: Result<T, E>) -> Result<()> {
    result.map(drop).map_err(Into::into)
}

fn few_step_sampler(steps: usize) -> Result<FewStepSampler> {
    let cfg = FewStepConfig { steps, guidance_scale: 3.8 };
    Ok(FewStepSampler::new(&ScheduleConfig::default(), &StudentConfig::default(), &cfg)?)
}

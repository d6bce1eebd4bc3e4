//! Two workers with 8 images each are one with 16: loader, U-Net, losses, optimizer and averages together.

#![cfg(test)]

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cccm_data::{CombinationFilter, Loader, LoaderConfig, Shapes, ShapesConfig, Shard};
use cccm_distill::{
    AllReduce, Alone, Averaging, DistillConfig, Distillation, LabelSpace, MovingAverage, Networks, Objective,
    Part, Star, StepReport, TeacherConfig, TeacherTraining, TrainBatch, TrainConfig, Trainer, TrainerParts,
};
use cccm_optim::{AdamWConfig, LrSchedule, LrScheduleConfig};
use cccm_sched::{FuseSchedule, NoiseSchedule, ScheduleConfig, Streams};
use cccm_unet::{GuidanceInit, Parameters, Tables, UNet, UNetConfig};

const STEPS: u64 = 4;
const BATCH: usize = 16;

fn small() -> UNetConfig {
    UNetConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_res_blocks: 1,
        norm_groups: 4,
        dropout: 0.1,
        ..UNetConfig::colored_mnist_32()
    }
}

/// Weights of the network and of its average after some steps, and what the steps came to.
type Trained = (Vec<Tensor>, Vec<StepReport>);

/// Takes the steps of one worker.
fn train(
    objective: &dyn Objective,
    trained: &Parameters,
    averaged: &Parameters,
    pieces: usize,
    workers: Box<dyn AllReduce>,
) -> Result<Trained> {
    let shapes = ShapesConfig {
        image_px: 16,
        images_per_combination: 2,
        seed: 0,
        sized: false,
        combinations: CombinationFilter::all(),
    };
    let shard = Shard { index: workers.rank(), count: workers.workers() };
    let config = LoaderConfig { shard, ..LoaderConfig::new(BATCH, 5) };
    let lr_schedule = LrScheduleConfig { schedule: LrSchedule::Constant, lr: 1e-2, ..Default::default() };
    // A large one: AdamW's steps are else of the same size for gradients that are rounding alone.
    let optimizer = AdamWConfig { eps: 1e-2, ..AdamWConfig::default() };
    let parts = TrainerParts {
        objective,
        trained: trained.vars().clone(),
        averages: vec![MovingAverage::target(averaged.vars().clone(), Averaging::Constant(0.5))],
        streams: Streams::new(7),
        steps_per_epoch: STEPS,
    };
    let cfg =
        TrainConfig { lr_schedule, optimizer, gradient_accumulation_steps: pieces, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&cfg, parts)?;
    trainer.join(workers)?;
    let steps = Loader::new(Arc::new(Shapes::new(&shapes)?), &config)?.take(STEPS as usize);
    let reports = steps.map(|batch| {
        let batch = batch?;
        let part = Part::From { start: batch.start, total: batch.total };
        Ok(trainer.step(&TrainBatch { x_0: batch.x_0, labels: batch.labels, part })?)
    });
    let reports = reports.collect::<Result<_>>()?;
    let vars = trained.vars().values().chain(averaged.vars().values());
    Ok((vars.map(|var| var.as_tensor().copy()).collect::<Result<_, _>>()?, reports))
}

fn teach(pieces: usize, workers: Box<dyn AllReduce>) -> Result<Trained> {
    let (unet, tables) = (small(), Tables::new([6, 6]));
    let trained = UNet::initial_parameters(&unet, tables, &Streams::new(1), &Device::Cpu)?;
    let averaged = trained.deep_copy()?;
    let network = UNet::trainable(&unet, tables, &trained)?;
    let cfg = TeacherConfig { independence_weight: 0.1, ..TeacherConfig::default() };
    let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
    let objective = TeacherTraining::new(&cfg, schedule, network.null_labels().to_vec(), &network)?;
    train(&objective, &trained, &averaged, pieces, workers)
}

fn distil(pieces: usize, workers: Box<dyn AllReduce>) -> Result<Trained> {
    let (unet, tables, streams) = (small(), Tables::new([6, 6]), Streams::new(2));
    let teacher = UNet::initial_parameters(&unet, tables, &streams, &Device::Cpu)?;
    let student = UNetConfig { dropout: 0.0, ..unet.student(8) };
    let trained = UNet::student_parameters(&student, tables, &teacher, GuidanceInit::Random, &streams)?;
    let averaged = trained.deep_copy()?;
    let teacher = UNet::frozen(&unet, tables, &teacher)?;
    let (network, target) =
        (UNet::trainable(&student, tables, &trained)?, UNet::frozen(&student, tables, &averaged)?);
    let networks = Networks { student: &network, target: &target, teacher: &teacher };
    let fuse_schedule = FuseSchedule::Piecewise(vec![(0.0, 0.5)]);
    // The published distance has a kink at 0.001, where rounding shows in the fourth digit of a gradient.
    let cfg = DistillConfig { fuse_schedule, huber_c: 0.1, ..DistillConfig::default() };
    let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
    let objective = Distillation::new(&cfg, schedule, LabelSpace::new(teacher.null_labels()), networks)?;
    train(&objective, &trained, &averaged, pieces, workers)
}

/// What each worker made of it.
fn together(
    workers: usize,
    train: impl Fn(Box<dyn AllReduce>) -> Result<Trained> + Sync,
) -> Result<Vec<Trained>> {
    thread::scope(|scope| {
        let stars = Star::of_threads(workers).into_iter();
        let threads: Vec<_> = stars.map(|star| scope.spawn(|| train(Box::new(star)))).collect();
        threads.into_iter().map(|thread| thread.join().ok().context("a worker panicked")?).collect()
    })
}

fn worst(a: &[Tensor], b: &[Tensor]) -> Result<f32> {
    a.iter().zip(b).try_fold(0.0, |worst: f32, (a, b)| {
        Ok(worst.max((a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?))
    })
}

fn check(train: fn(usize, Box<dyn AllReduce>) -> Result<Trained>) -> Result<()> {
    let (want, reports) = train(1, Box::new(Alone))?;
    for (workers, pieces) in [(2, 1), (3, 1), (2, 2)] {
        let runs = together(workers, |workers| train(pieces, workers))?;
        for (got, steps) in &runs {
            let worst = worst(got, &want)?;
            assert!(worst < 1e-5, "{workers} workers, {pieces} pieces: weights differ by {worst}");
            for (got, want) in steps.iter().zip(&reports) {
                assert_eq!((got.images, got.c_t), (want.images, want.c_t));
                for (got, want) in [(got.loss, want.loss), (got.grad_norm, want.grad_norm)] {
                    assert!((got - want).abs() <= 1e-5 * want, "{got} instead of {want}");
                }
            }
            // To the bit: what is added to weights is the same everywhere.
            assert_eq!(self::worst(got, &runs[0].0)?, 0.0);
        }
    }
    Ok(())
}

#[test]
fn a_teacher_is_the_same() -> Result<()> {
    check(teach)
}

#[test]
fn a_student_is_the_same() -> Result<()> {
    check(distil)
}

//! Distils a teacher that knows all its images into a linear network: `cargo run --example distill_toy`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use candle_core::{DType, Device::Cpu, Result, Tensor, Var};
use cccm_distill::{
    Averaging, DistillConfig, Distillation, LabelSpace, LossType, MovingAverage, Networks, TrainBatch,
    TrainConfig, Trainer, TrainerParts,
};
use cccm_sched::{Conditions, NoiseSchedule, PredictionType, ScheduleConfig, Streams};

/// The image of label 0, that of label 1, and their mean, for no label: two pixels each.
const IMAGES: [[f32; 2]; 3] = [[-0.8, 0.2], [0.4, 0.6], [-0.2, 0.4]];

fn image(label: &Tensor) -> Result<Tensor> {
    Tensor::new(&IMAGES, &Cpu)?.index_select(label, 0)?.reshape(((), 1, 1, 2))
}

/// A linear map of the noisy pixels and the label.
fn linear(weight: Tensor) -> impl Fn(&Tensor, &Tensor, &Conditions) -> Result<Tensor> {
    move |x_t, _t, conds| {
        let label = conds.labels[0].to_dtype(DType::F32)?.unsqueeze(1)?;
        let features = Tensor::cat(&[&x_t.flatten_from(1)?, &label, &label.ones_like()?], 1)?;
        features.matmul(&weight)?.reshape(x_t.shape())
    }
}

fn main() -> anyhow::Result<()> {
    let schedule = ScheduleConfig { prediction_type: PredictionType::Sample, ..ScheduleConfig::default() };
    let streams = Streams::new(1);
    let weight = streams.draws(0, 0..4).uniform("weight", &[2], (-1.0, 1.0))?;
    let (trained, averaged) = (Var::from_tensor(&weight)?, Var::from_tensor(&weight)?);
    let student = linear(trained.as_tensor().clone());
    let target = linear(averaged.as_detached_tensor());
    let teacher = |_x_t: &Tensor, _t: &Tensor, conds: &Conditions| image(&conds.labels[0]);
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    let mut cfg = DistillConfig { loss_type: LossType::L2, ..DistillConfig::default() };
    cfg.student.num_ddim_timesteps = 8;
    let objective = Distillation::new(&cfg, NoiseSchedule::new(&schedule)?, LabelSpace::new([2]), networks)?;
    let parts = TrainerParts {
        objective: &objective,
        trained: [("weight".to_owned(), trained)].into(),
        averages: vec![MovingAverage::target(
            [("weight".to_owned(), averaged)].into(),
            Averaging::Constant(cfg.ema_decay),
        )],
        streams,
        steps_per_epoch: 100,
    };
    let mut train = TrainConfig::default();
    (train.lr_schedule.lr, train.lr_schedule.warmup_steps) = (1e-2, 10);
    let mut trainer = Trainer::new(&train, parts)?;
    for step in 0..1000 {
        let labels = streams.draws(step, 0..64).below("label", 2)?;
        let report = trainer.step(&TrainBatch::new(image(&labels)?, vec![labels]))?;
        if step % 100 == 0 {
            println!("step {:4}: loss {:.4}", report.step, report.loss);
        }
    }
    Ok(())
}

//! The first stage, on trajectories of the teacher.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use candle_core::{DType, Tensor};
use cccm_distill::{
    DistillConfig, Distillation, Error, LabelSpace, Networks, Objective, TrainBatch, TrajectoryConfig,
};
use cccm_sched::{Conditions, GuidanceConfig, PredictionType, Streams, StudentConfig, Thresholding};

use crate::toy::{Logged, NULL_LABELS, Toy, batch, schedule, weights};

const SOLVER_STEPS: usize = 4;

fn config() -> DistillConfig {
    DistillConfig {
        trajectory: TrajectoryConfig { steps: 10, solver_steps: SOLVER_STEPS },
        student: StudentConfig { first_timestep: Some(799), ..StudentConfig::default() },
        ..DistillConfig::default()
    }
}

fn space(combinations: &[[u32; 2]]) -> LabelSpace {
    LabelSpace {
        combinations: combinations.iter().map(|pair| (*pair).into()).collect(),
        ..LabelSpace::new(NULL_LABELS)
    }
}

/// A teacher that knows one picture, all of whose pixels are the sum of the labels over ten, whatever the noise.
fn flat_teacher(x_t: &Tensor, t: &Tensor, conds: &Conditions) -> candle_core::Result<Tensor> {
    let sum = (conds.labels[0].to_dtype(DType::F32)? + conds.labels[1].to_dtype(DType::F32)?)?;
    let x_0 = x_t.zeros_like()?.broadcast_add(&sum.affine(0.1, 0.0)?.reshape(((), 1, 1, 1))?)?;
    schedule().eps_from_x0(x_t, t, &x_0).map_err(candle_core::Error::wrap)
}

/// What a student was asked in one step: a picture's label sum and timestep for each sample.
fn asked(objective_of: &DistillConfig, steps: std::ops::Range<u64>) -> Result<Vec<Vec<(u32, u32)>>> {
    let log = RefCell::new(Vec::new());
    let student = |x: &Tensor, t: &Tensor, conds: &Conditions| {
        let labels = (&conds.labels[0] + &conds.labels[1])?.to_vec1::<u32>()?;
        log.borrow_mut().push(labels.into_iter().zip(t.to_vec1::<u32>()?).collect());
        Ok(x.clone())
    };
    let networks = Networks { student: &student, target: &student, teacher: &flat_teacher };
    let objective = Distillation::new(objective_of, schedule(), space(&[[0, 0], [2, 1]]), networks)?;
    for step in steps {
        objective.evaluate(&batch(0, 6), &Streams::new(3).draws(step, 0..6), 0.5)?;
    }
    Ok(log.take())
}

#[test]
fn every_point_of_a_trajectory_serves_once() -> Result<()> {
    let asked = asked(&config(), 0..8)?;
    for group in asked.chunks(SOLVER_STEPS) {
        for sample in 0..6 {
            let timesteps: BTreeSet<u32> = group.iter().map(|step| step[sample].1).collect();
            assert_eq!(timesteps, BTreeSet::from([19, 279, 539, 799]));
            let pictures: BTreeSet<u32> = group.iter().map(|step| step[sample].0).collect();
            assert_eq!(pictures.len(), 1, "a trajectory keeps its labels");
        }
    }
    // Samples are not in step, and both combinations are drawn.
    assert!(asked[0].iter().map(|(_, t)| t).collect::<BTreeSet<_>>().len() > 1);
    let pictures: BTreeSet<u32> = asked.iter().flatten().map(|(sum, _)| *sum).collect();
    assert_eq!(pictures, BTreeSet::from([0, 3]));
    Ok(())
}

#[test]
fn a_run_that_goes_on_makes_the_same_trajectories() -> Result<()> {
    assert_eq!(asked(&config(), 6..7)?[0], asked(&config(), 0..7)?[6]);
    Ok(())
}

#[test]
fn pieces_of_a_batch_have_the_samples_of_the_whole() -> Result<()> {
    let (student, teacher) = (Toy::detached(&weights(1)), Toy::detached(&weights(3)));
    let networks = Networks { student: &student, target: &student, teacher: &teacher };
    let objective = Distillation::new(&config(), schedule(), space(&[[0, 0], [2, 1]]), networks)?;
    let (all, draws) = (batch(0, 6), Streams::new(3).draws(2, 0..6));
    let loss = |batch: &TrainBatch, start, len| -> Result<f32> {
        Ok(objective.evaluate(batch, &draws.narrow(start, len), 0.5)?.loss.to_scalar::<f32>()?)
    };
    let whole = loss(&all, 0, 6)?;
    let pieces = (loss(&all.narrow(0, 2)?, 0, 2)? * 2.0 + loss(&all.narrow(2, 4)?, 2, 4)? * 4.0) / 6.0;
    assert!((whole - pieces).abs() < 1e-5 * whole, "{whole} and {pieces}");
    Ok(())
}

#[test]
fn a_student_that_answers_the_end_has_no_loss() -> Result<()> {
    // Guided by w, the teacher's picture is the labels' own moved away from that without labels, 0.5.
    let end = |conds: &Conditions| -> candle_core::Result<Tensor> {
        let sum = (conds.labels[0].to_dtype(DType::F32)? + conds.labels[1].to_dtype(DType::F32)?)?;
        let own = sum.affine(0.1, 0.0)?;
        let shift = (own.affine(1.0, -0.5)? * conds.w.as_ref().unwrap())?;
        (own + shift)?.reshape(((), 1, 1, 1))
    };
    let perfect = |x: &Tensor, _: &Tensor, conds: &Conditions| x.zeros_like()?.broadcast_add(&end(conds)?);
    let clipped = |x: &Tensor, t: &Tensor, conds: &Conditions| perfect(x, t, conds)?.clamp(-1f32, 1f32);
    let loss = |thresholding, student: &dyn cccm_sched::Denoiser| -> Result<f32> {
        let cfg = DistillConfig {
            student_prediction: Some(PredictionType::Sample),
            guidance: GuidanceConfig { thresholding, ..GuidanceConfig::default() },
            ..config()
        };
        let networks = Networks { student, target: student, teacher: &flat_teacher };
        let objective = Distillation::new(&cfg, schedule(), space(&[[0, 0], [2, 1]]), networks)?;
        let evaluation = objective.evaluate(&batch(0, 6), &Streams::new(3).draws(1, 0..6), 0.5)?;
        Ok(evaluation.loss.to_scalar::<f32>()?)
    };
    assert!(loss(Thresholding::None, &perfect)? < 1e-3);
    assert!(loss(Thresholding::None, &clipped)? > 0.03);
    assert!(loss(Thresholding::Clip, &clipped)? < 1e-3);
    Ok(())
}

#[test]
fn the_stage_costs_its_solver_and_ends() -> Result<()> {
    let toy = Toy::detached(&weights(1));
    let (student, target, teacher) = (Logged::new(&toy), Logged::new(&toy), Logged::new(&toy));
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    let objective = Distillation::new(&config(), schedule(), space(&[[0, 0], [2, 1]]), networks)?;
    let step = |step| objective.evaluate(&batch(0, 6), &Streams::new(3).draws(step, 0..6), 0.5);
    let first = step(0)?;
    assert_eq!((first.c_t, first.work.of("teacher").images), (None, 6 * 2 * SOLVER_STEPS as u64));
    assert_eq!(step(1)?.work.of("teacher").images, 0);
    assert_eq!(teacher.take_sizes(), [12; SOLVER_STEPS]);
    assert_eq!((student.take_sizes(), target.take_sizes()), (vec![6, 6], vec![]));
    assert!(step(9)?.c_t.is_none() && step(10)?.c_t.is_some());
    Ok(())
}

#[test]
fn a_student_may_predict_what_its_teacher_does_not() -> Result<()> {
    // One consistency function in three forms: losses agree.
    let answers = BTreeMap::from([
        (PredictionType::Epsilon.to_string(), PredictionType::Epsilon),
        (PredictionType::Sample.to_string(), PredictionType::Sample),
        (PredictionType::VPrediction.to_string(), PredictionType::VPrediction),
    ]);
    let mut losses = Vec::new();
    for prediction in answers.into_values() {
        let in_form = |x: &Tensor, t: &Tensor, _: &Conditions| {
            let (x_0, schedule) = ((x * 0.3)?, schedule().predicting(prediction));
            let eps = schedule.eps_from_x0(x, t, &x_0).map_err(candle_core::Error::wrap)?;
            schedule.prediction_target(&x_0, t, &eps).map_err(candle_core::Error::wrap)
        };
        let teacher = Toy::detached(&weights(3));
        let networks = Networks { student: &in_form, target: &in_form, teacher: &teacher };
        let cfg = DistillConfig { student_prediction: Some(prediction), ..config() };
        let objective = Distillation::new(&cfg, schedule(), space(&[[0, 0]]), networks)?;
        for step in [0, 20] {
            let evaluation = objective.evaluate(&batch(0, 6), &Streams::new(3).draws(step, 0..6), 0.5)?;
            losses.push(evaluation.loss.to_scalar::<f32>()?);
        }
    }
    for forms in losses.chunks(2) {
        for (got, want) in forms.iter().zip(&losses) {
            assert!((got - want).abs() < 1e-4 * want, "{losses:?}");
        }
    }
    Ok(())
}

#[test]
fn bad_settings_are_named() {
    let field = |trajectory, combinations: &[[u32; 2]]| {
        let toy = Toy::detached(&weights(1));
        let networks = Networks { student: &toy, target: &toy, teacher: &toy };
        let cfg = DistillConfig { trajectory, ..config() };
        match Distillation::new(&cfg, schedule(), space(combinations), networks).map(|_| ()) {
            Err(Error::InvalidConfig { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    for solver_steps in [1, 41] {
        assert_eq!(field(TrajectoryConfig { steps: 1, solver_steps }, &[[0, 0]]), "trajectory_solver_steps");
    }
    assert_eq!(field(TrajectoryConfig { steps: 1, solver_steps: 4 }, &[]), "combinations");
}

//! What the published recipe does not have.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use cccm_distill::{
    DataTarget, DistillConfig, DistillInputs, DistillLoss, DistillParts, Distillation, FuseMethod, HatTarget,
    LabelSpace, LossType, Networks, Objective, TeacherSolver, TimestepSampling,
};
use cccm_sched::{Conditions, Streams};
use cccm_tests::{Tolerance, assert_close, assert_close_scalar};

use crate::toy::{IMAGE, Logged, NULL_LABELS, Toy, batch, draws, schedule, weights};

const CLOSE: Tolerance = Tolerance { abs: 0.0, rel: 1e-5 };

fn inputs(w: [f32; 3]) -> DistillInputs {
    let draws = Streams::new(4).draws(0, 0..3);
    let (images, eps) = (batch(0, 3), draws.normal("eps", &IMAGE).unwrap());
    let index = Tensor::new(&[0u32, 20, 49], &Device::Cpu).unwrap();
    let w = Tensor::new(&w, &Device::Cpu).unwrap();
    DistillInputs { x_0: images.x_0, labels: images.labels, index, eps, w }
}

/// A teacher that answers `0.4 x + 0.3`, and `0.4 x + 0.1` without labels.
fn linear_teacher(x: &Tensor, _: &Tensor, conds: &Conditions) -> candle_core::Result<Tensor> {
    let dropped = conds.labels[0].eq(NULL_LABELS[0])?.to_dtype(DType::F32)?;
    (x * 0.4)?.broadcast_add(&dropped.affine(-0.2, 0.3)?.reshape(((), 1, 1, 1))?)
}

fn evaluate(cfg: &DistillConfig, inputs: &DistillInputs, c_t: f64) -> Result<DistillParts> {
    let (student, target) = (Toy::detached(&weights(1)), Toy::detached(&weights(2)));
    let networks = Networks { student: &student, target: &target, teacher: &linear_teacher };
    Ok(DistillLoss::new(cfg, schedule(), NULL_LABELS.to_vec())?.evaluate(&networks, inputs, c_t, &draws())?)
}

fn guided() -> DistillConfig {
    DistillConfig { data_target: DataTarget::Guided, ..Default::default() }
}

/// Each sample times a factor of its own.
fn scaled(x: &Tensor, factors: [f64; 3]) -> Result<Tensor> {
    let factors = Tensor::new(&factors, &Device::Cpu)?.to_dtype(DType::F32)?.reshape(((), 1, 1, 1))?;
    Ok(x.broadcast_mul(&factors)?)
}

#[test]
fn the_guided_real_data_point_is_the_teachers_step_with_the_true_noise_and_image() -> Result<()> {
    let w = [0.5, 1.8, 3.0];
    let inputs = inputs(w);
    let schedule = schedule();
    let alpha_bar = |t: usize| f64::from(schedule.alpha_bar()[t]);
    // Steps 0, 20 and 49 of 50 start at 19, 419 and 999; the first ends at 0.
    let (start, end) = ([19, 419, 999].map(alpha_bar), [0, 399, 979].map(alpha_bar));
    let d_eps = w.map(|w| f64::from(w) * (0.3 - 0.1));
    let d_x0: [f64; 3] = std::array::from_fn(|i| -(1.0 - start[i]).sqrt() / start[i].sqrt() * d_eps[i]);
    let ones = inputs.x_0.ones_like()?;
    let x_0 = (&inputs.x_0 + scaled(&ones, d_x0)?)?;
    let eps = (&inputs.eps + scaled(&ones, d_eps)?)?;
    let want = (scaled(&x_0, end.map(f64::sqrt))? + scaled(&eps, end.map(|ab| (1.0 - ab).sqrt()))?)?;
    for c_t in [1.0, 0.6, 0.0] {
        assert_close(&evaluate(&guided(), &inputs, c_t)?.x_ode, &want, CLOSE)?;
    }
    Ok(())
}

#[test]
fn without_guidance_both_real_data_points_are_one() -> Result<()> {
    let inputs = inputs([0.0; 3]);
    for c_t in [0.6, 0.0] {
        let [published, guided] =
            [DistillConfig::default(), guided()].map(|cfg| evaluate(&cfg, &inputs, c_t));
        let (published, guided) = (published?, guided?);
        assert_close(&guided.x_ode, &published.x_ode, Tolerance { abs: 0.0, rel: 0.0 })?;
        assert_eq!(guided.total.to_scalar::<f32>()?, published.total.to_scalar::<f32>()?);
    }
    Ok(())
}

#[test]
fn a_guided_point_leaves_the_teachers_alone() -> Result<()> {
    let inputs = inputs([0.5, 1.8, 3.0]);
    let parts = |data_target| evaluate(&DistillConfig { data_target, ..Default::default() }, &inputs, 1.0);
    let (published, guided) = (parts(DataTarget::Published)?, parts(DataTarget::Guided)?);
    let exact = Tolerance { abs: 0.0, rel: 0.0 };
    assert_close(&guided.x_teacher.unwrap(), &published.x_teacher.unwrap(), exact)?;
    // At c_t = 1 real data have no share, whatever their point.
    assert_eq!(guided.total.to_scalar::<f32>()?, published.total.to_scalar::<f32>()?);
    assert!(guided.data_part.is_none());
    assert!(assert_close(&guided.x_ode, &published.x_ode, CLOSE).is_err());
    Ok(())
}

#[test]
fn the_teachers_share_is_taken_at_the_point_that_was_chosen() -> Result<()> {
    let inputs = inputs([0.5, 1.8, 3.0]);
    let cfg = |hat_target| DistillConfig { hat_target, ..guided() };
    let exact = Tolerance { abs: 0.0, rel: 0.0 };
    let mixed = evaluate(&cfg(HatTarget::Mixed), &inputs, 0.6)?;
    let point = ((mixed.x_teacher.unwrap() * 0.6)? + (&mixed.x_ode * 0.4)?)?;
    assert_close(&mixed.x_hat, &point, CLOSE)?;
    let pure = evaluate(&cfg(HatTarget::Teacher), &inputs, 0.6)?;
    assert_close(&pure.x_hat, pure.x_teacher.as_ref().unwrap(), exact)?;
    assert_ne!(
        pure.teacher_part.unwrap().to_scalar::<f32>()?,
        mixed.teacher_part.unwrap().to_scalar::<f32>()?
    );
    assert_eq!(pure.data_part.unwrap().to_scalar::<f32>()?, mixed.data_part.unwrap().to_scalar::<f32>()?);
    // At either end there is one point only.
    for c_t in [0.0, 1.0] {
        let [mixed, pure] =
            [HatTarget::Mixed, HatTarget::Teacher].map(|hat| evaluate(&cfg(hat), &inputs, c_t));
        assert_close(&pure?.x_hat, &mixed?.x_hat, CLOSE)?;
    }
    Ok(())
}

#[test]
fn a_guided_point_asks_the_teacher_at_every_c_t_and_nobody_else_more() -> Result<()> {
    let toys = [1, 2, 3].map(|seed| Toy::detached(&weights(seed)));
    let [student, target, teacher] = toys.each_ref().map(|toy| Logged::new(toy));
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    for (fuse_method, c_t, target_sees) in [
        (FuseMethod::StepFuse, 1.0, 3),
        (FuseMethod::StepFuse, 0.6, 3),
        (FuseMethod::StepFuse, 0.0, 3),
        (FuseMethod::LossFuse, 1.0, 3),
        (FuseMethod::LossFuse, 0.6, 6),
        (FuseMethod::LossFuse, 0.0, 3),
    ] {
        let loss =
            DistillLoss::new(&DistillConfig { fuse_method, ..guided() }, schedule(), NULL_LABELS.to_vec())?;
        let parts = loss.evaluate(&networks, &inputs([2.6; 3]), c_t, &draws())?;
        assert_eq!(student.take_sizes(), [3], "student, {fuse_method} at {c_t}");
        assert_eq!(target.take_sizes(), [target_sees], "target, {fuse_method} at {c_t}");
        assert_eq!(teacher.take_sizes(), [6], "teacher, {fuse_method} at {c_t}");
        assert_eq!(parts.x_teacher.is_some(), c_t > 0.0);
        assert!(!parts.x_ode.track_op());
    }
    Ok(())
}

/// Start, end and step of each sample of [`inputs`] in `alpha_bar`.
fn alpha_bars() -> [(f64, f64); 3] {
    let schedule = schedule();
    [(19, 0), (419, 399), (999, 979)]
        .map(|(start, end)| (schedule.alpha_bar()[start].into(), schedule.alpha_bar()[end].into()))
}

/// Heun's step for `dx̄/dσ = slope(x)` from `x`, without a line of the crate.
fn heun(x: f64, (start, end): (f64, f64), slope: impl Fn(f64) -> f64) -> f64 {
    let sigma = |alpha_bar: f64| ((1.0 - alpha_bar) / alpha_bar).sqrt();
    let width = sigma(end) - sigma(start);
    let (scaled, first) = (x / start.sqrt(), slope(x));
    let second = slope((scaled + width * first) * end.sqrt());
    (scaled + width * (first + second) / 2.0) * end.sqrt()
}

#[test]
fn heuns_step_is_that_of_the_variance_exploding_variable() -> Result<()> {
    let w = [0.5, 1.8, 3.0];
    let inputs = inputs(w);
    let cfg = DistillConfig { teacher_solver: TeacherSolver::Heun, ..Default::default() };
    let parts = evaluate(&cfg, &inputs, 0.6)?;
    let flat = |x: &Tensor| x.flatten_from(1).and_then(|x| x.to_vec2::<f32>());
    let (start, end) = (flat(&parts.x_start)?, flat(parts.x_teacher.as_ref().unwrap())?);
    for (sample, alpha_bar) in alpha_bars().into_iter().enumerate() {
        // Guided: 0.4 x + 0.3 and w times its distance from 0.4 x + 0.1.
        let slope = |x: f64| 0.4 * x + 0.3 + f64::from(w[sample]) * 0.2;
        for (x, got) in start[sample].iter().zip(&end[sample]) {
            let want = heun((*x).into(), alpha_bar, slope);
            assert_close_scalar((*got).into(), want, Tolerance { abs: 1e-5, rel: 1e-5 })?;
        }
    }
    Ok(())
}

#[test]
fn heuns_step_stays_nearer_to_the_exact_solution() -> Result<()> {
    // Of images that are all normal with this deviation, both the noise and its flow are known: x̄² grows as s² + σ².
    const STD: f64 = 0.5;
    let schedule = schedule();
    let teacher = |x: &Tensor, t: &Tensor, _: &Conditions| {
        let slope = |t: u32| {
            let alpha_bar = f64::from(schedule.alpha_bar()[t as usize]);
            ((1.0 - alpha_bar).sqrt() / (alpha_bar * STD * STD + 1.0 - alpha_bar)) as f32
        };
        let slopes: Vec<f32> = t.to_vec1::<u32>()?.into_iter().map(slope).collect();
        x.broadcast_mul(&Tensor::new(slopes, &Device::Cpu)?.reshape(((), 1, 1, 1))?)
    };
    let toy = Toy::detached(&weights(1));
    let networks = Networks { student: &toy, target: &toy, teacher: &teacher };
    let inputs = DistillInputs { index: Tensor::new(&[5u32, 15, 25], &Device::Cpu)?, ..inputs([0.0; 3]) };
    let error = |teacher_solver| -> Result<f64> {
        let cfg = DistillConfig { teacher_solver, ..Default::default() };
        let loss = DistillLoss::new(&cfg, schedule.clone(), NULL_LABELS.to_vec())?;
        let parts = loss.evaluate(&networks, &inputs, 1.0, &draws())?;
        let growth = [(119, 99), (319, 299), (519, 499)].map(|(start, end): (usize, usize)| {
            let variance = |t: usize| f64::from(schedule.alpha_bar()[t]).mul_add(STD * STD - 1.0, 1.0);
            (variance(end) / variance(start)).sqrt()
        });
        let off = (parts.x_teacher.unwrap() - scaled(&parts.x_start, growth)?)?;
        Ok(off.sqr()?.mean_all()?.to_scalar::<f32>()?.sqrt().into())
    };
    let (ddim, heun) = (error(TeacherSolver::Ddim)?, error(TeacherSolver::Heun)?);
    assert!(heun < 0.2 * ddim, "{heun} and {ddim}");
    Ok(())
}

#[test]
fn heuns_step_asks_the_teacher_twice_where_its_point_has_a_share() -> Result<()> {
    let toy = Toy::detached(&weights(1));
    for (data_target, c_t, teacher_sees) in [
        (DataTarget::Published, 0.6, vec![6, 6]),
        (DataTarget::Published, 0.0, vec![]),
        (DataTarget::Guided, 1.0, vec![6, 6]),
        (DataTarget::Guided, 0.0, vec![6]),
    ] {
        let teacher = Logged::new(&toy);
        let networks = Networks { student: &toy, target: &toy, teacher: &teacher };
        let cfg = DistillConfig { data_target, teacher_solver: TeacherSolver::Heun, ..Default::default() };
        DistillLoss::new(&cfg, schedule(), NULL_LABELS.to_vec())?.evaluate(
            &networks,
            &inputs([2.6; 3]),
            c_t,
            &draws(),
        )?;
        assert_eq!(teacher.take_sizes(), teacher_sees, "{data_target} at {c_t}");
    }
    Ok(())
}

/// Timesteps that a student is asked at, at one point of the training.
fn timesteps_at(cfg: &DistillConfig, progress: f64) -> Result<BTreeSet<u32>> {
    let seen = RefCell::new(BTreeSet::new());
    let student = |x: &Tensor, t: &Tensor, _: &Conditions| {
        seen.borrow_mut().extend(t.to_vec1::<u32>()?);
        Ok(x.clone())
    };
    let toy = Toy::detached(&weights(1));
    let networks = Networks { student: &student, target: &toy, teacher: &toy };
    let objective = Distillation::new(cfg, schedule(), LabelSpace::new(NULL_LABELS), networks)?;
    objective.evaluate(&batch(0, 500), &Streams::new(1).draws(0, 0..500), progress)?;
    Ok(seen.take())
}

#[test]
fn solver_steps_grow_in_equal_shares_of_the_training() -> Result<()> {
    let grid = |steps: u32| (1..=steps).map(|k| k * (1000 / steps) - 1).collect::<BTreeSet<_>>();
    let growing = DistillConfig { solver_steps_start: Some(10), ..Default::default() };
    for (progress, steps) in
        [(0.01, 10), (0.25, 10), (0.26, 20), (0.5, 20), (0.51, 40), (0.75, 40), (0.8, 50), (1.0, 50)]
    {
        assert_eq!(timesteps_at(&growing, progress)?, grid(steps), "at {progress}");
        assert_eq!(timesteps_at(&DistillConfig::default(), progress)?, grid(50));
    }
    let lognormal = DistillConfig { timestep_sampling: TimestepSampling::Lognormal, ..growing };
    assert!(timesteps_at(&lognormal, 0.3)?.is_subset(&grid(20)));
    Ok(())
}

#[test]
fn solver_steps_that_miss_the_last_timestep_are_refused() {
    let cfg = DistillConfig { solver_steps_start: Some(3), ..Default::default() };
    let error = timesteps_at(&cfg, 0.5).unwrap_err().to_string();
    assert!(error.contains("`solver_steps_start` is 3"), "{error}");
}

#[test]
fn at_low_noise_the_target_is_the_image_itself() -> Result<()> {
    let inputs = inputs([0.5, 1.8, 3.0]);
    // The samples start at 19, 419 and 999.
    let below = |data_below| DistillConfig { data_below, loss_type: LossType::L2, ..guided() };
    for c_t in [0.0, 0.4, 1.0] {
        let without = evaluate(&below(None), &inputs, c_t)?;
        let total = |data_below| -> Result<f64> {
            Ok(evaluate(&below(data_below), &inputs, c_t)?.total.to_scalar::<f32>()?.into())
        };
        assert_eq!(total(Some(18))?, total(None)?);
        let distance = |sample: usize| -> Result<f64> {
            let off = (&without.online - &inputs.x_0)?.get(sample)?.sqr()?.mean_all()?;
            Ok(off.to_scalar::<f32>()?.into())
        };
        let all = (distance(0)? + distance(1)? + distance(2)?) / 3.0;
        assert_close_scalar(total(Some(999))?, all, CLOSE)?;
        // The first sample's answer is its image within rounding: its step ends where nothing is left to denoise.
        assert_close_scalar(total(Some(418))?, total(None)?, CLOSE)?;
        assert!((total(Some(419))? - total(None)?).abs() > 1e-4);
    }
    Ok(())
}

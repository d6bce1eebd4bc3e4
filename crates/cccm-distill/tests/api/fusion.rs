//! The distillation loss.

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use cccm_distill::{
    DistillConfig, DistillInputs, DistillLoss, DistillParts, Error, FuseMethod, LossType, Networks,
};
use cccm_sched::{Conditions, Denoiser, NoiseSchedule, PredictionType, ScheduleConfig, Streams};
use cccm_tests::{Tolerance, assert_close, assert_close_scalar};

use crate::toy::{IMAGE, Logged, NULL_LABELS, Toy, batch, draws, schedule, weights};

const METHODS: [FuseMethod; 2] = [FuseMethod::StepFuse, FuseMethod::LossFuse];

fn loss(fuse_method: FuseMethod) -> DistillLoss {
    let cfg = DistillConfig { fuse_method, ..Default::default() };
    DistillLoss::new(&cfg, schedule(), NULL_LABELS.to_vec()).unwrap()
}

fn inputs() -> DistillInputs {
    let draws = Streams::new(4).draws(0, 0..3);
    let (images, eps) = (batch(0, 3), draws.normal("eps", &IMAGE).unwrap());
    let index = Tensor::new(&[0u32, 20, 49], &Device::Cpu).unwrap();
    let w = Tensor::new(&[2.6f32, 2.8, 3.0], &Device::Cpu).unwrap();
    DistillInputs { x_0: images.x_0, labels: images.labels, index, eps, w }
}

fn total(parts: &DistillParts) -> Result<f64> {
    Ok(parts.total.to_scalar::<f32>()?.into())
}

#[test]
fn the_students_dropout_is_on_and_repeatable() -> Result<()> {
    let (toy, teacher) = (weights(1), Toy::detached(&weights(3)));
    let loss = |dropout: f64| -> Result<f64> {
        let (student, target) = (Toy::tracked(&toy).with_dropout(dropout), Toy::detached(&toy));
        let networks = Networks { student: &student, target: &target, teacher: &teacher };
        total(&loss(FuseMethod::LossFuse).evaluate(&networks, &inputs(), 0.6, &draws())?)
    };
    assert_ne!(loss(0.5)?, loss(0.0)?);
    assert_eq!(loss(0.5)?, loss(0.5)?);
    Ok(())
}

#[test]
fn no_network_is_asked_for_an_answer_of_weight_0() -> Result<()> {
    let (student, target, teacher) = (weights(1), weights(2), weights(3));
    let (student, target, teacher) =
        (Toy::tracked(&student), Toy::detached(&target), Toy::detached(&teacher));
    let (student, target, teacher) = (Logged::new(&student), Logged::new(&target), Logged::new(&teacher));
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    // Sizes of the batches that the teacher and the target see, for a batch of 3.
    let both = vec![6];
    for (method, c_t, teacher_sees, target_sees) in [
        (FuseMethod::StepFuse, 1.0, both.clone(), vec![3]),
        (FuseMethod::StepFuse, 0.6, both.clone(), vec![3]),
        (FuseMethod::StepFuse, 0.0, vec![], vec![3]),
        (FuseMethod::LossFuse, 1.0, both.clone(), vec![3]),
        (FuseMethod::LossFuse, 0.6, both.clone(), both.clone()),
        (FuseMethod::LossFuse, 0.0, vec![], vec![3]),
    ] {
        let parts = loss(method).evaluate(&networks, &inputs(), c_t, &draws())?;
        assert_eq!(student.take_sizes(), [3], "student, {method} at {c_t}");
        assert_eq!(target.take_sizes(), target_sees, "target, {method} at {c_t}");
        assert_eq!(teacher.take_sizes(), teacher_sees, "teacher, {method} at {c_t}");
        assert_eq!(parts.x_teacher.is_some(), c_t > 0.0);
        let mixes = method == FuseMethod::LossFuse;
        assert_eq!(parts.teacher_part.is_some(), mixes && c_t > 0.0);
        assert_eq!(parts.data_part.is_some(), mixes && c_t < 1.0);
    }
    Ok(())
}

#[test]
fn the_teacher_is_asked_without_and_the_others_with_w() -> Result<()> {
    let toy = Toy::detached(&weights(1));
    let (student, target, teacher) = (Logged::new(&toy), Logged::new(&toy), Logged::new(&toy));
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    let inputs = inputs();
    loss(FuseMethod::LossFuse).evaluate(&networks, &inputs, 0.5, &draws())?;

    let [student, target, teacher] = [student, target, teacher].map(|logged| logged.take_conds().remove(0));
    let label = |conds: &Conditions, kind: usize| conds.labels[kind].to_vec1::<u32>();
    let given = inputs.labels[1].to_vec1::<u32>()?;
    assert_eq!(label(&student, 1)?, given);
    assert_eq!(label(&target, 1)?, [given.clone(), given.clone()].concat());
    assert_eq!(label(&teacher, 1)?, [given, vec![NULL_LABELS[1]; 3]].concat());
    assert!(teacher.w.is_none());
    assert_eq!(student.w.unwrap().to_vec1::<f32>()?, [2.6, 2.8, 3.0]);
    assert_eq!(target.w.unwrap().dims(), [6]);
    Ok(())
}

#[test]
fn gradients_flow_through_the_student_alone() -> Result<()> {
    let (student, target, teacher) = (weights(1), weights(2), weights(3));
    let tracked = [&student, &target, &teacher].map(Toy::tracked);
    let networks = Networks { student: &tracked[0], target: &tracked[1], teacher: &tracked[2] };
    let (x_0, eps) = (Var::from_tensor(&inputs().x_0)?, Var::from_tensor(&inputs().eps)?);
    let inputs = DistillInputs { x_0: x_0.as_tensor().clone(), eps: eps.as_tensor().clone(), ..inputs() };
    for method in METHODS {
        let parts = loss(method).evaluate(&networks, &inputs, 0.6, &draws())?;
        let grads = parts.total.backward()?;
        for (name, var) in &student {
            let grad = grads.get(var).unwrap().abs()?.sum_all()?.to_scalar::<f32>()?;
            assert!(grad > 0.0 && grad.is_finite(), "{method}: gradient of `{name}` is {grad}");
        }
        for var in target.values().chain(teacher.values()).chain([&x_0, &eps]) {
            assert!(grads.get(var).is_none(), "{method}");
        }
        let others = [parts.x_start, parts.x_ode, parts.x_hat, parts.x_teacher.unwrap()];
        let shares = [parts.teacher_part, parts.data_part].into_iter().flatten();
        assert!(others.into_iter().chain(shares).all(|tensor| !tensor.track_op()));
    }
    Ok(())
}

/// The formulas for one pixel in `f64`, without a line of the crate.
mod by_hand {
    use cccm_distill::{FuseMethod, LossType};

    pub(crate) const X_0: f64 = 0.5;
    pub(crate) const EPS: f64 = -1.25;
    pub(crate) const W: f64 = 2.8;
    /// Timesteps of solver step 25.
    pub(crate) const T: (f64, f64) = (519.0, 499.0);

    pub(crate) fn student(x: f64) -> f64 {
        0.5 * x + 0.05 * W
    }

    pub(crate) fn target(x: f64) -> f64 {
        0.7 * x - 0.02 * W
    }

    /// Conditional and unconditional.
    pub(crate) fn teacher(x: f64) -> (f64, f64) {
        (0.4 * x + 0.3, 0.4 * x + 0.1)
    }

    fn x0_from_eps(ab: f64, x: f64, eps: f64) -> f64 {
        (x - (1.0 - ab).sqrt() * eps) / ab.sqrt()
    }

    fn f(ab: f64, t: f64, x: f64, eps: f64) -> f64 {
        let s = 10.0 * t;
        0.25 / (s * s + 0.25) * x + s / (s * s + 0.25).sqrt() * x0_from_eps(ab, x, eps)
    }

    fn distance(kind: LossType, a: f64, b: f64) -> f64 {
        let square = (a - b).powi(2);
        match kind {
            // Of a sample with one value they are the same.
            LossType::Huber | LossType::SampleHuber => (square + 1e-6).sqrt() - 0.001,
            LossType::L2 => square,
        }
    }

    pub(crate) fn loss(method: FuseMethod, kind: LossType, c_t: f64, (ab_start, ab_end): (f64, f64)) -> f64 {
        let noised = |ab: f64| ab.sqrt() * X_0 + (1.0 - ab).sqrt() * EPS;
        let (x_start, x_ode) = (noised(ab_start), noised(ab_end));
        let (cond, uncond) = teacher(x_start);
        let eps = cond + W * (cond - uncond);
        let (x0_cond, x0_uncond) =
            (x0_from_eps(ab_start, x_start, cond), x0_from_eps(ab_start, x_start, uncond));
        let x0 = x0_cond + W * (x0_cond - x0_uncond);
        let x_teacher = ab_end.sqrt() * x0 + (1.0 - ab_end).sqrt() * eps;
        let x_hat = c_t * x_teacher + (1.0 - c_t) * x_ode;

        let y = f(ab_start, T.0, x_start, student(x_start));
        let to = |x: f64| distance(kind, y, f(ab_end, T.1, x, target(x)));
        match method {
            FuseMethod::StepFuse => to(x_hat),
            _ => c_t * to(x_hat) + (1.0 - c_t) * to(x_ode),
        }
    }
}

#[test]
fn losses_equal_those_computed_by_hand() -> Result<()> {
    let pixel = |value: f64| Tensor::full(value as f32, (1, 1, 1, 1), &Device::Cpu);
    let inputs = DistillInputs {
        x_0: pixel(by_hand::X_0)?,
        labels: vec![Tensor::new(&[0u32], &Device::Cpu)?],
        index: Tensor::new(&[25u32], &Device::Cpu)?,
        eps: pixel(by_hand::EPS)?,
        w: Tensor::new(&[by_hand::W as f32], &Device::Cpu)?,
    };
    let linear =
        |slope: f64, offset: f64| move |x: &Tensor, _: &Tensor, _: &Conditions| x.affine(slope, offset);
    let (student, target) = (linear(0.5, by_hand::student(0.0)), linear(0.7, by_hand::target(0.0)));
    // Label 0 and its null token 1.
    let teacher = |x: &Tensor, _: &Tensor, conds: &Conditions| {
        let (cond, uncond) = by_hand::teacher(0.0);
        let offset = conds.labels[0].to_dtype(DType::F32)?.affine(uncond - cond, cond)?;
        x.affine(0.4, 0.0)?.broadcast_add(&offset.reshape(((), 1, 1, 1))?)
    };
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    let schedule = schedule();
    let alpha_bar = (f64::from(schedule.alpha_bar()[519]), f64::from(schedule.alpha_bar()[499]));

    for method in METHODS {
        for loss_type in [LossType::Huber, LossType::SampleHuber, LossType::L2] {
            let cfg = DistillConfig { fuse_method: method, loss_type, ..Default::default() };
            let loss = DistillLoss::new(&cfg, schedule.clone(), vec![1])?;
            for c_t in [1.0, 0.6, 0.25, 0.0] {
                let want = by_hand::loss(method, loss_type, c_t, alpha_bar);
                let parts = loss.evaluate(&networks, &inputs, c_t, &draws())?;
                assert_close_scalar(total(&parts)?, want, Tolerance { abs: 0.0, rel: 1e-5 })?;
                let shares = [parts.teacher_part, parts.data_part].into_iter().flatten();
                let shares = shares.map(|share| share.to_scalar::<f32>()).sum::<Result<f32, _>>()?;
                if method == FuseMethod::LossFuse {
                    assert_close_scalar(shares.into(), want, Tolerance { abs: 0.0, rel: 1e-5 })?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn at_either_end_of_c_t_all_methods_are_one() -> Result<()> {
    let (student, target, teacher) = (weights(1), weights(2), weights(3));
    let toys = [&student, &target, &teacher].map(Toy::detached);
    let networks = Networks { student: &toys[0], target: &toys[1], teacher: &toys[2] };
    for c_t in [0.0, 1.0] {
        let [step, loss] = METHODS.map(|method| loss(method).evaluate(&networks, &inputs(), c_t, &draws()));
        assert_eq!(total(&step?)?, total(&loss?)?);
    }
    Ok(())
}

#[test]
fn the_loss_does_not_depend_on_what_networks_predict() -> Result<()> {
    let (student, target, teacher) = (weights(1), weights(2), weights(3));
    let toys = [&student, &target, &teacher].map(Toy::detached);
    // Low noise, where `x_0` and noise are well determined by each other in f32.
    let inputs = DistillInputs { index: Tensor::new(&[3u32, 9, 20], &Device::Cpu)?, ..inputs() };
    let mut losses = Vec::new();
    for prediction_type in [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction] {
        let schedule = NoiseSchedule::new(&ScheduleConfig { prediction_type, ..Default::default() })?;
        // The same networks, saying it in other words.
        let worded = toys.each_ref().map(|toy| {
            let schedule = schedule.clone();
            move |x: &Tensor, t: &Tensor, conds: &Conditions| {
                let eps = toy.predict(x, t, conds)?;
                let x_0 = schedule.x0_from_eps(x, t, &eps).map_err(candle_core::Error::wrap)?;
                schedule.prediction_target(&x_0, t, &eps).map_err(candle_core::Error::wrap)
            }
        });
        let networks = Networks { student: &worded[0], target: &worded[1], teacher: &worded[2] };
        let loss = DistillLoss::new(&DistillConfig::default(), schedule.clone(), NULL_LABELS.to_vec())?;
        losses.push(total(&loss.evaluate(&networks, &inputs, 0.6, &draws())?)?);
    }
    for other in &losses[1..] {
        assert_close_scalar(*other, losses[0], Tolerance { abs: 0.0, rel: 1e-4 })?;
    }
    Ok(())
}

#[test]
fn networks_may_answer_in_half_precision() -> Result<()> {
    let toy = Toy::detached(&weights(1));
    let half = |x: &Tensor, t: &Tensor, conds: &Conditions| toy.predict(x, t, conds)?.to_dtype(DType::BF16);
    let networks = |network| Networks { student: network, target: network, teacher: network };
    let rounded = loss(FuseMethod::LossFuse).evaluate(&networks(&half), &inputs(), 0.6, &draws())?;
    let exact = loss(FuseMethod::LossFuse).evaluate(&networks(&toy), &inputs(), 0.6, &draws())?;
    assert_eq!(rounded.total.dtype(), DType::F32);
    // bf16 keeps 8 bits of each answer, which the guidance magnifies.
    assert_close(&rounded.x_hat, &exact.x_hat, Tolerance { abs: 0.0, rel: 0.02 })
}

#[test]
fn bad_inputs_are_named() {
    let toy = Toy::detached(&weights(1));
    let networks = Networks { student: &toy, target: &toy, teacher: &toy };
    let loss = loss(FuseMethod::LossFuse);
    for c_t in [-0.1, 1.1, f64::NAN] {
        let error = loss.evaluate(&networks, &inputs(), c_t, &draws()).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { field: "c_t", .. }), "{error}");
    }
    let index = Tensor::new(&[0u32, 50, 1], &Device::Cpu).unwrap();
    let error = loss.evaluate(&networks, &DistillInputs { index, ..inputs() }, 0.5, &draws()).unwrap_err();
    assert!(matches!(error, Error::Sched(_)) && error.to_string().contains("50"), "{error}");
    let labels = inputs().labels[..1].to_vec();
    assert!(loss.evaluate(&networks, &DistillInputs { labels, ..inputs() }, 0.5, &draws()).is_err());
}

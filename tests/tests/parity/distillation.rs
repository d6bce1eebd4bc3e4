//! Losses, gradients and optimizer steps of the distillation.

use std::collections::BTreeMap;

use candle_core::Tensor;
use cccm_distill::{DistillConfig, DistillLoss, DistillParts, FuseMethod, LossType, Networks};
use cccm_optim::{AdamW, AdamWConfig, Ema, clip_factor, global_norm, gradients};
use cccm_sched::{Denoiser, FuseSchedule, NoiseSchedule, ScheduleConfig, Streams};
use cccm_tests::{Tolerance, assert_close, assert_close_scalar};
use cccm_unet::{Parameters, UNet};

use crate::case::Case;
use crate::{FIXTURES, Kernels, on_all_kernels};

const OUTPUTS: Tolerance = Tolerance { abs: 1e-6, rel: 1e-5 };
/// Some gradients are zero but for rounding, where a normalisation erases what they would change: the floor is that
/// rounding, seen against gradient norms of 70 (Huber) and 17,000 (L2).
const HUBER_GRADIENTS: Tolerance = Tolerance { abs: 1e-4, rel: 1e-4 };
/// Of a batch with a pixel at the kink, where a difference in the 7th digit of a prediction is one in the 4th of its
/// gradient. PyTorch misses its own gradients by 3.8e-4 on another CPU than the fixture's, by 4.6e-4 without oneDNN, by
/// up to 6.1e-4 with its weights perturbed by 6e-8.
const GRADIENTS_AT_KINK: Tolerance = Tolerance { abs: 1e-4, rel: 3e-4 };
const L2_GRADIENTS: Tolerance = Tolerance { abs: 2e-2, rel: 1e-4 };

/// Of one loss.
struct Allowed {
    outputs: Tolerance,
    gradients: Tolerance,
}

/// The three networks of a fixture.
struct Trio {
    student: UNet,
    target: UNet,
    teacher: UNet,
    trained: Parameters,
    averaged: Parameters,
}

impl Trio {
    fn new(case: &Case) -> anyhow::Result<Self> {
        let (trained, averaged) = (case.parameters("student")?, case.parameters("target")?);
        Ok(Self {
            student: UNet::trainable(&case.unet, case.tables, &trained)?,
            target: UNet::frozen(&case.unet, case.tables, &averaged)?,
            teacher: UNet::frozen(&case.teacher_unet(), case.tables, &case.parameters("teacher")?)?,
            trained,
            averaged,
        })
    }

    fn evaluate(
        &self,
        case: &Case,
        method: FuseMethod,
        kind: LossType,
        c_t: f64,
    ) -> anyhow::Result<DistillParts> {
        // A loss is asked at a given c_t; the schedule plays no part.
        let fuse_schedule = FuseSchedule::OnlyTeacher;
        let cfg = DistillConfig { fuse_method: method, loss_type: kind, fuse_schedule, ..Default::default() };
        let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
        let loss = DistillLoss::new(&cfg, schedule, self.teacher.null_labels().to_vec())?;
        let networks = Networks { student: &self.student, target: &self.target, teacher: &self.teacher };
        // Without dropout in the student, nothing is drawn.
        Ok(loss.evaluate(&networks, &case.inputs()?, c_t, &Streams::new(0).draws(0, 0..1))?)
    }

    fn gradients(&self, parts: &DistillParts) -> anyhow::Result<BTreeMap<String, Tensor>> {
        Ok(gradients(self.trained.vars(), &parts.total.backward()?)?)
    }
}

#[test]
fn losses_and_gradients_match_pytorch() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        for name in FIXTURES {
            let case = Case::load(name, kernels)?;
            let trio = Trio::new(&case)?;
            for method in [FuseMethod::StepFuse, FuseMethod::LossFuse] {
                for kind in [LossType::Huber, LossType::L2] {
                    for c_t in [1.0, 0.6, 0.0] {
                        let at_kink = name == "unetic" && !matches!(kernels, Kernels::ThisCpu);
                        let huber = if at_kink { GRADIENTS_AT_KINK } else { HUBER_GRADIENTS };
                        let gradients = if kind == LossType::Huber { huber } else { L2_GRADIENTS };
                        let allowed = Allowed { outputs: kernels.tolerance(OUTPUTS), gradients };
                        check_loss(&case, &trio, method, kind, c_t, allowed)?;
                    }
                }
            }
        }
        Ok(())
    })
}

fn check_loss(
    case: &Case,
    trio: &Trio,
    method: FuseMethod,
    kind: LossType,
    c_t: f64,
    allowed: Allowed,
) -> anyhow::Result<()> {
    let key = format!("{method}.{c_t}.{kind}");
    let want = &case.fx.json()["losses"][&key];
    let number = |name: &str| want[name].as_f64().unwrap_or(f64::NAN);
    let parts = trio.evaluate(case, method, kind, c_t)?;
    assert_close_scalar(parts.total.to_scalar::<f32>()?.into(), number("loss"), allowed.outputs)?;
    let grads = trio.gradients(&parts)?;
    assert_close_scalar(global_norm(&grads)?, number("grad_norm"), Tolerance { abs: 0.0, rel: 1e-4 })?;

    let stored = format!("{key}.grad.");
    for (name, want) in case.fx.tensors().iter().filter_map(|(n, t)| Some((n.strip_prefix(&stored)?, t))) {
        assert_close(&grads[name], want, allowed.gradients)
            .map_err(|error| error.context(format!("{key} {name}")))?;
    }
    let points =
        [("online", Some(&parts.online)), ("x_start", Some(&parts.x_start)), ("x_ode", Some(&parts.x_ode))];
    for (name, got) in
        points.into_iter().chain([("x_hat", Some(&parts.x_hat)), ("x_teacher", parts.x_teacher.as_ref())])
    {
        if let (Some(got), Ok(want)) = (got, case.fx.tensor(&format!("{key}.{name}"))) {
            assert_close(got, want, allowed.outputs)
                .map_err(|error| error.context(format!("{key} {name}")))?;
        }
    }
    Ok(())
}

#[test]
fn three_steps_of_adamw_and_ema_match_pytorch() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        for name in FIXTURES {
            let case = Case::load(name, kernels)?;
            let trio = Trio::new(&case)?;
            let hyper = case.fx.json()["adamw"].clone();
            let number = |name: &str| hyper[name].as_f64().unwrap_or(f64::NAN);
            let cfg = AdamWConfig {
                beta1: number("beta1"),
                beta2: number("beta2"),
                eps: number("eps"),
                weight_decay: number("weight_decay"),
            };
            let mut optimizer = AdamW::new(trio.trained.vars().clone(), cfg)?;
            let ema = Ema::new(number("ema_decay"))?;
            for step in 0..3 {
                let parts = trio.evaluate(&case, FuseMethod::LossFuse, LossType::Huber, 0.6)?;
                let grads = trio.gradients(&parts)?;
                let norm = global_norm(&grads)?;
                let want = &case.fx.json()["adamw_trace"][step];
                let tolerance =
                    Tolerance { abs: 0.0, rel: if step == 0 { 1e-4 } else { after_a_step(name) } };
                let wanted = |name: &str| want[name].as_f64().unwrap_or(f64::NAN);
                assert_close_scalar(parts.total.to_scalar::<f32>()?.into(), wanted("loss"), tolerance)?;
                assert_close_scalar(norm, wanted("grad_norm"), tolerance)?;
                optimizer.step(&grads, number("lr"), clip_factor(norm, number("max_grad_norm")))?;
                ema.update(trio.averaged.vars(), trio.trained.vars())?;
            }
            let (x_t, t, conds) = (case.noise("x_t")?, case.t()?, case.conditions()?.with_w(case.w()?));
            let tolerance = Tolerance { abs: 1e-4, rel: after_a_step(name) };
            for (name, network) in [("after3.student", &trio.student), ("after3.target", &trio.target)] {
                assert_close(&network.predict(&x_t, &t, &conds)?.detach(), case.fx.tensor(name)?, tolerance)?;
            }
        }
        Ok(())
    })
}

/// Relative tolerance once an optimizer step was made. AdamW's first steps are the gradients' signs, and a gradient that
/// is zero but for rounding has a random one.
///
/// In one fixture that puts a pixel on the kink of the Huber distance: there PyTorch itself jumps between gradient norms
/// of 59.34 and 59.76, and predictions 2 % apart, in 6 of 12 runs
/// with its weights perturbed by 1e-7 to 2e-6.
fn after_a_step(fixture: &str) -> f64 {
    if fixture == "unetic" { 3e-2 } else { 1e-4 }
}

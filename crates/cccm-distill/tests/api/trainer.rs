//! The training loop, for distillation and for teachers.

use std::cell::Cell;
use std::ops::ControlFlow;

use anyhow::Result;
use candle_core::{Tensor, Var};
use cccm_distill::{
    Averaging, BoxError, DistillConfig, Distillation, Ending, Error, Evaluation, FuseMethod, LabelSpace,
    MovingAverage, Networks, Objective, Reporter, Span, StepReport, TeacherConfig, TeacherTraining,
    TrainBatch, TrainConfig, Trainer, TrainerParts, Work,
};
use cccm_optim::{AdamWConfig, LrSchedule, LrScheduleConfig};
use cccm_sched::{Conditions, Draws, FuseSchedule, Streams, StudentConfig};
use cccm_tests::{Tolerance, assert_close_scalar};

use crate::toy::{
    NULL_LABELS, Toy, Weights, assert_close_terms, batch, batches, broken_batch, schedule, values, weights,
};

pub(crate) fn config(steps: u64) -> TrainConfig {
    let lr_schedule =
        LrScheduleConfig { schedule: LrSchedule::Constant, lr: 0.01, ..LrScheduleConfig::default() };
    TrainConfig { length: Span::Steps(steps), lr_schedule, ..TrainConfig::default() }
}

/// Weights of a student and of its target, before training.
pub(crate) fn start() -> (Weights, Weights) {
    (weights(1), weights(2))
}

pub(crate) fn parts<'a>(
    objective: &'a dyn Objective,
    (trained, target): &(Weights, Weights),
) -> TrainerParts<'a> {
    TrainerParts {
        objective,
        trained: trained.clone(),
        averages: vec![MovingAverage::target(target.clone(), Averaging::Constant(0.9))],
        streams: Streams::new(7),
        steps_per_epoch: 4,
    }
}

/// Distils a toy teacher, and hands the trainer to `then`. An average to sample from starts as the target.
pub(crate) fn distil<T>(
    train: &TrainConfig,
    cfg: &DistillConfig,
    vars: &(Weights, Weights),
    then: impl FnOnce(&mut Trainer<'_>) -> T,
) -> T {
    let teacher = Toy::detached(&weights(3));
    let (student, target) = (Toy::tracked(&vars.0), Toy::detached(&vars.1));
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    let objective = Distillation::new(cfg, schedule(), LabelSpace::new(NULL_LABELS), networks).unwrap();
    let mut parts = parts(&objective, vars);
    let copy = |(name, var): (&String, &Var)| (name.clone(), Var::from_tensor(&var.copy().unwrap()).unwrap());
    let slow = |decay| MovingAverage::sampling(vars.1.iter().map(copy).collect(), decay);
    parts.averages.extend(cfg.sampling_ema_decay.map(slow));
    then(&mut Trainer::new(train, parts).unwrap())
}

/// Trains a toy teacher with dropout.
pub(crate) fn train_teacher<T>(
    train: &TrainConfig,
    vars: &(Weights, Weights),
    then: impl FnOnce(&mut Trainer<'_>) -> T,
) -> T {
    let network = Toy::tracked(&vars.0).with_dropout(0.5);
    let cfg = TeacherConfig::default();
    let objective = TeacherTraining::new(&cfg, schedule(), NULL_LABELS.to_vec(), &network).unwrap();
    // A teacher takes no guidance weight, so that its variable would get no gradient.
    let vars = [&vars.0, &vars.1].map(|vars| {
        vars.iter().filter(|(name, _)| *name != "guide").map(|(n, v)| (n.clone(), v.clone())).collect()
    });
    then(&mut Trainer::new(train, parts(&objective, &vars.into())).unwrap())
}

#[test]
fn both_kinds_of_training_reduce_their_loss() -> Result<()> {
    let mean = |reports: &[StepReport]| reports.iter().map(|r| r.loss).sum::<f64>() / reports.len() as f64;
    let steps = |trainer: &mut Trainer<'_>| (0..200).map(|i| trainer.step(&batch(i, 16))).collect();
    // At low noise, where answers are not magnified.
    let only_ode = DistillConfig { fuse_schedule: FuseSchedule::OnlyOde, ..Default::default() };
    let distilled: Result<Vec<_>, _> = distil(&config(200), &only_ode, &start(), steps);
    let taught: Result<Vec<_>, _> = train_teacher(&config(200), &start(), steps);
    for reports in [distilled?, taught?] {
        let (first, last) = (mean(&reports[..20]), mean(&reports[180..]));
        assert!(last < 0.8 * first, "{first} became {last}");
    }
    Ok(())
}

#[test]
fn a_batch_in_pieces_is_the_same_step() -> Result<()> {
    const CLOSE: Tolerance = Tolerance { abs: 1e-7, rel: 1e-5 };
    type Train = fn(&TrainConfig, &(Weights, Weights)) -> Result<Vec<StepReport>, Error>;
    let distil: Train = |train, vars| {
        distil(train, &DistillConfig::default(), vars, |t| (0..3).map(|i| t.step(&batch(i, 8))).collect())
    };
    let teach: Train =
        |train, vars| train_teacher(train, vars, |t| (0..3).map(|i| t.step(&batch(i, 8))).collect());
    for train in [distil, teach] {
        let whole = start();
        let want = train(&config(3), &whole)?;
        // Three pieces of 8 samples differ in size; of 20 there can be but 8.
        for pieces in [2, 3, 4, 20] {
            let split = start();
            let cfg = TrainConfig { gradient_accumulation_steps: pieces, ..config(3) };
            for (got, want) in train(&cfg, &split)?.iter().zip(&want) {
                assert_close_scalar(got.loss, want.loss, CLOSE)?;
                assert_close_scalar(got.grad_norm, want.grad_norm, CLOSE)?;
                assert_eq!(got.work.of("teacher").images, want.work.of("teacher").images);
                assert_close_terms(got, want)?;
            }
            for (got, want) in [(&split.0, &whole.0), (&split.1, &whole.1)] {
                for (got, want) in values(got).iter().zip(values(want)) {
                    assert!((got - want).abs() < 1e-5, "{pieces} pieces: {got} instead of {want}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn one_step_is_clipped_adamw_and_then_the_average() -> Result<()> {
    let vars = start();
    let (student, target) = (values(&vars.0), values(&vars.1));
    // With a huge eps, AdamW's first step is `-lr * gradient / eps`, where clipping shows.
    let (lr, eps, max_grad_norm) = (1e6, 1e6, 0.25);
    let train = TrainConfig {
        lr_schedule: LrScheduleConfig { lr, ..config(1).lr_schedule },
        optimizer: AdamWConfig { eps, ..Default::default() },
        max_grad_norm,
        ..config(1)
    };
    let report = distil(&train, &DistillConfig::default(), &vars, |t| t.step(&batch(0, 8)))?;
    assert!(report.grad_norm > max_grad_norm);
    let moved: Vec<f64> =
        values(&vars.0).iter().zip(&student).map(|(new, old)| f64::from(new - old)).collect();
    let norm = moved.iter().map(|m| m * m).sum::<f64>().sqrt();
    assert_close_scalar(norm, lr * max_grad_norm / eps, Tolerance { abs: 0.0, rel: 1e-4 })?;
    for ((got, old), new) in values(&vars.1).iter().zip(target).zip(values(&vars.0)) {
        assert!((got - (0.9 * old + 0.1 * new)).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn a_slow_average_follows_the_student_and_changes_nothing_else() -> Result<()> {
    let sampling = |sampling_ema_decay| DistillConfig { sampling_ema_decay, ..Default::default() };
    let (plain, vars) = (start(), start());
    distil(&config(4), &sampling(None), &plain, |t| (0..4).try_for_each(|i| t.step(&batch(i, 8)).map(drop)))?;
    let mut want = values(&vars.1);
    distil(&config(4), &sampling(Some(0.3)), &vars, |trainer| -> Result<()> {
        // Less stays in the beginning: 1/10, 2/11, 3/12 after 0, 1, 2 updates, and never more than 0.3.
        for (step, stays) in [0.1, 2.0 / 11.0, 0.25, 0.3].into_iter().enumerate() {
            trainer.step(&batch(step as u64, 8))?;
            let student = values(&vars.0);
            want.iter_mut().zip(student).for_each(|(mean, new)| *mean = stays * *mean + (1.0 - stays) * new);
            let names: Vec<_> = trainer.averages().iter().map(|average| average.name).collect();
            assert_eq!(names, ["target", "sampling"]);
            for (got, want) in values(&trainer.averages()[1].vars).iter().zip(&want) {
                assert!((got - want).abs() < 1e-6, "step {step}: {got} instead of {want}");
            }
        }
        Ok(())
    })?;
    assert_eq!((values(&vars.0), values(&vars.1)), (values(&plain.0), values(&plain.1)));
    Ok(())
}

#[test]
fn learning_rate_epoch_and_c_t_follow_their_schedules() -> Result<()> {
    let train = TrainConfig {
        length: Span::Epochs(3),
        lr_schedule: LrScheduleConfig {
            warmup_steps: 4,
            lr: 0.01,
            schedule: LrSchedule::Linear,
            ..Default::default()
        },
        ..TrainConfig::default()
    };
    let mut reports = Recorder::default();
    distil(&train, &DistillConfig::default(), &start(), |t| t.run(batches(), &mut reports))?;
    let column = |f: fn(&StepReport) -> f64| reports.steps.iter().map(f).collect::<Vec<_>>();
    assert_eq!(column(|r| r.step as f64), (1..=12).map(f64::from).collect::<Vec<_>>());
    assert_eq!(column(|r| r.epoch as f64), [1., 1., 1., 1., 2., 2., 2., 2., 3., 3., 3., 3.]);
    assert_eq!(column(|r| r.lr)[..5], [0.0, 0.0025, 0.005, 0.0075, 0.01]);
    assert!((column(|r| r.lr)[11] - 0.01 / 8.0).abs() < 1e-12);
    // `piecewise 1:0` at the progress of epochs 1 to 3 of 3; then the teacher rests.
    let c_t = [0.6667; 4].into_iter().chain([0.3333; 4]).chain([0.0; 4]).collect::<Vec<_>>();
    assert_eq!(column(|r| r.c_t.unwrap()), c_t);
    assert_eq!(column(|r| r.work.of("teacher").images as f64)[..], [vec![16.0; 8], vec![0.0; 4]].concat());
    assert_eq!(column(|r| r.work.of("target").images as f64)[..], [vec![16.0; 8], vec![8.0; 4]].concat());
    assert_eq!(column(|r| r.work.of("student").images as f64), [8.0; 12]);
    for report in &reports.steps {
        let shares = report.terms["teacher_part"].unwrap_or(0.0) + report.terms["data_part"].unwrap();
        assert!((shares - report.loss).abs() < 1e-6 * report.loss);
        let phases =
            report.data_secs + report.backward_secs + report.optimizer_secs + report.work.of("student").secs;
        assert!(0.0 < phases && phases <= report.total_secs, "{report:?}");
    }
    Ok(())
}

#[test]
fn switch_never_asks_the_teacher_after_the_switch() -> Result<()> {
    let (asked, step) = (Cell::new(0), Cell::new(0));
    let teacher = |x: &Tensor, _: &Tensor, _: &Conditions| {
        assert!(step.get() < 20, "the teacher was asked in step {}", step.get());
        asked.set(asked.get() + 1);
        Ok(x.clone())
    };
    let vars = start();
    let (student, target) = (Toy::tracked(&vars.0), Toy::detached(&vars.1));
    let networks = Networks { student: &student, target: &target, teacher: &teacher };
    let cfg = DistillConfig {
        fuse_method: FuseMethod::Switch,
        fuse_schedule: FuseSchedule::Switch(0.51),
        ..DistillConfig::default()
    };
    let objective = Distillation::new(&cfg, schedule(), LabelSpace::new(NULL_LABELS), networks)?;
    // 40 steps are 10 epochs, fewer than 20: progress moves in 20 stretches of 2 steps, and is below 0.51 in ten.
    let mut trainer = Trainer::new(&config(40), parts(&objective, &vars))?;
    for i in 0..40 {
        step.set(i);
        let report = trainer.step(&batch(i, 2))?;
        assert_eq!(report.c_t, Some(if i < 20 { 1.0 } else { 0.0 }));
        assert_eq!(
            (report.terms["teacher_part"].is_some(), report.terms["data_part"].is_some()),
            (i < 20, i >= 20)
        );
    }
    assert_eq!(asked.get(), 20);
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_stops_before_any_weight_moves() {
    let vars = start();
    let seen = Cell::new((vec![], vec![]));
    let source = (0..).map(|step| {
        seen.set((values(&vars.0), values(&vars.1)));
        Ok(if step == 2 { broken_batch() } else { batch(step, 3) })
    });
    let (error, steps_done, moments) = distil(&config(9), &DistillConfig::default(), &vars, |trainer| {
        let error = trainer.run(source, &mut ()).unwrap_err();
        (error, trainer.steps_done(), trainer.optimizer().steps())
    });
    assert!(matches!(error, Error::NonFinite { what: "loss", step: 3, .. }), "{error}");
    assert_eq!((steps_done, moments), (2, 2));
    assert_eq!(seen.take(), (values(&vars.0), values(&vars.1)));
    assert_ne!(values(&vars.0), values(&start().0));
}

#[test]
fn a_term_that_was_not_announced_is_refused() -> Result<()> {
    struct Announces(&'static [&'static str], Var);
    impl Objective for Announces {
        fn trained_name(&self) -> &'static str {
            "it"
        }

        fn terms(&self) -> &'static [&'static str] {
            self.0
        }

        fn evaluate(&self, _: &TrainBatch, _: &Draws, _: f64) -> Result<Evaluation, Error> {
            let loss = self.1.sqr()?.sum_all()?;
            let term = Some(loss.detach());
            Ok(Evaluation::new(loss, Work::default()).with_term("square", term).with_term("none", None))
        }
    }
    let var = |value: f32| Var::new(&[value], &candle_core::Device::Cpu);
    for names in [&["none", "other", "square"][..], &["other"][..]] {
        let objective = Announces(names, var(3.0)?);
        let vars = ([("x".to_owned(), objective.1.clone())].into(), [("x".to_owned(), var(1.0)?)].into());
        let step = Trainer::new(&config(1), parts(&objective, &vars))?.step(&batch(0, 1));
        if names.len() == 1 {
            assert!(matches!(step, Err(Error::UnknownTerm { name: "square" })));
            continue;
        }
        let terms = step?.terms.into_iter().collect::<Vec<_>>();
        assert_eq!(terms, [("none", None), ("other", None), ("square", Some(9.0))]);
    }
    Ok(())
}

#[test]
fn a_gradient_that_is_not_finite_stops_too() -> Result<()> {
    /// The root has a value at 0, but no slope.
    struct Root(Var);
    impl Objective for Root {
        fn trained_name(&self) -> &'static str {
            "root"
        }

        fn evaluate(&self, _: &TrainBatch, _: &Draws, _: f64) -> Result<Evaluation, Error> {
            let loss = self.0.sqrt()?.sum_all()?;
            Ok(Evaluation::new(loss, Work::default()))
        }
    }
    let var = |value: f32| Var::new(&[value], &candle_core::Device::Cpu);
    let objective = Root(var(0.0)?);
    let vars = ([("x".to_owned(), objective.0.clone())].into(), [("x".to_owned(), var(1.0)?)].into());
    let mut trainer = Trainer::new(&config(1), parts(&objective, &vars))?;
    let error = trainer.step(&batch(0, 1)).unwrap_err();
    assert!(matches!(error, Error::NonFinite { what: "gradient norm", step: 1, .. }), "{error}");
    assert_eq!((values(&vars.0), values(&vars.1)), (vec![0.0], vec![1.0]));
    Ok(())
}

/// Writes down what it is told.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) steps: Vec<StepReport>,
    pub(crate) told: Vec<String>,
    pub(crate) stop_after: Option<u64>,
}

impl Reporter for Recorder {
    fn on_step(&mut self, report: &StepReport) -> Result<ControlFlow<()>, BoxError> {
        self.steps.push(report.clone());
        let stop = self.stop_after == Some(report.step);
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn on_checkpoint(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
        self.told.push(format!("checkpoint {}", trainer.steps_done()));
        Ok(())
    }

    fn on_eval(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
        self.told.push(format!("eval {}", trainer.steps_done()));
        Ok(())
    }

    fn on_end(&mut self, trainer: &Trainer<'_>, ending: Ending) -> Result<(), BoxError> {
        self.told.push(format!("{ending:?} {}", trainer.steps_done()));
        Ok(())
    }
}

#[test]
fn the_reporter_is_told_at_its_intervals_and_at_the_end() -> Result<()> {
    // An epoch has 4 steps.
    let train =
        TrainConfig { checkpoint_interval: Span::Steps(3), eval_interval: Span::Epochs(1), ..config(7) };
    let run = |stop_after| {
        let mut recorder = Recorder { stop_after, ..Recorder::default() };
        distil(&train, &DistillConfig::default(), &start(), |t| t.run(batches(), &mut recorder)).map(
            |ending| {
                assert_eq!(ending == Ending::Stopped, recorder.told.last().unwrap().starts_with("Stopped"));
                recorder.told
            },
        )
    };
    let to_the_end = ["checkpoint 3", "eval 4", "checkpoint 6", "checkpoint 7", "eval 7", "Finished 7"];
    assert_eq!(run(None)?, to_the_end);
    assert_eq!(run(Some(4))?, ["checkpoint 3", "checkpoint 4", "Stopped 4"]);
    Ok(())
}

#[test]
fn missing_and_failing_batches_name_the_step() {
    let run = |batches: Vec<Result<TrainBatch, BoxError>>| {
        distil(&config(9), &DistillConfig::default(), &start(), |t| t.run(batches, &mut ())).unwrap_err()
    };
    let error = run(vec![Ok(batch(0, 2)), Ok(batch(1, 2))]);
    assert!(matches!(error, Error::DataEnded { step: 3, total_steps: 9 }), "{error}");
    let error = run(vec![Ok(batch(0, 2)), Err("the folder is gone".into())]);
    assert!(matches!(&error, Error::Data { step: 2, source } if source.to_string() == "the folder is gone"));
    let TrainBatch { x_0, labels, .. } = batch(0, 2);
    let error = run(vec![Ok(TrainBatch::new(x_0.narrow(0, 0, 1).unwrap(), labels))]);
    assert!(matches!(&error, Error::Batch { step: 1, reason } if reason.contains("kind 0")), "{error}");
    let empty = TrainBatch::new(x_0.narrow(0, 0, 0).unwrap(), vec![]);
    let error = run(vec![Ok(empty)]);
    assert!(matches!(&error, Error::Batch { step: 1, .. }), "{error}");
}

#[test]
fn a_target_of_other_variables_is_refused() {
    let teacher = Toy::detached(&weights(3));
    let networks = Networks { student: &teacher, target: &teacher, teacher: &teacher };
    let cfg = DistillConfig { student: StudentConfig::default(), ..Default::default() };
    let objective = Distillation::new(&cfg, schedule(), LabelSpace::new(NULL_LABELS), networks).unwrap();
    let refused =
        |target: Weights| match Trainer::new(&config(1), parts(&objective, &(weights(1), target))).err() {
            Some(Error::Target { name, .. }) => name,
            other => panic!("{other:?}"),
        };
    let mut target = weights(2);
    let scale = target.remove("scale").unwrap();
    assert_eq!(refused(target.clone()), "scale");
    target.insert("scale".to_owned(), Var::from_tensor(&scale.reshape((1, 1)).unwrap()).unwrap());
    assert_eq!(refused(target), "scale");

    let vars = start();
    let parts = TrainerParts { steps_per_epoch: 0, ..parts(&objective, &vars) };
    let error = Trainer::new(&config(1), parts).err().unwrap();
    assert!(matches!(error, Error::InvalidConfig { field: "steps_per_epoch", .. }), "{error}");
}

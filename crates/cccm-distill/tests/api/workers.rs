//! Several workers that train one model.

use std::cell::Cell;
use std::thread;

use anyhow::Result;
use candle_core::{Tensor, Var};
use cccm_distill::{
    AllReduce, BoxError, Channel, DistillConfig, Ending, Error, OnNonFinite, Part, Span, Star, StepReport,
    TrainBatch, TrainConfig, Trainer,
};
use cccm_tests::{Tolerance, assert_close_scalar};

use crate::toy::{Weights, assert_close_terms, batch, broken_batch, values};
use crate::trainer::{Recorder, config, distil, start, train_teacher};

/// Runs one worker of each rank in a thread of its own; gives what each made of it.
fn together<T: Send>(workers: usize, work: impl Fn(Star<Channel>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads = Star::of_threads(workers).into_iter().map(|star| scope.spawn(|| work(star)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Samples `cuts[rank]..cuts[rank + 1]` of the batch.
fn part(batch: &TrainBatch, cuts: &[usize], rank: usize) -> TrainBatch {
    batch.narrow(cuts[rank], cuts[rank + 1] - cuts[rank]).unwrap()
}

const CLOSE: Tolerance = Tolerance { abs: 1e-7, rel: 1e-5 };

/// The weights of both networks, as numbers.
fn numbers(vars: &(Weights, Weights)) -> Vec<f32> {
    [values(&vars.0), values(&vars.1)].concat()
}

fn assert_same_steps(got: &[StepReport], want: &[StepReport]) -> Result<()> {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert_eq!((got.step, got.images, got.lr, got.c_t), (want.step, want.images, want.lr, want.c_t));
        for (got, want) in [(got.loss, want.loss), (got.grad_norm, want.grad_norm)] {
            assert_close_scalar(got, want, CLOSE)?;
        }
        assert_close_terms(got, want)?;
    }
    Ok(())
}

/// Weights after some steps, with their reports.
type Trained = (Vec<f32>, Vec<StepReport>);

/// Trains on parts of batches of 16, one of both ways.
type Train = fn(&TrainConfig, Option<Star<Channel>>, &[usize]) -> Trained;

const STEPS: u64 = 4;

fn steps(trainer: &mut Trainer<'_>, star: Option<Star<Channel>>, cuts: &[usize]) -> Vec<StepReport> {
    let rank = star.as_ref().map_or(0, AllReduce::rank);
    if let Some(star) = star {
        trainer.join(Box::new(star)).unwrap();
    }
    (0..STEPS).map(|step| trainer.step(&part(&batch(step, 16), cuts, rank)).unwrap()).collect()
}

const BOTH: [Train; 2] = [
    |train, star, cuts| {
        let vars = start();
        let reports = distil(train, &DistillConfig::default(), &vars, |trainer| steps(trainer, star, cuts));
        (numbers(&vars), reports)
    },
    |train, star, cuts| {
        let vars = start();
        let reports = train_teacher(train, &vars, |trainer| steps(trainer, star, cuts));
        (numbers(&vars), reports)
    },
];

#[test]
fn parts_of_a_batch_are_the_same_step() -> Result<()> {
    for train in BOTH {
        let (want, reports) = train(&config(STEPS), None, &[0, 16]);
        // Two halves, three parts of which none has the size of another, and one worker that has nothing to do.
        for cuts in [&[0, 8, 16][..], &[0, 5, 11, 16], &[0, 7, 7, 16]] {
            for gradient_accumulation_steps in [1, 3] {
                let cfg = TrainConfig { gradient_accumulation_steps, ..config(STEPS) };
                let workers = together(cuts.len() - 1, |star| train(&cfg, Some(star), cuts));
                assert_same_steps(&workers[0].1, &reports)?;
                for (got, want) in workers[0].0.iter().zip(&want) {
                    assert!((got - want).abs() < 1e-5, "{cuts:?}: {got} instead of {want}");
                }
                // Not to rounding: their weights never part.
                assert!(workers.iter().all(|worker| worker.0 == workers[0].0));
            }
        }
    }
    Ok(())
}

#[test]
fn a_worker_alone_keeps_its_bits() {
    for train in BOTH {
        let alone = together(1, |star| train(&config(STEPS), Some(star), &[0, 16]));
        assert_eq!(alone[0].0, train(&config(STEPS), None, &[0, 16]).0);
    }
}

/// How the run of a worker ended, behind which step, what its reporter was told, and its weights.
type Run = (Result<Ending, Error>, u64, Vec<String>, Vec<f32>);

/// Batches of 6 for two workers, in which the one of this step is another; gives how the run of each ended.
fn run_two(
    train: &TrainConfig,
    batch_of: impl Fn(usize, u64) -> Result<TrainBatch, BoxError> + Sync,
    recorder_of: impl Fn(usize) -> Recorder + Sync,
) -> Vec<Run> {
    together(2, |star| {
        let (vars, rank) = (start(), star.rank());
        let mut recorder = recorder_of(rank);
        let batches = (0..).map(|step| batch_of(rank, step));
        let (ending, steps) = distil(train, &DistillConfig::default(), &vars, |trainer| {
            trainer.join(Box::new(star)).unwrap();
            (trainer.run(batches, &mut recorder), trainer.steps_done())
        });
        (ending, steps, recorder.told, numbers(&vars))
    })
}

#[test]
fn a_worker_without_a_batch_ends_all_of_them_behind_the_same_step() {
    let train = TrainConfig { checkpoint_interval: Span::Steps(100), ..config(9) };
    for failing in [0, 1] {
        let batch_of = |rank, step| match step {
            3 if rank == failing => Err("the folder is gone".into()),
            _ => Ok(part(&batch(step, 6), &[0, 3, 6], rank)),
        };
        let runs = run_two(&train, batch_of, |_| Recorder::default());
        for (rank, (ending, steps, told, weights)) in runs.iter().enumerate() {
            let error = ending.as_ref().unwrap_err();
            if rank == failing {
                assert!(matches!(error, Error::Data { step: 4, .. }), "{error}");
            } else {
                assert!(matches!(error, Error::OtherWorker { failed: 1, workers: 2, step: 4 }), "{error}");
            }
            assert_eq!((*steps, weights), (3, &runs[0].3));
            assert_eq!(told, &["checkpoint 3"]);
        }
    }
}

#[test]
fn a_worker_that_vanishes_ends_the_others() {
    let reached = |star: Star<Channel>| {
        let (mut recorder, rank) = (Recorder::default(), star.rank());
        let error = distil(&config(9), &DistillConfig::default(), &start(), |trainer| {
            trainer.join(Box::new(star)).unwrap();
            if rank == 1 {
                return trainer.step(&part(&batch(0, 6), &[0, 3, 6], 1)).err();
            }
            let batches = (0..).map(|step| Ok(part(&batch(step, 6), &[0, 3, 6], 0)));
            trainer.run(batches, &mut recorder).err()
        });
        (error, recorder.told)
    };
    let mut ends = together(2, reached);
    assert!(ends.remove(1).0.is_none());
    let (error, told) = ends.remove(0);
    let Some(Error::AllReduce { step: 2, source }) = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("worker 1 is gone"), "{source}");
    assert_eq!(told, ["checkpoint 1"]);
}

#[test]
fn a_wish_to_stop_stops_all_behind_the_next_step() {
    for asked in [0, 1] {
        let recorder = |rank| Recorder { stop_after: (rank == asked).then_some(3), ..Recorder::default() };
        let batch_of = |rank, step| Ok(part(&batch(step, 6), &[0, 3, 6], rank));
        for (ending, steps, told, _) in run_two(&config(9), batch_of, recorder) {
            assert_eq!((ending.unwrap(), steps), (Ending::Stopped, 4));
            assert_eq!(told, ["checkpoint 4", "Stopped 4"]);
        }
        // It comes too late for the last step.
        for (ending, steps, ..) in run_two(&config(3), batch_of, recorder) {
            assert_eq!((ending.unwrap(), steps), (Ending::Finished, 3));
        }
    }
}

#[test]
fn what_is_not_finite_for_one_is_skipped_by_all_or_stops_all() {
    let batch_of = |rank: usize, step: u64| -> Result<TrainBatch, BoxError> {
        let three = if step == 1 && rank == 1 { broken_batch() } else { batch(step, 3) };
        Ok(TrainBatch { part: Part::From { start: 3 * rank, total: 6 }, ..three })
    };
    let skipping = TrainConfig { on_non_finite: OnNonFinite::Skip, ..config(4) };
    let runs = run_two(&skipping, batch_of, |_| Recorder::default());
    for (ending, steps, _, weights) in &runs {
        assert_eq!((ending.as_ref().unwrap(), *steps), (&Ending::Finished, 4));
        assert_eq!(weights, &runs[0].3);
        assert!(weights.iter().all(|value| value.is_finite()));
    }
    for (ending, steps, ..) in run_two(&config(4), batch_of, |_| Recorder::default()) {
        assert!(matches!(ending, Err(Error::NonFinite { what: "loss", step: 2, .. })), "{ending:?}");
        assert_eq!(steps, 1);
    }
}

#[test]
fn workers_that_differ_are_refused() {
    type Differ = fn(&mut TrainConfig, &(Weights, Weights));
    let joined = |differs: Differ| {
        together(3, |star| {
            let (vars, mut train) = (start(), config(9));
            if star.rank() == 2 {
                differs(&mut train, &vars);
            }
            distil(&train, &DistillConfig::default(), &vars, |trainer| trainer.join(Box::new(star)))
        })
    };
    assert!(joined(|_, _| ()).iter().all(Result::is_ok));
    let differences: [Differ; 3] = [
        |train, _| train.max_grad_norm = 2.0,
        |_, vars| nudge(&vars.0["scale"]),
        |_, vars| nudge(&vars.1["label_1"]),
    ];
    for differs in differences {
        let refused = joined(differs);
        assert!(
            refused.iter().any(|joined| matches!(joined, Err(Error::WorkersDiffer { workers: 3 }))),
            "{refused:?}"
        );
        assert!(matches!(refused[2], Err(Error::WorkersDiffer { .. })));
    }
}

/// Changes the last bit of a variable's first value.
fn nudge(var: &Var) {
    let mut values = var.to_vec1::<f32>().unwrap();
    values[0] = values[0].next_up();
    var.set(&Tensor::new(values, var.device()).unwrap()).unwrap();
}

#[test]
fn parts_that_do_not_make_a_whole_are_refused() {
    let cuts_of = |cuts: [[usize; 2]; 2]| {
        together(2, |star| {
            let cuts = cuts[star.rank()];
            distil(&config(9), &DistillConfig::default(), &start(), |trainer| {
                trainer.join(Box::new(star)).unwrap();
                trainer.step(&part(&batch(0, 6), &cuts, 0)).map(drop)
            })
        })
    };
    assert!(cuts_of([[0, 3], [3, 6]]).iter().all(Result::is_ok));
    for ends in [cuts_of([[0, 3], [3, 5]]), cuts_of([[0, 6], [0, 6]])] {
        for end in ends {
            assert!(
                matches!(&end, Err(Error::Batch { step: 1, reason }) if reason.contains("together")),
                "{end:?}"
            );
        }
    }
    let seen = Cell::new(0);
    let alone = distil(&config(9), &DistillConfig::default(), &start(), |trainer| {
        let end = trainer.step(&part(&batch(0, 6), &[0, 3], 0)).map(drop);
        seen.set(trainer.steps_done());
        end
    });
    assert!(
        matches!(&alone, Err(Error::Batch { reason, .. }) if reason.contains("no other workers")),
        "{alone:?}"
    );
    assert_eq!(seen.get(), 0);
}

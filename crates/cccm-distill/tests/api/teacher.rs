//! Teacher training.

use anyhow::Result;
use candle_core::Tensor;
use cccm_distill::{Error, Objective, TeacherConfig, TeacherTraining};
use cccm_sched::{Conditions, Denoiser, NoiseSchedule, PredictionType, ScheduleConfig, Streams};
use cccm_tests::{Tolerance, assert_close_scalar};

use crate::toy::{IMAGE, Logged, NULL_LABELS, Toy, batch, schedule, weights};

fn training(network: &dyn Denoiser, label_drop: f64) -> TeacherTraining<'_> {
    let cfg = TeacherConfig { label_drop, ..Default::default() };
    TeacherTraining::new(&cfg, schedule(), NULL_LABELS.to_vec(), network).unwrap()
}

#[test]
fn labels_are_dropped_each_on_its_own() -> Result<()> {
    let toy = Toy::detached(&weights(1));
    let network = Logged::new(&toy);
    let (images, draws) = (batch(0, 2000), Streams::new(1).draws(0, 0..2000));
    let dropped = |label_drop| -> Result<[Vec<bool>; 2]> {
        training(&network, label_drop).evaluate(&images, &draws, 1.0)?;
        let conds = network.take_conds().remove(0);
        let null = |kind: usize| -> Result<Vec<bool>> {
            let (seen, given) = (conds.labels[kind].to_vec1::<u32>()?, images.labels[kind].to_vec1::<u32>()?);
            let null = NULL_LABELS[kind];
            assert!(seen.iter().zip(&given).all(|(seen, given)| *seen == null || seen == given));
            Ok(seen.iter().map(|label| *label == null).collect())
        };
        Ok([null(0)?, null(1)?])
    };
    let count = |dropped: &[bool]| dropped.iter().filter(|dropped| **dropped).count();
    let [first, second] = dropped(0.1)?;
    // 200 expected of each, and 20 of both at once; the margins are five standard deviations.
    assert!((133..267).contains(&count(&first)) && (133..267).contains(&count(&second)));
    let both = first.iter().zip(&second).filter(|(first, second)| **first && **second).count();
    assert!((1..43).contains(&both), "{both}");
    assert_eq!(dropped(0.0)?.map(|kind| count(&kind)), [0, 0]);
    assert_eq!(dropped(1.0)?.map(|kind| count(&kind)), [2000, 2000]);
    Ok(())
}

#[test]
fn a_network_that_knows_the_answer_has_no_loss() -> Result<()> {
    let (images, draws) = (batch(0, 16), Streams::new(1).draws(5, 0..16));
    let eps = draws.normal("eps", &IMAGE)?;
    for prediction_type in [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction] {
        let schedule = NoiseSchedule::new(&ScheduleConfig { prediction_type, ..Default::default() })?;
        let knowing = |x_t: &Tensor, t: &Tensor, _: &Conditions| {
            // Also shows that `x_t` is the image with the noise of the stream `eps` at `t`.
            let x_0 = schedule.x0_from_eps(x_t, t, &eps).map_err(candle_core::Error::wrap)?;
            schedule.prediction_target(&x_0, t, &eps).map_err(candle_core::Error::wrap)
        };
        let null_labels = NULL_LABELS.to_vec();
        let training =
            TeacherTraining::new(&TeacherConfig::default(), schedule.clone(), null_labels, &knowing)?;
        let evaluation = training.evaluate(&images, &draws, 1.0)?;
        let loss = evaluation.loss.to_scalar::<f32>()?.into();
        assert_close_scalar(loss, 0.0, Tolerance { abs: 1e-6, rel: 0.0 })?;
        assert_eq!((evaluation.work.of("teacher").images, evaluation.work.of("student").images), (16, 0));
        assert!(evaluation.c_t.is_none());
    }
    Ok(())
}

#[test]
fn dropout_is_on_and_repeatable() -> Result<()> {
    let loss = |dropout| -> Result<f32> {
        let network = Toy::detached(&weights(1)).with_dropout(dropout);
        let evaluation =
            training(&network, 0.1).evaluate(&batch(0, 4), &Streams::new(1).draws(0, 0..4), 1.0)?;
        Ok(evaluation.loss.to_scalar()?)
    };
    assert_ne!(loss(0.5)?, loss(0.0)?);
    assert_eq!(loss(0.5)?, loss(0.5)?);
    Ok(())
}

#[test]
fn timesteps_cover_the_schedule() -> Result<()> {
    let seen = std::cell::RefCell::new(Vec::new());
    let network = |x_t: &Tensor, t: &Tensor, _: &Conditions| {
        seen.replace(t.to_vec1::<u32>()?);
        Ok(x_t.clone())
    };
    training(&network, 0.1).evaluate(&batch(0, 4000), &Streams::new(1).draws(0, 0..4000), 1.0)?;
    let seen = seen.take();
    let mean = seen.iter().map(|t| f64::from(*t)).sum::<f64>() / 4000.0;
    assert!((mean - 499.5).abs() < 25.0, "{mean}");
    assert!(seen.iter().any(|t| *t < 5) && seen.iter().any(|t| *t > 994));
    Ok(())
}

#[test]
fn bad_settings_are_named() {
    let toy = Toy::detached(&weights(1));
    let new = |cfg: TeacherConfig| TeacherTraining::new(&cfg, schedule(), NULL_LABELS.to_vec(), &toy).err();
    let drop = new(TeacherConfig { label_drop: 1.5, ..Default::default() });
    assert!(matches!(drop, Some(Error::InvalidConfig { field: "label_drop", .. })));
    let decay = new(TeacherConfig { ema_decay: f64::NAN, ..Default::default() });
    assert!(matches!(decay, Some(Error::InvalidConfig { field: "ema_decay", .. })));
    let weight = new(TeacherConfig { independence_weight: -1.0, ..Default::default() });
    assert!(matches!(weight, Some(Error::InvalidConfig { field: "independence_weight", .. })));
    let alone = TeacherConfig { independence_weight: 0.1, ..Default::default() };
    let alone = TeacherTraining::new(&alone, schedule(), vec![3], &toy).err();
    assert!(matches!(alone, Some(Error::InvalidConfig { field: "independence_weight", .. })));
    // One label kind where the images have two.
    let one = TeacherTraining::new(&TeacherConfig::default(), schedule(), vec![3], &toy).unwrap();
    assert!(one.evaluate(&batch(0, 2), &Streams::new(1).draws(0, 0..2), 1.0).is_err());
}

//! The independence term of teacher training.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use cccm_distill::{Objective, TeacherConfig, TeacherTraining, TrainBatch};
use cccm_sched::{Conditions, Denoiser, Draws, Streams};
use cccm_tests::{Tolerance, assert_close_scalar};

use crate::toy::{Logged, NULL_LABELS, Toy, batch, schedule, weights};

const CLOSE: Tolerance = Tolerance { abs: 1e-6, rel: 1e-5 };

fn loss(
    network: &dyn Denoiser,
    weight: f64,
    label_drop: f64,
    images: &TrainBatch,
    draws: &Draws,
) -> Result<Tensor> {
    let cfg = TeacherConfig { label_drop, independence_weight: weight, ..Default::default() };
    let training = TeacherTraining::new(&cfg, schedule(), NULL_LABELS.to_vec(), network)?;
    let evaluation = training.evaluate(images, draws, 1.0)?;
    assert!(evaluation.terms.keys().all(|name| training.terms().contains(name)));
    Ok(evaluation.loss)
}

/// One number for every pair of labels, null tokens among them, where 2 × 2 does not come of 2 and 2 apart.
const TABLE: [[f32; 3]; 4] = [[0.1, 0.7, 0.3], [-0.2, 0.5, 0.4], [0.9, -0.6, 0.2], [0.0, 0.8, -0.1]];

/// A network that answers the number of its labels everywhere.
fn by_table(table: Tensor) -> impl Fn(&Tensor, &Tensor, &Conditions) -> candle_core::Result<Tensor> {
    move |x, _, conds| {
        let place = ((&conds.labels[0] * 3.0)? + &conds.labels[1])?;
        let numbers = table.flatten_all()?.index_select(&place, 0)?;
        numbers.reshape(((), 1, 1, 1))?.broadcast_as(x.shape())
    }
}

fn table() -> Result<Tensor> {
    Ok(Tensor::new(&TABLE, &Device::Cpu)?)
}

fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_scalar::<f32>()?.into())
}

#[test]
fn it_is_the_square_of_what_labels_say_together_less_what_they_say_alone() -> Result<()> {
    let (images, draws) = (batch(0, 64), Streams::new(1).draws(0, 0..64));
    let network = by_table(table()?);
    // Those that lost a label do not count, but are among those that the mean is over.
    for label_drop in [0.0, 0.4] {
        let dropped: Vec<_> =
            (0..2).map(|kind| draws.coin(&format!("label_drop.{kind}"), label_drop)).collect();
        let labels = [images.labels[0].to_vec1::<u32>()?, images.labels[1].to_vec1::<u32>()?];
        let squares = (0..64).filter(|i| !dropped[0][*i] && !dropped[1][*i]).map(|i| {
            let (a, o) = (labels[0][i] as usize, labels[1][i] as usize);
            f64::from(TABLE[a][2] + TABLE[3][o] - TABLE[a][o] - TABLE[3][2]).powi(2)
        });
        let want = squares.sum::<f64>() / 64.0;
        let plain = scalar(&loss(&network, 0.0, label_drop, &images, &draws)?)?;
        let with = scalar(&loss(&network, 0.7, label_drop, &images, &draws)?)?;
        assert!(want > 0.05);
        assert_close_scalar(with - plain, 0.7 * want, CLOSE)?;
    }
    Ok(())
}

#[test]
fn gradients_flow_through_all_four_answers() -> Result<()> {
    let images = TrainBatch {
        labels: vec![Tensor::new(&[1u32], &Device::Cpu)?, Tensor::new(&[0u32], &Device::Cpu)?],
        ..batch(0, 1)
    };
    let draws = Streams::new(1).draws(0, 0..1);
    let gradient = |weight| -> Result<Vec<f32>> {
        let table = Var::from_tensor(&table()?)?;
        let loss = loss(&by_table(table.as_tensor().clone()), weight, 0.0, &images, &draws)?;
        Ok(loss.backward()?.get(&table).unwrap().flatten_all()?.to_vec1()?)
    };
    let difference = TABLE[1][2] + TABLE[3][0] - TABLE[1][0] - TABLE[3][2];
    // Places of (1, 0), (1, none), (none, 0) and (none, none).
    let signs = BTreeMap::from([(3, -1.0), (5, 1.0), (9, 1.0), (11, -1.0)]);
    for (place, (with, without)) in gradient(0.7)?.into_iter().zip(gradient(0.0)?).enumerate() {
        let want = 0.7 * 2.0 * difference * signs.get(&place).copied().unwrap_or(0.0);
        assert!((with - without - want).abs() < 1e-5, "{place}: {} instead of {want}", with - without);
    }
    Ok(())
}

#[test]
fn labels_that_add_up_have_none_whatever_the_dropout() -> Result<()> {
    // All answers for one sample have its masks: others would leave a difference.
    let (images, draws) = (batch(0, 16), Streams::new(1).draws(0, 0..16));
    for dropout in [0.0, 0.5] {
        let network = Toy::detached(&weights(1)).with_dropout(dropout);
        let [plain, with] = [0.0, 5.0].map(|weight| loss(&network, weight, 0.2, &images, &draws));
        assert_close_scalar(scalar(&with?)?, scalar(&plain?)?, CLOSE)?;
    }
    Ok(())
}

#[test]
fn it_is_one_evaluation_and_none_without_weight_or_labels() -> Result<()> {
    let toy = Toy::detached(&weights(1));
    let network = Logged::new(&toy);
    let (images, draws) = (batch(0, 8), Streams::new(1).draws(0, 0..8));
    for (weight, label_drop, sees) in [(0.0, 0.0, 8), (0.5, 0.0, 32), (0.5, 1.0, 8)] {
        loss(&network, weight, label_drop, &images, &draws)?;
        assert_eq!(network.take_sizes(), [sees]);
    }
    Ok(())
}

#[test]
fn a_batch_in_pieces_has_the_same_loss() -> Result<()> {
    let (images, draws) = (batch(0, 8), Streams::new(1).draws(0, 0..8));
    let network = by_table(table()?);
    let whole = scalar(&loss(&network, 0.7, 0.3, &images, &draws)?)?;
    let mut sum = 0.0;
    for (start, len) in [(0, 3), (3, 4), (7, 1)] {
        let piece = loss(&network, 0.7, 0.3, &images.narrow(start, len)?, &draws.narrow(start, len))?;
        sum += scalar(&piece)? * len as f64 / 8.0;
    }
    assert_close_scalar(sum, whole, CLOSE)
}

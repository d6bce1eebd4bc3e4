//! Networks and data as a stranger might bring them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};
use cccm_distill::{BoxError, StepReport, TrainBatch};
use cccm_sched::{Conditions, Denoiser, Draws, NoiseSchedule, ScheduleConfig, Streams};
use cccm_tests::{Tolerance, assert_close_scalar};

/// Null tokens of two label kinds: three labels, and two.
pub(crate) const NULL_LABELS: [u32; 2] = [3, 2];

/// Images of every batch: `(batch, 2, 2, 2)`.
pub(crate) const IMAGE: [usize; 3] = [2, 2, 2];

pub(crate) type Weights = BTreeMap<String, Var>;

/// Weights of one toy network, drawn from a seed.
pub(crate) fn weights(seed: u64) -> Weights {
    let draws = Streams::new(seed).draws(0, 0..1);
    let var = |name: &str, len: usize| {
        let values = draws.uniform(name, &[len], (-1.0, 1.0)).unwrap().squeeze(0).unwrap();
        (name.to_owned(), Var::from_tensor(&values).unwrap())
    };
    [var("scale", 1), var("label_0", 4), var("label_1", 3), var("guide", 1)].into()
}

pub(crate) fn values(weights: &Weights) -> Vec<f32> {
    weights.values().flat_map(|var| var.to_vec1::<f32>().unwrap()).collect()
}

/// `scale * x_t + label_0[l] + label_1[m] + guide * w`.
pub(crate) struct Toy {
    tensors: BTreeMap<String, Tensor>,
    dropout: f64,
}

impl Toy {
    /// A network that gradients flow through.
    pub(crate) fn tracked(weights: &Weights) -> Self {
        let tensors = weights.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        Self { tensors, dropout: 0.0 }
    }

    /// A network over the same storage, without gradients.
    pub(crate) fn detached(weights: &Weights) -> Self {
        let tensors = weights.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        Self { tensors, dropout: 0.0 }
    }

    pub(crate) fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }
}

impl Denoiser for Toy {
    fn predict(&self, x_t: &Tensor, _t: &Tensor, conds: &Conditions) -> Result<Tensor> {
        let per_sample = |values: Tensor| values.reshape(((), 1, 1, 1));
        let mut out = x_t.broadcast_mul(&self.tensors["scale"])?;
        for (kind, label) in conds.labels.iter().enumerate() {
            let offset = self.tensors[&format!("label_{kind}")].index_select(label, 0)?;
            out = out.broadcast_add(&per_sample(offset)?)?;
        }
        match &conds.w {
            Some(w) => out.broadcast_add(&per_sample(w.broadcast_mul(&self.tensors["guide"])?)?),
            None => Ok(out),
        }
    }

    fn predict_training(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
        draws: &Draws,
    ) -> Result<Tensor> {
        self.predict(x_t, t, conds)? * draws.dropout_mask("toy", &x_t.dims()[1..], self.dropout)?
    }
}

/// A network that remembers the batches it was asked about.
pub(crate) struct Logged<'a> {
    network: &'a dyn Denoiser,
    batches: RefCell<Vec<(usize, Conditions)>>,
}

impl<'a> Logged<'a> {
    pub(crate) fn new(network: &'a dyn Denoiser) -> Self {
        Self { network, batches: RefCell::default() }
    }

    pub(crate) fn take_sizes(&self) -> Vec<usize> {
        self.batches.take().into_iter().map(|(size, _)| size).collect()
    }

    pub(crate) fn take_conds(&self) -> Vec<Conditions> {
        self.batches.take().into_iter().map(|(_, conds)| conds).collect()
    }
}

impl Denoiser for Logged<'_> {
    fn predict(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions) -> Result<Tensor> {
        self.batches.borrow_mut().push((x_t.dim(0)?, conds.clone()));
        self.network.predict(x_t, t, conds)
    }
}

pub(crate) fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(&ScheduleConfig::default()).unwrap()
}

/// Images and labels, the same for the same `step`.
/// Draws for three samples.
pub(crate) fn draws() -> Draws {
    Streams::new(5).draws(0, 0..3)
}

/// Fails unless both steps had the same terms, of the same values.
pub(crate) fn assert_close_terms(got: &StepReport, want: &StepReport) -> anyhow::Result<()> {
    assert!(got.terms.keys().eq(want.terms.keys()));
    for (got, want) in got.terms.values().zip(want.terms.values()) {
        assert_eq!(got.is_some(), want.is_some());
        assert_close_scalar(got.unwrap_or(0.0), want.unwrap_or(0.0), Tolerance { abs: 1e-7, rel: 1e-5 })?;
    }
    Ok(())
}

pub(crate) fn batch(step: u64, samples: u64) -> TrainBatch {
    let draws = Streams::new(99).draws(step, 0..samples);
    let x_0 = draws.uniform("x_0", &IMAGE, (-1.0, 1.0)).unwrap();
    let labels = NULL_LABELS.iter().map(|n| draws.below(&format!("label {n}"), *n).unwrap()).collect();
    TrainBatch::new(x_0, labels)
}

/// Endless batches of 8.
pub(crate) fn batches() -> impl Iterator<Item = std::result::Result<TrainBatch, BoxError>> {
    (0..).map(|step| Ok(batch(step, 8)))
}

/// A batch of 3 with a pixel that is not a number.
pub(crate) fn broken_batch() -> TrainBatch {
    let TrainBatch { x_0, labels, .. } = batch(0, 3);
    let nan = Tensor::new(f32::NAN, &Device::Cpu).unwrap();
    TrainBatch::new(x_0.broadcast_mul(&nan).unwrap(), labels)
}

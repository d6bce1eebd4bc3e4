//! One optimizer step in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::objective::Work;

/// One optimizer step in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Which step it was, counted from 1.
    pub step: u64,
    /// The epoch it belongs to, counted from 1.
    pub epoch: u64,
    /// The loss before the step, as the mean over its samples; not finite where the step was skipped.
    pub loss: f64,
    /// The [`Objective::terms`](crate::Objective::terms) of the loss; `None` where this step's had no such term.
    #[serde(flatten)]
    pub terms: BTreeMap<&'static str, Option<f64>>,
    /// The teacher's weight `c_t` in the target, where there is one.
    pub c_t: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Norm of all gradients together, before clipping.
    pub grad_norm: f64,
    /// Steps skipped so far because loss or gradient was not finite: see [`OnNonFinite`](crate::OnNonFinite).
    pub skipped_steps: u64,
    /// Samples of the step, those of all workers.
    pub images: u64,
    /// What the forward passes cost, those of this worker.
    pub work: Work,
    /// Seconds spent waiting for the batch.
    pub data_secs: f64,
    /// Seconds of the backward pass, without waiting for a GPU that computes asynchronously.
    pub backward_secs: f64,
    /// Seconds of clipping, optimizer and moving average. The waits for other workers and for a GPU are
    /// included.
    pub optimizer_secs: f64,
    /// Seconds of the whole step, noise and bookkeeping included.
    pub total_secs: f64,
}

//! The state of a run, for checkpoints: taken and restored.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use cccm_optim::Moments;

use super::Trainer;
use crate::train_state::TrainState;
use crate::{Error, Result};

/// What a checkpoint holds of a trainer.
pub(crate) struct Snapshot<'a> {
    pub(crate) state: &'a TrainState,
    pub(crate) trained: BTreeMap<String, Tensor>,
    /// In the order of the trainer's.
    pub(crate) averages: Vec<BTreeMap<String, Tensor>>,
    pub(crate) moments: BTreeMap<String, Moments>,
}

impl Trainer<'_> {
    /// Where this run stands.
    pub(crate) fn state(&self, digests: BTreeMap<String, String>) -> TrainState {
        let (epoch, next_batch) = self.position();
        TrainState {
            step: self.steps_done,
            epoch: epoch + 1,
            next_batch,
            updates: self.optimizer.steps(),
            skipped_in_a_row: self.skipped_in_a_row,
            train: self.cfg.clone(),
            digests,
        }
    }

    /// Restores the snapshot's state. Everything is checked before the first variable changes.
    pub(crate) fn restore(&mut self, snapshot: Snapshot<'_>) -> Result<()> {
        let Snapshot { state, trained, averages, moments } = snapshot;
        let trained = (self.objective.trained_name(), &self.trained, trained);
        let averages = self.averages.iter().zip(averages);
        let averages = averages.map(|(average, values)| (average.name, &average.vars, values));
        let networks: Vec<_> = std::iter::once(trained).chain(averages).collect();
        for (name, vars, values) in &networks {
            check_values(name, values, vars)?;
        }
        self.optimizer.restore(state.updates, moments)?;
        for (_, vars, values) in networks {
            for (var, value) in vars.values().zip(values.values()) {
                var.set(&value.to_device(var.device())?)?;
            }
        }
        (self.steps_done, self.skipped_in_a_row) = (state.step, state.skipped_in_a_row);
        Ok(())
    }
}

/// Fails unless a checkpoint's file holds a value for every variable, and nothing else.
fn check_values(stem: &str, values: &BTreeMap<String, Tensor>, vars: &BTreeMap<String, Var>) -> Result<()> {
    let bad = |name: &str, what: String| {
        Err(Error::CheckpointContent {
            file: format!("{stem}.safetensors"),
            reason: format!("`{name}` {what}"),
        })
    };
    if let Some(name) = vars.keys().find(|name| !values.contains_key(*name)) {
        return bad(name, "is missing".to_owned());
    }
    for (name, value) in values {
        match vars.get(name) {
            None => return bad(name, "is no variable of the network".to_owned()),
            Some(var) if (var.shape(), var.dtype()) != (value.shape(), value.dtype()) => {
                let describe = |t: &Tensor| format!("{} {:?}", t.dtype().as_str(), t.dims());
                return bad(name, format!("is {}, but must be {}", describe(value), describe(var)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

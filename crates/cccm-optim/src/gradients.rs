//! Gradients by name.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use crate::{Error, Result};

/// The gradient of every variable, contiguous, under the variable's name.
///
/// # Errors
/// [`Error::MissingGradient`] for the first variable that `store` has none for. candle's own
/// optimizers pass over such a variable, and it never learns.
pub fn gradients(params: &BTreeMap<String, Var>, store: &GradStore) -> Result<BTreeMap<String, Tensor>> {
    params
        .iter()
        .map(|(name, var)| {
            let missing = || Error::MissingGradient { name: name.clone() };
            let grad = store.get(var.as_tensor()).ok_or_else(missing)?;
            Ok((name.clone(), grad.contiguous()?))
        })
        .collect()
}

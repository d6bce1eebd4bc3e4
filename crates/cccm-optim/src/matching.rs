//! Maps of named tensors must match before anything is computed from two of them: a name that
//! was skipped in silence would be a parameter that never learns.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::{Error, Result};

/// Fails unless `got`, a map of `what`, has exactly the names of `want`.
pub(crate) fn check_names<G, W>(
    what: &'static str,
    got: &BTreeMap<String, G>,
    want: &BTreeMap<String, W>,
) -> Result<()> {
    if let Some(name) = want.keys().find(|name| !got.contains_key(*name)) {
        return Err(Error::MissingName { what, name: name.clone() });
    }
    if let Some(name) = got.keys().find(|name| !want.contains_key(*name)) {
        return Err(Error::UnknownName { what, name: name.clone() });
    }
    Ok(())
}

/// Fails unless `got`, the `what` called `name`, has the shape, dtype and device of `want`.
pub(crate) fn check_like(what: &'static str, name: &str, got: &Tensor, want: &Tensor) -> Result<()> {
    let same =
        got.shape() == want.shape() && got.dtype() == want.dtype() && got.device().same_device(want.device());
    if same {
        return Ok(());
    }
    let describe =
        |t: &Tensor| format!("{} {:?} on {:?}", t.dtype().as_str(), t.dims(), t.device().location());
    Err(Error::Mismatch { what, name: name.to_owned(), got: describe(got), want: describe(want) })
}

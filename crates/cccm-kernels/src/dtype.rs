//! Which dtypes go together.

use candle_core::{DType, Result, Tensor, bail};

/// Whether numbers of this dtype have too few bits to add many of them up.
pub(crate) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::BF16 | DType::F16)
}

/// Fails unless the parameter called `name` lies where `x` does and is of its dtype, or `f32` where that is half precision.
pub(crate) fn check_parameter(op: &str, name: &str, parameter: &Tensor, x: &Tensor) -> Result<()> {
    let fits = parameter.dtype() == x.dtype() || (is_half(x.dtype()) && parameter.dtype() == DType::F32);
    if fits && parameter.device().same_device(x.device()) {
        return Ok(());
    }
    bail!(
        "{op}: `{name}` must be {:?} on {:?} like `x`, got {:?} on {:?}",
        x.dtype(),
        x.device().location(),
        parameter.dtype(),
        parameter.device().location()
    )
}

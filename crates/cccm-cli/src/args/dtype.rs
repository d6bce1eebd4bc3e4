//! Which numbers a network computes with.

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// Which numbers a network computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dtype {
    /// 32 bits.
    #[default]
    F32,
    /// Features and the weights of convolutions in 16 bits, all else in 32.
    Bf16,
}

impl Dtype {
    /// Whether it is what is computed with unless something else is asked for.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::BF16,
        }
    }
}

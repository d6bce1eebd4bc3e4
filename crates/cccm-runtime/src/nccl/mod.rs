//! Sums over the GPUs of several processes.

#[cfg(not(feature = "nccl"))]
mod absent;
#[cfg(feature = "nccl")]
mod present;

use candle_core::{Device, Tensor};

use crate::Result;
#[cfg(not(feature = "nccl"))]
use absent as backend;
#[cfg(feature = "nccl")]
use present as backend;

/// The id by which the members of a [`GpuGroup`] find each other: one member creates it and sends it to the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuGroupId([u8; Self::LEN]);

impl GpuGroupId {
    /// Bytes of an id.
    pub const LEN: usize = 128;

    /// An id that no other group has.
    ///
    /// # Errors
    /// [`Error::NoNccl`](crate::Error::NoNccl), [`Error::Nccl`](crate::Error::Nccl).
    pub fn new() -> Result<Self> {
        backend::new_id().map(Self)
    }

    /// The id that another process made.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// For other processes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// GPUs of several processes of one machine, one each, through NCCL.
#[derive(Debug)]
pub struct GpuGroup(backend::Group);

impl GpuGroup {
    /// Waits until all members of the group are there.
    /// - `device`: the GPU of this one, which no other member may have
    /// - `rank`: its number, below `members`
    ///
    /// # Errors
    /// [`Error::NoNccl`](crate::Error::NoNccl), [`Error::Nccl`](crate::Error::Nccl), and
    /// [`Error::Candle`](crate::Error::Candle) where `device` is no GPU.
    pub fn join(device: &Device, rank: usize, members: usize, id: &GpuGroupId) -> Result<Self> {
        backend::join(device, rank, members, id.as_bytes()).map(Self)
    }

    /// The number of this member.
    pub fn rank(&self) -> usize {
        self.0.rank()
    }

    /// How many there are.
    pub fn members(&self) -> usize {
        self.0.members()
    }

    /// Each of the tensors, `f32` and contiguous, summed over all members, all of them in one launch; the same bits for
    /// every member. The GPU is not waited for. All members make the same calls in the same order; when one does not, or is
    /// gone, the GPUs of the others wait for ever.
    ///
    /// # Errors
    /// [`Error::Nccl`](crate::Error::Nccl), and [`Error::Candle`](crate::Error::Candle) for tensors of another kind.
    pub fn sum(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>> {
        self.0.sum(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn without_nccl_there_is_an_error_and_no_crash() {
        if cfg!(not(feature = "nccl")) {
            assert!(matches!(GpuGroupId::new(), Err(Error::NoNccl { .. })));
        }
        let id = GpuGroupId::from_bytes([7; GpuGroupId::LEN]);
        assert_eq!(GpuGroupId::from_bytes(*id.as_bytes()), id);
        let error = GpuGroup::join(&Device::Cpu, 0, 2, &id).unwrap_err();
        assert!(matches!(error, Error::NoNccl { .. } | Error::Candle(_)), "{error}");
    }
}

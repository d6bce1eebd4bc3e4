//! NCCL, as cudarc binds it.

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::cuda_backend::cudarc::nccl::result::{NcclError, group_end, group_start};
use candle_core::cuda_backend::cudarc::nccl::sys::ncclResult_t as Code;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Storage, Tensor};

use crate::{Error, Result, gpu_libraries};

/// What the calls of candle and NCCL share: one stream, so that sums come behind the gradients and before the update.
#[derive(Debug)]
pub(super) struct Group {
    device: CudaDevice,
    comm: Comm,
}

pub(super) fn new_id() -> Result<[u8; 128]> {
    check_library()?;
    let id = Id::new().map_err(|error| failed("make an id", &error))?;
    Ok(id.internal().map(|byte| byte as u8))
}

pub(super) fn join(device: &Device, rank: usize, members: usize, id: &[u8; 128]) -> Result<Group> {
    let device = device.as_cuda_device()?.clone();
    check_library()?;
    let id = Id::uninit(id.map(|byte| byte as std::ffi::c_char));
    let comm = Comm::from_rank(device.cuda_stream(), rank, members, id)
        .map_err(|error| failed("join the group", &error))?;
    Ok(Group { device, comm })
}

/// A program whose CUDA is loaded lazily starts without the library; a call would not tell why it fails.
fn check_library() -> Result<()> {
    let nccl = gpu_libraries().into_iter().find(|library| library.name == "NCCL");
    match nccl.map(|library| library.found) {
        Some(Err(reason)) => Err(Error::NoNccl { reason }),
        _ => Ok(()),
    }
}

impl Group {
    pub(super) fn rank(&self) -> usize {
        self.comm.rank()
    }

    pub(super) fn members(&self) -> usize {
        self.comm.world_size()
    }

    pub(super) fn sum(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut sums = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            sums.push(self.device.alloc_zeros::<f32>(tensor.elem_count().max(1))?);
        }
        // Between these two, calls only collect what one launch will do.
        group_start().map_err(|error| failed("begin a sum", &error))?;
        let asked = tensors.iter().zip(&mut sums).try_for_each(|(tensor, sum)| self.ask(tensor, sum));
        // Also when one of them failed: else this thread's group would stay open.
        let ended = group_end().map_err(|error| failed("sum", &error));
        asked?;
        ended?;
        let tensor = |(sum, tensor): (CudaSlice<f32>, &Tensor)| {
            let storage = CudaStorage::wrap_cuda_slice(sum, self.device.clone());
            Tensor::from_storage(Storage::Cuda(storage), tensor.shape(), BackpropOp::none(), false)
        };
        Ok(sums.into_iter().zip(tensors).map(tensor).collect())
    }

    fn ask(&self, tensor: &Tensor, sum: &mut CudaSlice<f32>) -> Result<()> {
        let (storage, layout) = tensor.storage_and_layout();
        let (Storage::Cuda(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            let what = "only contiguous tensors of a GPU can be summed; call `.contiguous()`";
            return Err(candle_core::Error::Msg(what.to_owned()).into());
        };
        let values = storage.as_cuda_slice::<f32>()?.slice(start..end);
        if start < end {
            self.comm.all_reduce(&values, sum, &ReduceOp::Sum).map_err(|error| failed("sum", &error))?;
        }
        Ok(())
    }
}

fn failed(action: &'static str, error: &NcclError) -> Error {
    let reason = match error.0 {
        Code::ncclUnhandledCudaError => "a call of CUDA failed",
        Code::ncclSystemError => "a call of the system failed",
        Code::ncclInternalError => "it has an internal error",
        Code::ncclInvalidArgument => "it was given a bad argument",
        Code::ncclInvalidUsage => "it was used wrongly; does every member have a GPU of its own?",
        Code::ncclRemoteError => "another member failed, or is gone",
        _ => "it does not say why",
    };
    Error::Nccl { action, reason }
}

//! On an NVIDIA GPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Result, Shape, Storage, Tensor, bail};

use super::gpu::{self, Entry};
use super::{UpdateRule, Updated};
use crate::cuda::{Stream, cuda_storage, view};

/// Whether [`update_at_once`] takes a tensor: a contiguous `f32` one on an NVIDIA GPU.
pub fn can_update_at_once(tensor: &Tensor) -> bool {
    tensor.device().is_cuda() && tensor.dtype() == DType::F32 && tensor.is_contiguous()
}

/// One step of AdamW for all variables, with their moving averages, in one launch.
///
/// # Errors
/// When a tensor is not as [`can_update_at_once`] says, shapes of a variable differ, two tensors share memory, or the launch
/// fails; nothing is changed then.
pub fn update_at_once(variables: &[Updated<'_>], rule: &UpdateRule) -> Result<()> {
    let Some(first) = variables.first() else { return Ok(()) };
    let device = cuda_device(first.value)?;
    let entries = variables
        .iter()
        .map(|variable| {
            let Updated { value, m, v, average, grad } = *variable;
            let same = [Some(m), Some(v), average, Some(grad)].into_iter().flatten();
            for tensor in same {
                if tensor.shape() != value.shape() || !tensor.device().same_device(value.device()) {
                    bail!("update: {:?} must be like its variable {:?}", tensor.shape(), value.shape());
                }
            }
            let of = |tensor: &Tensor| address(&device, tensor);
            let addresses = [of(value)?, of(m)?, of(v)?, average.map_or(Ok(0), of)?, of(grad)?];
            Ok(Entry { addresses, len: value.elem_count() })
        })
        .collect::<Result<Vec<_>>>()?;
    if !gpu::are_apart(&entries) {
        bail!("update: variables, moments, averages and gradients must not share memory");
    }
    // SAFETY: addresses and lengths are those of the tensors. No two of these overlap, as was just checked,
    // and they live until the launch is queued behind all earlier work on them.
    unsafe { gpu::update(&Stream(&device), &entries, rule) }
}

/// Sum of the squares of all elements of all tensors, which [`can_update_at_once`]: an `f64` scalar on their device.
///
/// # Errors
/// When there are none, or a launch fails.
pub fn squared_norm_at_once(tensors: &[&Tensor]) -> Result<Tensor> {
    let Some(first) = tensors.first() else { bail!("squared norm: no tensors") };
    let device = cuda_device(first)?;
    let entries = tensors
        .iter()
        .map(|tensor| {
            Ok(Entry { addresses: [0, 0, 0, 0, address(&device, tensor)?], len: tensor.elem_count() })
        })
        .collect::<Result<Vec<_>>>()?;
    let stream = Stream(&device);
    // SAFETY: the kernels write it.
    let mut sum: CudaSlice<f64> = unsafe { device.alloc::<f64>(1) }?;
    // SAFETY: addresses and lengths are those of the tensors.
    unsafe { gpu::squares(&stream, &entries, stream.write(&mut sum))? };
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(sum, device.clone()));
    Ok(Tensor::from_storage(storage, Shape::from(()), BackpropOp::none(), false))
}

fn cuda_device(tensor: &Tensor) -> Result<CudaDevice> {
    match tensor.device() {
        Device::Cuda(device) => Ok(device.clone()),
        device => bail!("update: expected a tensor on an NVIDIA GPU, got one on {:?}", device.location()),
    }
}

/// Where a tensor's numbers are.
fn address(device: &CudaDevice, tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let numbers = view::<f32>((cuda_storage(&storage)?, layout))?;
    let stream = device.cuda_stream();
    let (address, _used) = numbers.device_ptr(&stream);
    Ok(address)
}

//! NVIDIA GPUs, through candle's binding.
#![expect(unsafe_code, reason = "kernels are launched by address")]

mod compile;

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DevicePtr, DevicePtrMut, DeviceRepr, result,
};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Shape, Storage, Tensor, bail};

use crate::gpu::{Arg, Elements, Grid, Queue, Source};

/// Numbers that kernels compute with.
pub(crate) trait Element: CudaDType + DeviceRepr {
    const ELEMENTS: Elements;
}

impl Element for f32 {
    const ELEMENTS: Elements = Elements::F32;
}

impl Element for half::bf16 {
    const ELEMENTS: Elements = Elements::Bf16;
}

/// Calls a generic function with the type of the storage's numbers.
macro_rules! with_element {
    ($storage:expr, $call:ident::<_>($($arg:expr),* $(,)?)) => {
        match candle_core::backend::BackendStorage::dtype($storage) {
            candle_core::DType::F32 => $call::<f32>($($arg),*),
            candle_core::DType::BF16 => $call::<half::bf16>($($arg),*),
            dtype => candle_core::bail!("kernels for NVIDIA GPUs are there for f32 and bf16, got {dtype:?}"),
        }
    };
}
pub(crate) use with_element;

/// A storage, and which part of it a tensor is.
pub(crate) type Part<'a> = (&'a CudaStorage, &'a Layout);

/// The elements of a contiguous tensor.
pub(crate) fn view<T: Element>((storage, layout): Part<'_>) -> Result<CudaView<'_, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => {
            bail!("expected a contiguous tensor, got strides {:?}; call `.contiguous()`", layout.stride())
        }
    }
}

/// The storage of a tensor on a GPU.
pub(crate) fn cuda_storage(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("expected a tensor on an NVIDIA GPU"),
    }
}

/// New numbers, of any values.
pub(crate) fn allocate<T: Element>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
    // Nothing is no size that CUDA knows.
    // SAFETY: whoever allocates has a kernel write every number.
    unsafe { device.alloc::<T>(len.max(1)) }
}

/// A tensor of its own.
pub(crate) fn tensor<T: Element>(
    numbers: CudaSlice<T>,
    device: &CudaDevice,
    shape: impl Into<Shape>,
) -> Tensor {
    let storage = CudaStorage::wrap_cuda_slice(numbers, device.clone());
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// The order of work of one GPU, which is candle's: kernels run behind candle's operations and before its next.
pub(crate) struct Stream<'a>(pub(crate) &'a CudaDevice);

impl Stream<'_> {
    /// Address of numbers to read. It holds for kernels that are launched while they live.
    pub(crate) fn read<T>(&self, numbers: &impl DevicePtr<T>) -> Arg {
        let stream = self.0.cuda_stream();
        let (pointer, _used) = numbers.device_ptr(&stream);
        Arg::Pointer(pointer)
    }

    /// Address of numbers to write.
    pub(crate) fn write<T>(&self, numbers: &mut impl DevicePtrMut<T>) -> Arg {
        let stream = self.0.cuda_stream();
        let (pointer, _used) = numbers.device_ptr_mut(&stream);
        Arg::Pointer(pointer)
    }
}

impl Queue for Stream<'_> {
    type Memory = CudaSlice<u32>;

    fn allocate(&self, numbers: usize) -> Result<Self::Memory> {
        // SAFETY: whoever allocates has a kernel write every number.
        unsafe { self.0.alloc::<u32>(numbers.max(1)) }
    }

    fn upload(&self, words: &[u64]) -> Result<Self::Memory> {
        let halves: Vec<u32> = words.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]).collect();
        self.0.clone_htod(&halves)
    }

    fn pointer(&self, memory: &Self::Memory) -> Arg {
        self.read(memory)
    }

    unsafe fn launch(&self, source: &'static Source, kernel: &str, grid: Grid, args: &[Arg]) -> Result<()> {
        if grid.blocks.contains(&0) {
            return Ok(()); // Of an empty batch.
        }
        let stream = self.0.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let function = compile::function(self.0, source, kernel)?;
        let mut addresses: Vec<_> = args.iter().map(Arg::address).collect();
        let [x, y, z] = grid.blocks;
        let [threads_x, threads_y, threads_z] = grid.threads;
        // SAFETY: by the caller's promise; one stream has the kernels and allocations of a device in order.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x, y, z),
                (threads_x, threads_y, threads_z),
                0,
                stream.cu_stream(),
                &mut addresses,
            )
        }
        .w()
    }
}

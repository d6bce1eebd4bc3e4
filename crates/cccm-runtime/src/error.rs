//! What can go wrong.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the name of a device.
    #[error(
        "no device `{name}`: there are `cpu`, `cuda` or `cuda:0` for the first GPU, `cuda:1` for the second and so on, and \
         `auto` for the best of them"
    )]
    UnknownDevice {
        /// What was given.
        name: String,
    },
    /// The program was built without feature `cuda`.
    #[error(
        "this build computes on CPUs alone; one for GPUs is made by `cargo xtask cuda-build`, or where CUDA is installed by \
         `cargo build --release -p cccm-cli --features cuda,cudnn,nccl`"
    )]
    CpuOnlyBuild,
    /// The driver's library cannot be loaded.
    #[error(
        "no NVIDIA driver: {reason}; install one that supports CUDA {}.{}, or start the container with its GPUs \
         (`docker run --gpus all`)", .needed.0, .needed.1
    )]
    NoDriver {
        /// What the system's loader says.
        reason: String,
        /// The version of CUDA that this build needs.
        needed: (u32, u32),
    },
    /// The driver is older than what this build was compiled for.
    #[error(
        "the NVIDIA driver supports CUDA {}.{}, but this build needs {}.{}; install a newer driver",
        .found.0, .found.1, .needed.0, .needed.1
    )]
    OldDriver {
        /// The newest version of CUDA that the driver supports.
        found: (u32, u32),
        /// The version that this build needs.
        needed: (u32, u32),
    },
    /// Fewer GPUs than the ordinal asks for.
    #[error("no GPU {ordinal}: {}", available(*.count))]
    NoSuchGpu {
        /// The GPU that was asked for, from 0.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// A GPU that lacks instructions which our kernels use.
    #[error(
        "GPU {ordinal}, {name}, has compute capability {}.{}, but at least {}.{} is needed",
        .found.0, .found.1, crate::MIN_COMPUTE_CAPABILITY.0, crate::MIN_COMPUTE_CAPABILITY.1
    )]
    OldGpu {
        /// The GPU, from 0.
        ordinal: usize,
        /// Its name.
        name: String,
        /// Its compute capability.
        found: (u32, u32),
    },
    /// No GPU that our kernels run on.
    #[error("{}", unusable(*.count))]
    NoUsableGpu {
        /// How many others there are.
        count: usize,
    },
    /// A call of the driver failed.
    #[error("the NVIDIA driver fails to {action}: {reason}")]
    Driver {
        /// What it was to do.
        action: &'static str,
        /// What it says.
        reason: String,
    },
    /// NCCL, by which several GPUs train one model, is not there.
    #[error("several GPUs need NCCL: {reason}")]
    NoNccl {
        /// Why not.
        reason: String,
    },
    /// A call of NCCL failed.
    #[error("NCCL fails to {action}: {reason}; NCCL_DEBUG=WARN lets it say more")]
    Nccl {
        /// What it was to do.
        action: &'static str,
        /// What its error code means.
        reason: &'static str,
    },
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

fn unusable(count: usize) -> String {
    let (major, minor) = crate::MIN_COMPUTE_CAPABILITY;
    match count {
        0 => "the NVIDIA driver sees no GPU".to_owned(),
        count => format!("none of the GPUs, {count}, has compute capability {major}.{minor} or newer"),
    }
}

fn available(count: usize) -> String {
    match count {
        0 => "the NVIDIA driver sees none; is CUDA_VISIBLE_DEVICES set to something else?".to_owned(),
        1 => "there is one, number 0".to_owned(),
        count => format!("there are {count}, numbers 0 to {}", count - 1),
    }
}

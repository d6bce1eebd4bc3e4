//! The only names that a pickle may ask for.

use safetensors::Dtype;

use super::PthProblem;
use super::problem::shown;

/// Something a pickle names. None of them is code: each is a rule of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// An empty dictionary.
    OrderedDict,
    /// A tensor over a storage.
    Tensor,
    /// A tensor, wrapped.
    Parameter,
    /// A kind of storage, by the type of its elements.
    Storage(Element),
    /// Something whose objects are ignored: shapes, dtypes, devices, numbers of numpy, settings.
    Inert,
}

/// What people keep beside weights, by module: none of it is made, and none of it is needed. `*` is every name.
const INERT: [(&str, &[&str]); 27] = [
    ("torch", &["Size", "device", "Generator"]),
    ("torch.torch_version", &["TorchVersion"]),
    ("_codecs", &["encode"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.dtypes", &["*"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("builtins", &BUILTINS),
    // What Python 3 calls it in protocol 2.
    ("__builtin__", &BUILTINS),
    ("collections", &["Counter", "defaultdict", "deque"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("typing", &["Any"]),
    ("pathlib", &PATHS),
    ("pathlib._local", &PATHS),
    ("datetime", &["date", "datetime", "time", "timedelta", "timezone"]),
    ("decimal", &["Decimal"]),
    ("uuid", &["UUID"]),
    ("omegaconf.base", &["*"]),
    ("omegaconf.dictconfig", &["DictConfig"]),
    ("omegaconf.listconfig", &["ListConfig"]),
    ("omegaconf.nodes", &["*"]),
    ("pytorch_lightning.utilities.parsing", &["AttributeDict"]),
    ("lightning_fabric.utilities.data", &["AttributeDict"]),
    ("lightning.fabric.utilities.data", &["AttributeDict"]),
];

const BUILTINS: [&str; 17] = [
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

const PATHS: [&str; 6] = ["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"];

fn is_inert(module: &str, name: &str) -> bool {
    INERT.iter().any(|(known, names)| *known == module && (names.contains(&name) || *names == ["*"]))
}

impl Global {
    /// # Errors
    /// [`PthProblem::Global`] for every name but these.
    pub(super) fn find(module: &str, name: &str) -> Result<Self, PthProblem> {
        let unknown = || PthProblem::Global { name: shown(&format!("{module}.{name}")) };
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            _ if is_inert(module, name) => Self::Inert,
            ("torch", _) => match Element::of_storage(name) {
                Some(element) => Self::Storage(element),
                None if Element::ALL.iter().any(|element| element.name() == name) => Self::Inert,
                None => return Err(unknown()),
            },
            _ => return Err(unknown()),
        })
    }
}

/// Type of the elements of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// `torch.bfloat16`
    BFloat16,
    /// `torch.float16`
    Float16,
    /// `torch.float32`
    Float32,
    /// `torch.float64`
    Float64,
    /// `torch.bool`
    Bool,
    /// `torch.uint8`
    UInt8,
    /// `torch.int8`
    Int8,
    /// `torch.int16`
    Int16,
    /// `torch.int32`
    Int32,
    /// `torch.int64`
    Int64,
}

impl Element {
    const ALL: [Self; 10] = [
        Self::BFloat16,
        Self::Float16,
        Self::Float32,
        Self::Float64,
        Self::Bool,
        Self::UInt8,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
    ];

    /// The name in PyTorch.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::UInt8 => "uint8",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        }
    }

    /// Bytes of one element.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Bool | Self::UInt8 | Self::Int8 => 1,
            Self::BFloat16 | Self::Float16 | Self::Int16 => 2,
            Self::Float32 | Self::Int32 => 4,
            Self::Float64 | Self::Int64 => 8,
        }
    }

    /// The type in safetensors files; weights are floating point, and nothing else is read.
    pub(crate) const fn float(self) -> Option<Dtype> {
        match self {
            Self::BFloat16 => Some(Dtype::BF16),
            Self::Float16 => Some(Dtype::F16),
            Self::Float32 => Some(Dtype::F32),
            Self::Float64 => Some(Dtype::F64),
            _ => None,
        }
    }

    pub(super) fn of_float(dtype: Dtype) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.float() == Some(dtype))
    }

    /// The class of PyTorch whose name says the type of a storage.
    pub(super) const fn storage(self) -> &'static str {
        match self {
            Self::BFloat16 => "BFloat16Storage",
            Self::Float16 => "HalfStorage",
            Self::Float32 => "FloatStorage",
            Self::Float64 => "DoubleStorage",
            Self::Bool => "BoolStorage",
            Self::UInt8 => "ByteStorage",
            Self::Int8 => "CharStorage",
            Self::Int16 => "ShortStorage",
            Self::Int32 => "IntStorage",
            Self::Int64 => "LongStorage",
        }
    }

    fn of_storage(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.storage() == name)
    }
}

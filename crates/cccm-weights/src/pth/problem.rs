//! Why a PyTorch file was refused.

/// Why a PyTorch file was refused. Nothing of a file is ever executed, whatever it asks for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PthProblem {
    /// Neither of the two forms that `torch.save` writes.
    #[error("it starts as neither a zip archive nor a PyTorch pickle")]
    Format,
    /// Something ends before it should.
    #[error("it is cut off or damaged: {what}")]
    CutOff {
        /// What is missing.
        what: String,
    },
    /// A pickle instruction that checkpoints do not need.
    #[error("its pickle has the instruction {name} (0x{opcode:02x}) at byte {at}, which no checkpoint needs")]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Its name in Python's `pickletools`, or `unknown`.
        name: &'static str,
        /// Where in the file.
        at: u64,
    },
    /// A pickle that asks for something that is not among the types of checkpoints.
    #[error(
        "it asks for `{name}`, which is not among the types of a checkpoint; nothing was run. Save the weights alone to have \
         them read"
    )]
    Global {
        /// Module and name.
        name: String,
    },
    /// A pickle whose instructions make no sense.
    #[error("its pickle makes no sense at byte {at}: {problem}")]
    Pickle {
        /// Where in the file.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// An object that contains itself.
    #[error("it holds an object that contains itself")]
    Cycle,
    /// More objects, or more values seen through its tensors, than a file of this size has reason to hold.
    #[error("its {what} would take more memory than a file of {file_bytes} bytes can justify")]
    Memory {
        /// What is too large.
        what: &'static str,
        /// Size of the file.
        file_bytes: u64,
    },
    /// An archive that PyTorch does not write.
    #[error("its zip archive makes no sense: {problem}")]
    Zip {
        /// What is wrong.
        problem: String,
    },
    /// A compressed or encrypted entry; PyTorch stores them as they are.
    #[error("its entry `{entry}` is compressed or encrypted, which PyTorch never does")]
    Compressed {
        /// Name of the entry.
        entry: String,
    },
    /// An entry whose name leaves the archive.
    #[error("its entry `{entry}` has a name that would lead out of a folder")]
    UnsafeName {
        /// Name of the entry.
        entry: String,
    },
    /// Values in the byte order of other machines.
    #[error("its byte order is `{found}`; only `little` is read")]
    ByteOrder {
        /// What the file says.
        found: String,
    },
    /// A tensor that does not lie within its storage.
    #[error(
        "a tensor of shape {shape:?} and strides {strides:?} from element {offset} on does not lie in its storage of {elements}"
    )]
    Tensor {
        /// Dimensions.
        shape: Vec<usize>,
        /// Elements from one index to the next, per dimension.
        strides: Vec<usize>,
        /// Its first element.
        offset: u64,
        /// Elements of its storage.
        elements: u64,
    },
    /// More than one network, such as one in training and its moving average.
    #[error("it holds several state dictionaries: {keys}; choose one by --key")]
    SeveralStateDicts {
        /// Where they lie.
        keys: String,
    },
    /// No dictionary of tensors where checkpoints have it.
    #[error("it holds no state dictionary: {found}")]
    NoStateDict {
        /// What it holds instead.
        found: String,
    },
    /// The file cannot be read.
    #[error("the system cannot read it")]
    Io(#[from] std::io::Error),
}

impl PthProblem {
    pub(super) fn cut_off(what: impl Into<String>) -> Self {
        Self::CutOff { what: what.into() }
    }

    pub(super) fn zip(problem: impl Into<String>) -> Self {
        Self::Zip { problem: problem.into() }
    }
}

/// A name from a file, fit for a message: escaped, and not longer than a line.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 120;
    let escaped = name.escape_debug().to_string();
    match escaped.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &escaped[..end]),
        None => escaped,
    }
}

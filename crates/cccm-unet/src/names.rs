//! Where each part of the network lies in published files.

use crate::Arch;

/// Rows are training timesteps. Training starts from sinusoids, which no initialisation hint of candle can
/// express.
pub(crate) const TIME_TABLE: &str = "time_embedding.emb_layer.weight";
/// The guidance input of a student, which its teacher lacks.
pub(crate) const GUIDANCE_PROJECTION: &str = "time_embedding.cond_proj.weight";

/// What the names of a label kind's tensors begin with, counted from 0: `atr` and `obj` as published, then `label3` and so on.
pub(crate) fn label_prefix(kind: usize) -> String {
    match kind {
        0 => "atr".to_owned(),
        1 => "obj".to_owned(),
        _ => format!("label{}", kind + 1),
    }
}

/// Names of the layers in the order they run, per architecture.
#[derive(Clone, Copy)]
pub(crate) struct LayerNames(pub(crate) Arch);

impl LayerNames {
    pub(crate) fn head(self) -> String {
        match self.0 {
            Arch::Unetic => "head".into(),
            Arch::Unet => "input_blocks.0.0".into(),
        }
    }

    /// The `index`-th layer on the way down, blocks and downsamplers counted together.
    pub(crate) fn down(self, index: usize) -> String {
        match self.0 {
            Arch::Unetic => format!("downblocks.{index}"),
            Arch::Unet => format!("input_blocks.{}.0", index + 1),
        }
    }

    pub(crate) fn middle(self, index: usize) -> String {
        match self.0 {
            Arch::Unetic => format!("middleblocks.{index}"),
            Arch::Unet => format!("middle_block.{index}"),
        }
    }

    /// A residual block on the way up, after `blocks` blocks and `upsamplers` upsamplers.
    pub(crate) fn up_block(self, blocks: usize, upsamplers: usize) -> String {
        match self.0 {
            Arch::Unetic => format!("upblocks.{}", blocks + upsamplers),
            Arch::Unet => format!("output_blocks.{blocks}.0"),
        }
    }

    /// An upsampler, after `blocks` blocks and `upsamplers` upsamplers; in `unet` it is part of the block
    /// before it.
    pub(crate) fn upsampler(self, blocks: usize, upsamplers: usize) -> String {
        match self.0 {
            Arch::Unetic => format!("upblocks.{}", blocks + upsamplers),
            Arch::Unet => format!("output_blocks.{}.1", blocks - 1),
        }
    }

    pub(crate) fn tail(self) -> String {
        match self.0 {
            Arch::Unetic => "tail".into(),
            Arch::Unet => "out".into(),
        }
    }
}

/// What a network may have been an attribute of when its weights were saved.
pub(crate) const WRAPPERS: [&str; 10] = [
    "model",
    "net",
    "network",
    "unet",
    "ema",
    "ema_model",
    "module",
    "student",
    "teacher",
    "diffusion_model",
];

/// This crate's name of a parameter in a published file: some files have older names for the layers of the
/// time embedding.
pub(crate) fn canonical(name: &str) -> String {
    const RENAMED: [(&str, &str); 3] = [
        ("time_embedding.timembedding.0.", "time_embedding.emb_layer."),
        ("time_embedding.timembedding.1.", "time_embedding.linear_1."),
        ("time_embedding.timembedding.3.", "time_embedding.linear_2."),
    ];
    let renamed = RENAMED.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?)));
    renamed.unwrap_or_else(|| name.to_owned())
}

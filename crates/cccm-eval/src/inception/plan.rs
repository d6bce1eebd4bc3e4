//! Which layers Inception-v3 has, under the names of their weights.

use super::pool::Pool;

/// A part of the network, without weights.
pub(super) enum Part {
    Conv(ConvPlan),
    Pool(Pool),
    /// Chains of parts over the same input; an empty name adds nothing to the names of the weights.
    Fork {
        name: &'static str,
        branches: Vec<Vec<Part>>,
    },
}

/// A convolution with batch normalization and ReLU.
pub(super) struct ConvPlan {
    pub(super) name: &'static str,
    pub(super) channels: usize,
    /// Height and width.
    pub(super) kernel: (usize, usize),
    pub(super) border: Border,
}

/// What happens at the border.
#[derive(Clone, Copy, Debug)]
pub(super) enum Border {
    /// Zeros around, so that the size stays.
    Padded,
    /// None around.
    Cut,
    /// None around, and every other pixel of the result.
    CutAndHalved,
}

impl Part {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Conv(conv) => conv.name,
            Self::Pool(_) => "pool",
            Self::Fork { name, .. } => name,
        }
    }
}

/// The whole network up to the last maps, `(batch, 2048, 8, 8)` of images of 299×299.
pub(super) fn inception() -> Vec<Part> {
    vec![
        conv("Conv2d_1a_3x3", 32, (3, 3), Border::CutAndHalved),
        conv("Conv2d_2a_3x3", 32, (3, 3), Border::Cut),
        padded("Conv2d_2b_3x3", 64, (3, 3)),
        Part::Pool(Pool::MaxHalved),
        padded("Conv2d_3b_1x1", 80, (1, 1)),
        conv("Conv2d_4a_3x3", 192, (3, 3), Border::Cut),
        Part::Pool(Pool::MaxHalved),
        a("Mixed_5b", 32),
        a("Mixed_5c", 64),
        a("Mixed_5d", 64),
        b("Mixed_6a"),
        c("Mixed_6b", 128),
        c("Mixed_6c", 160),
        c("Mixed_6d", 160),
        c("Mixed_6e", 192),
        d("Mixed_7a"),
        e("Mixed_7b", Pool::Average),
        // A slip of the original network, which the published FID has ever since.
        e("Mixed_7c", Pool::Max),
    ]
}

fn conv(name: &'static str, channels: usize, kernel: (usize, usize), border: Border) -> Part {
    Part::Conv(ConvPlan { name, channels, kernel, border })
}

fn padded(name: &'static str, channels: usize, kernel: (usize, usize)) -> Part {
    conv(name, channels, kernel, Border::Padded)
}

fn halved(name: &'static str, channels: usize) -> Part {
    conv(name, channels, (3, 3), Border::CutAndHalved)
}

fn a(name: &'static str, pool_channels: usize) -> Part {
    let branches = vec![
        vec![padded("branch1x1", 64, (1, 1))],
        vec![padded("branch5x5_1", 48, (1, 1)), padded("branch5x5_2", 64, (5, 5))],
        vec![
            padded("branch3x3dbl_1", 64, (1, 1)),
            padded("branch3x3dbl_2", 96, (3, 3)),
            padded("branch3x3dbl_3", 96, (3, 3)),
        ],
        vec![Part::Pool(Pool::Average), padded("branch_pool", pool_channels, (1, 1))],
    ];
    Part::Fork { name, branches }
}

fn b(name: &'static str) -> Part {
    let branches = vec![
        vec![halved("branch3x3", 384)],
        vec![
            padded("branch3x3dbl_1", 64, (1, 1)),
            padded("branch3x3dbl_2", 96, (3, 3)),
            halved("branch3x3dbl_3", 96),
        ],
        vec![Part::Pool(Pool::MaxHalved)],
    ];
    Part::Fork { name, branches }
}

fn c(name: &'static str, narrow: usize) -> Part {
    let branches = vec![
        vec![padded("branch1x1", 192, (1, 1))],
        vec![
            padded("branch7x7_1", narrow, (1, 1)),
            padded("branch7x7_2", narrow, (1, 7)),
            padded("branch7x7_3", 192, (7, 1)),
        ],
        vec![
            padded("branch7x7dbl_1", narrow, (1, 1)),
            padded("branch7x7dbl_2", narrow, (7, 1)),
            padded("branch7x7dbl_3", narrow, (1, 7)),
            padded("branch7x7dbl_4", narrow, (7, 1)),
            padded("branch7x7dbl_5", 192, (1, 7)),
        ],
        vec![Part::Pool(Pool::Average), padded("branch_pool", 192, (1, 1))],
    ];
    Part::Fork { name, branches }
}

fn d(name: &'static str) -> Part {
    let branches = vec![
        vec![padded("branch3x3_1", 192, (1, 1)), halved("branch3x3_2", 320)],
        vec![
            padded("branch7x7x3_1", 192, (1, 1)),
            padded("branch7x7x3_2", 192, (1, 7)),
            padded("branch7x7x3_3", 192, (7, 1)),
            halved("branch7x7x3_4", 192),
        ],
        vec![Part::Pool(Pool::MaxHalved)],
    ];
    Part::Fork { name, branches }
}

fn e(name: &'static str, pool: Pool) -> Part {
    let both = |across, down| Part::Fork {
        name: "",
        branches: vec![vec![padded(across, 384, (1, 3))], vec![padded(down, 384, (3, 1))]],
    };
    let branches = vec![
        vec![padded("branch1x1", 320, (1, 1))],
        vec![padded("branch3x3_1", 384, (1, 1)), both("branch3x3_2a", "branch3x3_2b")],
        vec![
            padded("branch3x3dbl_1", 448, (1, 1)),
            padded("branch3x3dbl_2", 384, (3, 3)),
            both("branch3x3dbl_3a", "branch3x3dbl_3b"),
        ],
        vec![Part::Pool(pool), padded("branch_pool", 192, (1, 1))],
    ];
    Part::Fork { name, branches }
}

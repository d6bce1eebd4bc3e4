//! How much a network computes.

use crate::UNet;
use crate::layers::Conv;
use crate::unet::Layer;

impl UNet {
    /// Additions and multiplications of one forward pass for one image of `image_px` times `image_px` pixels, in all its
    /// convolutions, counted as plain sums of products. Norms and embeddings add a hundredth of that.
    pub fn flops(&self, image_px: usize) -> u64 {
        let mut px = image_px;
        let mut sum = self.head.flops(px);
        for layer in &self.down {
            if let Layer::Downsample(_) = layer {
                px /= 2;
            }
            sum += layer.flops(px);
        }
        sum += self.middle.iter().map(|block| block.flops(px)).sum::<u64>();
        for layer in &self.up {
            if let Layer::Upsample(_) = layer {
                px *= 2;
            }
            sum += layer.flops(px);
        }
        sum + self.tail.1.flops(px)
    }
}

impl Layer {
    /// At the pixels of its result.
    fn flops(&self, px: usize) -> u64 {
        match self {
            Self::Block(block) => block.flops(px),
            Self::Downsample(conv) | Self::Upsample(conv) => conv.flops(px),
        }
    }
}

impl Conv {
    /// At the pixels of its result.
    pub(crate) fn flops(&self, px: usize) -> u64 {
        let [weight, _] = self.parameters();
        2 * (weight.elem_count() * px * px) as u64
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cccm_sched::Streams;

    use super::*;
    use crate::{Arch, Tables, UNetConfig};

    /// Counted by hand: head and tail 3×3 at 4×4 pixels; a block down, two in the middle and two up at the level below; a
    /// strided convolution and one behind upsampling.
    #[test]
    fn of_a_small_network() {
        let cfg = UNetConfig {
            arch: Arch::Unet,
            model_channels: 4,
            channel_mult: vec![1, 1],
            num_res_blocks: 1,
            norm_groups: 2,
            ..UNetConfig::colored_mnist_32()
        };
        let tables = Tables::new([2, 2]);
        let parameters = UNet::initial_parameters(&cfg, tables, &Streams::new(1), &Device::Cpu).unwrap();
        let network = UNet::frozen(&cfg, tables, &parameters).unwrap();
        let (fine, coarse, same, point) = (16, 4, 9 * 4 * 4, 4 * 4);
        let block = 2 * same;
        let with_skip = 2 * same + same + 2 * point;
        let products = fine * (2 * 9 * 3 * 4 + block + 2 * with_skip + same)
            + coarse * (same + block + 2 * block + 2 * with_skip);
        assert_eq!(network.flops(4), 2 * products);
    }
}

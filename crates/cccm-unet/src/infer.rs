//! Size and shape of a network, read off the names and shapes of its tensors.

use std::collections::BTreeMap;

use cccm_labels::{Combination, MAX_KINDS};
use cccm_weights::check_shapes;

use crate::names::{GUIDANCE_PROJECTION, LayerNames, TIME_TABLE, label_prefix};
use crate::{Arch, Error, Result, Tables, UNet, UNetConfig};

type Shapes = BTreeMap<String, Vec<usize>>;

/// The network that has exactly these tensors. The tensors tell neither the number of groups, which is an
/// argument, nor dropout, which matters only for training.
///
/// # Errors
/// [`Error::UnknownNetwork`] when a tensor is missing that tells the architecture or a size;
/// [`cccm_weights::Error::Parameters`] naming every tensor that is missing, unknown or misshapen;
/// [`Error::InvalidConfig`] when a size is out of range.
pub(crate) fn infer(shapes: &Shapes, norm_groups: usize, origin: &str) -> Result<(UNetConfig, Tables)> {
    let tensors = Tensors { shapes, origin };
    let arch = tensors.arch()?;
    let names = LayerNames(arch);
    let [model_channels, ..] = tensors.dims::<4>(&format!("{}.weight", names.head()))?;
    let levels = tensors.levels(names)?;
    let [timesteps, _] = tensors.dims(TIME_TABLE)?;
    let labels = tensors.labels()?;
    let guidance = shapes.contains_key(GUIDANCE_PROJECTION).then(|| tensors.dims::<2>(GUIDANCE_PROJECTION));
    let guidance_dim = guidance.transpose()?.map(|[_, width]| width);
    let channel_mult = levels.iter().map(|level| level.channels / model_channels.max(1)).collect();
    let cfg = UNetConfig {
        arch,
        model_channels,
        channel_mult,
        num_res_blocks: levels.first().map_or(0, |level| level.blocks),
        norm_groups,
        guidance_dim,
        dropout: if guidance_dim.is_some() { 0.0 } else { UNetConfig::PUBLISHED_DROPOUT },
    };
    let tables = Tables { labels, timesteps };
    check_shapes(&UNet::specs(&cfg, tables)?, shapes, origin)?;
    Ok((cfg, tables))
}

/// Residual blocks between two downsamplers, and their channels.
#[derive(Clone, Copy, Default)]
struct Level {
    blocks: usize,
    channels: usize,
}

struct Tensors<'a> {
    shapes: &'a Shapes,
    origin: &'a str,
}

impl Tensors<'_> {
    fn arch(&self) -> Result<Arch> {
        let head = |arch: &Arch| format!("{}.weight", LayerNames(*arch).head());
        let found = [Arch::Unetic, Arch::Unet].into_iter().find(|arch| self.shapes.contains_key(&head(arch)));
        found.ok_or_else(|| {
            let first =
                self.shapes.keys().next().map_or_else(String::new, |name| format!(" (it has `{name}`)"));
            let heads = [head(&Arch::Unetic), head(&Arch::Unet)];
            self.unknown(format!("there is neither `{}` nor `{}`{first}", heads[0], heads[1]))
        })
    }

    /// Walks down. Levels of different length, and channels that are no multiple, are found when shapes are checked.
    fn levels(&self, names: LayerNames) -> Result<Vec<Level>> {
        let mut levels = vec![Level::default()];
        for index in 0..self.shapes.len() {
            let layer = names.down(index);
            let Some(level) = levels.last_mut() else { break };
            if self.shapes.contains_key(&format!("{layer}.op.weight")) {
                levels.push(Level::default());
            } else if self.shapes.contains_key(&format!("{layer}.block1.2.weight")) {
                let [channels, ..] = self.dims::<4>(&format!("{layer}.block1.2.weight"))?;
                *level = Level { blocks: level.blocks + 1, channels };
            } else {
                break;
            }
        }
        Ok(levels)
    }

    /// The number of labels of each kind.
    fn labels(&self) -> Result<Combination> {
        let layers = |kind: usize| format!("{}_embedding", label_prefix(kind));
        let is_there = |kind: &usize| {
            let prefix = layers(*kind) + ".";
            self.shapes.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
        };
        let kinds = (0..MAX_KINDS).rev().find(is_there).map_or(1, |last| last + 1);
        let count = |kind| {
            let [rows, _] = self.dims(&format!("{}.embedding_table.weight", layers(kind)))?;
            // The last row is the null token.
            u32::try_from(rows.saturating_sub(1))
                .map_err(|_| self.unknown(format!("a table of {rows} labels")))
        };
        Ok(Combination::new((0..kinds).map(count).collect::<Result<Vec<_>>>()?))
    }

    fn dims<const D: usize>(&self, name: &str) -> Result<[usize; D]> {
        let shape = self.shapes.get(name).ok_or_else(|| self.unknown(format!("there is no `{name}`")))?;
        let dims = <[usize; D]>::try_from(shape.as_slice());
        dims.map_err(|_| self.unknown(format!("`{name}` is {shape:?}, but must have {D} dimensions")))
    }

    fn unknown(&self, problem: String) -> Error {
        Error::UnknownNetwork { origin: self.origin.to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_weights::Error::Parameters;

    fn shapes(cfg: &UNetConfig, tables: Tables) -> Shapes {
        let specs = UNet::specs(cfg, tables).unwrap();
        specs.into_iter().map(|(name, spec)| (name, spec.shape)).collect()
    }

    #[test]
    fn every_size_is_read_off_the_tensors() -> Result<()> {
        let small = UNetConfig { model_channels: 8, norm_groups: 4, ..UNetConfig::colored_mnist_32() };
        for labels in [&[3, 7][..], &[5], &[2, 3, 4], &[1, 2, 3, 4]] {
            let tables = Tables { labels: Combination::new(labels.iter().copied()), timesteps: 200 };
            for arch in [Arch::Unetic, Arch::Unet] {
                for channel_mult in [vec![1], vec![1, 2, 4, 4], vec![2, 1], vec![3, 3, 1]] {
                    for (num_res_blocks, guidance_dim) in [(1, None), (2, Some(16)), (3, None)] {
                        let cfg = UNetConfig {
                            arch,
                            channel_mult: channel_mult.clone(),
                            num_res_blocks,
                            ..small.clone()
                        };
                        let cfg = match guidance_dim {
                            Some(_) => UNetConfig { guidance_dim, dropout: 0.0, ..cfg },
                            None => cfg,
                        };
                        assert_eq!(infer(&shapes(&cfg, tables), 4, "x")?, (cfg, tables));
                    }
                }
            }
        }
        let published = UNetConfig::celeba_128();
        assert_eq!(infer(&shapes(&published, Tables::new([4, 2])), 32, "x")?.0, published);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (cfg, tables) = (UNetConfig::colored_mnist_32(), Tables::new([5, 10]));
        let whole = shapes(&cfg, tables);
        let error = |change: &dyn Fn(&mut Shapes)| {
            let mut shapes = whole.clone();
            change(&mut shapes);
            infer(&shapes, 8, "x.pth").unwrap_err()
        };
        let without = |name: &str| error(&|shapes| drop(shapes.remove(name)));
        for name in ["head.weight", TIME_TABLE, "obj_embedding.embedding_table.weight"] {
            let error = without(name);
            assert!(
                matches!(&error, Error::UnknownNetwork { problem, .. } if problem.contains(name)),
                "{error}"
            );
        }
        let flat = error(&|shapes| drop(shapes.insert("head.weight".into(), vec![32, 27])));
        assert!(flat.to_string().contains("`head.weight` is [32, 27], but must have 4 dimensions"), "{flat}");
        for name in ["tail.0.bias", "downblocks.2.atr_proj.1.weight", "upblocks.4.block2.3.bias"] {
            let error = without(name);
            assert!(
                matches!(error, Error::Weights(Parameters { .. })) && error.to_string().contains(name),
                "{error}"
            );
        }
        let extra = error(&|shapes| drop(shapes.insert("downblocks.0.attn.q.weight".into(), vec![32, 32])));
        assert!(extra.to_string().contains("1 unknown: `downblocks.0.attn.q.weight`"), "{extra}");
        let odd =
            error(&|shapes| drop(shapes.insert("downblocks.2.block1.2.weight".into(), vec![65, 32, 3, 3])));
        assert!(odd.to_string().contains("downblocks.2.block1.2.weight"), "{odd}");
        let none = infer(&Shapes::new(), 8, "x.pth").unwrap_err().to_string();
        assert_eq!(
            none,
            "the tensors of x.pth are no known network: there is neither `head.weight` nor `input_blocks.0.0.weight`"
        );
    }
}

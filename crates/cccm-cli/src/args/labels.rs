//! Which labels images or a model have.

use anyhow::Result;
use cccm_data::Preset;
use cccm_labels::KnownLabels;
use cccm_run::known_labels;
use cccm_run::shell::quoted;

/// Which labels images or a model have.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LabelArgs {
    /// Labels by name: celeba, zappos50k, colored-mnist, shapes, sized-shapes
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<Preset>,

    /// Attributes in index order, instead of a preset
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "objects", conflicts_with = "preset")]
    attributes: Option<Vec<String>>,

    /// Objects in index order, instead of a preset
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "attributes")]
    objects: Option<Vec<String>>,

    /// A kind of labels, as colour=red,green,blue, in index order; once for each kind, in order, instead of a preset or of
    /// attributes and objects
    #[arg(long, value_name = "KIND", num_args = 1.., conflicts_with_all = ["preset", "attributes", "objects"])]
    kind: Option<Vec<String>>,
}

impl LabelArgs {
    /// What they say, if they say anything.
    pub(crate) fn known(&self) -> Result<Option<KnownLabels>> {
        known_labels(self.preset, self.attributes.as_deref(), self.objects.as_deref(), self.kind.as_deref())
    }

    /// These flags as one would type them for another command.
    /// - `preset`: where none is given
    pub(crate) fn words(&self, preset: Option<Preset>) -> Vec<String> {
        if let Some(preset) = self.preset.or(preset) {
            return vec![format!("--preset {preset}")];
        }
        [("attributes", &self.attributes), ("objects", &self.objects), ("kind", &self.kind)]
            .into_iter()
            .filter_map(|(flag, names)| Some((flag, names.as_ref()?)))
            .flat_map(|(flag, names)| std::iter::once(format!("--{flag}")).chain(names.iter().map(quoted)))
            .collect()
    }
}

//! The classifier that judges pictures.

use std::path::PathBuf;

use anyhow::Result;
use cccm_eval::ClassifierTraining;
use cccm_labels::LabelKind;
use cccm_scores::{Judge, Keep, RealImages, Watch};
use toml::Table;

use crate::signals::Interrupt;

/// Default number of training steps.
const STEPS: u64 = 1500;

/// The classifier that judges pictures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JudgeArgs {
    /// File of the classifier; written if it is not there [default: one for these data in the user's cache]
    #[arg(long, value_name = "FILE")]
    classifier: Option<PathBuf>,

    /// Optimizer steps of the classifier, where it has to be trained
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = clap::value_parser!(u64).range(1..))]
    classifier_steps: u64,
}

impl JudgeArgs {
    /// The classifier: read, or trained and kept. Ctrl-C ends the training with an error.
    pub(crate) fn judge(
        &self,
        real: &RealImages,
        labels: &[LabelKind],
        interrupt: &Interrupt,
        watch: &Watch<'_>,
    ) -> Result<Judge> {
        let keep = self.classifier.clone().map_or(Keep::Cache, Keep::File);
        let training = ClassifierTraining { steps: self.classifier_steps, ..ClassifierTraining::default() };
        Judge::of(real, labels, &training, &keep, &|| interrupt.is_raised(), watch)
    }

    /// The flags that were given, as settings.
    pub(crate) fn flags(&self) -> Table {
        let mut flags = Table::new();
        if let Some(file) = &self.classifier {
            flags.insert("classifier".to_owned(), file.display().to_string().into());
        }
        if self.classifier_steps != STEPS {
            flags.insert("classifier_steps".to_owned(), (self.classifier_steps as i64).into());
        }
        flags
    }
}

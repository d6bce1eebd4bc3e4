//! The classifier that judges pictures.

use std::path::PathBuf;

use cccm_eval::ClassifierTraining;
use cccm_scores::Keep;
use toml::Table;

/// Steps of its training, where nothing is said.
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
    /// Where the classifier is kept.
    pub(crate) fn keep(&self) -> Keep {
        self.classifier.clone().map_or(Keep::Cache, Keep::File)
    }

    /// How it is trained, where it has to be.
    pub(crate) fn training(&self) -> ClassifierTraining {
        ClassifierTraining { steps: self.classifier_steps, ..ClassifierTraining::default() }
    }

    /// What was said, as settings.
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

//! The classifier that judges pictures.

use std::path::PathBuf;

use cccm_eval::ClassifierTraining;

use crate::evaluation::Keep;

/// The classifier that judges pictures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JudgeArgs {
    /// File of the classifier; written if it is not there [default: one for these data in the user's cache]
    #[arg(long, value_name = "FILE")]
    classifier: Option<PathBuf>,

    /// Optimizer steps of the classifier, where it has to be trained
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u64).range(1..))]
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
}

//! What can be wrong with labels, named so that it can be mended.

use crate::text::{did_you_mean, plural};

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Labels that could not stand in lists, commands and names of folders.
    #[error("the {} of the vocabulary are unusable: {problem}", plural(.kind))]
    UnusableLabels {
        /// Their kind.
        kind: String,
        /// What is wrong with them.
        problem: String,
    },

    /// No kinds of labels, or too many of them.
    #[error("a vocabulary has 1 to {} kinds of labels, but this one has {got}", crate::MAX_KINDS)]
    KindCount {
        /// How many there are.
        got: usize,
    },

    /// Two kinds have the same name.
    #[error("two kinds of labels are called `{kind}`")]
    KindTwice {
        /// The name.
        kind: String,
    },

    /// Labels are given for some kinds, but not for all.
    #[error("the labels of `{kind}` are not given: give those of all kinds, or of none")]
    SomeKindsWithLabels {
        /// A kind without.
        kind: String,
    },

    /// A kind that the vocabulary does not have.
    #[error("no kind of labels is called `{got}`{}; there are: {known}", did_you_mean(.nearest.as_deref()))]
    UnknownKind {
        /// The kind asked for.
        got: String,
        /// The kind spelt most like it, if any is close.
        nearest: Option<String>,
        /// All kinds, separated by commas.
        known: String,
    },

    /// A label that its kind does not have.
    #[error("unknown {kind} `{got}`{}; known: {known}", did_you_mean(.nearest.as_deref()))]
    UnknownLabel {
        /// The kind that was searched.
        kind: String,
        /// The label asked for.
        got: String,
        /// The label spelt most like it, if any is close.
        nearest: Option<String>,
        /// All labels of that kind, separated by commas.
        known: String,
    },

    /// A label that no kind has.
    #[error("no label is named `{got}`{}; known: {known}", did_you_mean(.nearest.as_deref()))]
    NoSuchLabel {
        /// The label asked for.
        got: String,
        /// The label spelt most like it, if any is close.
        nearest: Option<String>,
        /// All labels, separated by commas.
        known: String,
    },

    /// A folder name that spells no combination of the vocabulary.
    #[error("`{got}` is not {form} of the vocabulary{}; {labels}", did_you_mean(.nearest.as_deref()))]
    UnknownCombination {
        /// The folder name.
        got: String,
        /// What such names look like, as `<attribute>_<object>`.
        form: String,
        /// The combination spelt most like it, if any is close.
        nearest: Option<String>,
        /// All labels, kind by kind.
        labels: String,
    },

    /// A folder name that the vocabulary reads in more than one way.
    #[error("`{got}` can be read as {readings}; rename a label so that one reading is left")]
    AmbiguousCombination {
        /// The folder name.
        got: String,
        /// The readings, of very many the first ones.
        readings: String,
    },
}

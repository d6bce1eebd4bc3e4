//! Everything that can go wrong, named so that it can be mended.

use std::{io, path::PathBuf};

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why data could not be found, read or batched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range.
    #[error("`{field}` is {got}, but must be {want}")]
    InvalidConfig {
        /// The setting.
        field: &'static str,
        /// Its value.
        got: String,
        /// Its range.
        want: &'static str,
    },

    /// Labels that are not fit for a vocabulary, or that a vocabulary does not have.
    #[error(transparent)]
    Labels(#[from] cccm_labels::Error),

    /// No built-in vocabulary has this name.
    #[error("unknown preset `{got}`{}; known: {known}", did_you_mean(.nearest.as_deref()))]
    UnknownPreset {
        /// The name asked for.
        got: String,
        /// The preset spelt most like it, if any is close.
        nearest: Option<String>,
        /// All presets, separated by commas.
        known: String,
    },

    /// A folder whose name says nothing without a vocabulary.
    #[error(
        "folder `{}` must be named {form}, with {} `_` or space; else the vocabulary has to be given",
        .path.display(), separators(*.kinds)
    )]
    NoVocabulary {
        /// The folder.
        path: PathBuf,
        /// What names have to look like, as `<attribute>_<object>`.
        form: String,
        /// How many kinds of labels they have to spell.
        kinds: usize,
    },

    /// A folder whose name is not UTF-8: with characters replaced, two such names could become equal.
    #[error("the name of `{}` is not UTF-8: rename it", .path.display())]
    NotUtf8 {
        /// The folder, as far as it can be shown.
        path: PathBuf,
    },

    /// Two labels that nobody would tell apart.
    #[error(
        "the {kind}s `{first}` and `{second}` look alike: rename folders so that they are one, or name all labels where they \
         are meant to be two"
    )]
    LookAlikes {
        /// Their kind.
        kind: String,
        /// One of them.
        first: String,
        /// The other one.
        second: String,
    },

    /// A folder on disk does not fit the vocabulary; the source says how.
    #[error("folder `{}` does not fit", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with its name.
        source: Box<cccm_labels::Error>,
    },

    /// A combination that the filter names has no folder.
    #[error(
        "`{}` has no image of the {noun} `{combination}`, which the filter names{}",
        .root.display(),
        did_you_mean(.nearest.as_deref())
    )]
    UnknownFilteredCombination {
        /// Where folders were looked for.
        root: PathBuf,
        /// What a combination of these labels is called: a pair where there are two kinds.
        noun: &'static str,
        /// The combination as a folder name.
        combination: String,
        /// The folder spelt most like it, if any is close.
        nearest: Option<String>,
    },

    /// A dataset folder without images.
    #[error(
        "no images under `{}`: looked for {form}/*.{{{extensions}}}, \
         found {folders} such folders{others}",
        .root.display()
    )]
    NoImages {
        /// Where images were looked for.
        root: PathBuf,
        /// What folders were looked for, as `<attribute>_<object>`.
        form: String,
        /// Extensions that count as images, separated by commas.
        extensions: String,
        /// How many folders of combinations there are, held out ones included.
        folders: usize,
        /// What else was found there, as the end of the sentence.
        others: String,
    },

    /// Two lists of the same images.
    #[error("`{}` and `{}` both list the images: keep one of them", .first.display(), .second.display())]
    TwoLists {
        /// One of them.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },

    /// A list without rows.
    #[error("`{}` lists no images", .path.display())]
    EmptyList {
        /// The list or the shards.
        path: PathBuf,
    },

    /// A shard that cannot be read, or that holds something else than it should.
    #[error("`{}`: {problem}", .path.display())]
    Shard {
        /// The shard.
        path: PathBuf,
        /// Expected and got.
        problem: String,
    },

    /// A file that is no list and no shard.
    #[error(
        "`{}` is no data: it has to be a folder, a list (.jsonl, .csv), or a shard (.tar, .parquet)",
        .path.display()
    )]
    UnknownSource {
        /// The file.
        path: PathBuf,
    },

    /// The filter keeps no combination at all.
    #[error("all {combinations} combinations of labels in the data are held out; at least one has to stay")]
    AllHeldOut {
        /// Combinations that the data have.
        combinations: usize,
    },

    /// A file or folder could not be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// A file or folder could not be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// A folder to be made is there already.
    #[error("`{}` exists and is not an empty folder; name another folder, or remove it first", .path.display())]
    FolderTaken {
        /// The place.
        path: PathBuf,
    },

    /// A line of a table is not what it has to be.
    #[error("`{}`, line {line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Expected and got.
        problem: String,
    },

    /// Images that a table lists are not there.
    #[error("{count} of {total} images are not in `{}`: {first}{}", .dir.display(), more(*.count, .first))]
    MissingImages {
        /// Where they were looked for.
        dir: PathBuf,
        /// How many are missing.
        count: usize,
        /// How many are wanted.
        total: usize,
        /// The first ones, separated by commas.
        first: String,
    },

    /// No folder of a tree is one of UT-Zappos50K's.
    #[error(
        "no folder of UT-Zappos50K in `{}`: it has to hold Boots, Sandals, Shoes and Slippers, and these \
         subcategories, as in Boots/Ankle",
        .root.display()
    )]
    NotZappos {
        /// The root.
        root: PathBuf,
    },

    /// Two images of a combination would get one name.
    #[error("`{}` and `{}` would be one file: rename one of them", .first.display(), .second.display())]
    SameName {
        /// The one that comes first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },

    /// An image is smaller than what should be cut out of it.
    #[error("`{}` is {width} × {height} pixels, too small to cut out {crop_px} × {crop_px}", .path.display())]
    TooSmallToCrop {
        /// The file.
        path: PathBuf,
        /// Its width, in pixels.
        width: u32,
        /// Its height, in pixels.
        height: u32,
        /// Side of the square, in pixels.
        crop_px: usize,
    },

    /// A file is no image that can be decoded.
    #[error("cannot decode image `{}`", .path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: image::ImageError,
    },

    /// A JPEG file that stops before its end, which decoders would fill with grey.
    #[error("image `{}` is cut off: its end marker is missing", .path.display())]
    CutOffImage {
        /// The file.
        path: PathBuf,
    },

    /// Images whose headers say already that they cannot be decoded.
    #[error("{count} of {total} images are unreadable, the first is `{}`", .first.display())]
    UnreadableImages {
        /// How many.
        count: usize,
        /// Out of how many.
        total: usize,
        /// The first one.
        first: PathBuf,
        /// What is wrong with the first one.
        source: Box<Error>,
    },

    /// No image of a combination is left to stand in for one that cannot be decoded.
    #[error("none of the {count} images of the {noun} `{combination}` can be decoded")]
    UnreadableCombination {
        /// What a combination of these labels is called: a pair where there are two kinds.
        noun: &'static str,
        /// The combination as a folder name.
        combination: String,
        /// How many images it has.
        count: usize,
        /// What is wrong with the last one tried.
        source: Box<Error>,
    },

    /// A file of digits is not what its header, or its place, says.
    #[error("`{name}` is no file of MNIST digits: {problem}")]
    Digits {
        /// The file, or which of the byte slices.
        name: String,
        /// Expected and got.
        problem: String,
        /// What the decompressor says, where it is the one to complain.
        source: Option<io::Error>,
    },

    /// One of the official files is not in a folder of digits.
    #[error("no `{file}` and no `{file}.gz` in `{}`", .dir.display())]
    MissingDigits {
        /// The folder.
        dir: PathBuf,
        /// The file.
        file: String,
    },

    /// A buffer that does not hold one image.
    #[error("an image of {image_px} px needs {} values, but the buffer holds {got}", 3 * image_px * image_px)]
    BufferLength {
        /// Side of the images of this dataset.
        image_px: usize,
        /// Length of the buffer.
        got: usize,
    },

    /// A dataset without images cannot be batched.
    #[error("the dataset holds no images")]
    EmptyDataset,

    /// No image can be kept apart to test with.
    #[error(
        "every {noun} has a single image, so that none can be kept apart to test with: it takes two images of one {noun}"
    )]
    NoneKeptApart {
        /// What a combination of these labels is called: a pair where there are two kinds.
        noun: &'static str,
    },

    /// A thread that loads images could not be started.
    #[error("cannot start a loader thread")]
    Spawn(#[source] io::Error),

    /// A thread that loads images ended before its batch was done.
    #[error("a loader thread died; its panic message stands above")]
    WorkerDied,

    /// A tensor could not be made.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// Says that a list of `count` names goes on after those that are shown.
fn more(count: usize, shown: &str) -> &'static str {
    if count > shown.split(", ").count() { ", …" } else { "" }
}

/// How many separators stand between so many labels.
fn separators(kinds: usize) -> String {
    match kinds {
        0 | 1 => "no".to_owned(),
        2 => "exactly one".to_owned(),
        _ => format!("exactly {}", kinds - 1),
    }
}

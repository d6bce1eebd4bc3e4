//! The files of a model: found, read as one thing, replaced as one thing.
//!
//! Weights and config mean something only together, and neither can name the other: safetensors files carry
//! no metadata, so that equal weights are equal bytes, and `config.json` is a published format. A third file,
//! `model.safetensors.sha256`, lists the digests of both, as checkpoints do in `SHA256SUMS`. If it exists,
//! both files must match it. Models without one are older, or come from elsewhere.
//!
//! To replace a model, all three files are first written under other names. Then they are renamed: the list
//! first, then the config, then the weights. A process that is killed before the first rename leaves the old
//! model, one that is killed after the last rename leaves the new one. In between, the new list does not
//! match the files that are still old, and [`ModelFiles::load`] reports it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use candle_core::Device;
use cccm_files::{Pending, Sums, commit_in_order, sha256, sha256_of, sha256_while};
use cccm_weights::{ParameterSpec, Parameters, WeightFile, prepare_weights};

use crate::names::{WRAPPERS, canonical};
use crate::{Error, ModelConfig, Result, UNet};

/// The two files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The safetensors or PyTorch file.
    pub weights: PathBuf,
    /// The `config.json` beside it.
    pub config: PathBuf,
}

/// Where weights may lie below a directory: in a run, a model directory, a checkpoint.
const WEIGHTS_IN_DIRECTORY: [&str; 4] =
    ["model/model.safetensors", "model.safetensors", "sampling.safetensors", "target.safetensors"];

/// Name of the list of digests in a checkpoint.
const CHECKPOINT_SUMS: &str = "SHA256SUMS";
/// Appended to the name of the weights, gives the name of the model's list of digests.
const SUMS_SUFFIX: &str = ".sha256";
/// Bytes of the longest list that is read.
const MOST_SUMS: u64 = 1 << 20;

/// A model that is written and synced beside its place, but not visible there yet. Dropping it deletes it.
#[derive(Debug)]
#[must_use = "the model is not at its place before `commit`"]
pub struct PendingModel {
    files: Vec<Pending>,
    weights_sha256: String,
}

impl ModelFiles {
    /// Finds the model of a run, a model directory, a checkpoint, or a weight file of its own.
    ///
    /// # Errors
    /// [`Error::NoModel`] saying what was looked for; [`Error::Io`] where the system does not tell what is there.
    pub fn locate(path: &Path) -> Result<Self> {
        let missing = |reason: String| Error::NoModel { path: path.to_owned(), reason };
        match kind_of(path)? {
            None => Err(missing("there is no such file or directory".to_owned())),
            Some(Kind::Directory) => {
                for name in WEIGHTS_IN_DIRECTORY {
                    let file = path.join(name);
                    if kind_of(&file)? == Some(Kind::File) {
                        return Self::of_file(&file);
                    }
                }
                if ["model_index.json", "diffusion_pytorch_model.safetensors", "unet/config.json"]
                    .iter()
                    .any(|name| path.join(name).exists())
                {
                    let what = "it is a folder of the diffusers library, whose networks are built otherwise than those here";
                    return Err(missing(what.to_owned()));
                }
                Err(missing(format!("the directory holds none of {}", WEIGHTS_IN_DIRECTORY.join(", "))))
            }
            Some(Kind::File) => Self::of_file(path),
            Some(Kind::Other) => Err(missing("it is neither a file nor a directory".to_owned())),
        }
    }

    /// The files of a new model in a directory.
    pub fn in_directory(dir: &Path) -> Self {
        Self { weights: dir.join("model.safetensors"), config: dir.join("config.json") }
    }

    fn of_file(weights: &Path) -> Result<Self> {
        let named = weights.with_extension("config.json");
        let shared = weights.with_file_name("config.json");
        for config in [&named, &shared] {
            if kind_of(config)? == Some(Kind::File) {
                return Ok(Self { weights: weights.to_owned(), config: config.clone() });
            }
        }
        let reason =
            format!("{} has neither {} nor config.json beside it", weights.display(), named.display());
        Err(Error::NoModel { path: weights.to_owned(), reason })
    }

    /// The list of the digests of both files, beside the weights.
    pub fn sums(&self) -> PathBuf {
        let mut name = self.weights.file_name().unwrap_or_default().to_owned();
        name.push(SUMS_SUFFIX);
        self.weights.with_file_name(name)
    }

    /// Reads both files, strictly.
    ///
    /// # Errors
    /// [`Error::NotAsWritten`] when a list of digests is beside them, the model's own or a checkpoint's, and one of them is
    /// not what it says; else what is wrong with either, naming it.
    pub fn load(&self, device: &Device) -> Result<(ModelConfig, Parameters)> {
        let list = self.read_list()?;
        let json = ModelConfig::read(&self.config)?;
        if let Some(list) = &list {
            list.check(&self.config, || Ok(sha256(&json)))?;
        }
        let config = ModelConfig::parse(&json, &self.config)?;
        let specs = UNet::specs(&config.unet, config.tables()?)?;
        Ok((config, self.parameters(list.as_ref(), &specs, device)?))
    }

    /// Writes both files with the list of their digests. Loading them at any moment gives the old model, the
    /// new one, or [`Error::NotAsWritten`]. Returns the SHA-256 of the weights' file, in hex.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be written.
    pub fn save(&self, config: &ModelConfig, parameters: &Parameters) -> Result<String> {
        let pending = self.prepare(config, parameters)?;
        let digest = pending.weights_sha256().to_owned();
        pending.commit()?;
        Ok(digest)
    }

    /// The first half of [`Self::save`]: everything that takes space on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written; then nothing is left behind.
    pub fn prepare(&self, config: &ModelConfig, parameters: &Parameters) -> Result<PendingModel> {
        self.prepare_with(config, prepare_weights(&self.weights, &parameters.tensors())?)
    }

    /// Replaces the config alone, and its digest in the model's list, if it has one. Loading the model at any
    /// moment gives the old config or the new one.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_config(&self, config: &ModelConfig) -> Result<()> {
        self.prepare_config(config)?.commit()
    }

    fn prepare_config(&self, config: &ModelConfig) -> Result<PendingModel> {
        let json = config.to_json()?;
        let new = pending(&self.config, json.as_bytes())?;
        let mut files = vec![new];
        if let Some(List { path, mut sums }) = self.read_list()?.filter(|list| list.path == self.sums()) {
            // Both configs belong to the same weights: while the config is replaced, the list has the weights
            // only.
            sums.remove(&name_of(&self.config));
            files.insert(0, pending(&path, sums.to_string().as_bytes())?);
            sums.insert(name_of(&self.config), sha256(json.as_bytes()));
            files.push(pending(&path, sums.to_string().as_bytes())?);
        }
        Ok(PendingModel { files, weights_sha256: String::new() })
    }

    /// Prepares a model whose weights are already written.
    pub(crate) fn prepare_with(&self, config: &ModelConfig, weights: Pending) -> Result<PendingModel> {
        let digest = File::open(weights.path()).and_then(sha256_of);
        let weights_sha256 = digest.map_err(Error::io("read", weights.path()))?;
        let json = config.to_json()?;
        let mut sums = Sums::default();
        sums.insert(name_of(&self.config), sha256(json.as_bytes()));
        sums.insert(name_of(&self.weights), weights_sha256.clone());
        let list = pending(&self.sums(), sums.to_string().as_bytes())?;
        let config = pending(&self.config, json.as_bytes())?;
        Ok(PendingModel { files: vec![list, config, weights], weights_sha256 })
    }

    /// The weights, checked against the list while they are read.
    fn parameters(
        &self,
        list: Option<&List>,
        specs: &BTreeMap<String, ParameterSpec>,
        device: &Device,
    ) -> Result<Parameters> {
        let reading = |source| Error::io("read", &self.weights)(source);
        let file = File::open(&self.weights).map_err(reading)?;
        // Read and hash the same open file: its path may name another file by now.
        let open = file.try_clone().map_err(reading)?;
        let read = || -> Result<_> {
            let file = WeightFile::from_reader(BufReader::new(open), &self.weights)?;
            Ok(Parameters::read(specs, file.unwrapping(&WRAPPERS).state_dict(canonical)?, device)?)
        };
        let Some(list) = list else { return read() };
        let (digest, parameters) = sha256_while(&file, read);
        // The digest is checked first: if it is another file, an error in its contents says nothing.
        list.check(&self.weights, || digest.map_err(reading))?;
        parameters
    }

    fn read_list(&self) -> Result<Option<List>> {
        for path in [self.sums(), self.weights.with_file_name(CHECKPOINT_SUMS)] {
            if kind_of(&path)?.is_none() {
                continue;
            }
            let bytes = std::fs::File::open(&path).and_then(|file| {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_SUMS), &mut bytes)?;
                Ok(bytes)
            });
            let bytes = bytes.map_err(Error::io("read", &path))?;
            let not_read = |problem| Error::NotAsWritten { path: path.clone(), list: path.clone(), problem };
            let sums = Sums::parse(&bytes).map_err(|problem| not_read(problem.to_string()))?;
            return Ok(Some(List { path, sums }));
        }
        Ok(None)
    }
}

impl PendingModel {
    /// SHA-256 of the weights' file, in hex.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The same model with one more file, which is put at its place last.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written; then nothing of the model is left behind.
    pub fn with_file(mut self, path: &Path, bytes: &[u8]) -> Result<Self> {
        self.files.push(pending(path, bytes)?);
        Ok(self)
    }

    /// Puts all files at their places.
    ///
    /// # Errors
    /// [`Error::Io`] for the first that cannot be put there.
    pub fn commit(self) -> Result<()> {
        for file in self.files {
            let place = file.place().to_owned();
            commit_in_order([file]).map_err(Error::io("write", &place))?;
        }
        Ok(())
    }
}

/// A list of digests with its place.
struct List {
    path: PathBuf,
    sums: Sums,
}

impl List {
    /// Compares a file's digest, if the list has one.
    fn check(&self, file: &Path, digest: impl FnOnce() -> Result<String>) -> Result<()> {
        match self.sums.get(&name_of(file)) {
            Some(want) if digest()? != want => Err(Error::NotAsWritten {
                path: file.to_owned(),
                list: self.path.clone(),
                problem: "its digest is another".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Other,
}

/// What a path leads to; none only where the system says that nothing is there.
fn kind_of(path: &Path) -> Result<Option<Kind>> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(Kind::File)),
        Ok(metadata) if metadata.is_dir() => Ok(Some(Kind::Directory)),
        Ok(_) => Ok(Some(Kind::Other)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(source) => Err(Error::io("look at", path)(source)),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn pending(path: &Path, bytes: &[u8]) -> Result<Pending> {
    Pending::new(path, |file| file.write_all(bytes)).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::teacher;
    use cccm_labels::Vocabulary;
    use cccm_sched::{Streams, StudentConfig};

    fn parameters(config: &ModelConfig, seed: u64) -> Result<Parameters> {
        UNet::initial_parameters(&config.unet, config.tables()?, &Streams::new(seed), &Device::Cpu)
    }

    /// A model of its own labels and weights.
    fn model(label: &str, seed: u64) -> Result<(ModelConfig, Parameters)> {
        let labels = Vocabulary::of_pairs(vec![label, "blue"], vec!["0", "1", "2"])?;
        let config = ModelConfig { labels, ..teacher() };
        let parameters = parameters(&config, seed)?;
        Ok((config, parameters))
    }

    fn head(parameters: &Parameters) -> Vec<f32> {
        parameters.vars()["head.weight"].flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_replaced_model_is_old_new_or_refused_wherever_it_was_interrupted() -> anyhow::Result<()> {
        let ((old, old_weights), (new, new_weights)) = (model("old", 1)?, model("new", 2)?);
        for has_list in [true, false] {
            for done in 0..=3 {
                let dir = tempfile::tempdir()?;
                let files = ModelFiles::in_directory(dir.path());
                files.save(&old, &old_weights)?;
                if !has_list {
                    // As models of before there were lists.
                    std::fs::remove_file(files.sums())?;
                }
                let mut pending = files.prepare(&new, &new_weights)?;
                pending.files.truncate(done);
                pending.commit()?;
                match (done, files.load(&Device::Cpu)) {
                    (0, Ok((config, weights))) => {
                        assert!(config == old && head(&weights) == head(&old_weights));
                    }
                    (3, Ok((config, weights))) => {
                        assert!(config == new && head(&weights) == head(&new_weights));
                    }
                    (1 | 2, Err(Error::NotAsWritten { path, .. })) => {
                        assert_eq!(path, if done == 1 { &files.config } else { &files.weights }.as_path());
                    }
                    (_, got) => {
                        panic!("{done} renames, list {has_list}: {:?}", got.map(|(config, _)| config))
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_full_disk_leaves_the_old_model() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let files = ModelFiles::in_directory(dir.path());
        let (old, weights) = model("old", 1)?;
        files.save(&old, &weights)?;
        // The last file cannot be written: none is at its place.
        let missing = dir.path().join("missing/README.md");
        let (new, new_weights) = model("new", 2)?;
        assert!(files.prepare(&new, &new_weights)?.with_file(&missing, b"").is_err());
        let (config, found) = files.load(&Device::Cpu)?;
        assert!(config == old && head(&found) == head(&weights));
        assert_eq!(std::fs::read_dir(dir.path())?.count(), 3, "something was left behind");
        Ok(())
    }

    #[test]
    fn lists_are_what_sha256sum_writes_and_of_a_checkpoint_too() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let files = ModelFiles::in_directory(dir.path());
        let (config, weights) = model("a", 1)?;
        let digest = files.save(&config, &weights)?;
        let list = std::fs::read_to_string(files.sums())?;
        assert!(list.ends_with(&format!("\n{digest}  model.safetensors\n")), "{list}");
        // A list of the weights alone, as people make them.
        std::fs::write(files.sums(), format!("{digest}  model.safetensors\n"))?;
        files.load(&Device::Cpu)?;
        std::fs::write(files.sums(), "no list")?;
        assert!(matches!(files.load(&Device::Cpu), Err(Error::NotAsWritten { .. })));
        std::fs::remove_file(files.sums())?;
        std::fs::write(dir.path().join(CHECKPOINT_SUMS), list.replace(&digest, &"0".repeat(64)))?;
        assert!(matches!(files.load(&Device::Cpu), Err(Error::NotAsWritten { .. })));
        Ok(())
    }

    #[test]
    fn a_config_is_replaced_with_its_digest() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let files = ModelFiles::in_directory(dir.path());
        let ((old, weights), (new, _)) = (model("old", 1)?, model("new", 1)?);
        files.save(&old, &weights)?;
        files.save_config(&new)?;
        assert_eq!(files.load(&Device::Cpu)?.0, new);
        std::fs::remove_file(files.sums())?;
        files.save_config(&old)?;
        assert!(!files.sums().exists(), "nobody asked for one");
        assert_eq!(files.load(&Device::Cpu)?.0, old);
        Ok(())
    }

    #[test]
    fn a_replaced_config_is_old_or_new_wherever_it_was_interrupted() -> anyhow::Result<()> {
        let ((old, weights), (new, _)) = (model("old", 1)?, model("new", 1)?);
        for done in 0..=3 {
            let dir = tempfile::tempdir()?;
            let files = ModelFiles::in_directory(dir.path());
            files.save(&old, &weights)?;
            let mut pending = files.prepare_config(&new)?;
            pending.files.truncate(done);
            pending.commit()?;
            assert_eq!(files.load(&Device::Cpu)?.0, *if done < 2 { &old } else { &new }, "{done} renames");
            files.save_config(&new)?;
            let list = std::fs::read_to_string(files.sums())?;
            assert_eq!(list.lines().count(), 2, "{list}");
        }
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn what_cannot_be_looked_at_is_not_taken_for_absent() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("model.safetensors"), "")?;
        std::fs::write(at("config.json"), "")?;
        // Its own config would win, but the system cannot say whether it is one.
        std::os::unix::fs::symlink("model.config.json", at("model.config.json"))?;
        assert!(matches!(ModelFiles::locate(dir.path()), Err(Error::Io { .. })));
        Ok(())
    }

    #[test]
    fn a_saved_model_is_found_from_its_run_its_directory_and_its_file() -> anyhow::Result<()> {
        let run = tempfile::tempdir()?;
        let dir = run.path().join("model");
        std::fs::create_dir(&dir)?;
        let config = teacher().student_of(16, StudentConfig::default());
        let parameters = parameters(&config, 1)?;
        let files = ModelFiles::in_directory(&dir);
        files.save(&config, &parameters)?;
        for place in [run.path(), &dir, &files.weights] {
            assert_eq!(ModelFiles::locate(place)?, files);
        }
        let (loaded, weights) = files.load(&Device::Cpu)?;
        assert_eq!(loaded, config);
        assert_eq!(head(&weights), head(&parameters));
        Ok(())
    }

    #[test]
    fn a_bare_file_prefers_the_config_of_its_own_name() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("a.safetensors"), "")?;
        assert!(matches!(ModelFiles::locate(&file("a.safetensors")), Err(Error::NoModel { .. })));
        std::fs::write(file("config.json"), "")?;
        assert_eq!(ModelFiles::locate(&file("a.safetensors"))?.config, file("config.json"));
        std::fs::write(file("a.config.json"), "")?;
        assert_eq!(ModelFiles::locate(&file("a.safetensors"))?.config, file("a.config.json"));
        assert!(ModelFiles::locate(&file("missing")).is_err());
        Ok(())
    }

    #[test]
    fn of_a_checkpoint_the_average_that_is_sampled_is_found() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        for name in ["config.json", "student.safetensors", "target.safetensors", "sampling.safetensors"] {
            std::fs::write(dir.path().join(name), "")?;
        }
        assert!(ModelFiles::locate(dir.path())?.weights.ends_with("sampling.safetensors"));
        std::fs::remove_file(dir.path().join("sampling.safetensors"))?;
        assert!(ModelFiles::locate(dir.path())?.weights.ends_with("target.safetensors"));
        Ok(())
    }
}

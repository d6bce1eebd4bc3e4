//! Uploads: what the Hub has is not sent again, and what was sent shows in one commit or not at all.

use std::cell::RefCell;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use ureq::http::Method;

use crate::client::{Ask, Payload};
use crate::digest::Digest;
use crate::protocol::{Action, Actions, Batch, Committed, Mode, Object, Preupload};
use crate::refusal::{Intent, Subject};
use crate::{Error, Hub, OnProgress, Progress, RepoId, Result, Revision};

/// Bytes of a file that the Hub wants to see before it says how to send it.
const SAMPLE: usize = 512;
/// Bytes of a file that may go inside a commit; the Hub sends larger ones to its storage anyway.
const MOST_INLINE: u64 = 16 << 20;
const JSON: &str = "application/json";
const LFS_JSON: &str = "application/vnd.git-lfs+json";

/// A file to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Its path within the repository.
    pub name: String,
    /// Where it is here.
    pub path: PathBuf,
}

/// What to upload, and where to.
#[derive(Clone, Debug)]
pub struct Push<'a> {
    /// The repository; it is made if it does not exist.
    pub repo: &'a RepoId,
    /// The files; others in the repository stay as they are.
    pub files: &'a [LocalFile],
    /// Who may see the repository.
    pub visibility: Visibility,
    /// First line of the commit's message.
    pub message: &'a str,
}

/// Who may see a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// As it is. A new repository gets its owner's default, mostly public.
    Unchanged,
    /// Its owner; an existing repository that others see is refused.
    Private,
}

/// What an upload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Address of the repository.
    pub url: String,
    /// The commit; none if the Hub had all files already.
    pub commit: Option<String>,
    /// Names of the files in the commit; the Hub had the others.
    pub changed: Vec<String>,
}

/// A file to upload, looked at.
struct Upload<'a> {
    file: &'a LocalFile,
    size: u64,
    sha256: String,
}

impl Hub {
    /// Uploads files in one commit to the branch `main`.
    ///
    /// Files that the Hub has with the same content are not sent, so that an upload that broke off goes on with what is
    /// missing.
    ///
    /// # Errors
    /// [`Error::NotPrivate`] before anything is sent, or whatever the Hub, the network or the disk has against it.
    pub fn push(&self, push: &Push<'_>, on_progress: &mut OnProgress<'_>) -> Result<Pushed> {
        self.online(|| format!("uploading to {}", push.repo))?;
        if self.client.withholds_token() {
            return Err(Error::TokenWithheld { endpoint: self.client.endpoint().to_owned() });
        }
        if !self.client.has_token() {
            let (repo, endpoint) = (push.repo.to_string(), self.client.endpoint().to_owned());
            return Err(Error::TokenMissing { repo, endpoint });
        }
        let uploads = push.files.iter().map(Upload::look_at).collect::<Result<Vec<_>, _>>()?;
        self.make_repo(push)?;
        let changed = self.changed(push.repo, &uploads)?;
        let large: Vec<_> =
            changed.iter().filter(|(_, mode)| *mode == Mode::Lfs).map(|(up, _)| *up).collect();
        self.store(push.repo, &large, on_progress)?;
        let commit = if changed.is_empty() { None } else { Some(self.commit(push, &changed)?) };
        let url = format!("{}/{}", self.client.endpoint(), push.repo);
        Ok(Pushed { url, commit, changed: changed.iter().map(|(up, _)| up.file.name.clone()).collect() })
    }

    /// Makes the repository unless it is there, and sees that it is as private as asked for.
    fn make_repo(&self, push: &Push<'_>) -> Result<()> {
        let url = format!("{}/api/repos/create", self.client.endpoint());
        let mut wish = json!({ "name": push.repo.name(), "organization": push.repo.owner() });
        if push.visibility == Visibility::Private {
            wish["private"] = true.into();
        }
        let body = wish.to_string();
        let ask = Ask { expected: &[409], ..Ask::post(url, JSON, body.as_bytes()) };
        match self.client.send(&ask, &writes(push.repo)) {
            Ok(_) => (),
            // A token for this repository alone may not create repositories, but this one may exist already.
            Err(error @ Error::Forbidden { .. }) => self.info(push.repo).map(|_| ()).map_err(|_| error)?,
            Err(error) => return Err(error),
        }
        if push.visibility == Visibility::Private && !self.info(push.repo)?.private {
            return Err(Error::NotPrivate { repo: push.repo.to_string() });
        }
        Ok(())
    }

    /// The files that the Hub does not have as they are, with the way to send them.
    fn changed<'a>(&self, repo: &RepoId, uploads: &'a [Upload<'a>]) -> Result<Vec<(&'a Upload<'a>, Mode)>> {
        let mut files = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let sample = BASE64.encode(upload.start()?);
            files.push(json!({ "path": upload.file.name, "size": upload.size, "sample": sample }));
        }
        let url = format!("{}/api/models/{repo}/preupload/{}", self.client.endpoint(), Revision::default());
        let body = json!({ "files": files }).to_string();
        let answer = self.client.send(&Ask::post(url.clone(), JSON, body.as_bytes()), &writes(repo))?;
        let wanted = answer.json::<Preupload>()?.files;

        let mut changed = Vec::new();
        for upload in uploads {
            let wanted = wanted.iter().find(|wanted| wanted.path == upload.file.name).ok_or_else(|| {
                Error::protocol(&url, format!("nothing is said about `{}`", upload.file.name))
            })?;
            if wanted.should_ignore {
                tracing::warn!("`{}` is not sent: the repository ignores it", upload.file.name);
                continue;
            }
            // Storage takes no empty files.
            let mode = if upload.size == 0 { Mode::Regular } else { wanted.upload_mode };
            if wanted.oid.as_deref() != Some(upload.oid(mode)?.as_str()) {
                changed.push((upload, mode));
            }
        }
        Ok(changed)
    }

    /// Puts large files into storage, those that are not there.
    fn store(&self, repo: &RepoId, uploads: &[&Upload<'_>], on_progress: &mut OnProgress<'_>) -> Result<()> {
        if uploads.is_empty() {
            return Ok(());
        }
        let url = format!("{}/{repo}.git/info/lfs/objects/batch", self.client.endpoint());
        let objects: Vec<_> = uploads.iter().map(|up| json!({ "oid": up.sha256, "size": up.size })).collect();
        let body = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "hash_algo": "sha256",
            "ref": { "name": Revision::default().as_str() },
            "objects": objects,
        });
        let body = body.to_string();
        let mut ask = Ask::post(url.clone(), LFS_JSON, body.as_bytes());
        ask.headers.push(("Accept", LFS_JSON.to_owned()));
        let mut batch: Batch = self.client.send(&ask, &writes(repo))?.json()?;
        for upload in uploads {
            let index = batch.objects.iter().position(|object| object.oid == upload.sha256);
            let object = index.map(|index| batch.objects.swap_remove(index));
            let object = object.ok_or_else(|| {
                Error::protocol(&url, format!("nothing is said about `{}`", upload.file.name))
            })?;
            self.store_one(repo, upload, object, on_progress)?;
        }
        Ok(())
    }

    fn store_one(
        &self,
        repo: &RepoId,
        upload: &Upload<'_>,
        object: Object,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<()> {
        if let Some(error) = object.error {
            let problem = format!("storage refuses `{}`: {}", upload.file.name, error.message);
            return Err(Error::protocol(self.client.endpoint(), problem));
        }
        let Some(Actions { upload: Some(action), verify }) = object.actions else { return Ok(()) };
        let parts = Parts { hub: self, repo, upload, on_progress: RefCell::new(on_progress) };
        match parts.addresses(&action)? {
            None => parts.send_whole(&action)?,
            Some((part_len, addresses)) => parts.send_all(&action, part_len, &addresses)?,
        }
        let Some(verify) = verify else { return Ok(()) };
        let body = json!({ "oid": upload.sha256, "size": upload.size }).to_string();
        self.client.send(&Ask::post(verify.href, JSON, body.as_bytes()), &writes(repo)).map(|_| ())
    }

    /// One commit with all that changed: small files inside it, large ones by their digest. Gives its name.
    fn commit(&self, push: &Push<'_>, changed: &[(&Upload<'_>, Mode)]) -> Result<String> {
        let header = json!({ "summary": push.message, "description": "" });
        let mut body = json!({ "key": "header", "value": header }).to_string();
        for (upload, mode) in changed {
            body.push('\n');
            body.push_str(&upload.operation(*mode)?.to_string());
        }
        let revision = Revision::default();
        let url = format!("{}/api/models/{}/commit/{revision}", self.client.endpoint(), push.repo);
        let ask = Ask::post(url, "application/x-ndjson", body.as_bytes());
        Ok(self.client.send(&ask, &writes(push.repo))?.json::<Committed>()?.commit_oid)
    }
}

impl<'a> Upload<'a> {
    fn look_at(file: &'a LocalFile) -> Result<Self> {
        let reading = || Error::io("read", &file.path);
        let size = file.path.metadata().map_err(reading())?.len();
        let sha256 = Digest::sha256(&file.path).map_err(reading())?.digits().to_owned();
        Ok(Self { file, size, sha256 })
    }

    fn start(&self) -> Result<Vec<u8>> {
        use std::io::Read as _;
        let mut start = Vec::with_capacity(SAMPLE);
        let file = std::fs::File::open(&self.file.path);
        file.and_then(|file| file.take(SAMPLE as u64).read_to_end(&mut start))
            .map_err(Error::io("read", &self.file.path))?;
        Ok(start)
    }

    /// The digest that the Hub knows the file by.
    fn oid(&self, mode: Mode) -> Result<String> {
        match mode {
            Mode::Lfs => Ok(self.sha256.clone()),
            Mode::Regular => {
                let digest = Digest::git_blob(&self.file.path).map_err(Error::io("read", &self.file.path));
                Ok(digest?.digits().to_owned())
            }
        }
    }

    /// The file's line in a commit.
    fn operation(&self, mode: Mode) -> Result<serde_json::Value> {
        let (path, size) = (&self.file.name, self.size);
        if mode == Mode::Lfs {
            let value = json!({ "path": path, "algo": "sha256", "oid": self.sha256, "size": size });
            return Ok(json!({ "key": "lfsFile", "value": value }));
        }
        if size > MOST_INLINE {
            let problem = format!("it wants `{path}` with its {size} bytes inside a commit");
            return Err(Error::protocol("the Hub", problem));
        }
        let bytes = std::fs::read(&self.file.path).map_err(Error::io("read", &self.file.path))?;
        let value = json!({ "path": path, "encoding": "base64", "content": BASE64.encode(bytes) });
        Ok(json!({ "key": "file", "value": value }))
    }
}

/// Sends one file to storage.
struct Parts<'a, 'p> {
    hub: &'a Hub,
    repo: &'a RepoId,
    upload: &'a Upload<'a>,
    on_progress: RefCell<&'a mut OnProgress<'p>>,
}

impl Parts<'_, '_> {
    /// Bytes of a part, and the address of each; none if the file goes in one piece.
    fn addresses(&self, action: &Action) -> Result<Option<(u64, Vec<String>)>> {
        let number = |value: &serde_json::Value| {
            value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        };
        let Some(part_len) = action.header.get("chunk_size") else { return Ok(None) };
        let part_len = number(part_len).unwrap_or_default();
        let mut addresses: Vec<(u64, String)> = action
            .header
            .iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.as_str()?.to_owned())))
            .collect();
        addresses.sort_unstable();
        if part_len == 0 || addresses.len() as u64 != self.upload.size.div_ceil(part_len) {
            let problem = format!(
                "{} parts of {part_len} bytes for `{}` with its {}",
                addresses.len(),
                self.upload.file.name,
                self.upload.size
            );
            return Err(Error::protocol(&action.href, problem));
        }
        Ok(Some((part_len, addresses.into_iter().map(|(_, address)| address).collect())))
    }

    fn send_whole(&self, action: &Action) -> Result<()> {
        let headers = action.header.iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?.to_owned())));
        self.put(&action.href, headers.collect(), 0, self.upload.size).map(|_| ())
    }

    fn send_all(&self, action: &Action, part_len: u64, addresses: &[String]) -> Result<()> {
        let mut parts = Vec::with_capacity(addresses.len());
        for (index, address) in addresses.iter().enumerate() {
            let offset = index as u64 * part_len;
            let etag = self.put(address, Vec::new(), offset, part_len.min(self.upload.size - offset))?;
            let etag = etag.ok_or_else(|| Error::protocol(address, "a part has no digest (ETag)"))?;
            parts.push(json!({ "partNumber": index + 1, "etag": etag }));
        }
        let body = json!({ "oid": self.upload.sha256, "parts": parts }).to_string();
        let mut ask = Ask::post(action.href.clone(), LFS_JSON, body.as_bytes());
        ask.headers.push(("Accept", LFS_JSON.to_owned()));
        self.hub.client.send(&ask, &writes(self.repo)).map(|_| ())
    }

    /// Sends a stretch of the file, again if the connection breaks; gives storage's tag for it.
    fn put(&self, url: &str, headers: Vec<(&str, String)>, offset: u64, len: u64) -> Result<Option<String>> {
        let (file, total) = (self.upload.file.name.as_str(), self.upload.size);
        let sent = |count: u64| {
            (self.on_progress.borrow_mut())(Progress { file, done: offset + count, total });
        };
        let payload = Payload::File { path: &self.upload.file.path, offset, len, sent: &sent };
        let ask = Ask { headers, payload, ..Ask::new(Method::PUT, url.to_owned()) };
        let mut failures = 0;
        loop {
            let error = match self.hub.client.try_once(&ask, &writes(self.repo)) {
                Ok(answer) => return Ok(answer.header("ETag").map(ToOwned::to_owned)),
                Err(error @ Error::Unreachable { .. }) => Error::Interrupted {
                    file: file.to_owned(),
                    done: offset,
                    total,
                    source: Some(Box::new(error)),
                },
                Err(error) => error,
            };
            failures += 1;
            self.hub.client.wait_or_give_up(error, failures)?;
        }
    }
}

fn writes(repo: &RepoId) -> Subject<'_> {
    Subject::repo(repo, Intent::Write)
}

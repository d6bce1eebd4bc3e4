//! Downloads: whole files with the Hub's digest, or nothing under a final name.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use cccm_files::open_own;
use ureq::http::Method;

use crate::address::encode_path;
use crate::answer::Answer;
use crate::cache::Slot;
use crate::client::{Ask, Redirects};
use crate::digest::Digest;
use crate::refusal::{Intent, Subject};
use crate::{Error, Fetched, Hub, HubFile, OnProgress, Progress, Result, Revision};

/// Bytes moved at a time.
const CHUNK: usize = 1 << 17;

/// What the Hub says about a file before it is downloaded.
struct Facts {
    commit: Revision,
    digest: Digest,
    size: u64,
}

impl Hub {
    /// A file of the Hub, downloaded unless it is in the cache.
    ///
    /// The Hub is asked for the revision's state; if it cannot be asked, the state last seen is taken, with a
    /// warning. It is not asked about a commit that is in the cache, nor when the client is offline.
    ///
    /// # Errors
    /// [`Error::FileNotFound`] with the files that are there, or whatever else the Hub, the network or the disk has
    /// against it.
    pub fn fetch(&self, file: &HubFile, on_progress: &mut OnProgress<'_>) -> Result<Fetched> {
        self.fetch_at_most(self.client.limits().most_bytes, file, on_progress)
    }

    /// [`Self::fetch`] of a file of so many bytes at most.
    ///
    /// # Errors
    /// As [`Self::fetch`], and [`Error::TooLarge`] for one that is larger, before it is downloaded.
    pub fn fetch_at_most(
        &self,
        most: u64,
        file: &HubFile,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Fetched> {
        let slot = Slot::new(&self.cache, file);
        let cached = slot.get();
        let is_settled = self.offline || file.revision.is_commit();
        if let Some(cached) = cached.clone().filter(|_| is_settled) {
            return Ok(cached);
        }
        if is_settled && slot.is_absent() {
            return Err(not_found(file));
        }
        self.online(|| file.to_string())?;
        let facts = match (self.facts(file), cached) {
            (Ok(facts), _) => facts,
            (Err(error), Some(cached)) if is_outage(&error) => {
                tracing::warn!("{error}; going on with {file} as it was at commit {}", cached.commit);
                return Ok(cached);
            }
            (Err(error), _) => {
                let error = self.with_listing(error, file);
                if matches!(error, Error::FileNotFound { .. }) {
                    slot.mark_absent();
                }
                return Err(error);
            }
        };
        if facts.size > most {
            return Err(Error::TooLarge { file: file.file().to_owned(), size: facts.size, most });
        }
        let blob = slot.blob(&facts.digest);
        if !is_whole(&blob, &facts) {
            let lock = slot.lock(&facts.digest)?;
            // The process that held the lock before may have downloaded the file.
            if !is_whole(&blob, &facts) {
                let partial = slot.partial(&facts.digest);
                self.bring(file, &facts, &partial, on_progress)?;
                let moved = fs::rename(&partial, &blob);
                let moved = moved.and_then(|()| blob.parent().map_or(Ok(()), cccm_files::sync_dir));
                moved.map_err(Error::io("write", &blob))?;
            }
            drop(lock);
        }
        slot.publish(&facts.digest, &facts.commit)
    }

    /// Asks what a file is, without following the way to its content.
    fn facts(&self, file: &HubFile) -> Result<Facts> {
        let url = self.url(file, &file.revision);
        let ask = Ask { redirects: Redirects::UntilDigest, ..Ask::new(Method::HEAD, url.clone()) };
        let answer = self.client.send(&ask, &subject(file))?;
        let lacks = |what: &str| Error::protocol(&url, format!("{what} is missing or unknown"));
        let commit = answer.header("X-Repo-Commit").and_then(|commit| commit.parse().ok());
        let commit = commit.filter(Revision::is_commit).ok_or_else(|| lacks("the commit (X-Repo-Commit)"))?;
        let etag = answer.header("X-Linked-Etag").or_else(|| answer.header("ETag")).unwrap_or_default();
        let digest = Digest::from_etag(etag).ok_or_else(|| lacks("the digest (ETag)"))?;
        let own_length = || answer.header("Content-Length").filter(|_| answer.status == 200);
        let size = answer.header("X-Linked-Size").or_else(own_length);
        let size = size.and_then(|size| size.parse().ok()).ok_or_else(|| lacks("the size"))?;
        Ok(Facts { commit, digest, size })
    }

    /// The content, whole and checked, at `partial`.
    fn bring(
        &self,
        file: &HubFile,
        facts: &Facts,
        partial: &Path,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<()> {
        check_space(facts.size.saturating_sub(length(partial)), partial)?;
        loop {
            let from_nothing = length(partial) == 0;
            self.transfer(file, facts, partial, on_progress)?;
            let got = facts.digest.same_of(partial).map_err(Error::io("read", partial))?;
            if got == facts.digest {
                return Ok(());
            }
            fs::remove_file(partial).map_err(Error::io("write", partial))?;
            if from_nothing {
                let (want, got) = (facts.digest.digits().to_owned(), got.digits().to_owned());
                return Err(Error::Digest { file: file.file().to_owned(), want, got });
            }
            tracing::warn!("what was there of {file} was damaged; downloading all of it");
        }
    }

    /// Tries until all bytes are there; only tries without a new byte count.
    fn transfer(
        &self,
        file: &HubFile,
        facts: &Facts,
        partial: &Path,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<()> {
        let mut failures = 0;
        let limit = self.client.limits().time_for(facts.size);
        let clock = Clock { start: Instant::now(), limit };
        loop {
            let before = length(partial);
            let Err(error) = self.stretch(file, facts, partial, clock, on_progress) else { return Ok(()) };
            clock.check(file)?;
            failures = if length(partial) > before { 1 } else { failures + 1 };
            self.client.wait_or_give_up(error, failures)?;
        }
    }

    /// One request for what is missing.
    fn stretch(
        &self,
        file: &HubFile,
        facts: &Facts,
        partial: &Path,
        clock: Clock,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<()> {
        let writing = || Error::io("write", partial);
        let mut options = OpenOptions::new();
        let out = open_own(partial, options.create(true).write(true).truncate(false));
        let mut out = out.map_err(writing())?;
        if length(partial) > facts.size {
            out.set_len(0).map_err(writing())?;
        }
        let mut done = out.seek(SeekFrom::End(0)).map_err(writing())?;
        if done < facts.size || facts.size == 0 {
            let mut ask = Ask::new(Method::GET, self.url(file, &facts.commit));
            if done > 0 {
                ask.headers.push(("Range", format!("bytes={done}-")));
            }
            let broke_off = |error| interrupted(file, facts, done, error);
            let answer = self.client.try_once(&ask, &subject(file)).map_err(broke_off)?;
            if !continues(&answer, done, facts.size)? {
                out.set_len(0).map_err(writing())?;
                done = out.seek(SeekFrom::Start(0)).map_err(writing())?;
            }
            let copy = Copy { file, facts, partial, clock, on_progress };
            copy.run(answer, &mut out, done)?;
        }
        out.sync_all().map_err(writing())
    }

    fn url(&self, file: &HubFile, revision: &Revision) -> String {
        let repo = file.repo.at(revision);
        let path = encode_path(file.file());
        format!("{}/{}/resolve/{}/{path}", self.client.endpoint(), repo.url(), repo.url_revision())
    }

    /// Names the files that are there, where one was not found.
    fn with_listing(&self, error: Error, file: &HubFile) -> Error {
        let Error::FileNotFound { repo, revision, file: name, .. } = error else { return error };
        match self.list(&file.repo, &file.revision) {
            // The file is listed, so it exists; something between here and the Hub answered wrongly.
            Ok(files) if files.iter().any(|listed| listed.name == file.file()) => {
                let problem = "it says that there is no such file, and lists it";
                Error::protocol(&self.url(file, &file.revision), problem)
            }
            Ok(files) => {
                let files = files.into_iter().map(|file| file.name).collect();
                Error::FileNotFound { repo, revision, file: name, files }
            }
            Err(error) => error,
        }
    }
}

/// Time that a whole transfer may take, all tries together.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
    limit: Duration,
}

impl Clock {
    fn check(self, file: &HubFile) -> Result<()> {
        let Self { start, limit } = self;
        if start.elapsed() > limit {
            return Err(Error::TooSlow { what: format!("`{}`", file.file()), limit });
        }
        Ok(())
    }
}

/// Moves an answer's content into a file, and no more than was announced.
struct Copy<'a, 'p> {
    file: &'a HubFile,
    facts: &'a Facts,
    partial: &'a Path,
    clock: Clock,
    on_progress: &'a mut OnProgress<'p>,
}

impl Copy<'_, '_> {
    fn run(self, answer: Answer, out: &mut File, mut done: u64) -> Result<()> {
        let total = self.facts.size;
        let announced = answer.header("Content-Length").and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > total - done) {
            return Err(self.too_long(out));
        }
        let mut reader = answer.into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            (self.on_progress)(Progress { file: self.file.file(), done, total });
            let count = match reader.read(&mut chunk) {
                Ok(0) if done == total => return Ok(()),
                Ok(0) => return Err(interrupted_by(self.file, self.facts, done, None)),
                Ok(count) => count,
                Err(error) => return Err(interrupted_by(self.file, self.facts, done, Some(error.into()))),
            };
            if count as u64 > total - done {
                return Err(self.too_long(out));
            }
            out.write_all(&chunk[..count]).map_err(Error::io("write", self.partial))?;
            done += count as u64;
            self.clock.check(self.file)?;
        }
    }

    /// Keeps nothing: the bytes before the surplus are as doubtful.
    fn too_long(&self, out: &File) -> Error {
        match out.set_len(0) {
            Ok(()) => Error::TooLong { file: self.file.file().to_owned(), announced: self.facts.size },
            Err(source) => Error::io("write", self.partial)(source),
        }
    }
}

/// Whether an answer goes on at byte `done`; else it starts at the first. One for another stretch is refused.
fn continues(answer: &Answer, done: u64, size: u64) -> Result<bool> {
    if answer.status != 206 {
        return Ok(false);
    }
    let range = answer.header("Content-Range").unwrap_or_default();
    let (first, total) = range
        .strip_prefix("bytes ")
        .and_then(|range| range.split_once('/'))
        .map(|(span, total)| (span.split('-').next().unwrap_or_default(), total))
        .unwrap_or_default();
    if first.trim().parse() == Ok(done) && (total == "*" || total.trim().parse() == Ok(size)) {
        return Ok(true);
    }
    let problem = format!("asked for the bytes from {done} of {size}, it sends `{range}`");
    Err(Error::protocol(&answer.uri.to_string(), problem))
}

fn not_found(file: &HubFile) -> Error {
    Error::FileNotFound {
        repo: file.repo.to_string(),
        revision: file.revision.to_string(),
        file: file.file().to_owned(),
        files: Vec::new(),
    }
}

/// Refuses what the disk has no room for, before it is full.
fn check_space(bytes: u64, partial: &Path) -> Result<()> {
    #[cfg(unix)]
    if let Some(Ok(disk)) = partial.parent().map(rustix::fs::statvfs) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if bytes > free {
            let problem = format!("{bytes} bytes are to come, and {free} are free");
            let source = std::io::Error::new(std::io::ErrorKind::StorageFull, problem);
            return Err(Error::io("write", partial)(source));
        }
    }
    let _ = (bytes, partial);
    Ok(())
}

fn subject(file: &HubFile) -> Subject<'_> {
    Subject {
        revision: Some(&file.revision),
        file: Some(file.file()),
        ..Subject::repo(&file.repo, Intent::Read)
    }
}

/// Turns a lost connection into an interruption, since the transfer can go on from where it is.
fn interrupted(file: &HubFile, facts: &Facts, done: u64, error: Error) -> Error {
    match error {
        Error::Unreachable { .. } => interrupted_by(file, facts, done, Some(Box::new(error))),
        other => other,
    }
}

fn interrupted_by(
    file: &HubFile,
    facts: &Facts,
    done: u64,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Interrupted { file: file.file().to_owned(), done, total: facts.size, source }
}

/// Whether the Hub could not be asked, rather than said no.
pub(crate) fn is_outage(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. } | Error::Unavailable { .. } | Error::RateLimited { .. })
}

/// Whether the content is there: its length, and its digest, as what is in the cache may have been damaged since.
fn is_whole(blob: &Path, facts: &Facts) -> bool {
    blob.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == facts.size)
        && facts.digest.same_of(blob).is_ok_and(|found| found == facts.digest)
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

//! What the Hub answers to those who read.

use serde_json::json;

use super::http::{Reply, Request};
use super::{Repo, State, git_blob, is_large, sha256};

impl State {
    /// The Hub's side.
    pub(super) fn hub(&mut self, request: &Request) -> Reply {
        let parts: Vec<String> = request.path().trim_start_matches('/').split('/').map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let repo_at = |owner: &str, name: &str| format!("{owner}/{name}");
        let data_at = |owner: &str, name: &str| format!("datasets/{owner}/{name}");
        match (request.method.as_str(), parts.as_slice()) {
            ("HEAD" | "GET", [owner, name, "resolve", revision, file @ ..]) => {
                self.resolve(request, &repo_at(owner, name), revision, &file.join("/"))
            }
            ("HEAD" | "GET", ["datasets", owner, name, "resolve", revision, file @ ..]) => {
                self.resolve(request, &data_at(owner, name), revision, &file.join("/"))
            }
            ("HEAD" | "GET", ["api", "resolve-cache", "models", owner, name, _, file @ ..]) => {
                self.small_file(request, &repo_at(owner, name), &file.join("/"))
            }
            ("HEAD" | "GET", ["api", "resolve-cache", "datasets", owner, name, _, file @ ..]) => {
                self.small_file(request, &data_at(owner, name), &file.join("/"))
            }
            ("GET", ["api", "datasets", owner, name, "revision", revision]) => {
                self.describe(request, &data_at(owner, name), revision)
            }
            ("GET", ["api", "models", owner, name]) => self.describe(request, &repo_at(owner, name), "main"),
            ("GET", ["api", "models", owner, name, "revision", revision]) => {
                self.describe(request, &repo_at(owner, name), revision)
            }
            _ => self.upload(request, &parts),
        }
    }

    /// A file's address: the way to its content, and what it is.
    fn resolve(&self, request: &Request, repo: &str, revision: &str, file: &str) -> Reply {
        let found = match self.visible(request, repo, revision) {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        let Some(content) = found.files.get(file) else {
            return error(404, "EntryNotFound", "Entry not found").with("X-Repo-Commit", &found.commit);
        };
        if !is_large(content) {
            let kind = if repo.starts_with("datasets/") { "" } else { "models/" };
            let target = format!("/api/resolve-cache/{kind}{repo}/{}/{file}", found.commit);
            return Reply::status(307).with("Location", target).with("X-Repo-Commit", &found.commit);
        }
        let digest = sha256(content);
        Reply::status(302)
            .with("Location", self.storage_url(&format!("/objects/{digest}?signature=secret")))
            .with("X-Repo-Commit", &found.commit)
            .with("X-Linked-Size", content.len().to_string())
            .with("X-Linked-Etag", format!("\"{digest}\""))
            .with("ETag", format!("\"{}\"", git_blob(digest.as_bytes())))
    }

    fn small_file(&self, request: &Request, repo: &str, file: &str) -> Reply {
        let found = match self.visible(request, repo, "main") {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        let content = found.files.get(file).cloned().unwrap_or_default();
        Reply::content(request, &content)
            .with("ETag", format!("\"{}\"", git_blob(&content)))
            .with("X-Repo-Commit", &found.commit)
    }

    fn describe(&self, request: &Request, repo: &str, revision: &str) -> Reply {
        match self.visible(request, repo, revision) {
            Ok(found) => {
                let files = found.files.iter();
                let sized = request.query("blobs") == Some("true");
                let siblings: Vec<_> = files
                    .map(|(name, content)| {
                        let size = sized.then_some(content.len());
                        json!({ "rfilename": name, "size": size })
                    })
                    .collect();
                Reply::json(&json!({
                    "id": repo, "sha": found.commit, "private": found.private, "siblings": siblings
                }))
            }
            Err(refusal) => refusal,
        }
    }

    /// The repository at a revision, for those who may see it.
    fn visible(&self, request: &Request, repo: &str, revision: &str) -> Result<&Repo, Reply> {
        let (sends_token, is_known) = (request.header("authorization").is_some(), self.knows(request));
        if sends_token && !is_known {
            return Err(error(401, "", "Invalid credentials in Authorization header"));
        }
        let found = self.repos.get(repo).filter(|repo| !repo.private || is_known);
        let Some(found) = found else {
            let status = if sends_token { 404 } else { 401 };
            return Err(error(status, "RepoNotFound", "Repository not found"));
        };
        if found.gated && request.path().contains("/resolve") {
            let status = if sends_token { 403 } else { 401 };
            return Err(error(status, "GatedRepo", "Access to this model is restricted"));
        }
        if revision != "main" && revision != found.commit {
            return Err(error(404, "RevisionNotFound", "Invalid rev id"));
        }
        Ok(found)
    }
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    let reply = Reply::status(status).with("X-Error-Message", message);
    if code.is_empty() { reply } else { reply.with("X-Error-Code", code) }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

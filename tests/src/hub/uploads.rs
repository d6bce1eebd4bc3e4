//! What the Hub answers to those who write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::answers::error;
use super::http::{Reply, Request};
use super::{Repo, State, git_blob, sha256};

impl State {
    pub(super) fn upload(&mut self, request: &Request, parts: &[&str]) -> Reply {
        if request.method != "POST" {
            return Reply::status(404);
        }
        if !self.knows(request) {
            return error(401, "", "Invalid username or password.");
        }
        let body = || serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        match parts {
            ["api", "repos", "create"] => self.create(&body()),
            ["api", "models", owner, name, "preupload", "main"] => {
                self.preupload(&format!("{owner}/{name}"), &body())
            }
            [_, _, "info", "lfs", "objects", "batch"] if request.path().contains(".git/") => {
                self.batch(&body())
            }
            ["api", "complete_multipart", digest] => self.complete(digest, &body()),
            ["api", "verify", digest] if self.objects.contains_key(*digest) => Reply::status(200),
            ["api", "models", owner, name, "commit", "main"] => {
                self.commit(&format!("{owner}/{name}"), &request.body)
            }
            _ => Reply::status(404),
        }
    }

    fn create(&mut self, wish: &Value) -> Reply {
        let text = |name: &str| wish[name].as_str().unwrap_or_default();
        let repo = format!("{}/{}", text("organization"), text("name"));
        if self.repos.contains_key(&repo) {
            return error(409, "", "You already created this model repo");
        }
        let (commit, private) = (self.next_commit(), wish["private"] == true);
        self.repos.insert(repo.clone(), Repo { commit, private, ..Repo::default() });
        Reply::json(&json!({ "url": self.hub_url(&format!("/{repo}")) }))
    }

    fn preupload(&self, repo: &str, body: &Value) -> Reply {
        let Some(repo) = self.repos.get(repo) else { return error(404, "RepoNotFound", "") };
        let files = body["files"].as_array().into_iter().flatten().map(|file| {
            let path = file["path"].as_str().unwrap_or_default();
            let size = file["size"].as_u64().unwrap_or_default();
            let is_weights = path.ends_with(".safetensors") || size > 10 << 20;
            let mode = if is_weights { "lfs" } else { "regular" };
            let digest = if is_weights { sha256 } else { git_blob };
            let oid = repo.files.get(path).map(|content| digest(content));
            json!({ "path": path, "uploadMode": mode, "shouldIgnore": false, "oid": oid })
        });
        Reply::json(&json!({ "files": files.collect::<Vec<_>>() }))
    }

    fn batch(&self, body: &Value) -> Reply {
        let objects = body["objects"].as_array().into_iter().flatten().map(|object| {
            let digest = object["oid"].as_str().unwrap_or_default();
            let size = object["size"].as_u64().unwrap_or_default() as usize;
            if self.objects.contains_key(digest) {
                return json!({ "oid": digest, "size": size });
            }
            let address = self.storage_url(&format!("/objects/{digest}?signature=secret"));
            let upload = match self.part_len {
                None => json!({ "href": address }),
                Some(part_len) => {
                    let mut header = json!({ "chunk_size": part_len.to_string() });
                    for part in 1..=size.div_ceil(part_len) {
                        header[format!("{part:05}")] = format!("{address}&part={part}").into();
                    }
                    let href = self.hub_url(&format!("/api/complete_multipart/{digest}"));
                    json!({ "href": href, "header": header })
                }
            };
            let verify = json!({ "href": self.hub_url(&format!("/api/verify/{digest}")) });
            json!({ "oid": digest, "size": size, "actions": { "upload": upload, "verify": verify } })
        });
        let transfer = if self.part_len.is_some() { "multipart" } else { "basic" };
        Reply::json(&json!({ "transfer": transfer, "objects": objects.collect::<Vec<_>>() }))
    }

    fn complete(&mut self, digest: &str, body: &Value) -> Reply {
        let mut content = Vec::new();
        for part in body["parts"].as_array().into_iter().flatten() {
            let number = part["partNumber"].as_u64().unwrap_or_default() as usize;
            match self.parts.remove(&(digest.to_owned(), number)) {
                Some(bytes) if part["etag"] == format!("\"{}\"", sha256(&bytes)) => content.extend(bytes),
                _ => return error(400, "", "a part is missing"),
            }
        }
        if sha256(&content) != digest {
            return error(400, "", "the parts are another file");
        }
        self.objects.insert(digest.to_owned(), content);
        Reply::status(200)
    }

    /// One line of JSON per operation, the first the header.
    fn commit(&mut self, repo: &str, body: &[u8]) -> Reply {
        let commit = self.next_commit();
        let Some(repo) = self.repos.get_mut(repo) else { return error(404, "RepoNotFound", "") };
        let mut fresh = repo.clone();
        for line in body.split(|byte| *byte == b'\n') {
            let operation: Value = serde_json::from_slice(line).unwrap_or(Value::Null);
            let value = &operation["value"];
            let text = |name: &str| value[name].as_str().unwrap_or_default();
            let content = match operation["key"].as_str() {
                Some("header") => {
                    fresh.messages.push(text("summary").to_owned());
                    continue;
                }
                Some("file") => BASE64.decode(text("content")).ok(),
                Some("lfsFile") => self.objects.get(text("oid")).cloned(),
                _ => None,
            };
            let Some(content) = content else { return error(400, "", "a line is wrong") };
            fresh.files.insert(text("path").to_owned(), content);
        }
        fresh.commit.clone_from(&commit);
        *repo = fresh;
        Reply::json(&json!({ "success": true, "commitOid": commit, "commitUrl": "" }))
    }
}

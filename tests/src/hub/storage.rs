//! The storage behind the Hub: contents by digest, for whoever has a signed address.

use super::http::{Reply, Request};
use super::{State, sha256};

impl State {
    /// Storage's side.
    pub(super) fn storage(&mut self, request: &Request) -> Reply {
        // As S3: one way to prove oneself, not two.
        if request.header("authorization").is_some() || request.query("signature") != Some("secret") {
            return Reply::status(400);
        }
        let digest = request.path().trim_start_matches("/objects/").to_owned();
        match request.method.as_str() {
            "GET" | "HEAD" => match self.content(&digest) {
                Some(content) => Reply::content(request, &content),
                None => Reply::status(404),
            },
            "PUT" => match request.query("part").and_then(|part| part.parse().ok()) {
                Some(part) => {
                    self.parts.insert((digest, part), request.body.clone());
                    Reply::status(200).with("ETag", format!("\"{}\"", sha256(&request.body)))
                }
                None if sha256(&request.body) == digest => {
                    self.objects.insert(digest, request.body.clone());
                    Reply::status(200)
                }
                None => Reply::status(400),
            },
            _ => Reply::status(405),
        }
    }

    /// Content that was uploaded, or that a repository was made with.
    fn content(&self, digest: &str) -> Option<Vec<u8>> {
        let of_repos = || self.repos.values().flat_map(|repo| repo.files.values());
        self.objects.get(digest).or_else(|| of_repos().find(|content| sha256(content) == digest)).cloned()
    }
}

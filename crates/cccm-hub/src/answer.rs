//! An answer: its headers, its content within bounds, and where it redirects to.

use std::io::Read;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use crate::address::host;
use crate::{Error, Result};

/// Bytes of an answer in JSON.
const MOST_JSON: u64 = 32 << 20;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The address that answered in the end, after redirects.
    pub(crate) uri: Uri,
    /// Whether that was the Hub, not its storage.
    pub(crate) from_hub: bool,
    /// Time for an answer in JSON.
    pub(crate) limit: Duration,
    pub(crate) response: Response<Body>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn host(&self) -> String {
        host(&self.uri)
    }

    /// The content, without a limit on its length.
    pub(crate) fn into_reader(self) -> impl Read {
        self.response.into_body().into_reader()
    }

    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T> {
        let (url, host, limit) = (self.uri.to_string(), self.host(), self.limit);
        let broken = |problem: String| Error::protocol(&url, problem);
        let (mut body, start) = (Vec::new(), Instant::now());
        let mut reader = self.into_reader().take(MOST_JSON + 1);
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk).map_err(|error| broken(error.to_string()))? {
                0 => break,
                count => body.extend_from_slice(&chunk[..count]),
            }
            if start.elapsed() > limit {
                return Err(Error::TooSlow { what: host, limit });
            }
        }
        if body.len() as u64 > MOST_JSON {
            return Err(broken(format!("its answer is longer than {MOST_JSON} bytes")));
        }
        serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
    }

    /// Where a redirect leads; `POST` and `PUT` follow only those that keep them what they are.
    pub(crate) fn redirects_to(&self, method: &Method) -> Result<Option<Uri>> {
        let keeps_method = matches!(self.status, 307 | 308);
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !(keeps_method || reads && matches!(self.status, 301..=303)) {
            return Ok(None);
        }
        let broken = || Error::protocol(&self.uri.to_string(), "it redirects to nowhere");
        let target = self.header("Location").ok_or_else(broken)?;
        let (scheme, authority) = (self.uri.scheme_str(), self.uri.authority());
        let absolute = match (scheme, authority) {
            (Some(scheme), _) if target.starts_with("//") => format!("{scheme}:{target}"),
            (Some(scheme), Some(authority)) if target.starts_with('/') => {
                format!("{scheme}://{authority}{target}")
            }
            _ => target.to_owned(),
        };
        absolute.parse().map(Some).map_err(|_| broken())
    }
}

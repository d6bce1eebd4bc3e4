//! What the Hub and its storage say about files that are to be uploaded.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How the Hub wants a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    pub(crate) path: String,
    pub(crate) upload_mode: Mode,
    #[serde(default)]
    pub(crate) should_ignore: bool,
    /// Digest of the file that is there: of the kind that the mode has.
    #[serde(default)]
    pub(crate) oid: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Regular,
    Lfs,
}

#[derive(Deserialize)]
pub(crate) struct Preupload {
    pub(crate) files: Vec<Wanted>,
}

#[derive(Deserialize)]
pub(crate) struct Batch {
    pub(crate) objects: Vec<Object>,
}

/// What storage says about one object: where to send it, or that it is there, or why it cannot be.
#[derive(Deserialize)]
pub(crate) struct Object {
    pub(crate) oid: String,
    #[serde(default)]
    pub(crate) actions: Option<Actions>,
    #[serde(default)]
    pub(crate) error: Option<ObjectError>,
}

#[derive(Deserialize)]
pub(crate) struct ObjectError {
    pub(crate) message: String,
}

#[derive(Deserialize)]
pub(crate) struct Actions {
    #[serde(default)]
    pub(crate) upload: Option<Action>,
    #[serde(default)]
    pub(crate) verify: Option<Action>,
}

#[derive(Deserialize)]
pub(crate) struct Action {
    pub(crate) href: String,
    /// Headers to send; for an upload in parts `chunk_size`, and an address under each part's number.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Committed {
    pub(crate) commit_oid: String,
}

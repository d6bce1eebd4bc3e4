#![doc = include_str!("../README.md")]

mod place;

mod config;
mod hub;

mod data;
mod download;
mod listing;
mod upload;

mod address;
mod answer;
mod cache;
mod client;
mod digest;
mod error;
mod protocol;
mod refusal;

pub use cache::Fetched;
pub use config::{HubConfig, LimitConfig, RetryConfig, Token};
pub use data::HubData;
pub use error::{Error, Result};
pub use hub::{Hub, OnProgress, Progress};
pub use listing::RemoteFile;
pub use place::{HubFile, RepoId, Revision};
pub use upload::{LocalFile, Push, Pushed, Visibility};

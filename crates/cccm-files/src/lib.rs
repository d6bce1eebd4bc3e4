#![doc = include_str!("../README.md")]

mod write;

mod dirs;
mod remove;

mod sums;

mod lock;

mod cache;

pub use cache::PrivateCache;
pub use dirs::{create_dirs, replace_dir, sync_dir};
pub use lock::{Lock, open_locked, open_own};
pub use remove::{Left, remove_files};
pub use sums::{Sums, SumsProblem, sha256, sha256_of, sha256_while};
pub use write::{Pending, commit_in_order, write, write_in_place_of, write_with_folders};

#![doc = include_str!("../README.md")]

mod combination;
mod error;
mod folder_name;
mod kind;
mod known;
mod nearest;
mod pages;
mod spelling;
mod text;
mod vocabulary;

pub use combination::{Combination, MAX_KINDS};
pub use error::{Error, Result};
pub use kind::{LabelKind, usual_kind};
pub use known::KnownLabels;
pub use nearest::nearest;
pub use pages::Page;
pub use spelling::{look_alikes, spelling};
pub use text::{listed, plural};
pub use vocabulary::Vocabulary;

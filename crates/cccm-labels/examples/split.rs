//! How a vocabulary reads the names of folders, typed as kinds and then names.
//!
//! ```console
//! $ cargo run -p cccm-labels --example split -- colour=dark_red,blue body=car,bus -- dark_red_bus blue_cart
//! ```

#![expect(clippy::print_stdout, reason = "an example")]

use anyhow::Context;
use cccm_labels::{LabelKind, Vocabulary};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut parts = args.splitn(2, |arg| arg == "--");
    let kinds = parts.next().unwrap_or_default().iter().map(|kind| {
        let (kind, names) = kind.split_once('=').context("a kind is NAME=LABEL,LABEL…")?;
        Ok(LabelKind::new(kind, names.split(',')))
    });
    let vocabulary = Vocabulary::new(kinds.collect::<anyhow::Result<Vec<_>>>()?)?;
    for name in parts.next().unwrap_or_default() {
        match vocabulary.parse_folder(name) {
            Ok(combination) => println!("{name}: {combination:?}"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

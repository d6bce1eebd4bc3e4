//! Completions and manual pages.

use std::path::Path;

use crate::support::{failure, run};

/// What a command prints.
fn printed(args: &[&str]) -> String {
    run(Path::new("."), args)
}

#[test]
fn every_shell_is_told_of_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&["completions", shell]);
        for word in ["train-teacher", "fuse-method", "kind-guidance"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_the_program_and_for_each_command() {
    let page = printed(&["manual"]);
    assert!(
        page.starts_with(".ie") && page.contains(".TH cccm 1") && page.contains("search\\-steps"),
        "{page}"
    );
    let page = printed(&["manual", "train"]);
    assert!(page.contains(".TH cccm-train 1") && page.contains("\\-\\-trajectory\\-steps"), "{page}");
    let said = failure(Path::new("."), &["manual", "trian"]);
    assert!(said.contains("no command `trian`") && said.contains("train-teacher"), "{said}");
}

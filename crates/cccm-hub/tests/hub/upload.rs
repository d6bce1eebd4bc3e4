//! What is sent, and what is not sent again.

use std::fs;
use std::path::Path;

use cccm_hub::{Error, HubConfig, LocalFile, Push, Pushed, RepoId, Result, Visibility};
use cccm_tests::hub::{Fault, Side, sha256};

use super::{Bench, REPO, TOKEN, content};

const LEN: usize = 300_000;

/// A model directory of three files.
fn files(dir: &Path) -> Vec<LocalFile> {
    let all =
        [("model.safetensors", content(LEN)), ("config.json", b"{}".to_vec()), ("README.md", vec![b'#'])];
    let write = |(name, content): (&str, Vec<u8>)| {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        LocalFile { name: name.to_owned(), path }
    };
    all.into_iter().map(write).collect()
}

fn push(bench: &Bench, config: HubConfig, visibility: Visibility) -> Result<Pushed> {
    let (repo, files): (RepoId, _) = (REPO.parse().unwrap(), files(bench.home.path()));
    let push = Push { repo: &repo, files: &files, visibility, message: "a student" };
    bench.client_of(config).push(&push, &mut |_| ())
}

fn bench() -> (Bench, HubConfig) {
    let bench = Bench::new();
    bench.hub.accept_token(TOKEN);
    let config = bench.with_token(TOKEN);
    (bench, config)
}

fn puts(bench: &Bench) -> Vec<String> {
    let requests = bench.requests(Side::Storage);
    requests.into_iter().filter(|request| request.method == "PUT").map(|request| request.target).collect()
}

#[test]
fn a_repository_is_made_and_gets_one_commit_with_all_files() {
    let (bench, config) = bench();
    let pushed = push(&bench, config, Visibility::Unchanged).unwrap();
    let repo = bench.hub.repo(REPO).unwrap();
    assert_eq!(pushed.commit.as_deref(), Some(repo.commit.as_str()));
    assert_eq!(pushed.url, format!("{}/{REPO}", bench.hub.endpoint()));
    assert_eq!(pushed.changed, ["model.safetensors", "config.json", "README.md"]);
    assert_eq!(repo.messages, ["a student"]);
    assert!(!repo.private && repo.files.len() == 3);
    assert!(repo.files["model.safetensors"] == content(LEN) && repo.files["config.json"] == b"{}");
    let log = bench.hub.take_log();
    assert!(
        log.iter()
            .all(|(side, request)| { (*side == Side::Hub) == request.header("authorization").is_some() }),
        "the token went astray"
    );
}

#[test]
fn what_the_hub_has_is_not_sent_again() {
    let (bench, config) = bench();
    push(&bench, config.clone(), Visibility::Unchanged).unwrap();
    bench.hub.take_log();
    let again = push(&bench, config.clone(), Visibility::Unchanged).unwrap();
    assert_eq!((again.commit, again.changed.len()), (None, 0));
    assert!(bench.hub.take_log().iter().all(|(_, request)| !request.path().contains("/commit/")));

    // One small file changed: the commit holds that one.
    bench.hub.change(REPO, |repo| {
        repo.files.insert("config.json".into(), b"older".to_vec());
    });
    let third = push(&bench, config, Visibility::Unchanged).unwrap();
    assert_eq!(third.changed, ["config.json"]);
    assert!(puts(&bench).is_empty());
    assert_eq!(bench.hub.repo(REPO).unwrap().files["config.json"], b"{}");
}

#[test]
fn large_files_go_in_parts_where_storage_wants_parts() {
    let (bench, config) = bench();
    bench.hub.upload_in_parts(LEN / 3 + 1);
    push(&bench, config, Visibility::Unchanged).unwrap();
    assert_eq!(puts(&bench).len(), 3);
    assert!(bench.hub.repo(REPO).unwrap().files["model.safetensors"] == content(LEN));
}

#[test]
fn a_part_that_broke_off_is_sent_again_and_the_others_are_not() {
    let (bench, config) = bench();
    bench.hub.upload_in_parts(LEN / 3);
    bench.hub.fail(Side::Storage, [Fault::HangUp, Fault::Status(503, &[("Retry-After", "3")])]);
    push(&bench, config, Visibility::Unchanged).unwrap();
    let parts: Vec<_> = puts(&bench).iter().map(|target| target.chars().last().unwrap()).collect();
    assert_eq!(parts, ['1', '1', '1', '2', '3']);
    assert_eq!(bench.slept(), [1, 3]);
}

#[test]
fn an_upload_cut_off_shows_nothing_and_goes_on_with_what_is_missing() {
    let (bench, config) = bench();
    bench.hub.fail(Side::Storage, vec![Fault::HangUp; 5]);
    let error = push(&bench, config.clone(), Visibility::Unchanged).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
    assert!(bench.hub.repo(REPO).unwrap().files.is_empty());

    // Cut again, after the storage has the large file: it is not sent a second time.
    bench.hub.take_log();
    let commit =
        [Fault::Status(409, &[]), Fault::WholeFile, Fault::WholeFile, Fault::WholeFile, Fault::HangUp];
    bench.hub.fail(Side::Hub, commit);
    let error = push(&bench, config.clone(), Visibility::Unchanged).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(bench.hub.object(&sha256(&content(LEN))).is_some() && puts(&bench).len() == 1);
    push(&bench, config, Visibility::Unchanged).unwrap();
    assert!(puts(&bench).is_empty());
    assert_eq!(bench.hub.repo(REPO).unwrap().files.len(), 3);
}

#[test]
fn private_means_private_or_nothing() {
    let (bench, config) = bench();
    push(&bench, config.clone(), Visibility::Private).unwrap();
    assert!(bench.hub.repo(REPO).unwrap().private);
    bench.hub.change(REPO, |repo| {
        repo.private = false;
        repo.files.clear();
    });
    let error = push(&bench, config, Visibility::Private).unwrap_err();
    assert!(matches!(error, Error::NotPrivate { .. }), "{error:?}");
    assert!(bench.hub.repo(REPO).unwrap().files.is_empty());
}

#[test]
fn who_may_not_write_hears_so_before_anything_is_sent() {
    let (bench, config) = bench();
    let anonymous = push(&bench, bench.config(), Visibility::Unchanged).unwrap_err();
    assert!(matches!(anonymous, Error::TokenMissing { .. }), "{anonymous:?}");
    let offline = HubConfig { offline: true, ..config.clone() };
    let offline = push(&bench, offline, Visibility::Unchanged).unwrap_err();
    assert!(matches!(offline, Error::Offline { .. }), "{offline:?}");
    assert!(bench.hub.take_log().is_empty());
    let wrong = push(&bench, bench.with_token("hf_wrong"), Visibility::Unchanged).unwrap_err();
    assert!(matches!(wrong, Error::TokenRefused { .. }), "{wrong:?}");

    // A token for one repository may make none: fine if that one is there, else it is told.
    bench.hub.fail(Side::Hub, [Fault::Status(403, &[])]);
    let forbidden = push(&bench, config.clone(), Visibility::Unchanged).unwrap_err();
    assert!(matches!(&forbidden, Error::Forbidden { .. }), "{forbidden:?}");
    assert!(forbidden.to_string().contains("write to"), "{forbidden}");
    bench.hub.put(REPO, "README.md", b"mine");
    bench.hub.fail(Side::Hub, [Fault::Status(403, &[])]);
    push(&bench, config, Visibility::Unchanged).unwrap();
}

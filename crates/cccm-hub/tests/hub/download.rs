//! What arrives, and what is left behind when it does not.

use std::fs;
use std::path::PathBuf;

use cccm_hub::{Error, HubConfig, HubFile, LimitConfig};
use cccm_tests::hub::{Fault, Side, git_blob, sha256};

use super::{Bench, REPO, TOKEN, content, place};

/// Longer than any buffer on the way.
const LEN: usize = 1_000_000;

#[test]
fn files_arrive_in_the_layout_of_the_standard_cache() {
    let bench = Bench::new();
    let (weights, config) = (content(LEN), b"{}".to_vec());
    bench.hub.put(REPO, "a dir/model.safetensors", &weights);
    bench.hub.put(REPO, "config.json", &config);
    let mut seen = Vec::new();
    let large = bench
        .client()
        .fetch(&place("a dir/model.safetensors"), &mut |progress| seen.push((progress.done, progress.total)))
        .unwrap();
    let small = bench.fetch("config.json").unwrap();
    let commit = bench.hub.repo(REPO).unwrap().commit;
    assert_eq!((large.commit.as_str(), small.commit.as_str()), (commit.as_str(), commit.as_str()));
    assert_eq!(large.path, bench.cached(&format!("snapshots/{commit}/a dir/model.safetensors")));
    assert!(fs::read(&large.path).unwrap() == weights && fs::read(&small.path).unwrap() == config);
    assert_eq!(fs::read_to_string(bench.cached("refs/main")).unwrap(), commit);
    for (digest, content) in [(sha256(&weights), &weights), (git_blob(&config), &config)] {
        assert!(fs::read(bench.cached(&format!("blobs/{digest}"))).unwrap() == *content, "{digest}");
    }
    if cfg!(unix) {
        let target = fs::read_link(&large.path).unwrap();
        assert_eq!(target.to_str().unwrap(), format!("../../../blobs/{}", sha256(&weights)));
    }
    assert!(seen.is_sorted() && seen.first() == Some(&(0, LEN as u64)));
    assert_eq!(seen.last(), Some(&(LEN as u64, LEN as u64)));
    assert_eq!(fs::read_dir(bench.cached("blobs")).unwrap().count(), 2, "something was left behind");
    // Compressed, neither lengths nor ranges would be the file's.
    let log = bench.hub.take_log();
    assert!(log.iter().all(|(_, request)| request.header("accept-encoding") == Some("identity")));
}

#[test]
fn a_mirror_may_lead_to_the_hub_itself() {
    let (bench, mirror) = (Bench::new(), Bench::new());
    bench.hub.put(REPO, "w.bin", &content(LEN));
    let commit = bench.hub.repo(REPO).unwrap().commit;
    let redirect = |revision: &str| {
        let target = format!("{}/{REPO}/resolve/{revision}/w.bin", bench.hub.endpoint());
        let headers: &'static [_] = vec![("Location", &*target.leak())].leak();
        Fault::Status(308, headers)
    };
    mirror.hub.fail(Side::Hub, [redirect("main"), redirect(&commit)]);
    let client = mirror.client_of(mirror.with_token(TOKEN));
    assert!(fs::read(client.fetch(&place("w.bin"), &mut |_| ()).unwrap().path).unwrap() == content(LEN));
    let log = bench.hub.take_log();
    assert!(log.iter().all(|(_, request)| request.header("authorization").is_none()));
}

#[test]
fn a_second_run_needs_no_network() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    let first = bench.fetch("w.bin").unwrap();
    bench.hub.take_log();

    // The Hub is asked whether the branch moved, but nothing is downloaded.
    assert_eq!(bench.fetch("w.bin").unwrap(), first);
    let requests = bench.hub.take_log();
    assert!(requests.len() == 1 && requests[0].1.method == "HEAD", "{requests:?}");

    // A commit never moves; offline nothing is asked.
    let pinned: HubFile = format!("hf://{REPO}@{}/w.bin", first.commit).parse().unwrap();
    assert_eq!(bench.client().fetch(&pinned, &mut |_| ()).unwrap().path, first.path);
    let offline = HubConfig { offline: true, ..bench.config() };
    assert_eq!(bench.client_of(offline.clone()).fetch(&place("w.bin"), &mut |_| ()).unwrap(), first);
    assert!(bench.hub.take_log().is_empty());
    let missing = bench.client_of(offline).fetch(&place("other.bin"), &mut |_| ());
    assert!(matches!(missing, Err(Error::Offline { .. })));

    // And a Hub that is gone leaves what was there.
    let gone = HubConfig { endpoint: closed_port(), ..bench.config() };
    assert_eq!(bench.client_of(gone).fetch(&place("w.bin"), &mut |_| ()).unwrap(), first);
}

#[test]
fn a_new_commit_is_downloaded_and_shares_what_stayed_the_same() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    let first = bench.fetch("w.bin").unwrap();
    bench.hub.put(REPO, "other", b"x");
    bench.requests(Side::Storage);
    let second = bench.fetch("w.bin").unwrap();
    assert_ne!(first.path, second.path);
    assert!(bench.requests(Side::Storage).is_empty(), "the same content was downloaded twice");
    bench.hub.put(REPO, "w.bin", &content(LEN - 1));
    let third = bench.fetch("w.bin").unwrap();
    assert_eq!(fs::metadata(third.path).unwrap().len(), LEN as u64 - 1);
    assert_eq!(fs::metadata(first.path).unwrap().len(), LEN as u64);
}

#[test]
fn a_download_cut_off_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let whole = content(LEN);
    bench.hub.put(REPO, "w.bin", &whole);
    bench.hub.fail(Side::Storage, [Fault::Cut(LEN * 3 / 10)]);
    let path = bench.fetch("w.bin").unwrap().path;
    assert!(fs::read(path).unwrap() == whole);
    let ranges = ranges(&bench);
    assert_eq!(ranges, [None, Some(format!("bytes={}-", LEN * 3 / 10))]);
    assert_eq!(bench.slept(), [1]);
}

#[test]
fn the_next_run_goes_on_where_this_one_gave_up() {
    let bench = Bench::new();
    let whole = content(LEN);
    bench.hub.put(REPO, "w.bin", &whole);
    bench.hub.fail(Side::Storage, [Fault::Cut(LEN * 3 / 10)]);
    bench.hub.fail(Side::Storage, vec![Fault::HangUp; 4]);
    let error = bench.fetch("w.bin").unwrap_err();
    let at = (LEN * 3 / 10) as u64;
    assert!(matches!(error, Error::Interrupted { done, total, .. } if (done, total) == (at, LEN as u64)));
    assert_eq!(bench.slept(), [1, 2, 4, 8]);
    assert!(!bench.cached("refs").exists() && !bench.cached("snapshots").exists());
    let left: Vec<_> = fs::read_dir(bench.cached("blobs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [format!("{}.incomplete", sha256(&whole)).as_str()]);

    ranges(&bench);
    assert!(fs::read(bench.fetch("w.bin").unwrap().path).unwrap() == whole);
    assert_eq!(ranges(&bench), [Some(format!("bytes={at}-"))]);
}

#[test]
fn tries_that_get_further_may_be_many() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    bench.hub.fail(Side::Storage, vec![Fault::Cut(LEN / 100); 20]);
    bench.fetch("w.bin").unwrap();
    assert_eq!(bench.slept(), [1; 20]);
}

#[test]
fn an_answer_from_the_start_replaces_what_was_there() {
    let bench = Bench::new();
    let whole = content(LEN);
    bench.hub.put(REPO, "w.bin", &whole);
    bench.hub.fail(Side::Storage, [Fault::Cut(LEN / 2), Fault::WholeFile]);
    assert!(fs::read(bench.fetch("w.bin").unwrap().path).unwrap() == whole);
}

#[test]
fn an_answer_for_other_bytes_is_refused() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    bench.hub.fail(Side::Storage, [Fault::Cut(LEN / 2), Fault::OtherPart]);
    let error = bench.fetch("w.bin").unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "a signed address was printed: {error}");
}

#[test]
fn a_wrong_digest_is_refused_and_nothing_is_kept() {
    for (file, len, side) in [("w.bin", LEN, Side::Storage), ("config.json", 100, Side::Hub)] {
        let bench = Bench::new();
        bench.hub.put(REPO, file, &content(len));
        // Of a small file, the address and two redirects come first.
        let harmless = if side == Side::Hub { vec![Fault::Flip; 4] } else { vec![Fault::Flip] };
        bench.hub.fail(side, harmless);
        let error = bench.fetch(file).unwrap_err();
        let Error::Digest { want, got, .. } = &error else { panic!("{error}") };
        assert_ne!(want, got);
        assert_eq!(fs::read_dir(bench.cached("blobs")).unwrap().count(), 0, "{file}");
        assert!(!bench.cached("snapshots").exists());
        bench.fetch(file).unwrap();
    }
}

#[test]
fn a_damaged_start_from_an_earlier_run_is_replaced() {
    let bench = Bench::new();
    let whole = content(LEN);
    bench.hub.put(REPO, "w.bin", &whole);
    for left_over in [LEN / 2, LEN, LEN + 1].map(|len| vec![0; len]) {
        fs::create_dir_all(bench.cached("blobs")).unwrap();
        let blob = bench.cached(&format!("blobs/{}", sha256(&whole)));
        fs::write(blob.with_extension("incomplete"), left_over).unwrap();
        assert!(fs::read(bench.fetch("w.bin").unwrap().path).unwrap() == whole);
        fs::remove_file(blob).unwrap();
    }
}

#[test]
fn a_body_without_end_is_refused() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    bench.hub.fail(Side::Storage, [Fault::Endless]);
    let error = bench.fetch("w.bin").unwrap_err();
    assert!(matches!(error, Error::TooLong { announced, .. } if announced == LEN as u64), "{error}");
    let left: u64 =
        fs::read_dir(bench.cached("blobs")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(left, 0);
}

#[test]
fn a_length_beyond_what_was_announced_is_refused_unread() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    bench.hub.fail(Side::Storage, [Fault::Status(200, &[("Content-Length", "99999999999")])]);
    assert!(matches!(bench.fetch("w.bin"), Err(Error::TooLong { .. })));
}

#[test]
fn an_empty_file_is_a_file() {
    let bench = Bench::new();
    bench.hub.put(REPO, "empty", b"");
    assert_eq!(fs::read(bench.fetch("empty").unwrap().path).unwrap(), b"");
}

fn ranges(bench: &Bench) -> Vec<Option<String>> {
    let requests = bench.requests(Side::Storage);
    requests.iter().map(|request| request.header("range").map(ToOwned::to_owned)).collect()
}

/// An address that nobody listens at.
pub(super) fn closed_port() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn what_was_damaged_in_the_cache_is_downloaded_anew() {
    for len in [300, LEN] {
        let bench = Bench::new();
        let whole = content(len);
        bench.hub.put(REPO, "w.bin", &whole);
        let fetched = bench.fetch("w.bin").unwrap();
        let mut damaged = whole.clone();
        damaged[len / 2] ^= 1;
        fs::write(fs::canonicalize(&fetched.path).unwrap(), &damaged).unwrap();
        // Offline there is nothing to mend it with.
        let offline = HubConfig { offline: true, ..bench.config() };
        let refused = bench.client_of(offline).fetch(&place("w.bin"), &mut |_| ()).unwrap_err();
        assert!(matches!(refused, Error::Offline { .. }), "{refused}");
        assert!(fs::read(bench.fetch("w.bin").unwrap().path).unwrap() == whole, "{len} bytes");
    }
}

#[test]
fn a_file_that_is_too_large_is_not_downloaded() {
    let bench = Bench::new();
    bench.hub.put(REPO, "config.json", &content(LEN));
    let refused =
        bench.client().fetch_at_most(LEN as u64 - 1, &place("config.json"), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { size, .. } if size == LEN as u64), "{refused}");
    assert!(!bench.cached("blobs").exists());
    let limits = LimitConfig { most_bytes: 10, ..LimitConfig::default() };
    let refused =
        bench.client_of(HubConfig { limits, ..bench.config() }).fetch(&place("config.json"), &mut |_| ());
    assert!(matches!(refused, Err(Error::TooLarge { most: 10, .. })));
    bench.client().fetch_at_most(LEN as u64, &place("config.json"), &mut |_| ()).unwrap();
}

#[test]
fn a_download_that_goes_on_for_too_long_ends() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(LEN));
    let limits = LimitConfig {
        grace: std::time::Duration::ZERO,
        least_bytes_per_sec: u64::MAX,
        ..LimitConfig::default()
    };
    let hub = bench.client_of(HubConfig { limits, ..bench.config() });
    let refused = hub.fetch(&place("w.bin"), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, Error::TooSlow { .. }), "{refused}");
}

#[test]
fn a_lost_connection_is_tried_again_and_absence_is_remembered() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(300));
    bench.hub.fail(Side::Hub, [Fault::HangUp]);
    let fetched = bench.fetch("w.bin").unwrap();
    assert_eq!(bench.slept(), [1]);
    let missing = place("config.json").at(&fetched.commit);
    let offline = || bench.client_of(HubConfig { offline: true, ..bench.config() });
    // Nobody knows yet.
    let refused = offline().fetch(&missing, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, Error::Offline { .. }), "{refused}");
    for hub in [bench.client(), offline()] {
        let refused = hub.fetch(&missing, &mut |_| ()).unwrap_err();
        assert!(matches!(refused, Error::FileNotFound { .. }), "{refused}");
    }
    // What the Hub lists is not absent, whatever it says.
    bench.hub.put(REPO, "config.json", b"{}");
    bench.hub.fail_always("/config.json", Fault::Status(404, &[]));
    let refused = bench.fetch("config.json").unwrap_err();
    assert!(matches!(refused, Error::Protocol { .. }), "{refused}");
}

#[test]
#[cfg(unix)]
fn files_of_the_cache_are_as_open_as_others_and_leftovers_are_in_nobodys_way() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(300));
    let fetched = bench.fetch("w.bin").unwrap();
    let plain = bench.cached("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(bench.cached("refs/main")), mode(plain));
    // What a process with the same number left, which was killed.
    let (parent, target) = (fetched.path.parent().unwrap(), fs::read_link(&fetched.path).unwrap());
    let digest = target.file_name().unwrap().to_str().unwrap();
    symlink("nowhere", parent.join(format!(".{digest}-{}", std::process::id()))).unwrap();
    fs::remove_file(&fetched.path).unwrap();
    bench.fetch("w.bin").unwrap();
    assert!(fetched.path.is_file());
}

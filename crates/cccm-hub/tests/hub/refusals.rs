//! What the Hub refuses, in words, and who learns the token.

use cccm_hub::{Error, HubConfig, HubFile, RetryConfig};
use cccm_tests::hub::{Fault, Side};

use super::download::closed_port;
use super::{Bench, REPO, TOKEN, content, place};

fn error(bench: &Bench, config: HubConfig, file: &str) -> Error {
    bench.client_of(config).fetch(&place(file), &mut |_| ()).unwrap_err()
}

#[test]
fn without_a_token_a_private_repository_wants_one() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(5000));
    bench.hub.change(REPO, |repo| repo.private = true);
    let missing = error(&bench, bench.config(), "w.bin");
    assert!(matches!(missing, Error::TokenMissing { .. }), "{missing:?}");
    assert!(missing.to_string().contains("HF_TOKEN"), "{missing}");

    let refused = error(&bench, bench.with_token("hf_wrong"), "w.bin");
    assert!(matches!(refused, Error::TokenRefused { .. }), "{refused:?}");
    assert!(!refused.to_string().contains("hf_wrong"), "{refused}");

    bench.hub.accept_token(TOKEN);
    bench.client_of(bench.with_token(TOKEN)).fetch(&place("w.bin"), &mut |_| ()).unwrap();
    assert!(bench.slept().is_empty(), "what will not pass was waited for");
}

#[test]
fn the_token_is_shown_to_the_hub_alone() {
    let bench = Bench::new();
    bench.hub.accept_token(TOKEN);
    bench.hub.put(REPO, "w.bin", &content(5000));
    bench.hub.put(REPO, "config.json", &content(10));
    for file in ["w.bin", "config.json"] {
        bench.client_of(bench.with_token(TOKEN)).fetch(&place(file), &mut |_| ()).unwrap();
    }
    let log = bench.hub.take_log();
    let tokens = |side: Side| {
        let requests = log.iter().filter(move |(at, _)| *at == side);
        requests.map(|(_, request)| request.header("authorization").is_some()).collect::<Vec<_>>()
    };
    assert_eq!(tokens(Side::Storage), [false]);
    assert!(tokens(Side::Hub).len() >= 4 && tokens(Side::Hub).into_iter().all(|shown| shown));
}

#[test]
fn a_gated_repository_says_where_to_accept() {
    let bench = Bench::new();
    bench.hub.accept_token(TOKEN);
    bench.hub.put(REPO, "w.bin", &content(5000));
    bench.hub.change(REPO, |repo| repo.gated = true);
    for config in [bench.config(), bench.with_token(TOKEN)] {
        let gated = error(&bench, config, "w.bin");
        assert!(matches!(gated, Error::Gated { .. }), "{gated:?}");
        assert!(gated.to_string().contains(&format!("{}/{REPO}", bench.hub.endpoint())), "{gated}");
    }
}

#[test]
fn another_403_passes_on_the_hubs_words() {
    let bench = Bench::new();
    bench.hub.fail(Side::Hub, [Fault::Status(403, &[("X-Error-Message", "no scope")])]);
    let forbidden = error(&bench, bench.with_token(TOKEN), "w.bin");
    assert!(matches!(&forbidden, Error::Forbidden { .. }), "{forbidden:?}");
    assert!(forbidden.to_string().contains("no scope"), "{forbidden}");
}

#[test]
fn what_is_missing_is_told_apart() {
    let bench = Bench::new();
    bench.hub.accept_token(TOKEN);
    bench.hub.put(REPO, "teacher.pth", &content(5000));
    bench.hub.put(REPO, "README.md", b"hello");
    let no_file = error(&bench, bench.config(), "taecher.pth");
    assert!(matches!(&no_file, Error::FileNotFound { files, .. } if files == &["README.md", "teacher.pth"]));
    assert!(no_file.to_string().contains("README.md, teacher.pth"), "{no_file}");

    let fetch = |text: &str| {
        let file: HubFile = text.parse().unwrap();
        bench.client_of(bench.with_token(TOKEN)).fetch(&file, &mut |_| ()).unwrap_err()
    };
    let no_revision = fetch("hf://someone/teacher@v9/teacher.pth");
    assert!(matches!(&no_revision, Error::RevisionNotFound { revision, .. } if revision == "v9"));
    let no_repo = fetch("hf://someone/taecher/teacher.pth");
    assert!(matches!(&no_repo, Error::RepoNotFound { repo, .. } if repo == "someone/taecher"));

    // A mirror that gives no reasons: the list of files tells.
    bench.hub.fail(Side::Hub, [Fault::Status(404, &[])]);
    assert!(
        matches!(error(&bench, bench.config(), "x"), Error::FileNotFound { files, .. } if files.len() == 2)
    );
    bench.hub.fail(Side::Hub, [Fault::Status(404, &[]), Fault::Status(404, &[])]);
    assert!(matches!(error(&bench, bench.config(), "x"), Error::RepoNotFound { .. }));
}

#[test]
fn limits_and_outages_are_waited_for_as_asked() {
    for (status, headers, wait) in [
        (429, &[("Retry-After", "7")][..], 7),
        (429, &[("RateLimit", "\"api\";r=0;t=55")], 55),
        (503, &[("Retry-After", "9")], 9),
        (503, &[("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT")], 1),
        (500, &[], 1),
        (429, &[("Retry-After", "0")], 1),
    ] {
        for side in [Side::Hub, Side::Storage] {
            let bench = Bench::new();
            bench.hub.put(REPO, "w.bin", &content(5000));
            bench.hub.fail(side, [Fault::Status(status, headers)]);
            bench.fetch("w.bin").unwrap();
            assert_eq!(bench.slept(), [wait], "{status} {headers:?} {side:?}");
        }
    }
}

#[test]
fn limits_and_outages_end_after_some_tries() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(5000));
    bench.hub.fail(Side::Hub, vec![Fault::Status(429, &[("Retry-After", "7")]); 5]);
    let limited = bench.fetch("w.bin").unwrap_err();
    assert!(matches!(limited, Error::RateLimited { .. }) && limited.to_string().contains("in 7 s"));
    assert_eq!(bench.slept(), [7, 7, 7, 8]);
    bench.hub.fail(Side::Hub, vec![Fault::Status(503, &[]); 5]);
    let down = bench.fetch("w.bin").unwrap_err();
    assert!(matches!(down, Error::Unavailable { status: 503, .. }), "{down:?}");
    assert_eq!(bench.slept(), [1, 2, 4, 8]);

    // Nobody waits for an hour; nor more often than configured.
    bench.hub.fail(Side::Hub, [Fault::Status(429, &[("Retry-After", "3600")])]);
    assert!(bench.fetch("w.bin").unwrap_err().to_string().contains("in 3600 s"));
    let once = HubConfig { retry: RetryConfig { tries: 1, ..RetryConfig::default() }, ..bench.config() };
    bench.hub.fail(Side::Hub, [Fault::Status(503, &[])]);
    assert!(matches!(error(&bench, once, "w.bin"), Error::Unavailable { .. }));
    assert!(bench.slept().is_empty());
}

#[test]
fn without_a_network_it_ends_at_once_and_says_what_to_check() {
    let bench = Bench::new();
    let nowhere = HubConfig { endpoint: closed_port(), ..bench.config() };
    let unreachable = error(&bench, nowhere, "w.bin");
    assert!(matches!(unreachable, Error::Unreachable { .. }), "{unreachable:?}");
    assert!(unreachable.to_string().contains("HTTPS_PROXY"), "{unreachable}");
    assert!(bench.slept().is_empty());
}

#[test]
fn the_proxy_is_asked_and_its_exceptions_are_not() {
    let bench = Bench::new();
    bench.hub.put(REPO, "w.bin", &content(5000));
    let proxied = HubConfig { proxy: Some(closed_port()), ..bench.config() };
    assert!(matches!(error(&bench, proxied.clone(), "w.bin"), Error::Unreachable { .. }));
    let direct = HubConfig { no_proxy: vec!["127.0.0.1".into()], ..proxied };
    bench.client_of(direct).fetch(&place("w.bin"), &mut |_| ()).unwrap();
}

#[test]
fn something_else_than_a_hub_is_called_that() {
    let bench = Bench::new();
    for headers in [
        &[][..],
        &[("X-Repo-Commit", "main"), ("ETag", "\"x\"")],
        &[("X-Repo-Commit", "0123456789012345678901234567890123456789"), ("ETag", "\"../../x\"")],
    ] {
        bench.hub.fail(Side::Hub, [Fault::Status(200, headers)]);
        let error = bench.fetch("w.bin").unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    }
    bench.hub.fail(Side::Hub, vec![Fault::Status(307, &[("Location", "/again")]); 20]);
    assert!(matches!(bench.fetch("w.bin"), Err(Error::Protocol { .. })));
}

#[test]
fn a_listing_has_names_and_sizes() {
    let bench = Bench::new();
    bench.hub.put(REPO, "teacher.pth", &content(5000));
    let place = place("x");
    let files = bench.client().list(&place.repo, &place.revision).unwrap();
    assert_eq!(
        files.iter().map(|file| (file.name.as_str(), file.size)).collect::<Vec<_>>(),
        [("teacher.pth", Some(5000))]
    );
    bench.hub.fail(Side::Hub, [Fault::Endless]);
    assert!(matches!(bench.client().list(&place.repo, &place.revision), Err(Error::Protocol { .. })));
}

//! PyTorch files: good ones in every form, evil ones, and back. `fixtures/pth.py` made them.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::{Device, Tensor};
use cccm_tests::{Tolerance, assert_close};
use cccm_weights::{Error, Part, PthProblem, WeightFile, inspect, load_weights, parse_weights, save_weights};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pth").join(name)
}

/// What PyTorch saw in the good files, under `FILE.NAME`.
fn wanted(file: &str) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let all = candle_core::safetensors::load(fixture("good.safetensors"), &Device::Cpu)?;
    let of_file = |(name, tensor): (String, Tensor)| {
        Some((name.strip_prefix(file)?.strip_prefix('.')?.to_owned(), tensor))
    };
    Ok(all.into_iter().filter_map(of_file).collect())
}

fn assert_same(
    got: &BTreeMap<String, Tensor>,
    want: &BTreeMap<String, Tensor>,
    file: &str,
) -> anyhow::Result<()> {
    assert!(got.keys().eq(want.keys()), "{file}: {:?} instead of {:?}", got.keys(), want.keys());
    for (name, want) in want {
        assert_eq!(got[name].dtype(), want.dtype(), "{file}: {name}");
        assert_close(&got[name], want, Tolerance::EXACT).with_context(|| format!("{file}: {name}"))?;
    }
    Ok(())
}

const GOOD: [&str; 6] = ["float16", "bfloat16", "float64", "strided", "trained", "parameters"];

#[test]
fn every_form_gives_what_pytorch_saw() -> anyhow::Result<()> {
    for name in GOOD {
        let want = wanted(name)?;
        assert!(!want.is_empty(), "{name}");
        for file in [format!("{name}.pth"), format!("{name}_legacy.pth")] {
            assert_same(&load_weights(&fixture(&file))?, &want, &file)?;
        }
    }
    let file = "trained_protocol_4.pth";
    assert_same(&load_weights(&fixture(file))?, &wanted("trained")?, file)
}

/// Files as other programs write them: see `WRAPPED` in `pth.py`.
fn wrapped(name: &str, key: Option<&str>) -> Result<BTreeMap<String, Tensor>, Error> {
    let file = WeightFile::open(&fixture(&format!("wrapped/{name}.pth")))?;
    file.keyed(key).unwrapping(&["model"]).state_dict(str::to_owned)?.tensors()
}

#[test]
fn what_others_wrapped_weights_in_is_taken_off() -> anyhow::Result<()> {
    let want = wrapped("generator_state", None)?;
    assert!(want.keys().eq(["a", "b"]));
    for (name, key) in [
        ("compiled", None),
        ("compiled_parallel", None),
        ("lightning", None),
        ("ema", None),
        ("ema_state_dict", None),
        ("other_key", None),
        ("settings", None),
        ("settings_protocol_4", None),
        ("settings_protocol_5", None),
        ("model_and_ema", Some("model")),
        ("two_in_one", Some("model")),
        ("two_in_one", Some("state_dict.model")),
    ] {
        assert_same(&wrapped(name, key)?, &want, name)?;
    }
    let other = wrapped("model_and_ema", Some("ema"))?;
    assert!(other.contains_key("transposed"));
    assert_same(&wrapped("two_in_one", Some("ema_model"))?, &other, "two_in_one")?;
    Ok(())
}

#[test]
fn nobody_chooses_between_two_networks_but_the_user() -> anyhow::Result<()> {
    let error = wrapped("model_and_ema", None).unwrap_err();
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    assert_eq!(source, "it holds several state dictionaries: `model`, `ema`; choose one by --key");
    let error = wrapped("ema", Some("model")).unwrap_err();
    assert!(matches!(&error, Error::NoKey { key, .. } if key == "model"), "{error}");
    for key in ["model_ema", "model_", "mode", "other"] {
        let error =
            wrapped("ema", Some(key)).and_then(|_| wrapped("generator_state", Some(key))).unwrap_err();
        assert!(matches!(error, Error::NoKey { .. }), "{key}: {error}");
    }
    assert_same(&wrapped("other_key", Some("generator"))?, &wrapped("other_key", None)?, "other_key")?;
    assert!(inspect(&fixture("wrapped/ema.pth"), Some("nonsense")).is_err());
    // A list names both, and lists the one that is asked for.
    let file = fixture("wrapped/model_and_ema.pth");
    let both = inspect(&file, None)?;
    assert_eq!((both.state_key, both.entries.len(), both.parts.len()), (None, 0, 2));
    let one = inspect(&file, Some("ema"))?;
    assert_eq!((one.state_key.as_deref(), one.entries.len(), one.parts.len()), (Some("ema"), 9, 1));
    Ok(())
}

#[test]
fn what_is_no_weight_file_is_named() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let said = |name: &str, content: &str| -> anyhow::Result<String> {
        let path = dir.path().join(name);
        std::fs::write(&path, content)?;
        Ok(load_weights(&path).unwrap_err().to_string())
    };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for name in ["lfs.pth", "lfs.safetensors", "lfs.bin"] {
        assert!(said(name, pointer)?.contains("a pointer of Git LFS"), "{name}");
    }
    assert!(said("page.pth", "\n<!DOCTYPE html><html>")?.contains("a web page"));
    let error = load_weights(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("it is a folder"), "{error}");
    #[cfg(unix)]
    {
        let pipe = dir.path().join("pipe.pth");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
        assert!(load_weights(&pipe).unwrap_err().to_string().ends_with("it is no regular file"));
    }
    std::fs::write(dir.path().join("model_index.json"), "{}")?;
    assert!(load_weights(dir.path()).unwrap_err().to_string().contains("diffusers"));
    Ok(())
}

#[test]
fn evil_files_are_refused_by_name() {
    let refused = [
        (
            "os_system",
            "it asks for `posix.system`, which is not among the types of a checkpoint; nothing was run",
        ),
        ("os_system_legacy", "`posix.system`"),
        ("os_system_protocol_4", "`posix.system`"),
        ("inst", "`os.system`"),
        ("eval", "`__builtin__.eval`"),
        ("newobj", "no state dictionary: no dictionary at all"),
        ("cyclic", "an object that contains itself"),
        ("cyclic_list", "an object that contains itself"),
        ("memo_bomb", "no state dictionary"),
        ("huge_memo_index", "no state dictionary"),
        ("missing_memo", "its memo has no entry 4294967295"),
        ("huge_text", "claims 4294967295 bytes of"),
        ("huge_storage", "storage `0` has 24 bytes instead of 4611686018427387904"),
        ("huge_shape", "does not lie in its storage of 6"),
        ("huge_empty_shape", "does not lie in its storage of 6"),
        ("huge_expanded", "list of tensors would take more memory than a file of"),
        ("negative_offset", "a tensor is not described as PyTorch does it"),
        ("beyond_storage", "from element 1 on does not lie in its storage of 6"),
        ("many_dimensions", "a tensor is not described as PyTorch does it"),
        ("short_storage", "storage `0` has 20 bytes instead of 24"),
        ("missing_storage", "storage `1` is missing"),
        ("key_traversal", "storage `../../etc/passwd` is missing"),
        ("name_traversal", "its entry `../../etc/passwd` has a name that would lead out of a folder"),
        ("absolute_name", "its entry `/etc/passwd` has a name"),
        ("compressed", "its entry `archive/data.pkl` is compressed"),
        ("big_endian", "its byte order is `big`"),
        ("twice", "`w` stands in its state dictionary twice"),
        ("prefixed_twice", "1 there twice, once under another name: `w`"),
        ("no_tensors", "no state dictionary: `epoch`"),
        ("a_number", "no state dictionary: no dictionary at all"),
        ("integer_entry", "2 no floating-point tensors: `n` is int64, `step` is int"),
        ("deep", "no state dictionary"),
        ("underflow", "its stack holds too little"),
        ("past_mark", "its stack holds too little"),
        ("unterminated", "claims 1 bytes of 0"),
        ("no_pickle", "it holds no `data.pkl`"),
        ("overlapping", "its entries claim"),
        ("cut", "the end of its zip archive is missing"),
        ("empty", "neither a zip archive nor a PyTorch pickle"),
        ("html", "it is a web page"),
    ];
    for (name, problem) in refused {
        let error = load_weights(&fixture(&format!("evil/{name}.pth"))).unwrap_err();
        assert!(
            matches!(error, Error::Pth { .. } | Error::Parameters { .. } | Error::NotWeights { .. }),
            "{name}: {error:?}"
        );
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {source}");
        assert!(text.contains(problem) && text.contains(&format!("{name}.pth")), "{name}: {text}");
    }
    let files = std::fs::read_dir(fixture("evil")).unwrap().count();
    assert_eq!(files, refused.len(), "every evil file must be tried");
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for file in ["float16.pth", "strided_legacy.pth"] {
        let whole = std::fs::read(fixture(file)).unwrap();
        for len in 0..whole.len() {
            let error = parse_weights(&whole[..len], Path::new("cut.pth")).unwrap_err();
            assert!(matches!(error, Error::Pth { .. }), "{file} at {len}: {error:?}");
        }
    }
}

#[test]
fn a_listing_shows_what_lies_beside_the_weights() {
    for (file, form) in [("trained.pth", "PyTorch, zip"), ("trained_legacy.pth", "PyTorch, legacy pickle")] {
        let inspection = inspect(&fixture(file), None).unwrap();
        assert_eq!((inspection.form, inspection.state_key), (form, Some("model".to_owned())));
        let first = &inspection.entries[0];
        assert_eq!((first.name.as_str(), first.kind.as_str()), ("module.0.weight", "float32"));
        assert_eq!((first.shape.as_deref(), first.bytes), (Some(&[4, 3][..]), 48));
        let part =
            |name: &str| inspection.parts.iter().find(|(key, _)| key == name).map(|(_, part)| part.clone());
        let fact = |text: &str| Some(Part::Fact(text.to_owned()));
        assert_eq!(part("epoch"), fact("60"));
        assert_eq!(part("loss"), fact("0.0123"));
        assert_eq!(part("note"), fact("größe"));
        // Per parameter two averages and a step.
        assert_eq!(part("optimizer"), Some(Part::Tensors { count: 12, bytes: 2 * 26 * 4 + 4 * 4 }));
        assert_eq!(part("model"), None);
    }
    let integers = inspect(&fixture("evil/integer_entry.pth"), None).unwrap();
    let kinds: Vec<_> =
        integers.entries.iter().map(|entry| (entry.name.as_str(), entry.kind.as_str())).collect();
    assert_eq!(kinds, [("w", "float32"), ("n", "int64"), ("step", "int")]);
    assert!(matches!(
        inspect(&fixture("evil/os_system.pth"), None),
        Err(Error::Pth { source: PthProblem::Global { .. }, .. })
    ));
}

/// `written.pth` was read by PyTorch 2.11.0 with `weights_only=True`, and its tensors equalled those of
/// `good.safetensors`: `pth.py pth check`.
#[test]
fn written_files_are_those_that_pytorch_read() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("written.pth");
    let mut tensors = BTreeMap::new();
    for name in GOOD {
        tensors.extend(wanted(name)?.into_iter().map(|(key, tensor)| (format!("{name}.{key}"), tensor)));
    }
    // Not contiguous: it must be written as what it shows.
    let transposed = tensors["strided.transposed"].t()?.contiguous()?.t()?;
    tensors.insert("strided.transposed".to_owned(), transposed);
    save_weights(&path, &tensors)?;
    assert_same(&load_weights(&path)?, &tensors, "written.pth")?;
    if std::env::var_os("CCCM_WRITE_FIXTURES").is_some() {
        std::fs::copy(&path, fixture("written.pth"))?;
    }
    assert!(std::fs::read(&path)? == std::fs::read(fixture("written.pth"))?);
    Ok(())
}

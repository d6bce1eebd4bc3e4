//! A classifier learns, repeats itself, and survives a file.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

use candle_core::{Device, Tensor};
use cccm_eval::{BoxError, Classifier, ClassifierConfig, ClassifierTraining, Error, LabelledBatch};
use cccm_labels::LabelKind;
use cccm_sched::Streams;

const PX: usize = 10;

fn config() -> ClassifierConfig {
    let kind = |kind: &str, names: &[&str]| LabelKind {
        kind: kind.to_owned(),
        names: names.iter().map(ToString::to_string).collect(),
    };
    let labels = vec![kind("colour", &["red", "green", "blue"]), kind("place", &["left", "right"])];
    ClassifierConfig { image_px: PX, labels }
}

/// Squares of three colours, in the left or the right half.
fn batch(number: u64) -> LabelledBatch {
    let draws = Streams::new(5).draws(number, 0..32);
    let colours = draws.below("colour", 3).unwrap();
    let places = draws.below("place", 2).unwrap();
    let rows = draws.below("row", 5).unwrap().to_vec1::<u32>().unwrap();
    let mut values = vec![-1f32; 32 * 3 * PX * PX];
    let labels = colours.to_vec1::<u32>().unwrap().into_iter().zip(places.to_vec1::<u32>().unwrap());
    for (image, (colour, place)) in labels.enumerate() {
        for row in 0..4 {
            for column in 0..4 {
                let (row, column) = (row + rows[image] as usize, column + 5 * place as usize);
                values[((image * 3 + colour as usize) * PX + row) * PX + column] = 1.0;
            }
        }
    }
    let images = Tensor::from_vec(values, (32, 3, PX, PX), &Device::Cpu).unwrap();
    LabelledBatch { images, labels: vec![colours, places] }
}

fn trained(steps: u64) -> Classifier {
    let training = ClassifierTraining { steps, ..ClassifierTraining::default() };
    let batches = (0..).map(|number| Ok::<_, BoxError>(batch(number)));
    training.run(&config(), batches, &mut |_| ()).unwrap()
}

#[test]
fn it_learns_both_labels_and_the_same_every_time() {
    let (classifier, test) = (trained(60), batch(1 << 40));
    let answers = classifier.answer(&test.images).unwrap();
    for (got, want) in answers.labels.iter().zip(&test.labels) {
        assert_eq!(*got, want.to_vec1::<u32>().unwrap());
    }
    let again = trained(60).answer(&test.images).unwrap().features.to_vec2::<f32>().unwrap();
    assert_eq!(answers.features.to_vec2::<f32>().unwrap(), again);
}

#[test]
fn an_answer_does_not_depend_on_the_batch() {
    let classifier = Classifier::init(&config(), &Streams::new(0)).unwrap();
    let images = Tensor::cat(&[batch(0).images, batch(1).images, batch(2).images], 0).unwrap();
    let all = classifier.answer(&images).unwrap();
    let one = classifier.answer(&images.narrow(0, 70, 1).unwrap()).unwrap();
    assert_eq!((all.labels[0][70], all.labels[1][70]), (one.labels[0][0], one.labels[1][0]));
    let (all, one) = (all.features.get(70).unwrap(), one.features.get(0).unwrap());
    let difference = (all - one).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference < 1e-5, "{difference}");
    assert_eq!(classifier.answer(&images.narrow(0, 0, 0).unwrap()).unwrap().features.dims(), [0, 128]);
}

#[test]
fn a_file_gives_the_same_classifier() {
    let classifier = trained(2);
    let bytes = classifier.to_bytes().unwrap();
    let again = Classifier::from_bytes(&bytes).unwrap();
    assert_eq!(again.config(), classifier.config());
    let images = batch(0).images;
    let features = |of: &Classifier| of.answer(&images).unwrap().features.to_vec2::<f32>().unwrap();
    assert_eq!(features(&again), features(&classifier));
    assert_eq!(bytes, again.to_bytes().unwrap());
    let entries = || (0..8).map(|n| (n.to_string(), n.to_string())).collect();
    let bytes = classifier.to_bytes_with(entries()).unwrap();
    assert_eq!(bytes, again.to_bytes_with(entries()).unwrap());
    Classifier::from_bytes(&bytes).unwrap();
}

#[test]
fn other_files_are_refused_by_name() {
    let refused = |bytes: &[u8]| match Classifier::from_bytes(bytes) {
        Err(Error::File(reason)) => reason,
        other => panic!("{other:?}"),
    };
    refused(b"not safetensors");
    let bytes = trained(1).to_bytes().unwrap();
    refused(&bytes[..bytes.len() / 2]);
    let tensor = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
    let plain = safetensors::serialize([("heads.0.bias", &tensor)], None).unwrap();
    assert!(refused(&plain).contains("no `config`"));
    let config = serde_json::to_string(&config()).unwrap();
    let header = std::collections::HashMap::from([("config".to_owned(), config)]);
    let lacking = safetensors::serialize([("heads.0.bias", &tensor)], Some(header)).unwrap();
    assert!(refused(&lacking).contains("features.bias"), "{}", refused(&lacking));
}

/// The same file with its tensors changed, and without some entries of its header.
fn with_values(bytes: &[u8], change: &dyn Fn(f32) -> f32, without: &[&str]) -> Vec<u8> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    let mut header = header.metadata().clone().unwrap();
    header.retain(|key, _| !without.contains(&key.as_str()));
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
    let changed = tensors.iter().map(|(name, tensor)| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let values = values.into_iter().map(change).collect();
        (name, Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap())
    });
    safetensors::serialize(changed, Some(header)).unwrap()
}

#[test]
fn a_damaged_classifier_is_refused() {
    let bytes = trained(1).to_bytes_with([("origin".to_owned(), "here".to_owned())].into()).unwrap();
    let refused = |bytes: &[u8]| Classifier::from_bytes(bytes).unwrap_err().to_string();
    let last = bytes.len() - 1;
    // A bit of the last weight, and a word of the header.
    let flipped = [&bytes[..last], &[bytes[last] ^ 1]].concat();
    let word = bytes.windows(6).position(|window| window == b"\"here\"").unwrap();
    let forged = [&bytes[..word], b"\"hare\"", &bytes[word + 6..]].concat();
    for changed in [flipped, forged, with_values(&bytes, &|value| value + 1.0, &[])] {
        assert!(refused(&changed).contains("digest"), "{}", refused(&changed));
    }
    // Files of before there was a digest are read, but not whatever is in them.
    Classifier::from_bytes(&with_values(&bytes, &|value| value, &[Classifier::DIGEST])).unwrap();
    let zeros = refused(&with_values(&bytes, &|_| 0.0, &[Classifier::DIGEST]));
    assert!(zeros.contains("weight` is all zeros"), "{zeros}");
    let nan = refused(&with_values(&bytes, &|_| f32::NAN, &[Classifier::DIGEST]));
    assert!(nan.contains("not finite"), "{nan}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let classifier = Classifier::init(&config(), &Streams::new(0)).unwrap();
    let small = Tensor::zeros((2, 3, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(classifier.answer(&small), Err(Error::Shape { .. })));
    let training = ClassifierTraining { steps: 2, ..ClassifierTraining::default() };
    let short = training.run(&config(), [Ok(batch(0))], &mut |_| ());
    assert!(matches!(short, Err(Error::Data(_))));
    let broken = training.run(&config(), [Err("no disk".into())], &mut |_| ());
    assert!(matches!(broken, Err(Error::Data(reason)) if reason.to_string() == "no disk"));
    let tiny = ClassifierConfig { image_px: 7, ..config() };
    assert!(matches!(Classifier::init(&tiny, &Streams::new(0)), Err(Error::InvalidConfig { .. })));
}

//! The library as a program calls it.

#![cfg(test)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use cccm::{
    Distillation, Error, Model, Outcome, SampleRequest, StepReport, Stop, TrainSettings, TrainingProgress,
};

fn student() -> Model {
    Model::open("builtin:student").unwrap()
}

#[test]
fn equal_requests_give_equal_images_of_the_labels_asked_for() {
    let model = student();
    let request = SampleRequest::new().label("object", "7").steps(1).seed(3);
    let images = model.sample(&request).unwrap();
    assert_eq!(images.len(), 5);
    assert_eq!(images.tensor().dims(), [5, 3, 32, 32]);
    assert!((0..5).all(|image| images.labels(image)[1] == "7"));
    let values = |images: &cccm::Images| images.tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&model.sample(&request).unwrap()), values(&images));
    assert_ne!(values(&model.sample(&request.clone().seed(4)).unwrap()), values(&images));

    let red =
        model.sample(&SampleRequest::new().label("attribute", "red").label("object", "4").count(2)).unwrap();
    assert_eq!((red.len(), red.labels(1)), (2, vec!["red", "4"]));
    assert_eq!(red.rgb8(1).unwrap().dimensions(), (32, 32));
    assert!(red.png(0).unwrap().starts_with(b"\x89PNG") && red.rgb8(2).is_err());
    // Both in one row, enlarged, with room for the labels.
    let (width, height) = red.grid().unwrap().dimensions();
    assert!(width > 2 * 64 && (64..128).contains(&height), "{width}×{height}");
}

#[test]
fn what_is_misspelt_is_named_with_the_nearest() {
    let refused = |request: SampleRequest| student().sample(&request).unwrap_err();
    let Error::Labels(cccm_labels::Error::UnknownLabel { kind, nearest, known, .. }) =
        refused(SampleRequest::new().label("attribute", "blue"))
    else {
        panic!("another error");
    };
    assert_eq!(
        (kind.as_str(), nearest.as_deref(), known.as_str()),
        ("attribute", Some("blu"), "bw, red, grn, blu, ylw")
    );
    let said = refused(SampleRequest::new().label("atribute", "red")).to_string();
    assert!(said.contains("`atribute`") && said.contains("attribute, object"), "{said}");
    let said = Distillation::default().set("max_step", 3).unwrap_err().to_string();
    assert!(said.contains("did you mean `max_steps`"), "{said}");
    assert!(Distillation::default().set("max_steps", 0).is_err());
}

#[test]
fn a_model_that_is_not_there_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("nothing").display().to_string();
    let error = anyhow::Error::from(Model::open(&place).err().unwrap());
    let said = format!("{error:#}");
    assert!(said.contains(&place) && said.contains("no such file or directory"), "{said}");
    fs::create_dir(&place).unwrap();
    let said = format!("{:#}", anyhow::Error::from(Model::open(&place).err().unwrap()));
    assert!(said.contains("model.safetensors"), "{said}");
}

#[test]
fn sampling_tells_how_far_it_is_and_stops() {
    let model = student();
    let request = SampleRequest::new().steps(1);
    let last = std::cell::Cell::new((0, 0));
    let watch = |done, of| {
        last.set((done, of));
        ControlFlow::Continue(())
    };
    model.sample_watched(&request, &watch).unwrap();
    // The last step is told before its images are done.
    assert_eq!(last.get(), (48, 50));
    let stopped = model.sample_watched(&request, &|done, _| {
        if done >= 16 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
}

/// Asks to stop after a step.
struct Until {
    step: u64,
    stop: Stop,
}

impl TrainingProgress for Until {
    fn step(&mut self, report: &StepReport) {
        if report.step == self.step {
            self.stop.ask();
        }
    }

    fn say(&mut self, _: &str) {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    Anew,
    Resumed,
}

fn distil(run: &Path, until: u64, begin: Begin) -> Outcome<TrainSettings> {
    let stop = Stop::new();
    let mut distillation = Distillation::default();
    if begin == Begin::Resumed {
        distillation = distillation.resume(run);
    } else {
        for (name, value) in [
            ("max_steps", 4),
            ("train_batch_size", 2),
            ("trajectory_steps", 2),
            ("trajectory_solver_steps", 2),
        ] {
            distillation = distillation.set(name, value).unwrap();
        }
        distillation = distillation.set("save_path", run.display().to_string()).unwrap();
    }
    distillation.run(&mut Until { step: until, stop: stop.clone() }, &stop).unwrap()
}

#[test]
fn a_distillation_that_is_stopped_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    assert!(matches!(distil(&whole, u64::MAX, Begin::Anew), Outcome::Finished(_)));
    assert!(matches!(distil(&parts, 3, Begin::Anew), Outcome::Stopped { steps_done: 3, .. }));
    let Outcome::Finished(finished) = distil(&parts, u64::MAX, Begin::Resumed) else {
        panic!("it has not finished")
    };
    let weights = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&parts));
    assert_eq!(finished.held_out.len(), 10);
    Model::open(&parts.display().to_string()).unwrap();
}

//! What is promised of the built-in teacher and the best student, in numbers.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::scores::{self, Interval};

/// Accuracy that the teacher has at least, on seen and on unseen pairs.
const TEACHER_ACCURACY: [f64; 2] = [0.95, 0.90];
/// Accuracy of the classifier on real digits that it did not learn from.
const CLASSIFIER_ACCURACY: f64 = 0.98;
/// How much less accuracy, and how much more distance, two steps may have.
const TWO_STEPS_ACCURACY: f64 = 0.05;
const TWO_STEPS_DISTANCE: f64 = 1.25;
/// How much faster than the teacher four steps are.
const SPEEDUP: f64 = 20.0;

/// The scores that promises are about.
pub(crate) struct Promises {
    teacher: Scores,
    two_steps: Scores,
    four_steps: Scores,
}

/// Of one model and number of steps; pairs are of seen and unseen.
#[derive(Clone, Debug)]
struct Scores {
    classifier: f64,
    secs_per_image: f64,
    accuracy: [Interval; 2],
    distance: [Interval; 2],
}

impl Promises {
    /// Reads what `cccm eval` wrote.
    pub(crate) fn read(teacher: &Path, student: &Path) -> Result<Self> {
        Ok(Self {
            teacher: Scores::read(teacher, 50)?,
            two_steps: Scores::read(student, 2)?,
            four_steps: Scores::read(student, 4)?,
        })
    }

    /// Takes the time of four steps from another evaluation if it is shorter there. The pictures take only
    /// seconds, so other work of the machine could spoil a single measurement.
    pub(crate) fn time_again(&mut self, student: &Path) -> Result<()> {
        let again = Scores::read(student, 4)?;
        self.four_steps.secs_per_image = self.four_steps.secs_per_image.min(again.secs_per_image);
        Ok(())
    }

    /// The promises that are not kept, in words. Of two scores, one counts as worse only if it is worse by
    /// more than both half intervals together.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |kept: bool, what: String| {
            if !kept {
                broken.push(what);
            }
        };
        let Self { teacher, two_steps, four_steps } = self;
        let classifier = teacher.classifier;
        promise(
            classifier >= CLASSIFIER_ACCURACY,
            format!("the classifier recognises {classifier:.3} of real digits, not {CLASSIFIER_ACCURACY}"),
        );
        let speedup = teacher.secs_per_image / four_steps.secs_per_image;
        promise(speedup >= SPEEDUP, format!("four steps are {speedup:.1} times faster, not {SPEEDUP}"));
        for (index, pairs) in ["seen", "unseen"].into_iter().enumerate() {
            let (least, theirs) = (TEACHER_ACCURACY[index], teacher.accuracy[index]);
            let got = theirs.value;
            promise(
                got >= least,
                format!("the teacher's accuracy on {pairs} pairs is {got:.3}, not {least}"),
            );
            for (name, ours, slack, factor) in
                [("four", four_steps, 0.0, 1.0), ("two", two_steps, TWO_STEPS_ACCURACY, TWO_STEPS_DISTANCE)]
            {
                let (got, want) = (ours.accuracy[index], theirs.value - slack);
                promise(
                    got.value + got.half() + theirs.half() >= want,
                    format!("accuracy of {name} steps on {pairs} pairs is {:.3}, not {want:.3}", got.value),
                );
                let (got, theirs) = (ours.distance[index], teacher.distance[index]);
                let want = factor * theirs.value;
                promise(
                    got.value - got.half() - factor * theirs.half() <= want,
                    format!(
                        "Fréchet distance of {name} steps on {pairs} pairs is {:.2}, not {want:.2}",
                        got.value
                    ),
                );
            }
        }
        broken
    }
}

impl Scores {
    fn read(dir: &Path, steps: usize) -> Result<Self> {
        Self::of(&scores::read(dir, steps)?)
            .with_context(|| format!("cannot use the scores of {steps} steps in {}", dir.display()))
    }

    fn of(record: &Value) -> Result<Self> {
        let number =
            |value: &Value, what: &str| value.as_f64().with_context(|| format!("there is no {what}"));
        let scores = &record["scores"];
        let accuracy = |pairs: &str| Interval::read(&scores["accuracy"][pairs], "rate");
        let distance = |pairs: &str| Interval::read(&scores[pairs]["frechet"], "value");
        Ok(Self {
            classifier: number(&record["classifier_accuracy"]["all"]["rate"], "accuracy of the classifier")?,
            secs_per_image: number(&record["secs_per_image"], "time per image")?,
            accuracy: [accuracy("seen")?, accuracy("unseen")?],
            distance: [distance("seen")?, distance("unseen")?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(secs_per_image: f64, accuracy: f64, distance: f64) -> Scores {
        let around = |value: f64, half: f64| Interval { value, low: value - half, high: value + half };
        Scores {
            classifier: 0.981,
            secs_per_image,
            accuracy: [around(accuracy, 0.005); 2],
            distance: [around(distance, 0.5); 2],
        }
    }

    fn promises() -> Promises {
        Promises {
            teacher: scores(0.1, 0.97, 16.0),
            two_steps: scores(0.002, 0.93, 19.0),
            four_steps: scores(0.004, 0.965, 15.0),
        }
    }

    #[test]
    fn each_broken_promise_is_named() {
        assert_eq!(promises().broken(), Vec::<String>::new());
        let broken = |change: fn(&mut Promises)| {
            let mut promises = promises();
            change(&mut promises);
            promises.broken().join("; ")
        };
        assert!(broken(|p| p.teacher.classifier = 0.97).contains("classifier recognises 0.970"));
        assert!(broken(|p| p.four_steps.secs_per_image = 0.006).contains("16.7 times faster"));
        assert!(broken(|p| p.teacher.accuracy[0].value = 0.94).contains("teacher's accuracy on seen"));
        assert!(
            broken(|p| p.four_steps.accuracy[1].value = 0.955)
                .contains("four steps on unseen pairs is 0.955")
        );
        assert!(
            broken(|p| p.two_steps.accuracy[1].value = 0.905).contains("accuracy of two steps on unseen")
        );
        assert!(broken(|p| p.four_steps.distance[0].value = 17.2).contains("distance of four steps on seen"));
        assert!(broken(|p| p.two_steps.distance[0].value = 21.5).contains("distance of two steps on seen"));
    }

    #[test]
    fn scores_are_read_where_eval_writes_them() {
        let interval = |name: &str| serde_json::json!({name: 0.5, "low": 0.4, "high": 0.6});
        let set = serde_json::json!({"frechet": interval("value")});
        let mut record = serde_json::json!({
            "classifier_accuracy": {"all": {"rate": 0.98}},
            "secs_per_image": 0.01,
            "scores": {"accuracy": {"seen": interval("rate"), "unseen": interval("rate")}, "seen": set, "unseen": set},
        });
        let read = Scores::of(&record).unwrap();
        assert_eq!((read.classifier, read.accuracy[1].value, read.distance[0].high), (0.98, 0.5, 0.6));
        record["scores"]["unseen"] = Value::Null;
        assert!(Scores::of(&record).is_err());
    }
}

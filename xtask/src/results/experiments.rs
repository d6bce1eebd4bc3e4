//! What is trained for the tables of results: names, and flags of `cccm train`.

/// One way of distilling a teacher.
pub(crate) struct Experiment {
    /// Of its row, and of the run's directory.
    pub(crate) name: &'static str,
    /// What is given to `cccm train` beside directory and seed.
    pub(crate) recipe: &'static [&'static str],
    /// The same, on top.
    pub(crate) flags: &'static [&'static str],
    /// Instead of the built-in one.
    pub(crate) teacher: Option<&'static Teacher>,
}

/// A teacher that is trained for an experiment.
pub(crate) struct Teacher {
    /// Of its row, and of the run's directory.
    pub(crate) name: &'static str,
    /// What is given to `cccm train-teacher` beside the directory.
    pub(crate) flags: &'static [&'static str],
}

const PUBLISHED: &[&str] = &["--recipe", "published"];
const GUIDED: &[&str] = &["--recipe", "published", "--data-target", "guided", "--hat-target", "teacher"];

/// The default recipe of `cccm train`.
pub(crate) const BEST: Experiment = best("best", &[], None);

/// A third of the built-in teacher's steps: one without and one with the independence term.
const TEACHER_3000: Teacher = Teacher {
    name: "teacher-3000",
    flags: &["--max-steps", "3000", "--checkpoint-steps", "1000", "--eval-steps", "1500"],
};
const TEACHER_3000_INDEPENDENCE: Teacher = Teacher {
    name: "teacher-3000-independence",
    flags: &[
        "--max-steps",
        "3000",
        "--checkpoint-steps",
        "1000",
        "--eval-steps",
        "1500",
        "--independence-weight",
        "1",
    ],
};

/// Those of the main table.
pub(crate) const MAIN: [&str; 4] = ["stepfuse", "lossfuse", "switch", "best"];

/// The published recipe with one change at a time; the best recipe with one part at a time left out or made
/// longer; and the best recipe with other teachers.
pub(crate) const EXPERIMENTS: [Experiment; 25] = [
    published("lossfuse", &[]),
    published("stepfuse", &["--fuse-method", "stepfuse"]),
    published("switch", &["--fuse-method", "switch"]),
    published("only-teacher", &["--fuse-schedule", "only_teacher"]),
    published("lossfuse-first-799", &["--first-timestep", "799"]),
    guided("guided", &[]),
    guided("guided-sample-huber", &["--loss-type", "sample_huber"]),
    guided("guided-slow-average", &["--sampling-ema-decay", "0.99"]),
    guided("guided-no-average", &["--ema-decay", "0", "--sampling-ema-decay", "0.98"]),
    guided("guided-progressive", &["--solver-steps-start", "10"]),
    guided("guided-lognormal", &["--timestep-sampling", "lognormal"]),
    guided("guided-heun", &["--teacher-solver", "heun"]),
    guided("guided-first-699", &["--first-timestep", "699"]),
    BEST,
    best("best-epsilon", &["--student-prediction", "epsilon", "--trajectory-steps", "0"], None),
    best("best-sample", &["--student-prediction", "sample"], None),
    best("best-all-pairs", &["--trajectory-pairs", "all"], None),
    best("best-teacher-alone", &["--data-below", "0"], None),
    best("best-guided-everywhere", &["--guidance-interval", "0", "999"], None),
    best("best-unclipped", &["--thresholding", "none"], None),
    best("best-1000", &["--max-steps", "1000", "--trajectory-steps", "250"], None),
    best("best-4000", &["--max-steps", "4000", "--trajectory-steps", "1000"], None),
    best("best-15000", &["--max-steps", "15000", "--trajectory-steps", "2000"], None),
    best("best-of-3000", &[], Some(&TEACHER_3000)),
    best("best-of-3000-independence", &[], Some(&TEACHER_3000_INDEPENDENCE)),
];

const fn published(name: &'static str, flags: &'static [&'static str]) -> Experiment {
    Experiment { name, recipe: PUBLISHED, flags, teacher: None }
}

const fn guided(name: &'static str, flags: &'static [&'static str]) -> Experiment {
    Experiment { name, recipe: GUIDED, flags, teacher: None }
}

const fn best(
    name: &'static str,
    flags: &'static [&'static str],
    teacher: Option<&'static Teacher>,
) -> Experiment {
    Experiment { name, recipe: &["--recipe", "best"], flags, teacher }
}

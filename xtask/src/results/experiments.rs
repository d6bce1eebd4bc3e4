//! What is trained for the tables of results: names, and flags of `cccm train`.

/// One way of distilling the built-in teacher.
pub(crate) struct Experiment {
    /// Of its row, and of the run's directory.
    pub(crate) name: &'static str,
    /// What is given to `cccm train` beside directory, seed and intervals.
    pub(crate) flags: &'static [&'static str],
}

/// The recipe that `cccm train` has where nothing is said.
pub(crate) const BEST: Experiment = Experiment { name: "best", flags: &["--recipe", "best"] };

/// Those of the main table.
pub(crate) const MAIN: [&str; 4] = ["stepfuse", "lossfuse", "switch", "best"];

/// A published fusion with further flags, all at the built-in budget.
const fn published(name: &'static str, flags: &'static [&'static str]) -> Experiment {
    Experiment { name, flags }
}

/// The published recipe with one thing changed at a time, and the best.
pub(crate) const EXPERIMENTS: [Experiment; 11] = [
    published("lossfuse", &["--recipe", "published", "--fuse-method", "lossfuse"]),
    published("stepfuse", &["--recipe", "published", "--fuse-method", "stepfuse"]),
    published("switch", &["--recipe", "published", "--fuse-method", "switch"]),
    published("only-teacher", &["--recipe", "published", "--fuse-schedule", "only_teacher"]),
    published("guided", &["--recipe", "published", "--data-target", "guided", "--hat-target", "teacher"]),
    published(
        "guided-sample-huber",
        &[
            "--recipe",
            "published",
            "--data-target",
            "guided",
            "--hat-target",
            "teacher",
            "--loss-type",
            "sample_huber",
        ],
    ),
    published(
        "guided-slow-average",
        &[
            "--recipe",
            "published",
            "--data-target",
            "guided",
            "--hat-target",
            "teacher",
            "--sampling-ema-decay",
            "0.99",
        ],
    ),
    published(
        "guided-progressive",
        &[
            "--recipe",
            "published",
            "--data-target",
            "guided",
            "--hat-target",
            "teacher",
            "--solver-steps-start",
            "10",
        ],
    ),
    published(
        "guided-lognormal",
        &[
            "--recipe",
            "published",
            "--data-target",
            "guided",
            "--hat-target",
            "teacher",
            "--timestep-sampling",
            "lognormal",
        ],
    ),
    published(
        "guided-heun",
        &[
            "--recipe",
            "published",
            "--data-target",
            "guided",
            "--hat-target",
            "teacher",
            "--teacher-solver",
            "heun",
        ],
    ),
    BEST,
];

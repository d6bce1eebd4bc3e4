//! Photographs of faces by age and gender, two pairs never shown.

use anyhow::Result;

use super::{Family, Folders, Model, required, with_path};

/// Optimizer steps of the teacher and of the student.
const TEACHER_STEPS: usize = 9000;
const STUDENT_STEPS: usize = 1000;
/// Guided steps that the teacher is scored at, and steps that the student is.
const SCORED: [&[usize]; 2] = [&[25], &[1, 2, 4]];

/// Pairs that training does not show.
const HELD_OUT: [&str; 2] = ["senior_female", "child_male"];

/// Labels are dropped twice as often as usual, so that what one label alone asks for is learnt well enough to be guided by.
const TEACHER: &str = "--img-size 32 --emb-size 64 --channel-mult 1 2 2 --num-res-blocks 2 --norm-groups 16 --dropout 0 \
                       --label-drop 0.2 --train-batch-size 32 --lr 5e-4 --lr-schedule cosine --lr-warmup-steps 300 --ema-decay \
                       0.999 --checkpoint-steps 1500 --eval-steps 3000";
const STUDENT: &str = "--recipe best --lr 2e-4 --lr-schedule cosine --lr-warmup-steps 100 --w-interval 1 3 --checkpoint-steps 500 \
                       --eval-steps 500";

/// A student that predicts velocities, after trajectories of the teacher.
const TRAJECTORIES: &str = "--student-prediction v_prediction --trajectory-steps 400 --lr 5e-4";
/// Age and gender each guided on their own: 2 and 4 times at guidance scale 3.
const KINDS: &str = "--kind-guidance 0.67 1.33";

/// A teacher and its students.
/// - `more`: flags of both
pub(super) fn family(name: &'static str, more: &[&str], folders: &Folders<'_>) -> Result<Family> {
    let faces = required(folders.faces, name, "--faces DIR, a folder of faces as <age>_<gender>")?;
    let ignored = format!("--ignored {}", HELD_OUT.join(" "));
    let model = |label: &'static str, teacher: Option<String>, flags: String| Model {
        name: format!("{name}-{label}"),
        label,
        held_out: HELD_OUT.len(),
        steps: SCORED[usize::from(teacher.is_some())],
        teacher,
        flags: with_path("--data", faces, &format!("{flags} {ignored} {}", more.join(" "))),
        eval_flags: Vec::new(),
    };
    let teacher = model("teacher", None, format!("{TEACHER} --max-steps {TEACHER_STEPS}"));
    let student = |label, more: &str| {
        model(label, Some(teacher.name.clone()), format!("{STUDENT} --max-steps {STUDENT_STEPS} {more}"))
    };
    let students = [
        student("student", ""),
        student("student-trajectories", TRAJECTORIES),
        student("student-kinds", &format!("{TRAJECTORIES} --trajectory-pairs all {KINDS}")),
    ];
    Ok(Family {
        name,
        note: format!(
            "Faces at 32 × 32; {} never shown. A teacher of {TEACHER_STEPS} steps, students of {STUDENT_STEPS}.",
            HELD_OUT.join(" and ")
        ),
        exports: Vec::new(),
        models: std::iter::once(teacher).chain(students).collect(),
        is_comparable: true,
    })
}

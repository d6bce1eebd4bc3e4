//! How many pairs can be held out: Colored MNIST with 5 to 40 of its 50 pairs never shown.

use super::{Family, Model, words};

/// Numbers of pairs held out.
const HELD_OUT: [usize; 5] = [5, 10, 20, 30, 40];
/// Optimizer steps of a teacher: a third of the built-in one's.
const TEACHER_STEPS: usize = 3000;
/// Optimizer steps of a student.
const STUDENT_STEPS: usize = 1000;
/// Guided steps that teachers are scored at, and steps that students are.
const SCORED: [&[usize]; 2] = [&[50], &[4]];

/// Colours in the order of their indices, and the number of digits.
const COLORS: [&str; 5] = ["bw", "red", "grn", "blu", "ylw"];
const DIGITS: usize = 10;

/// Teachers without and with the independence term, and students of each: by trajectories over seen pairs, over all pairs, or
/// without trajectories.
pub(super) fn family() -> Family {
    let models = HELD_OUT.into_iter().flat_map(|count| {
        [
            teacher(count, "teacher", ""),
            student(count, "student", "teacher", ""),
            student(count, "student-all-pairs", "teacher", "--trajectory-pairs all"),
            student(
                count,
                "student-no-trajectories",
                "teacher",
                "--student-prediction epsilon --trajectory-steps 0",
            ),
            teacher(count, "teacher-independence", "--independence-weight 1"),
            student(count, "student-independence", "teacher-independence", ""),
            student(
                count,
                "student-independence-all-pairs",
                "teacher-independence",
                "--trajectory-pairs all",
            ),
        ]
    });
    Family {
        name: "curve",
        note: format!(
            "Colored MNIST, 50 pairs, the sets held out nested, that of 10 being the usual one. Teachers of {TEACHER_STEPS} \
             steps, without and with the independence term; students of {STUDENT_STEPS}."
        ),
        exports: Vec::new(),
        models: models.collect(),
        is_comparable: false,
    }
}

fn teacher(count: usize, label: &'static str, more: &str) -> Model {
    let flags = format!("--max-steps {TEACHER_STEPS} --checkpoint-steps 1000 --eval-steps 1500 {more}");
    Model { flags: with_ignored(&flags, count), ..model(count, label, None) }
}

fn student(count: usize, label: &'static str, teacher: &str, more: &str) -> Model {
    let flags = format!("--recipe best --max-steps {STUDENT_STEPS} {more}");
    Model { flags: with_ignored(&flags, count), ..model(count, label, Some(name(count, teacher))) }
}

fn model(count: usize, label: &'static str, teacher: Option<String>) -> Model {
    let steps = SCORED[usize::from(teacher.is_some())];
    let (flags, eval_flags) = (Vec::new(), Vec::new());
    Model { name: name(count, label), label, held_out: count, teacher, flags, eval_flags, steps }
}

fn name(count: usize, label: &str) -> String {
    format!("curve-{count:02}-{label}")
}

fn with_ignored(flags: &str, count: usize) -> Vec<String> {
    let mut all = words(flags);
    all.push("--ignored".to_owned());
    all.extend(held_out(count));
    all
}

/// The first `count` pairs, diagonal by diagonal: those whose colour and digit add up to 0, to 1 and so on, modulo the number
/// of colours. Each ten take one colour of every digit and two digits of every colour, the first five one of each colour.
fn held_out(count: usize) -> Vec<String> {
    let diagonal = |sum: usize| {
        (0..DIGITS).map(move |digit| {
            let color = (sum + DIGITS - digit) % COLORS.len();
            format!("{}_{digit}", COLORS[color])
        })
    };
    (0..COLORS.len()).flat_map(diagonal).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ten_are_the_usual_ones() {
        let mut ten = held_out(10);
        ten.sort();
        let mut usual =
            ["bw_0", "bw_5", "red_4", "red_9", "grn_3", "grn_8", "blu_2", "blu_7", "ylw_1", "ylw_6"];
        usual.sort_unstable();
        assert_eq!(ten, usual);
    }

    #[test]
    fn sets_are_nested_and_every_label_is_still_seen() {
        for (smaller, larger) in HELD_OUT.iter().zip(&HELD_OUT[1..]) {
            assert_eq!(held_out(*larger)[..*smaller], held_out(*smaller));
        }
        for count in HELD_OUT {
            let unseen: BTreeSet<String> = held_out(count).into_iter().collect();
            assert_eq!(unseen.len(), count);
            let is_seen = |color: &str, digit: usize| !unseen.contains(&format!("{color}_{digit}"));
            let digits_of = |color| (0..DIGITS).filter(|digit| is_seen(color, *digit)).count();
            let colors_of = |digit| COLORS.iter().filter(|color| is_seen(color, digit)).count();
            let (digits, colors) = (COLORS.map(digits_of), (0..DIGITS).map(colors_of).collect::<Vec<_>>());
            // As many of each colour, and as many of each digit where they are full tens.
            assert!(digits.iter().all(|left| *left == DIGITS - count / COLORS.len()), "{count}: {digits:?}");
            assert!(colors.iter().all(|left| *left >= 1), "{count}: {colors:?}");
        }
    }
}

//! Texts that somebody else may have written: configs of models, and labels.

use std::path::Path;

use cccm_data::{CombinationFilter, Flip, Preset};
use cccm_labels::{LabelKind, Vocabulary};
use cccm_sched::{NoiseSchedule, PredictionType, ScheduleConfig, SolverGrid, StudentConfig};
use cccm_unet::{Hints, ModelConfig, UNetConfig};

use crate::watch::outline;

/// A teacher, and a student that says all that one may.
pub(crate) fn configs() -> Vec<Vec<u8>> {
    let schedule =
        ScheduleConfig { prediction_type: PredictionType::VPrediction, ..ScheduleConfig::default() };
    let labels = Preset::Celeba.vocabulary();
    let mut teacher = ModelConfig::teacher(UNetConfig::celeba_128(), 128, labels, schedule);
    let student = StudentConfig {
        few_step_timesteps: [(1, vec![999]), (3, vec![900, 500, 3])].into(),
        first_timestep: Some(959),
        ..StudentConfig::default()
    };
    let student = teacher.student_of(256, student);
    teacher.schedule = ScheduleConfig::default();
    vec![teacher.to_json().unwrap().into_bytes(), student.to_json().unwrap().into_bytes()]
}

/// A config with this text in place of its labels.
pub(crate) fn config_of_labels(labels: &str) -> Vec<u8> {
    let [teacher, _] = configs().try_into().unwrap();
    let mut teacher: serde_json::Value = serde_json::from_slice(&teacher).unwrap();
    teacher["labels"] = "here".into();
    teacher.to_string().replace("\"here\"", labels).into_bytes()
}

/// Reads a config, and makes of it what a program makes before it reads weights.
pub(crate) fn read_config(bytes: &[u8]) -> String {
    if bytes.len() as u64 > ModelConfig::MOST_BYTES {
        return "longer than any that is read".to_owned();
    }
    let config = match ModelConfig::parse(bytes, Path::new("config.json")) {
        Ok(config) => config,
        Err(error) => return outline(&error),
    };
    let again = ModelConfig::parse(config.to_json().unwrap().as_bytes(), Path::new("config.json")).unwrap();
    assert_eq!(again, config, "it changes as it is written and read");
    assert!(Hints::from_config(&config).labels.is_some());
    config.tables().unwrap();
    let schedule = match NoiseSchedule::new(&config.schedule) {
        Ok(schedule) => schedule,
        Err(error) => return outline(&error),
    };
    let Some(student) = &config.student else { return "a teacher".to_owned() };
    let timesteps = || -> cccm_sched::Result<usize> {
        let grid = SolverGrid::new(&schedule, student.num_ddim_timesteps)?;
        let points = student.points(&grid)?.len();
        for steps in 1..=4 {
            let timesteps = student.timesteps(&schedule, steps)?;
            assert!(timesteps.len() == steps && timesteps.windows(2).all(|pair| pair[0] > pair[1]));
        }
        Ok(points)
    };
    match timesteps() {
        Ok(_) => "a student".to_owned(),
        Err(error) => outline(&error),
    }
}

/// What lines of labels begin with, kind by kind.
const KINDS: [char; 3] = ['a', 'o', 's'];

/// Lines of labels and of folder names: one of [`KINDS`] in front tells labels, and `n` names.
pub(crate) fn labels() -> Vec<Vec<u8>> {
    let case = |vocabulary: &Vocabulary, names: &[&str]| {
        let line = |key: char| move |text: &str| format!("{key}{text}\n");
        let kinds = KINDS.into_iter().zip(vocabulary.kinds());
        let labels = kinds.flat_map(|(key, kind)| kind.names.iter().map(move |name| line(key)(name)));
        let names = names.iter().map(|name| line('n')(name));
        labels.chain(names).collect::<String>().into_bytes()
    };
    let ambiguous = Vocabulary::of_pairs(["a", "a_b"], ["b_c", "c"]).unwrap();
    vec![
        case(&Preset::Celeba.vocabulary(), &["BlondHair_Male", "BlondHiar_Male", "Male"]),
        case(&Preset::Zappos50k.vocabulary(), &["thumbnails"]),
        case(&Preset::SizedShapes.vocabulary(), &["red_Circle_small", "red_Circle", "red_small_Circle"]),
        case(&ambiguous, &["a_b_c", "a b_c", "a", ""]),
    ]
}

/// Makes a vocabulary of the labels, and reads the names by it: of folders, of `--ignored`, of `--no-flip`.
pub(crate) fn read_labels(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let of = |key: char| text.split('\n').filter_map(move |line| line.strip_prefix(key));
    let kinds =
        KINDS.into_iter().map(|key| LabelKind::new(key, of(key))).filter(|kind| !kind.names.is_empty());
    let vocabulary = match Vocabulary::new(kinds) {
        Ok(vocabulary) => vocabulary,
        Err(error) => return outline(&error),
    };
    // What a folder may be called, a model may know.
    let config =
        ModelConfig::teacher(UNetConfig::celeba_128(), 128, vocabulary.clone(), ScheduleConfig::default());
    if let Err(error) = config.validate() {
        let is_size =
            error.to_string().contains("combinations") || error.to_string().contains("of each kind");
        assert!(is_size, "a model cannot know these labels: {error}");
    }
    for combination in vocabulary.combinations().take(20) {
        match vocabulary.parse_folder(&vocabulary.folder_name(&combination)) {
            Ok(found) => assert_eq!(found, combination),
            Err(error) => {
                assert!(matches!(error, cccm_labels::Error::AmbiguousCombination { .. }), "{error}");
            }
        }
    }
    let flip =
        Flip::except(&vocabulary, of('n').take(1)).map_or_else(|error| outline(&error), |_| String::new());
    match vocabulary.parse_folders(of('n')) {
        Ok(combinations) => {
            let filter = CombinationFilter::Except(combinations.clone());
            assert!(combinations.iter().all(|combination| !filter.keeps(*combination)));
            format!("{} pairs {flip}", combinations.len().min(5))
        }
        Err(error) => format!("{} {flip}", outline(&error)),
    }
}

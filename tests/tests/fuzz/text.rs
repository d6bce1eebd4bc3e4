//! Texts that somebody else may have written: configs of models, and labels.

use std::path::Path;

use cccm_data::{Flip, PairFilter, Preset, Vocabulary};
use cccm_sched::{LabelKind, NoiseSchedule, PredictionType, ScheduleConfig, SolverGrid, StudentConfig};
use cccm_unet::{Hints, ModelConfig, UNetConfig};

use crate::watch::outline;

fn label_kinds(vocabulary: &Vocabulary) -> Vec<LabelKind> {
    let kind = |kind: &str, names: &[String]| LabelKind { kind: kind.to_owned(), names: names.to_vec() };
    vec![kind("attribute", &vocabulary.attributes), kind("object", &vocabulary.objects)]
}

/// A teacher, and a student that says all that one may.
pub(crate) fn configs() -> Vec<Vec<u8>> {
    let schedule =
        ScheduleConfig { prediction_type: PredictionType::VPrediction, ..ScheduleConfig::default() };
    let labels = label_kinds(&Preset::Celeba.vocabulary());
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

/// Lines of labels and of folder names: `a`, `o` and `n` in front tell attributes, objects and names.
pub(crate) fn labels() -> Vec<Vec<u8>> {
    let case = |vocabulary: &Vocabulary, names: &[&str]| {
        let line = |key: char| move |text: &str| format!("{key}{text}\n");
        let attributes = vocabulary.attributes.iter().map(|name| line('a')(name));
        let objects = vocabulary.objects.iter().map(|name| line('o')(name));
        let names = names.iter().map(|name| line('n')(name));
        attributes.chain(objects).chain(names).collect::<String>().into_bytes()
    };
    let ambiguous = Vocabulary::new(["a", "a_b"], ["b_c", "c"]).unwrap();
    vec![
        case(&Preset::Celeba.vocabulary(), &["BlondHair_Male", "BlondHiar_Male", "Male"]),
        case(&Preset::Zappos50k.vocabulary(), &["thumbnails"]),
        case(&ambiguous, &["a_b_c", "a b_c", "a", ""]),
    ]
}

/// Makes a vocabulary of the labels, and reads the names by it: of folders, of `--ignored`, of `--no-flip`.
pub(crate) fn read_labels(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let of = |key: char| text.split('\n').filter_map(move |line| line.strip_prefix(key));
    let vocabulary = match Vocabulary::new(of('a'), of('o')) {
        Ok(vocabulary) => vocabulary,
        Err(error) => return outline(&error),
    };
    // What a folder may be called, a model may know.
    let config = ModelConfig::teacher(
        UNetConfig::celeba_128(),
        128,
        label_kinds(&vocabulary),
        ScheduleConfig::default(),
    );
    if let Err(error) = config.validate() {
        let is_size = error.to_string().contains("pairs") || error.to_string().contains("of each kind");
        assert!(is_size, "a model cannot know these labels: {error}");
    }
    for pair in vocabulary.pairs().take(20) {
        match vocabulary.parse_folder(&vocabulary.folder_name(pair)) {
            Ok(found) => assert_eq!(found, pair),
            Err(error) => assert!(matches!(error, cccm_data::Error::AmbiguousPair { .. }), "{error}"),
        }
    }
    let flip =
        Flip::except(&vocabulary, of('n').take(1)).map_or_else(|error| outline(&error), |_| String::new());
    match vocabulary.parse_folders(of('n')) {
        Ok(pairs) => {
            let filter = PairFilter::Except(pairs.clone());
            assert!(pairs.iter().all(|pair| !filter.keeps(*pair)));
            format!("{} pairs {flip}", pairs.len().min(5))
        }
        Err(error) => format!("{} {flip}", outline(&error)),
    }
}

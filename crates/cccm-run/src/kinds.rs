//! The two kinds of runs: the settings of each, and the recipes below what a user says.

use anyhow::Result;
use cccm_distill::{FuseMethod, LossType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::layers::lay_over;
use crate::setting::{Setting, SettingGroup};
use crate::settings::{
    DataSettings, DistillSettings, DrawSettings, GuidanceSettings, NetworkSettings, OptimSettings, Recipe,
    RunSettings, TeacherSettings,
};

/// The digits and the colours of the built-in teacher, as the setting `data` names them.
pub const BUILTIN_DIGITS: &str = "builtin:colored-mnist";

/// The setting that names a recipe.
pub(crate) const RECIPE: &str = "recipe";

/// Sizes of a distillation of the built-in teacher.
const BUILTIN: &str = include_str!("recipes/builtin.toml");
/// What measured best, whatever the data.
const BEST: &str = include_str!("recipes/best.toml");
/// What measured best on the built-in digits, on top of that.
const BUILTIN_BEST: &str = include_str!("recipes/builtin_best.toml");

/// The settings of one kind of run.
pub trait Settings: Serialize + DeserializeOwned {
    /// The command of the program that starts such a run.
    const COMMAND: &'static str;

    /// All settings, in the order in which a help text has them.
    fn all() -> Vec<&'static Setting>;

    /// The recipe below what the user says: a value for every setting that needs one.
    ///
    /// # Errors
    /// When the user names a recipe that there is not.
    fn recipe(user: &Table) -> Result<Table>;

    /// The settings in which the named recipes differ. If a flag names a recipe, it decides them, even
    /// against a file.
    ///
    /// # Errors
    /// When a recipe is no TOML, which would be a bug.
    fn of_recipes() -> Result<Table> {
        Ok(Table::new())
    }
}

/// The settings of a distillation, `cccm train`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrainSettings {
    /// What is learnt, and from whom.
    #[serde(flatten)]
    pub distill: DistillSettings,
    /// How the teacher is guided.
    #[serde(flatten)]
    pub guidance: GuidanceSettings,
    /// Which images.
    #[serde(flatten)]
    pub data: DataSettings,
    /// How they are drawn.
    #[serde(flatten)]
    pub draws: DrawSettings,
    /// What network is expected.
    #[serde(flatten)]
    pub network: NetworkSettings,
    /// How long and how fast.
    #[serde(flatten)]
    pub optim: OptimSettings,
    /// Where and on what.
    #[serde(flatten)]
    pub run: RunSettings,
}

/// The settings of a teacher's training, `cccm train-teacher`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrainTeacherSettings {
    /// Which images.
    #[serde(flatten)]
    pub data: DataSettings,
    /// How they are drawn.
    #[serde(flatten)]
    pub draws: DrawSettings,
    /// What network.
    #[serde(flatten)]
    pub network: NetworkSettings,
    /// How long and how fast.
    #[serde(flatten)]
    pub optim: OptimSettings,
    /// Where and on what.
    #[serde(flatten)]
    pub run: RunSettings,
    /// What is learnt.
    #[serde(flatten)]
    pub teacher: TeacherSettings,
}

impl Settings for TrainSettings {
    const COMMAND: &'static str = "train";

    fn all() -> Vec<&'static Setting> {
        let groups = [
            DistillSettings::SETTINGS,
            GuidanceSettings::SETTINGS,
            DataSettings::SETTINGS,
            DrawSettings::SETTINGS,
            NetworkSettings::SETTINGS,
            OptimSettings::SETTINGS,
            RunSettings::SETTINGS,
        ];
        groups.into_iter().flatten().collect()
    }

    /// The recipe that is asked for, with the sizes for the built-in digits if it is those, over the published defaults.
    fn recipe(user: &Table) -> Result<Table> {
        let mut recipe: Table = include_str!("recipes/published.toml").parse()?;
        let builtin = is_builtin_digits(user);
        if builtin {
            recipe = lay_over(recipe, BUILTIN.parse()?);
        }
        let named = user.get(RECIPE).cloned().map(Value::try_into::<Recipe>).transpose()?;
        let named = named.unwrap_or(if builtin { Recipe::Best } else { Recipe::Published });
        if named == Recipe::Best {
            recipe = lay_over(recipe, BEST.parse()?);
            if builtin {
                recipe = lay_over(recipe, BUILTIN_BEST.parse()?);
            }
        }
        let says = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default();
        if says("fuse_method") == FuseMethod::Switch.to_string() {
            // The default schedule of the other methods is not valid for this one.
            recipe.insert("fuse_schedule".to_owned(), "switch 0.4".into());
        }
        if says("fuse_method") == FuseMethod::StepFuse.to_string() {
            // The single point of this method is always mixed.
            recipe.insert("hat_target".to_owned(), "mixed".into());
        }
        if let Some(huber_c) = says("loss_type").parse().ok().and_then(LossType::usual_huber_c) {
            recipe.insert("huber_c".to_owned(), huber_c.into());
        }
        Ok(recipe)
    }

    /// Everything that `best` sets, except the sizes of a run. `published` is the base that `best` is laid
    /// over.
    fn of_recipes() -> Result<Table> {
        let sizes: Table = BUILTIN.parse()?;
        let mut all = lay_over(BEST.parse()?, BUILTIN_BEST.parse()?);
        all.retain(|name, _| !sizes.contains_key(name));
        Ok(all)
    }
}

impl Settings for TrainTeacherSettings {
    const COMMAND: &'static str = "train-teacher";

    fn all() -> Vec<&'static Setting> {
        let groups = [
            DataSettings::SETTINGS,
            DrawSettings::SETTINGS,
            NetworkSettings::SETTINGS,
            OptimSettings::SETTINGS,
            RunSettings::SETTINGS,
            TeacherSettings::SETTINGS,
        ];
        groups.into_iter().flatten().collect()
    }

    /// The recipe of the built-in teacher, if the data are those, over the defaults.
    fn recipe(user: &Table) -> Result<Table> {
        let recipe: Table = include_str!("recipes/teacher.toml").parse()?;
        if !is_builtin_digits(user) {
            return Ok(recipe);
        }
        Ok(lay_over(recipe, include_str!("recipes/builtin_teacher.toml").parse()?))
    }
}

/// Whether settings name the built-in digits, or no data, which are those.
fn is_builtin_digits(settings: &Table) -> bool {
    settings.get("data").is_none_or(|data| data.as_str() == Some(BUILTIN_DIGITS))
}

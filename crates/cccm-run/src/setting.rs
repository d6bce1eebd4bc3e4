//! What a setting is: everything that flags, files, resuming and cards need to know about it, said once.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Value;

/// One setting of a training run.
///
/// It is an optional field of a struct of settings, a key of `config.toml`, and a flag of the program, all of one name.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name in files, such as `max_steps`; the flag is `--max-steps`.
    pub name: &'static str,
    /// What it sets, one line of source each; [`Self::help`] joins them.
    pub doc: &'static [&'static str],
    /// Heading that it stands under.
    pub heading: &'static str,
    /// What its values are called in a help text.
    pub value_names: &'static [&'static str],
    /// How many values it takes.
    pub values: Values,
    /// Other names of the flag, as older programs have them.
    pub aliases: &'static [&'static str],
    /// All values that there are, each with what it means; none where any text may be a value.
    pub choices: &'static [(&'static str, &'static str)],
    /// The smallest number allowed.
    pub at_least: Option<i64>,
    /// Whether a value may begin with a minus.
    pub negative: Negative,
    /// Alternatives to this setting. One layer may set only one of them, which clears the others in the
    /// layers below.
    pub excludes: &'static [&'static str],
    /// Settings that this one clears in the layers below. One layer may set them together with it.
    pub clears: &'static [&'static str],
    /// A setting without which this one means nothing.
    pub needs: Option<&'static str>,
    /// What it decides.
    pub effect: Effect,
    /// Whether a model's card tells it.
    pub on_card: OnCard,
    /// Reads one value as it is typed.
    pub parse: fn(&str) -> Result<Value, String>,
}

/// How many values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// None: the flag alone is a yes.
    Switch,
    /// One.
    One,
    /// As many as this.
    Exactly(usize),
    /// One or more.
    Several,
    /// One or more. The flag can be repeated, and adds values each time.
    Gathered,
    /// One or more in one word, between commas.
    List,
}

/// What a setting decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The weights: a run that goes on with another value is another run.
    Weights,
    /// Where something is that decides them, which is compared by its digest.
    Place,
    /// What is written, and when; the weights of every step stay as they are.
    Bookkeeping,
}

/// Whether a model's card tells a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCard {
    /// It does.
    Told,
    /// It does not.
    Left,
}

/// Whether a value may begin with a minus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negative {
    /// It is a flag then.
    Flag,
    /// It is a number then.
    Number,
}

impl Setting {
    /// A setting that affects the weights and has no relation to other settings. A setting's entry overrides
    /// the fields that differ.
    pub const fn new<T: SettingValue>(
        name: &'static str,
        heading: &'static str,
        doc: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            doc,
            heading,
            value_names: &[],
            values: T::VALUES,
            aliases: &[],
            choices: T::CHOICES,
            at_least: None,
            negative: Negative::Flag,
            excludes: &[],
            clears: &[],
            needs: None,
            effect: Effect::Weights,
            on_card: OnCard::Left,
            parse: T::parse,
        }
    }

    /// What it sets, as one paragraph without a full stop.
    pub fn help(&self) -> String {
        let lines: Vec<&str> = self.doc.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }

    /// Name of its flag, without dashes in front, such as `max-steps`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Refuses a number that is too small.
    ///
    /// # Errors
    /// A text that names the setting.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        match (self.at_least, value.as_integer()) {
            (Some(least), Some(number)) if number < least => {
                Err(format!("`{}` is {number}, but must be at least {least}", self.name))
            }
            _ => Ok(()),
        }
    }
}

/// A type that settings have.
pub trait SettingValue {
    /// How many values it takes, unless the setting says otherwise.
    const VALUES: Values = Values::One;
    /// All values that there are, each with what it means; none where any text may be a value.
    const CHOICES: &'static [(&'static str, &'static str)] = &[];

    /// Reads one value as it is typed.
    ///
    /// # Errors
    /// A text that says what a value looks like.
    fn parse(text: &str) -> Result<Value, String>;
}

impl SettingValue for String {
    fn parse(text: &str) -> Result<Value, String> {
        Ok(text.into())
    }
}

impl SettingValue for PathBuf {
    fn parse(text: &str) -> Result<Value, String> {
        Ok(text.into())
    }
}

impl SettingValue for bool {
    const VALUES: Values = Values::Switch;

    fn parse(text: &str) -> Result<Value, String> {
        parsed::<Self>(text).map(Value::Boolean)
    }
}

impl SettingValue for f64 {
    fn parse(text: &str) -> Result<Value, String> {
        parsed::<Self>(text).map(Value::Float)
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl SettingValue for $number {
            fn parse(text: &str) -> Result<Value, String> {
                let number = parsed::<Self>(text)?;
                // What a file of settings can hold.
                i64::try_from(number).map(Value::Integer).map_err(|_| format!("it must be at most {}", i64::MAX))
            }
        }
    )*};
}

whole_numbers!(u32, u64, usize);

impl<T: SettingValue> SettingValue for Vec<T> {
    const VALUES: Values = Values::Several;
    const CHOICES: &'static [(&'static str, &'static str)] = T::CHOICES;

    fn parse(text: &str) -> Result<Value, String> {
        T::parse(text)
    }
}

/// A value by its name.
pub(crate) fn by_name<T: FromStr<Err: Display> + Display>(text: &str) -> Result<Value, String> {
    parsed::<T>(text).map(|value| value.to_string().into())
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Some settings that belong together: a struct with an optional field for each.
pub trait SettingGroup: serde::Serialize {
    /// All of them, in the order in which a help text has them.
    const SETTINGS: &'static [Setting];

    /// Refuses numbers that are too small.
    ///
    /// # Errors
    /// For the first of them, by name.
    fn check(&self) -> anyhow::Result<()> {
        let values = toml::Table::try_from(self)?;
        let set = Self::SETTINGS.iter().filter_map(|setting| Some((setting, values.get(setting.name)?)));
        for (setting, value) in set {
            setting.check(value).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }
}

/// The value of a setting that every recipe should set.
///
/// # Errors
/// When it is not set nevertheless.
pub fn required<T>(value: Option<T>, name: &str) -> anyhow::Result<T> {
    value.ok_or_else(|| anyhow::anyhow!("`{name}` is not set, and this recipe has no default for it"))
}

/// Defines a struct of settings, each an optional field, and with it all that there is to know about each of them.
///
/// The braces behind a field hold those fields of its [`Setting`] that differ from [`Setting::new`].
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $group:ident under $heading:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty => { $($key:ident: $value:expr),* $(,)? }
            ),* $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $group {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }

        impl $crate::SettingGroup for $group {
            const SETTINGS: &'static [$crate::Setting] = &[$(
                $crate::Setting {
                    $($key: $value,)*
                    ..$crate::Setting::new::<$type>(stringify!($field), $heading, &[$($doc),+])
                },
            )*];
        }
    };
}

/// Defines the values of a setting that has only a few values, each by its name in files and flags. The first
/// value is the default.
macro_rules! named_values {
    (
        $(#[doc = $about:literal])+
        pub enum $choice:ident ($what:literal) {
            $(#[doc = $first_doc:literal])+
            $first_variant:ident = $first:literal
            $(,
                $(#[doc = $doc:literal])+
                $variant:ident = $name:literal
            )* $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $choice {
            $(#[doc = $first_doc])+
            #[default]
            #[serde(rename = $first)]
            $first_variant,
            $(
                $(#[doc = $doc])+
                #[serde(rename = $name)]
                $variant,
            )*
        }

        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self {
                    Self::$first_variant => $first,
                    $(Self::$variant => $name,)*
                })
            }
        }

        impl std::str::FromStr for $choice {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $first => Ok(Self::$first_variant),
                    $($name => Ok(Self::$variant),)*
                    _ => Err(format!("no {} `{name}`; there are {}", $what, [$first $(, $name)*].join(", "))),
                }
            }
        }

        impl $crate::SettingValue for $choice {
            const CHOICES: &'static [(&'static str, &'static str)] =
                &[($first, concat!($($first_doc),+)) $(, ($name, concat!($($doc),+)))*];

            fn parse(text: &str) -> Result<toml::Value, String> {
                $crate::setting::by_name::<Self>(text)
            }
        }
    };
}

pub(crate) use {named_values, settings};

macro_rules! values_by_name {
    ($($type:ty),* $(,)?) => {$(
        impl SettingValue for $type {
            fn parse(text: &str) -> Result<Value, String> {
                by_name::<Self>(text)
            }
        }
    )*};
}

values_by_name!(
    cccm_data::Preset,
    cccm_distill::DataTarget,
    cccm_distill::FuseMethod,
    cccm_distill::HatTarget,
    cccm_distill::LossType,
    cccm_distill::OnNonFinite,
    cccm_distill::TeacherSolver,
    cccm_distill::TimestepSampling,
    cccm_optim::LrSchedule,
    cccm_sched::PredictionType,
    cccm_sched::Thresholding,
);

impl SettingValue for cccm_unet::Arch {
    fn parse(text: &str) -> Result<Value, String> {
        serde_json::from_value::<Self>(text.into())
            .map(|_| text.into())
            .map_err(|_| "known architectures: unetic, unet".to_owned())
    }
}

//! Settings as flags.

use cccm_run::{Dtype, Negative, Setting, SettingGroup, SettingValue, Settings, Values};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// A group of settings, as typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags<G>(pub(crate) G);

/// All settings of a kind of run, as typed.
#[derive(Clone, Debug)]
pub(crate) struct RunFlags<S>(pub(crate) S);

impl<G: SettingGroup + DeserializeOwned> clap::Args for Flags<G> {
    fn augment_args(command: Command) -> Command {
        G::SETTINGS.iter().fold(command, |command, setting| command.arg(arg(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: SettingGroup + DeserializeOwned> clap::FromArgMatches for Flags<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        typed(matches, G::SETTINGS.iter()).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<S: Settings> clap::Args for RunFlags<S> {
    fn augment_args(command: Command) -> Command {
        S::all().into_iter().fold(command, |command, setting| command.arg(arg(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Settings> clap::FromArgMatches for RunFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        typed(matches, S::all().into_iter()).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The parser of a dtype, whose help lists all that there are.
pub(crate) fn dtype() -> impl TypedValueParser<Value = Dtype> {
    choices(Dtype::CHOICES).try_map(|text| text.parse::<Dtype>())
}

fn choices(all: &'static [(&'static str, &'static str)]) -> PossibleValuesParser {
    PossibleValuesParser::new(all.iter().map(|(name, means)| PossibleValue::new(*name).help(means.trim())))
}

/// The flag of a setting.
fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name)
        .long(setting.flag())
        .help(setting.help())
        .help_heading(setting.heading)
        .aliases(setting.aliases)
        .conflicts_with_all(setting.excludes)
        .allow_negative_numbers(setting.negative == Negative::Number);
    let arg = if setting.value_names.is_empty() { arg } else { arg.value_names(setting.value_names) };
    let arg = match setting.needs {
        Some(other) => arg.requires(other),
        None => arg,
    };
    let arg = match setting.values {
        Values::Switch => arg.action(ArgAction::Set).num_args(0).default_missing_value("true"),
        Values::One => arg.action(ArgAction::Set),
        Values::Exactly(count) => arg.action(ArgAction::Set).num_args(count),
        Values::Several => arg.action(ArgAction::Set).num_args(1..),
        Values::Gathered => arg.action(ArgAction::Append).num_args(1..),
        Values::List => arg.action(ArgAction::Set).value_delimiter(','),
    };
    let parse = |text: &str| {
        let value = (setting.parse)(text)?;
        setting.check(&value).map(|()| value)
    };
    if setting.choices.is_empty() {
        return arg.value_parser(parse);
    }
    arg.value_parser(choices(setting.choices).try_map(move |text| parse(&text)))
}

/// What was typed of some settings.
fn typed<T: DeserializeOwned>(
    matches: &ArgMatches,
    settings: impl Iterator<Item = &'static Setting>,
) -> Result<T, Error> {
    let mut table = Table::new();
    for setting in settings {
        let Some(mut values) = matches.get_many::<Value>(setting.name) else { continue };
        let value = match setting.values {
            Values::Switch | Values::One => values.next().cloned(),
            Values::Exactly(_) | Values::Several | Values::Gathered | Values::List => {
                Some(Value::Array(values.cloned().collect()))
            }
        };
        table.extend(value.map(|value| (setting.name.to_owned(), value)));
    }
    table.try_into().map_err(|error: toml::de::Error| Error::raw(ErrorKind::InvalidValue, error))
}

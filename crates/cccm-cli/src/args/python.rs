//! Flags of the published Python script that have no meaning here, with a hint on what to do about each: for
//! users with an old command line.

/// Flag, and what there is to say about it.
const WITHOUT_MEANING: [(&str, &str); 10] = [
    ("debug", "the environment variable CCCM_LOG=debug says more"),
    ("exp", "it names an experiment for a web service; here a run is a folder, named by --save-path"),
    ("local-rank", "it is set by launchers of several processes; --devices starts them itself"),
    ("only-table", NOT_BUILT),
    ("concat", NOT_BUILT),
    ("projection-dim", NOT_BUILT),
    ("num-head-channels", NOT_BUILT),
    ("num-heads", NOT_BUILT),
    ("use-spatial-transformer", NOT_BUILT),
    ("compose", NOT_BUILT),
];

const NOT_BUILT: &str =
    "it belongs to architectures other than unetic and unet, which the published models do not use";

/// The hint for an unknown flag, if it is one of the script's.
pub(crate) fn hint(error: &clap::Error) -> Option<String> {
    let Some(clap::error::ContextValue::String(given)) = error.get(clap::error::ContextKind::InvalidArg)
    else {
        return None;
    };
    let name = given.trim_start_matches('-').split('=').next()?.replace('_', "-");
    let (flag, reason) = WITHOUT_MEANING.into_iter().find(|(flag, _)| *flag == name)?;
    Some(format!("--{flag} of the published script has no meaning here: leave it out; {reason}"))
}

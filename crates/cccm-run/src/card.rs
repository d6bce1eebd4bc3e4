//! The `README.md` of a model directory: what the Hub and its visitors read.

use std::fmt::Write as _;

use cccm_labels::LabelKind;
use cccm_unet::{ModelConfig, Role};
use serde::Serialize;

use crate::setting::{OnCard, Setting};
use crate::settings::all_settings;
use crate::shell::label_flags;

/// The settings of a run that a model card lists, with their values, in the order of the settings.
pub fn training_facts(settings: &impl Serialize) -> Vec<(String, String)> {
    let settings = toml::Table::try_from(settings).unwrap_or_default();
    let fact = |setting: &Setting| {
        let text = match settings.get(setting.name)? {
            toml::Value::String(text) => text.clone(),
            toml::Value::Array(items) => {
                let items =
                    items.iter().map(|item| item.as_str().map_or(item.to_string(), ToOwned::to_owned));
                items.collect::<Vec<_>>().join(" ")
            }
            other => other.to_string(),
        };
        Some((setting.name.replace('_', " "), text))
    };
    let told = all_settings().filter(|setting| setting.on_card == OnCard::Told);
    told.filter_map(fact).collect()
}

/// A model's card.
/// - `facts`: names and values to list, besides what the config says
/// - `weights_sha256`: of the file of the weights, which the card is about
pub fn model_card(config: &ModelConfig, facts: &[(String, String)], weights_sha256: &str) -> String {
    let (kind, tag) = match config.role {
        Role::Student => ("student, a compositional consistency model", "consistency-model"),
        Role::Teacher => ("teacher, a compositional conditional diffusion model", "diffusion"),
    };
    let counts: Vec<String> = config.labels.counts().iter().map(usize::to_string).collect();
    let first = config.labels.combinations().next().unwrap_or(config.labels.null());
    let labels = label_flags(&config.labels, &first);
    let (px, noun) = (config.image_px, config.labels.noun());
    let sampling = match config.role {
        Role::Student => " --steps 4",
        Role::Teacher => "",
    };
    let mut facts_table = String::new();
    for (name, value) in config_facts(config).iter().chain(facts) {
        let _ = writeln!(facts_table, "| {name} | {} |", escaped(value));
    }
    let _ = writeln!(facts_table, "{WEIGHTS_START}{weights_sha256} |");
    format!(
        "---\n\
         library_name: cccm\n\
         tags:\n\
         - cccm\n\
         - {tag}\n\
         - compositional-generation\n\
         - candle\n\
         - safetensors\n\
         # Yours to choose, before you share the model:\n\
         # license: \n\
         ---\n\n\
         # CCCM {kind}\n\n\
         Draws {px}×{px} pictures of {noun}s of labels, {}, also of {noun}s that no training image showed.\n\n\
         {}\n\
         | | |\n\
         | --- | --- |\n\
         {facts_table}\n\
         ## Use it\n\n\
         With `cccm`, from this directory or from the Hub (`--checkpoint hf://OWNER/NAME`):\n\n\
         ```console\n\
         $ cccm sample --checkpoint . {labels}{sampling}\n\
         ```\n\n\
         In PyTorch the tensors have the names of the published code's modules:\n\n\
         ```python\n\
         from safetensors.torch import load_file\n\
         model.load_state_dict(load_file(\"model.safetensors\"))\n\
         ```\n\n\
         `config.json` has the sizes to build `model` with, the labels in the order of their indices, the noise \
         schedule{}.\n",
        counts.join(" × "),
        config.labels.kinds().iter().map(label_line).collect::<String>(),
        if config.student.is_some() { " and what the student was trained for" } else { "" },
    )
}

fn label_line(kind: &LabelKind) -> String {
    let names: Vec<String> = kind.names.iter().map(|name| escaped(name)).collect();
    format!("- {}: {}\n", escaped(&kind.kind), names.join(", "))
}

/// Start of the card's line that states the digest of its weights.
const WEIGHTS_START: &str = "| SHA-256 of the weights | ";

/// The digest of its weights that a card states.
pub fn stated_weights(card: &str) -> Option<&str> {
    let line = card.lines().find_map(|line| line.strip_prefix(WEIGHTS_START))?;
    line.strip_suffix('|').map(str::trim)
}

/// Text as Markdown shows it, in one line, without markup of its own.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '\\' | '`' | '*' | '[' | ']' | '|' | '~' => format!("\\{c}"),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '&' => "&amp;".to_owned(),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

fn config_facts(config: &ModelConfig) -> Vec<(String, String)> {
    let unet = &config.unet;
    let mult: Vec<String> = unet.channel_mult.iter().map(ToString::to_string).collect();
    let network =
        format!("{} channels × {}, {} blocks", unet.model_channels, mult.join("-"), unet.num_res_blocks);
    let mut facts = vec![
        ("network".to_owned(), network),
        ("cccm version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(student) = &config.student {
        let (low, high) = student.w_interval;
        facts.push(("trained for guidance scales".to_owned(), format!("{} to {}", low + 1.0, high + 1.0)));
        facts.push(("solver steps jumped over".to_owned(), student.num_ddim_timesteps.to_string()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_labels::Vocabulary;
    use cccm_sched::{ScheduleConfig, StudentConfig};
    use cccm_unet::UNetConfig;

    fn teacher() -> ModelConfig {
        let labels = Vocabulary::of_pairs(vec!["red", "blue"], vec!["0", "1", "2"]).unwrap();
        ModelConfig::teacher(UNetConfig::colored_mnist_32(), 32, labels, ScheduleConfig::default())
    }

    #[test]
    fn a_card_says_what_the_model_is_and_how_to_use_it() {
        #[derive(Serialize)]
        struct Settings {
            fuse_schedule: &'static str,
            w_interval: [f64; 2],
            ignored: [&'static str; 2],
            seed: u64,
        }
        let settings =
            Settings { fuse_schedule: "a|b", w_interval: [1.0, 2.0], ignored: ["red_0", "blue_1"], seed: 7 };
        let student = teacher().student_of(64, StudentConfig::default());
        let card = model_card(&student, &training_facts(&settings), &"ab".repeat(32));
        assert_eq!(stated_weights(&card), Some("ab".repeat(32).as_str()));
        for words in [
            "---\nlibrary_name: cccm\ntags:\n- cccm\n- consistency-model\n",
            "- attribute: red, blue\n- object: 0, 1, 2\n",
            "| seed | 7 |\n",
            "| ignored | red_0 blue_1 |\n",
            "| fuse schedule | a\\|b |\n",
            "| trained for guidance scales | 3.6 to 4 |\n",
            "cccm sample --checkpoint . --attribute red --object 0 --steps 4\n",
            "load_file(\"model.safetensors\")",
        ] {
            assert!(card.contains(words), "`{words}` is not in\n{card}");
        }
        let card = model_card(&teacher(), &[], "");
        assert!(card.contains("- diffusion\n") && !card.contains("--steps"), "{card}");
    }

    #[test]
    fn labels_of_others_are_no_commands_and_no_markup() {
        let labels =
            Vocabulary::of_pairs(vec!["$(rm -rf ~)", "<script>x<-script>"], vec!["-x", "[a](b)|`c`", "2"]);
        let config = ModelConfig { labels: labels.unwrap(), ..teacher() };
        let card = model_card(&config, &[("origin".into(), "a|<b>\nc".into())], "");
        for words in [
            "cccm sample --checkpoint . --attribute '$(rm -rf ~)' --object=-x\n",
            "- attribute: $(rm -rf \\~), &lt;script&gt;x&lt;-script&gt;\n",
            "- object: -x, \\[a\\](b)\\|\\`c\\`, 2\n",
            "| origin | a\\|&lt;b&gt; c |\n",
        ] {
            assert!(card.contains(words), "`{words}` is not in\n{card}");
        }
    }
}

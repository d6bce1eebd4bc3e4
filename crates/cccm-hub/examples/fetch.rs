//! Downloads a file into the Hub's standard cache and prints its path:
//! `cargo run --example fetch -- hf://OWNER/NAME/FILE`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its result")]

use cccm_hub::{Hub, HubConfig, HubFile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args().nth(1).ok_or("usage: fetch hf://OWNER/NAME/FILE")?;
    let file: HubFile = place.parse()?;

    // HF_TOKEN, HF_HOME, HTTPS_PROXY and the like mean what they mean to Python's `huggingface_hub`.
    let hub = Hub::new(HubConfig::from_variables(|name| std::env::var_os(name))?)?;
    let mut shown = 0;
    let fetched = hub.fetch(&file, &mut |progress| {
        let percent = 100 * progress.done / progress.total.max(1);
        if percent >= shown + 10 {
            shown = percent;
            eprintln!("{percent} % of {} bytes", progress.total);
        }
    })?;
    println!("{}", fetched.path.display());
    Ok(())
}

//! Parameters of a network, largest first: `cargo run --example inspect -- celeba_128`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use cccm_unet::{Tables, UNet, UNetConfig};

const SHOWN: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let preset = std::env::args().nth(1).unwrap_or_else(|| "colored_mnist_32".to_owned());
    let (cfg, labels) = match preset.as_str() {
        "celeba_128" => (UNetConfig::celeba_128(), [4, 2]),
        "colored_mnist_64" => (UNetConfig::colored_mnist_64(), [5, 10]),
        "colored_mnist_32" => (UNetConfig::colored_mnist_32(), [5, 10]),
        other => {
            return Err(format!(
                "no preset `{other}`; there are celeba_128, colored_mnist_64, colored_mnist_32"
            )
            .into());
        }
    };

    let mut sizes: Vec<(usize, String, Vec<usize>)> = UNet::specs(&cfg, Tables::new(labels))?
        .into_iter()
        .map(|(name, spec)| (spec.shape.iter().product(), name, spec.shape))
        .collect();
    sizes.sort_by(|a, b| b.cmp(a));

    let total: usize = sizes.iter().map(|(size, ..)| size).sum();
    println!("{preset}: {total} values in {} parameters, largest first", sizes.len());
    for (size, name, shape) in sizes.iter().take(SHOWN) {
        println!("{size:>9}  {name} {shape:?}");
    }
    Ok(())
}

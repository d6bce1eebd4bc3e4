//! Lists what a PyTorch checkpoint holds, and writes its weights as safetensors:
//! `cargo run --example to_safetensors -- IN.pth OUT.safetensors`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::path::Path;

use cccm_weights::{inspect, load_weights, save_weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err("usage: to_safetensors IN.pth OUT.safetensors".into());
    };

    let inspection = inspect(Path::new(input), None)?;
    println!("{input}: {}, {} bytes", inspection.form, inspection.file_bytes);
    for entry in &inspection.entries {
        println!("{:>12}  {:<8}  {} {:?}", entry.bytes, entry.kind, entry.name, entry.shape);
    }
    for (name, part) in &inspection.parts {
        println!("left aside: {name}, {part:?}");
    }

    save_weights(Path::new(output), &load_weights(Path::new(input))?)?;
    Ok(())
}

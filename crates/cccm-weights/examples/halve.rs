//! Stores weights in half precision, half the size: `cargo run --example halve -- IN.safetensors OUT.safetensors`.

use std::path::Path;

use candle_core::DType;
use cccm_weights::{load_weights, save_weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err("usage: halve IN.safetensors OUT.safetensors".into());
    };
    let mut weights = load_weights(Path::new(input))?;
    for tensor in weights.values_mut() {
        *tensor = tensor.to_dtype(DType::F16)?;
    }
    save_weights(Path::new(output), &weights)?;
    Ok(())
}

//! Parameters of any network that is built over a `VarBuilder`.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, Linear, Module, VarBuilder};
use cccm_weights::{Error, ParameterSpec, Parameters, WeightFile, save_weights};

fn network(vb: VarBuilder<'_>) -> candle_core::Result<Linear> {
    let weight = vb.get_with_hints((2, 3), "head.weight", Init::Const(0.5))?;
    Ok(Linear::new(weight, Some(vb.get(2, "head.bias")?)))
}

fn initial(_: &str, spec: &ParameterSpec) -> candle_core::Result<Tensor> {
    let Init::Const(value) = spec.init else { candle_core::bail!("no constant") };
    Tensor::full(value as f32, spec.shape.as_slice(), &Device::Cpu)
}

fn parameters() -> Parameters {
    Parameters::init(&Parameters::specs(network).unwrap(), initial, &Device::Cpu).unwrap()
}

#[test]
fn specs_are_what_the_network_asks_for() {
    let specs = Parameters::specs(network).unwrap();
    let asked: Vec<_> = specs.iter().map(|(name, spec)| (name.as_str(), spec.shape.as_slice())).collect();
    assert_eq!(asked, [("head.bias", &[2][..]), ("head.weight", &[2, 3][..])]);
    assert!(Parameters::specs(|_| Err::<(), _>("broken")).is_err_and(|error| error == "broken"));
}

#[test]
fn gradients_reach_the_tracked_network_alone_and_updates_reach_both() {
    let parameters = parameters();
    let (trained, frozen) = (network(parameters.tracked()).unwrap(), network(parameters.detached()).unwrap());
    let x = Tensor::ones((1, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
    let answer = |network: &Linear| network.forward(&x).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(answer(&trained), [[1.5, 1.5]]);

    let gradients = |network: &Linear| network.forward(&x).unwrap().sum_all().unwrap().backward().unwrap();
    let weight = &parameters.vars()["head.weight"];
    assert!(gradients(&trained).get(weight).is_some());
    assert!(gradients(&frozen).get(weight).is_none());

    let copy = parameters.deep_copy().unwrap();
    weight.set(&weight.zeros_like().unwrap()).unwrap();
    assert_eq!(answer(&frozen), [[0.0, 0.0]]);
    assert_eq!(answer(&network(copy.detached()).unwrap()), [[1.5, 1.5]]);
}

#[test]
fn tensors_that_do_not_fit_are_all_named() {
    let specs = Parameters::specs(network).unwrap();
    let mut tensors = parameters().tensors();
    let bias = tensors.remove("head.bias").unwrap();
    tensors.insert("tail.bias".to_owned(), bias.clone());
    tensors.insert("head.weight".to_owned(), bias);
    let error = Parameters::from_tensors(&specs, tensors, "x.pth", &Device::Cpu).unwrap_err();
    assert!(matches!(&error, Error::Parameters { origin, .. } if origin == "x.pth"));
    let text = error.to_string();
    for part in ["missing: `head.bias`", "unknown: `tail.bias`", "`head.weight` is [2] instead of [2, 3]"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_file_is_read_into_parameters_whatever_its_form_and_dtype() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let specs = Parameters::specs(network)?;
    for name in ["a.safetensors", "a.pth"] {
        for dtype in [DType::F32, DType::F16, DType::F64] {
            let path = dir.path().join(name);
            let values = |shape: &[usize]| -> candle_core::Result<Tensor> {
                let count = shape.iter().product::<usize>();
                Tensor::arange(0f32, count as f32, &Device::Cpu)?.reshape(shape)?.to_dtype(dtype)
            };
            let tensors: BTreeMap<String, Tensor> = specs
                .iter()
                .map(|(name, spec)| Ok((name.clone(), values(&spec.shape)?)))
                .collect::<candle_core::Result<_>>()?;
            save_weights(&path, &tensors)?;
            let read = |path: &Path| -> Result<Parameters, Error> {
                Parameters::read(&specs, WeightFile::open(path)?.state_dict(str::to_owned)?, &Device::Cpu)
            };
            let parameters = read(&path)?;
            for (name, tensor) in parameters.tensors() {
                assert_eq!(tensor.dtype(), DType::F32);
                let want = tensors[&name].to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                assert_eq!(tensor.flatten_all()?.to_vec1::<f32>()?, want, "{name} as {dtype:?}");
            }
            // What is no number is named.
            let mut bad = tensors.clone();
            let (name, tensor) = tensors.first_key_value().unwrap();
            bad.insert(name.clone(), (tensor.zeros_like()? + f64::NAN)?);
            save_weights(&path, &bad)?;
            let error = read(&path).unwrap_err();
            assert!(matches!(&error, Error::NotFinite { name: got, .. } if got == name), "{error}");
        }
    }
    Ok(())
}

//! Parameters of any network that is built over a `VarBuilder`.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

use candle_core::{Device, Tensor};
use candle_nn::{Init, Linear, Module, VarBuilder};
use cccm_weights::{Error, ParameterSpec, Parameters};

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

use candle_core::{DType, Device, Result, Tensor};

use super::*;
use crate::testing::{assert_matches, strided, values};

#[test]
fn matches_candle() -> Result<()> {
    for shape in [vec![1], vec![3, 5, 7], vec![2, 3, 60, 70], vec![CHUNK], vec![0, 4]] {
        let args = [values(&shape, 1)?, values(&shape, 2)?];
        if args[0].elem_count() == 0 {
            assert_eq!(add(&args[0], &args[1])?.dims(), shape);
            continue;
        }
        let candle = |args: &[Tensor]| &args[0] + &args[1];
        assert_matches(&format!("{shape:?}"), &|args| add(&args[0], &args[1]), &candle, &args, 1e-7);
        let of_strided = |args: &[Tensor]| add(&strided(&args[0])?, &args[1])?.t();
        if shape.len() > 1 {
            assert_matches(&format!("{shape:?}"), &of_strided, &|args| candle(args)?.t(), &args, 1e-7);
        }
    }
    Ok(())
}

#[test]
fn other_dtypes_are_candles_and_other_shapes_are_refused() -> Result<()> {
    let zeros = |dtype, dims: &[usize]| Tensor::zeros(dims, dtype, &Device::Cpu);
    assert_eq!(add(&zeros(DType::F64, &[2])?, &zeros(DType::F64, &[2])?)?.dtype(), DType::F64);
    assert!(add(&zeros(DType::F32, &[2])?, &zeros(DType::F64, &[2])?).is_err());
    let message = add(&zeros(DType::F32, &[2])?, &zeros(DType::F32, &[3])?).unwrap_err().to_string();
    assert!(message.contains("shapes [2] and [3] differ"), "{message}");
    Ok(())
}

//! The IDX format of the MNIST files: a magic number, the sizes, the bytes; gzipped or not.

use std::io::{self, Read};

use flate2::read::GzDecoder;

use crate::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Third byte of the magic number: the values are unsigned bytes.
const UNSIGNED_BYTES: u8 = 0x08;
/// Deflate cannot do better, so that a header that claims more is a lie.
const MAX_GZIP_RATIO: u64 = 1032;

/// An array of bytes with `D` sizes, slowest first. `name` tells the file in errors.
pub(crate) fn parse<const D: usize>(file: &[u8], name: &str) -> Result<([usize; D], Vec<u8>)> {
    let gzipped = file.starts_with(&GZIP_MAGIC);
    let most_bytes = file.len() as u64 * if gzipped { MAX_GZIP_RATIO } else { 1 };
    let bytes: Box<dyn Read + '_> = if gzipped { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    read(bytes, most_bytes).map_err(|BadIdx { problem, source }| Error::Digits {
        name: name.to_owned(),
        problem,
        source,
    })
}

/// What is wrong, before the name of the file is known.
struct BadIdx {
    problem: String,
    source: Option<io::Error>,
}

impl From<String> for BadIdx {
    fn from(problem: String) -> Self {
        Self { problem, source: None }
    }
}

fn read<const D: usize>(mut bytes: impl Read, most_bytes: u64) -> Result<([usize; D], Vec<u8>), BadIdx> {
    let magic = read_word(&mut bytes)?;
    let expected = [0, 0, UNSIGNED_BYTES, D as u8];
    if magic != expected {
        return Err(format!("it starts with {magic:02x?} instead of {expected:02x?}").into());
    }
    let mut sizes = [0; D];
    for size in &mut sizes {
        *size = u32::from_be_bytes(read_word(&mut bytes)?) as usize;
    }

    // The sizes in the header allocate nothing: the buffer grows with the bytes that are really there.
    let claimed = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64));
    let Some(claimed) = claimed.filter(|&claimed| claimed <= most_bytes) else {
        return Err(format!("its header claims {sizes:?} bytes, more than the file can hold").into());
    };
    let mut data = Vec::new();
    bytes.take(claimed + 1).read_to_end(&mut data).map_err(damaged)?;
    match (data.len() as u64).cmp(&claimed) {
        std::cmp::Ordering::Equal => Ok((sizes, data)),
        std::cmp::Ordering::Less => {
            Err(format!("it is cut off after {} of {claimed} bytes", data.len()).into())
        }
        std::cmp::Ordering::Greater => {
            Err(format!("it goes on after the {claimed} bytes of its header").into())
        }
    }
}

fn read_word(bytes: &mut impl Read) -> Result<[u8; 4], BadIdx> {
    let mut word = [0; 4];
    bytes.read_exact(&mut word).map_err(damaged)?;
    Ok(word)
}

fn damaged(source: io::Error) -> BadIdx {
    BadIdx { problem: "it is cut off or damaged".to_owned(), source: Some(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3];

    fn problem(file: &[u8]) -> String {
        parse::<2>(file, "x").unwrap_err().to_string()
    }

    #[test]
    fn sizes_and_bytes_are_read() -> Result<()> {
        let file = [&HEADER[..], &[1, 2, 3, 4, 5, 6]].concat();
        assert_eq!(parse::<2>(&file, "x")?, ([2, 3], vec![1, 2, 3, 4, 5, 6]));
        Ok(())
    }

    #[test]
    fn gzip_is_unpacked() -> Result<()> {
        let file = gzip(&[&HEADER[..], &[1, 2, 3, 4, 5, 6]].concat());
        assert_eq!(parse::<2>(&file, "x")?, ([2, 3], vec![1, 2, 3, 4, 5, 6]));
        Ok(())
    }

    #[test]
    fn what_does_not_fit_the_header_is_refused() {
        let file = |data: &[u8]| [&HEADER[..], data].concat();
        assert!(problem(&HEADER[..6]).ends_with("cut off or damaged"));
        assert!(problem(&file(&[1; 5])).ends_with("cut off after 5 of 6 bytes"));
        assert!(problem(&file(&[1; 7])).ends_with("goes on after the 6 bytes of its header"));
        assert!(problem(&[0, 0, 8, 1, 0, 0, 0, 0]).contains("instead of [00, 00, 08, 02]"));
        let whole = gzip(&file(&[1; 6]));
        assert!(problem(&whole[..whole.len() - 6]).ends_with("cut off or damaged"));
        assert!(problem(&gzip(&file(&[1; 7]))).ends_with("goes on after the 6 bytes of its header"));
    }

    #[test]
    fn header_cannot_claim_more_than_the_file_holds() {
        let huge = [0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let large = [0, 0, 8, 2, 0, 1, 0, 0, 0, 1, 0, 0];
        for header in [huge, large] {
            assert!(problem(&header).ends_with("more than the file can hold"));
            assert!(problem(&gzip(&header)).ends_with("more than the file can hold"));
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
        let mut packed = Vec::new();
        gzip.read_to_end(&mut packed).unwrap();
        packed
    }
}

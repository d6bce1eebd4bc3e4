//! Tensors as a file describes them: a shape and strides over a storage.

use std::io::{Read, Seek};

use super::PthProblem;
use super::globals::Element;
use super::input::Input;

/// More dimensions than any network has.
pub(super) const MAX_RANK: usize = 16;

/// A stretch of elements that tensors look into.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) key: Box<str>,
    pub(super) element: Element,
    pub(super) elements: u64,
}

/// A tensor over a storage, within its bounds.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(super) storage: Box<str>,
    pub(super) storage_bytes: u64,
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    strides: Vec<usize>,
    offset: u64,
    /// Elements from the first to the last, both included.
    span: u64,
}

impl View {
    pub(super) fn new(
        storage: &Storage,
        offset: u64,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self, PthProblem> {
        let bounds = || -> Option<(u64, u64)> {
            let bytes = storage.elements.checked_mul(storage.element.size() as u64)?;
            let span = span(&shape, &strides)?;
            let count = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
            count?.checked_mul(storage.element.size())?;
            (offset.checked_add(span)? <= storage.elements).then_some((bytes, span))
        };
        let Some((storage_bytes, span)) = bounds() else {
            return Err(PthProblem::Tensor { shape, strides, offset, elements: storage.elements });
        };
        let (storage, element) = (storage.key.clone(), storage.element);
        Ok(Self { storage, storage_bytes, element, shape, strides, offset, span })
    }

    /// Number of values it shows.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the values it shows.
    pub(crate) fn bytes(&self) -> u64 {
        self.count() as u64 * self.element.size() as u64
    }

    /// What reading it takes: bytes to read, or bytes it shows, whichever is more.
    pub(super) fn cost(&self) -> u64 {
        self.bytes().max(self.span * self.element.size() as u64)
    }

    /// The values in row-major order, as bytes; the storage starts at byte `start` of the file.
    pub(super) fn read<R: Read + Seek>(&self, file: &mut R, start: u64) -> Result<Vec<u8>, PthProblem> {
        let size = self.element.size() as u64;
        let (start, len) = (start + self.offset * size, self.span * size);
        let stored = Input::new(file, start, start + len)?.bytes(len)?;
        Ok(if self.is_contiguous() { stored } else { self.gather(&stored) })
    }

    fn is_contiguous(&self) -> bool {
        let mut stride = 1;
        self.count() == 0
            || self.shape.iter().zip(&self.strides).rev().all(|(size, got)| {
                let fits = *size == 1 || *got == stride;
                stride *= size;
                fits
            })
    }

    /// The values in row-major order.
    fn gather(&self, stored: &[u8]) -> Vec<u8> {
        let size = self.element.size();
        let mut values = Vec::with_capacity(self.count() * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.count() {
            let at: usize = index.iter().zip(&self.strides).map(|(index, stride)| index * stride).sum();
            values.extend_from_slice(&stored[at * size..][..size]);
            for (index, size) in index.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < *size {
                    break;
                }
                *index = 0;
            }
        }
        values
    }
}

/// Elements from the first to the last that a tensor shows, both included; `None` beyond all numbers.
fn span(shape: &[usize], strides: &[usize]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let reach = |(size, stride): (&usize, &usize)| (*size as u64 - 1).checked_mul(*stride as u64);
    shape.iter().zip(strides).try_fold(1_u64, |span, dim| span.checked_add(reach(dim)?))
}

//! Result vectors whose memory is first touched by the task that fills it: `vec![0.0; len]` would send all of it through
//! the cache once more, on one thread.

#![expect(unsafe_code, reason = "a vector is filled through its spare capacity")]
#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use std::mem::MaybeUninit;
use std::ptr;

use rayon::prelude::*;

/// A vector of `len` values, made by tasks that fill `chunk_len` of them each (the last one, what is left): `fill` gets
/// a chunk's index and the chunk. Also returns what `fill` returned, in order.
/// # Panics
/// When `fill` leaves a part of its chunk unwritten.
pub(crate) fn par_chunks<T: Copy + Send, R: Send>(
    len: usize,
    chunk_len: usize,
    fill: impl Fn(usize, &mut Chunk<'_, T>) -> R + Sync,
) -> (Vec<T>, Vec<R>) {
    let mut data = Vec::with_capacity(len);
    let tasks = data.spare_capacity_mut()[..len].par_chunks_mut(chunk_len).enumerate();
    let results = tasks.map(|(i, slots)| {
        let mut chunk = Chunk { slots, written: 0 };
        let result = fill(i, &mut chunk);
        assert_eq!(chunk.written, chunk.slots.len(), "a task left a part of its chunk unwritten");
        result
    });
    let results = results.collect();
    // SAFETY: the chunks that `collect` went over make up the first `len` elements, and by the assert above each is
    // written in full.
    unsafe { data.set_len(len) };
    (data, results)
}

/// A vector in the making, to which tasks write scattered parts.
pub(crate) struct Scattered<T> {
    data: Vec<T>,
    start: *mut T,
    len: usize,
}

// SAFETY: only `write` reaches the values, and whoever calls it keeps the places of different threads apart.
unsafe impl<T: Send> Sync for Scattered<T> {}

impl<T: Copy> Scattered<T> {
    pub(crate) fn new(len: usize) -> Self {
        let mut data = Vec::with_capacity(len);
        Self { start: data.as_mut_ptr(), data, len }
    }

    /// Writes `values` from the place `at` on.
    ///
    /// # Safety
    /// No other thread may write to any of these places.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
        assert!(at <= self.len && values.len() <= self.len - at, "a task writes behind the end");
        // SAFETY: the places are inside the vector's capacity by the assert, and nobody else's by this function's contract.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(at), values.len()) };
    }

    /// The vector.
    ///
    /// # Safety
    /// Every place must have been written.
    pub(crate) unsafe fn into_vec(mut self) -> Vec<T> {
        // SAFETY: `len` places are within the capacity, and written by this function's contract.
        unsafe { self.data.set_len(self.len) };
        self.data
    }
}

/// A part of a vector in the making: written once from front to back, and readable so far.
pub(crate) struct Chunk<'a, T> {
    slots: &'a mut [MaybeUninit<T>],
    /// The first so many slots are initialised.
    written: usize,
}

impl<T: Copy> Chunk<'_, T> {
    /// Length when it is written in full.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Writes the next values, as many as there are or as there is room for, and returns them.
    #[inline(always)]
    pub(crate) fn extend(&mut self, values: impl Iterator<Item = T>) -> &mut [T] {
        let (start, mut count) = (self.written, 0);
        for (slot, value) in self.slots[start..].iter_mut().zip(values) {
            slot.write(value);
            count += 1;
        }
        self.written += count;
        &mut self.written()[start..]
    }

    /// What is written so far.
    pub(crate) fn written(&mut self) -> &mut [T] {
        // SAFETY: `written` counts the slots that `extend` has written, from the first on.
        unsafe { self.slots[..self.written].assume_init_mut() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_results_keep_their_order() {
        let (data, lens) = par_chunks(7, 3, |i, chunk| {
            assert_eq!(chunk.extend(std::iter::once(10 * i)), [10 * i]);
            let rest = chunk.extend(1..);
            rest.reverse();
            chunk.written().len()
        });
        assert_eq!(data, [0, 2, 1, 10, 2, 1, 20]);
        assert_eq!(lens, [3, 3, 1]);
        assert!(par_chunks::<f32, ()>(0, 3, |_, _| ()).0.is_empty());
    }

    #[test]
    #[should_panic(expected = "unwritten")]
    fn a_chunk_with_a_hole_is_refused() {
        par_chunks(7, 3, |i, chunk| {
            chunk.extend(std::iter::repeat_n(1.0, 3 - i));
        });
    }
}

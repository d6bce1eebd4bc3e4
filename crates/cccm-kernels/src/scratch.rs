//! Work memory that is kept between calls: fresh memory costs a page fault for every 4 KiB.

use std::cell::RefCell;

thread_local! {
    // A list, not one buffer: a thread that waits for its subtasks may start another task in the meantime.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `f` a buffer of `len` floats, whose content is arbitrary. A thread keeps its buffers, the largest it has needed.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer = vec![0.0; len];
    }
    // In tests, NaN shows where code reads values that it has not written.
    #[cfg(test)]
    buffer.fill(f32::NAN);
    let result = f(&mut buffer[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_distinct() {
        with_scratch(4, |outer| {
            outer.fill(1.0);
            with_scratch(8, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 4]);
        });
        with_scratch(6, |again| assert_eq!(again.len(), 6));
    }
}

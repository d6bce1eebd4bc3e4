//! How far long work is.

/// What takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Training the classifier, step by step.
    Classifier,
    /// Looking at real images, one by one.
    RealImages,
    /// Sampling pictures, one by one.
    Pictures,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What takes its time.
    pub work: Work,
    /// How much of it is done; at the end as much as there is.
    pub done: usize,
    /// How much there is to do.
    pub total: usize,
}

/// Whoever wants to know how far work is.
pub type Watch<'a> = dyn Fn(Progress) + 'a;

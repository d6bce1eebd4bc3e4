//! The built-in teacher's student.

/// `config.json` of the built-in student: Colored MNIST at 32×32, `unetic`, for 1 to 40 steps.
pub const STUDENT_CONFIG: &[u8] = include_bytes!("../student/student.config.json");
/// Weights of the built-in student, safetensors in half precision.
pub const STUDENT_WEIGHTS: &[u8] = include_bytes!("../student/student.safetensors");

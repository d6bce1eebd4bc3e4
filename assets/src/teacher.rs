//! A small trained teacher.

/// `config.json` of the built-in teacher: Colored MNIST at 32×32, `unetic`.
pub const TEACHER_CONFIG: &[u8] = include_bytes!("../teacher/teacher.config.json");
/// Weights of the built-in teacher, safetensors in half precision.
pub const TEACHER_WEIGHTS: &[u8] = include_bytes!("../teacher/teacher.safetensors");

//! Draws one combination with the built-in student, and the matrix of all.
//!
//! ```console
//! $ cargo run --release -p cccm --example draw
//! ```

use cccm::{Model, SampleRequest};

fn main() -> cccm::Result<()> {
    let model = Model::open("builtin:student")?;
    let red_four = SampleRequest::new().label("attribute", "red").label("object", "4").steps(4);
    model.sample(&red_four)?.save("red_4.png")?;
    model.sample(&SampleRequest::new().steps(1))?.save("matrix.png")
}

//! To be filled.

pub mod render;
pub mod source;

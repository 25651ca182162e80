//! The `waxwing` controller.

fn main() {}

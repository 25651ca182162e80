//! The render room from outside: real Git repositories in, manifests with handles or refusals out.
//!
//! Kustomize is the real program; without it the tests that need it say so and stop (and fail under CI). Sealed files
//! are fixtures that the real sops made (`tests/fixtures/render`). No key is needed: a render opens nothing.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop where it stands, and says when it can't run"
)]

mod binding_rules;
mod kustomizations;
mod only_known_fields;
mod plain_folders;
mod references;
mod refusals;
mod repository;
mod waiting_files;

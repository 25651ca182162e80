//! The whole controller, as a process, against a real API server, real Git and the real upstream programs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where it stands, and may say why"
)]

mod act;
mod apply;
mod backends;
mod bad_input;
mod bind_into;
mod canary;
mod chaos;
mod chart;
mod crds;
mod drift;
mod git;
mod kustomize;
mod main_job;
mod memory;
mod metrics;
mod other_keys;
mod outages;
mod process;
mod prune;
mod replicas;
mod sealed_objects;
mod stage;
mod status;
mod takeover;
mod tenancy;
mod tenants;
mod watched;

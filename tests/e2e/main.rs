//! The whole controller, as a process, against a real API server, real Git and the real upstream programs.

mod apply;
mod bad_input;
mod canary;
mod git;
mod kill;
mod kustomize;
mod main_job;
mod process;
mod prune;
mod stage;
mod status;
mod tenancy;

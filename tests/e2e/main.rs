//! The whole controller, as a process, against a real API server, real Git and the real upstream programs.

mod main_job;
mod process;
mod stage;

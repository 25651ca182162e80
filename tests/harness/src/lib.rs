//! Starts the real parts that tests, benches and the demo run against: a Kubernetes control plane, Git servers, the
//! upstream programs, the controller itself.
//!
//! Everything here runs on loopback, in a private folder that is gone when the owner is, however the owner ends; it
//! reads no `KUBECONFIG` and no configuration of the user, so it can't reach a cluster that is not its own. The
//! programs come from `make tools`. What this is not: it fakes nothing, and it knows nothing of Waxwing's own types.

mod call;
mod certificates;
mod clock;
mod cluster;
mod controller;
mod failure;
mod fault_proxy;
mod git_repo;
mod git_server;
mod gnupg;
mod own_network;
mod process;
mod run_dir;
mod sealed_secrets;
mod tenant;
mod tls_server;
mod tools;
mod upstream;
mod waiting;

pub use call::{Call, Finished};
pub use certificates::{Authority, Identity};
pub use clock::Clock;
pub use cluster::{Backup, Cluster, ClusterOptions, HARNESS, NODE};
pub use controller::{Controller, ControllerOptions};
pub use failure::Failure;
pub use fault_proxy::{ApiRequest, Fault, FaultProxy, Rule};
pub use git_repo::GitRepo;
pub use git_server::{Access, GitOperation, GitRequest, GitServer};
pub use gnupg::Gnupg;
pub use own_network::{OWN_ADDRESS, in_own_network};
pub use process::Process;
pub use run_dir::{RunDir, processes_in};
pub use sealed_secrets::SealedSecretsController;
pub use tenant::tenant;
pub use tools::Tools;
pub use upstream::{AgeKey, Upstream};
pub use waiting::{eventually, eventually_async};

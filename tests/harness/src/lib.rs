//! Starts the real parts that tests, benches and the demo run against: a Kubernetes control plane, Git servers, OpenBao, PostgreSQL, moto, the
//! upstream programs, the controller itself, and fakes of the key services that nobody can run.
//!
//! Everything here runs on loopback, in a private folder that is gone when the owner is, however the owner ends; it
//! reads no `KUBECONFIG` and no configuration of the user, so it can't reach a cluster that is not its own. The
//! programs come from `make tools`. What this is not: it fakes nothing else, and it knows nothing of Waxwing's own
//! types.

mod ask;
mod call;
mod certificates;
mod clock;
mod cluster;
mod connect_proxy;
mod controller;
mod failure;
mod fake_cloud;
mod fault_proxy;
mod git_repo;
mod git_server;
mod gnupg;
mod moto;
mod open_bao;
mod own_network;
mod postgres;
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
pub use connect_proxy::ConnectProxy;
pub use controller::{Controller, ControllerOptions};
pub use failure::Failure;
pub use fake_cloud::{CloudMood, CloudRecord, CloudRequest, FakeGcpKms, FakeKeyVault};
pub use fault_proxy::{ApiRequest, Fault, FaultProxy, Rule};
pub use git_repo::GitRepo;
pub use git_server::{Access, GitOperation, GitRequest, GitServer};
pub use gnupg::Gnupg;
pub use moto::Moto;
pub use open_bao::OpenBao;
pub use own_network::{OWN_ADDRESS, in_own_network};
pub use postgres::Postgres;
pub use process::Process;
pub use run_dir::{RunDir, processes_in};
pub use sealed_secrets::SealedSecretsController;
pub use tenant::tenant;
pub use tools::Tools;
pub use upstream::{AgeKey, Upstream};
pub use waiting::{eventually, eventually_async};

//! What the harness starts on a cluster, in one program so that most of it shares one.

mod control_plane;
mod controller;
mod fault_proxy;
mod sealed_secrets;

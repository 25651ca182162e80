//! SealedSecrets as objects of the cluster, with `--sealed-secrets`: sealed by the real kubeseal, reconciled as the real controller does.

mod authenticated;
mod bad_input;
mod existing;
mod http;
mod keys;
mod reconcile;
mod scene;
mod secrecy;
mod switching;

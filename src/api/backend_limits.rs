//! How much of a service all Syncs together may take, which the two kinds of backends say alike.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How much of a service is asked for at most, by all Syncs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendLimits {
    /// How many requests are on their way at the same time. Between 1 and 256. Default: `32`. Example: `8`.
    #[serde(default = "concurrent")]
    #[schemars(range(min = 1, max = 256))]
    pub concurrent_requests: u16,

    /// How many requests are begun in a second; further ones wait, within the time of their sync. A request for several secrets counts as
    /// one. Between 1 and 10000. Default: as many as there are. Example: `50`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: Option<u16>,
}

impl Default for BackendLimits {
    fn default() -> Self {
        Self { concurrent_requests: concurrent(), requests_per_second: None }
    }
}

impl BackendLimits {
    /// Tells whether nothing else is said than what holds anyway.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

const fn concurrent() -> u16 {
    32
}

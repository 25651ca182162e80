//! The arguments about which of several controllers leads. The doc comments are the help texts.

use std::time::Duration;

use clap::ArgAction;

use super::lease::{Timing, TimingError};
use crate::api::Period;

/// Which of several controllers leads.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaseArgs {
    /// Write only while holding the lease, so that of several controllers one does; false where there will never be a second one
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub leader_election: bool,

    /// Hold the lease of this name, in the namespace of --namespace; controllers that share the work have the same one
    #[arg(long, value_name = "NAME", default_value = "waxwing", value_parser = lease_name)]
    pub lease_name: String,

    /// Take the lease from a controller that has not renewed it for so long
    #[arg(long, value_name = "PERIOD", default_value = "15s", value_parser = period)]
    pub lease_duration: Duration,

    /// Stop writing when the lease could not be renewed for so long; less than --lease-duration
    #[arg(long, value_name = "PERIOD", default_value = "10s", value_parser = period)]
    pub lease_renew_deadline: Duration,

    /// Renew the lease so often
    #[arg(long, value_name = "PERIOD", default_value = "2s", value_parser = period)]
    pub lease_retry_period: Duration,

    /// Let what runs go on for so long after SIGTERM; then it is cut off, which is safe, and the lease is given up
    #[arg(long, value_name = "PERIOD", default_value = "2s", value_parser = period)]
    pub shutdown_grace: Duration,
}

impl LeaseArgs {
    /// Returns the times of the lease.
    ///
    /// # Errors
    ///
    /// Fails when they don't make sense together.
    pub(super) fn timing(&self) -> Result<Timing, TimingError> {
        Timing::new(self.lease_duration, self.lease_renew_deadline, self.lease_retry_period)
    }
}

fn period(text: &str) -> Result<Duration, String> {
    text.parse::<Period>().map(Period::get).map_err(|error| error.to_string())
}

/// Reads the name of a Lease, an RFC 1123 subdomain.
fn lease_name(name: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = part.as_bytes();
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| is_end(*first) && is_end(*last));
        ends && bytes.iter().all(|byte| is_end(*byte) || *byte == b'-')
    };
    let is_name = name.len() <= 253 && name.split('.').all(is_part);
    is_name.then(|| name.to_owned()).ok_or_else(|| "it is not the name of an object".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_lease_is_one_that_the_api_server_takes() {
        for good in ["waxwing", "a.b-c", "0"] {
            assert_eq!(lease_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", "a/b", &"a".repeat(254)] {
            assert!(lease_name(bad).is_err(), "{bad:?}");
        }
    }
}

//! The arguments about sealing keys and SealedSecrets, most of them with the names and defaults that the Sealed Secrets controller has
//! for them (`cmd/controller/main.go` of sealed-secrets 0.40). The doc comments are the help texts.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::api::Period;
use crate::sealing::{KeyOrder, KeyPlace, KeySettings, NewKey};
use crate::server::Rate;

/// Sealing keys, and SealedSecrets of the cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sealed Secrets")]
pub struct SealingArgs {
    /// Start the name of a new sealing key Secret with this
    #[arg(long, value_name = "PREFIX", default_value = "sealed-secrets-key")]
    pub key_prefix: String,

    /// Make a new sealing key when the newest is this old, such as 720h; the old ones go on opening. 0 makes none
    #[arg(long, value_name = "PERIOD", default_value = "720h", value_parser = period)]
    pub key_renew_period: Spell,

    /// Make a new sealing key at the start if the newest is from before this time, written as `date -R` prints it
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub key_cutoff_time: Option<Timestamp>,

    /// Let the certificate of a new sealing key be valid for so long
    #[arg(long, value_name = "PERIOD", default_value = "87600h", value_parser = period)]
    pub key_ttl: Spell,

    /// Make new sealing keys of this many bits: 2048, 3072, 4096 or 8192
    #[arg(long, value_name = "BITS", default_value = "4096", value_parser = size)]
    pub key_size: usize,

    /// Write this name into the certificate of a new sealing key
    #[arg(long, value_name = "NAME", default_value = "")]
    pub my_cn: String,

    /// Seal with the key whose certificate, or whose Secret, is the newest
    #[arg(long, value_name = "ORDER", value_enum, default_value_t = Order::CertNotBefore)]
    pub key_order_priority: Order,

    /// Put further labels on the Secrets of new sealing keys
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = pair)]
    pub privatekey_labels: Vec<(String, String)>,

    /// Put annotations on the Secrets of new sealing keys
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = pair)]
    pub privatekey_annotations: Vec<(String, String)>,

    /// Reconcile SealedSecret resources of the cluster too, in place of the Sealed Secrets controller, and let whoever reaches the address
    /// of --listen verify and re-encrypt SealedSecrets; stop that controller first
    #[arg(long)]
    pub sealed_secrets: bool,

    /// Answer so many requests a second to verify, and as many to re-encrypt
    #[arg(long, value_name = "COUNT", default_value = "2")]
    pub rate_limit: NonZeroU32,

    /// Answer so many more requests at once than --rate-limit says
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub rate_limit_burst: u32,

    /// Leave out the metric that names every SealedSecret
    #[arg(long)]
    pub metrics_omit_secret_labels: bool,
}

/// A length of time that may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell(pub Option<Duration>);

/// Which sealing key is the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// By the certificate
    #[value(name = "CertNotBefore")]
    CertNotBefore,
    /// By the Secret
    #[value(name = "SecretCreationTimestamp")]
    SecretCreationTimestamp,
}

impl SealingArgs {
    /// Returns how often SealedSecrets may be verified and re-encrypted, none where they may not.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.sealed_secrets.then_some(Rate { per_second: self.rate_limit, burst: self.rate_limit_burst })
    }

    /// Returns how keys are kept in `namespace`.
    pub(super) fn settings(&self, namespace: &str) -> KeySettings {
        KeySettings {
            place: KeyPlace { namespace: namespace.to_owned(), prefix: self.key_prefix.clone() },
            order: match self.key_order_priority {
                Order::CertNotBefore => KeyOrder::CertNotBefore,
                Order::SecretCreationTimestamp => KeyOrder::SecretCreationTimestamp,
            },
            new: NewKey {
                bits: self.key_size,
                validity: self.key_ttl.0.unwrap_or_default(),
                common_name: self.my_cn.clone(),
                labels: self.privatekey_labels.iter().cloned().collect(),
                annotations: self.privatekey_annotations.iter().cloned().collect(),
            },
            renew_after: self.key_renew_period.0,
            cutoff: self.key_cutoff_time,
        }
    }
}

/// Reads `720h`, `1h30m`, or `0` for none.
fn period(text: &str) -> Result<Spell, String> {
    if matches!(text, "0" | "0s" | "0m" | "0h" | "0h0m0s") {
        return Ok(Spell(None));
    }
    text.parse::<Period>().map(|period| Spell(Some(period.get()))).map_err(|error| error.to_string())
}

/// Reads a time in the form of RFC 2822, as `Mon, 02 Jan 2006 15:04:05 -0700`.
fn time(text: &str) -> Result<Timestamp, String> {
    let read = rfc2822::DateTimeParser::new().parse_timestamp(text);
    read.map_err(|_| "a time is written as `date -R` prints it: Mon, 02 Jan 2006 15:04:05 -0700".to_owned())
}

fn size(text: &str) -> Result<usize, String> {
    let bits = text.parse().ok().filter(|bits| [2048, 3072, 4096, 8192].contains(bits));
    bits.ok_or_else(|| "a sealing key has 2048, 3072, 4096 or 8192 bits".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "it is not KEY=VALUE".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_times_are_read_as_the_sealed_secrets_controller_reads_them() {
        assert_eq!(period("720h0m0s").unwrap().0, Some(Duration::from_secs(720 * 3600)));
        assert_eq!([period("0").unwrap().0, period("0s").unwrap().0], [None, None]);
        for bad in ["", "30d", "1.5h", "-1h", "720"] {
            assert!(period(bad).is_err(), "{bad:?}");
        }
        assert_eq!(time("Mon, 02 Jan 2006 15:04:05 -0700").unwrap().to_string(), "2006-01-02T22:04:05Z");
        assert!(time("2006-01-02T15:04:05Z").is_err());
        assert!(pair("=x").is_err() && pair("a").is_err());
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(size("1024").is_err() && size("4096").is_ok());
    }
}

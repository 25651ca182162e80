//! Renews the sealing key by age: a new one is made, the old ones go on opening. The controller that leads does that.

use std::time::Duration;

use jiff::Timestamp;

use super::{Keys, key_secrets};
use crate::cluster::pauses;

/// The clock is looked at so often at least: dates are in certificates, and somebody may put the clock right.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

impl Keys {
    /// Makes a new key whenever the newest is as old as it may be, and first the one that was not made at the start; runs until it is
    /// dropped.
    pub async fn renew(&self) {
        let (mut changes, mut pauses) = (self.changes(), pauses());
        let mut is_start = self.is_owed;
        loop {
            let left = match is_start {
                true => Some(Duration::ZERO),
                false => self.settings.until_renewal(&self.ring(), Timestamp::now()),
            };
            let pause = match left {
                // Making one takes a second of a processor, and nobody would have it.
                Some(Duration::ZERO) if !self.fence.lets_through() => pauses.next().unwrap_or(LONGEST_SLEEP),
                Some(Duration::ZERO) => match self.make_one(is_start).await {
                    Ok(()) => {
                        is_start = false;
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to renew the sealing key; it is tried again");
                        pauses.next().unwrap_or(LONGEST_SLEEP)
                    }
                },
                left => left.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = changes.changed() => {}
            }
        }
    }

    async fn make_one(&self, is_start: bool) -> Result<(), super::SealingError> {
        // Somebody may have made one that was not told of yet.
        self.replace(key_secrets::load(&self.client, &self.settings).await?);
        let is_due = match is_start {
            true => self.settings.needs_key_at_start(&self.ring()),
            false => self.settings.until_renewal(&self.ring(), Timestamp::now()) == Some(Duration::ZERO),
        };
        if is_due {
            key_secrets::create(&self.client, &self.settings).await?;
            self.replace(key_secrets::load(&self.client, &self.settings).await?);
        }
        Ok(())
    }
}

//! Who is asked to wrap and unwrap data keys: the keys that are at hand, and key services that the user names.
//!
//! As in sops 3.13.3 (`UpdateMasterKeysWithKeyServices` and `decryptKey` in `sops.go`) those at hand come first unless they are left
//! out, then each service in the order of its name on the command line, until one does it. For each master key all are asked.

use waxwing_formats::{DataKey, Refusal, WrappedKey};

use super::error::SealedError;
use super::recipients::MasterKey;
use super::services;
use crate::error::with_causes;
use crate::keyservice::{KeyService, KeyServiceAddress, KeyServiceError};

/// Whom data keys are wrapped and unwrapped by.
pub(crate) struct KeyServices {
    is_local: bool,
    others: Vec<KeyService>,
}

impl KeyServices {
    /// Has the keys at hand asked, if they may be, and then these services. None is called yet.
    pub(crate) fn new(is_local: bool, others: impl IntoIterator<Item = KeyServiceAddress>) -> Self {
        Self { is_local, others: others.into_iter().map(KeyService::new).collect() }
    }

    /// Has the keys at hand asked, and nobody else.
    pub(crate) fn local() -> Self {
        Self::new(true, [])
    }

    /// Tells whether the keys at hand may be asked.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Tells whether there is nobody to ask.
    pub(crate) fn are_none(&self) -> bool {
        !self.is_local && self.others.is_empty()
    }

    /// Wraps a data key, or a share of one, by the first who does it.
    pub(crate) fn wrap(&self, master_key: &MasterKey, key: &DataKey) -> Result<WrappedKey, SealedError> {
        let mut reasons = Vec::new();
        if self.is_local {
            match master_key.wrap(key) {
                Err(error) if !self.others.is_empty() => reasons.push(format!("here: {}", with_causes(&error))),
                done => return done,
            }
        }
        if self.others.is_empty() {
            return Err(SealedError::NobodyToAsk);
        }
        let wanted = master_key.blank()?;
        let mut last = None;
        for service in &self.others {
            match wait(service.wrap(wanted.clone(), key)) {
                Ok(wrapped) => return Ok(wrapped),
                Err(error) => {
                    reasons.push(format!("{}: {error}", service.address()));
                    last = Some(error);
                }
            }
        }
        let last = last.ok_or(SealedError::NobodyToAsk)?;
        Err(SealedError::KeyServices { recipient: master_key.name(), reasons: reasons.join("; "), last })
    }

    /// Has a data key, or a share of one, unwrapped by the first service that does it.
    ///
    /// # Errors
    /// Says for each service why it did not.
    pub(super) fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        let mut reasons = Vec::new();
        for service in &self.others {
            match wait(service.unwrap(wrapped)) {
                Ok(key) => return Ok(key),
                Err(error) => reasons.push(format!("{}: {error}", service.address())),
            }
        }
        Err(Refusal(reasons.join("; ")))
    }
}

fn wait<T>(call: impl Future<Output = Result<T, KeyServiceError>>) -> Result<T, KeyServiceError> {
    services::block_on(call).unwrap_or(Err(KeyServiceError::Unreached))
}

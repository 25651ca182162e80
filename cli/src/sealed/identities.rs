//! The keys that are at hand: where the answer to each request is looked for.

use waxwing_formats::sops::USUAL_ORDER;
use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::ServiceKey;

use super::age_keys::AgeKeys;
use super::pgp_keys::PgpKeys;
use super::services;

/// All keys that are at hand.
pub(crate) struct Identities {
    age: AgeKeys,
    pgp: PgpKeys,
    order: Vec<String>,
}

impl Identities {
    /// Finds the user's own keys. Nobody is asked yet: no service, no program and no user.
    pub(crate) fn at_hand() -> Self {
        let order = USUAL_ORDER.map(str::to_owned).to_vec();
        Self { age: AgeKeys::at_hand(), pgp: PgpKeys::default(), order }
    }

    /// Has keys of these kinds asked first, in this order.
    pub(crate) fn in_order(self, order: Vec<String>) -> Self {
        Self { order, ..self }
    }

    /// Returns which kinds of keys are asked first.
    pub(super) fn order(&self) -> Vec<&str> {
        self.order.iter().map(String::as_str).collect()
    }

    /// Unwraps a data key, or says why not.
    pub(crate) fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        match (wrapped, ServiceKey::of(wrapped)) {
            (_, Some((key, enc))) => services::unwrap(&key, enc).map_err(|error| Refusal(error.to_string())),
            (WrappedKey::Age { .. }, None) => self.age.answer(wrapped),
            (WrappedKey::Pgp { .. }, None) => self.pgp.answer(wrapped),
            (_, None) => Err(Refusal("keys of this kind are not supported".to_owned())),
        }
    }
}

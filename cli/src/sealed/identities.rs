//! Where the answer to each request is looked for: among the keys that are at hand, and then at the key services that the user names.

use std::rc::Rc;

use waxwing_formats::sops::USUAL_ORDER;
use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::ServiceKey;

use super::age_keys::AgeKeys;
use super::key_services::KeyServices;
use super::pgp_keys::PgpKeys;
use super::services;

/// What is said of a kind of key that nothing here calls.
pub(crate) const UNSUPPORTED: &str = "keys of Huawei Cloud KMS are not supported here, a key service of sops has them";

/// All keys that are at hand, unless they are left out, and the key services.
pub(crate) struct Identities {
    own: Option<Own>,
    services: Rc<KeyServices>,
    order: Vec<String>,
}

/// The user's own keys.
struct Own {
    age: AgeKeys,
    pgp: PgpKeys,
}

impl Identities {
    /// Finds the user's own keys. Nobody is asked yet: no service, no program and no user.
    pub(crate) fn at_hand() -> Self {
        Self::through(Rc::new(KeyServices::local()))
    }

    /// Finds the user's own keys, if they may be asked, and has these services asked too.
    pub(crate) fn through(services: Rc<KeyServices>) -> Self {
        let order = USUAL_ORDER.map(str::to_owned).to_vec();
        let own = services.is_local().then(|| Own { age: AgeKeys::at_hand(), pgp: PgpKeys::default() });
        Self { own, services, order }
    }

    /// Returns whom data keys are wrapped by.
    pub(crate) fn services(&self) -> &KeyServices {
        &self.services
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
        let Refusal(here) = match self.own.as_ref().map(|own| own.answer(wrapped)) {
            Some(Ok(key)) => return Ok(key),
            Some(Err(refusal)) => refusal,
            None => Refusal(String::new()),
        };
        self.services.unwrap(wrapped).map_err(|Refusal(elsewhere)| {
            let reasons = [here, elsewhere].into_iter().filter(|reason| !reason.is_empty());
            Refusal(reasons.collect::<Vec<_>>().join("; "))
        })
    }
}

impl Own {
    fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        match (wrapped, ServiceKey::of(wrapped)) {
            (_, Some((key, enc))) => services::unwrap(&key, enc).map_err(|error| Refusal(error.to_string())),
            (WrappedKey::Age { .. }, None) => self.age.answer(wrapped),
            (WrappedKey::Pgp { .. }, None) => self.pgp.answer(wrapped),
            (_, None) => Err(Refusal(UNSUPPORTED.to_owned())),
        }
    }
}

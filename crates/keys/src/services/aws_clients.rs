//! The clients of AWS KMS that one caller has: one for each region, role and profile, since finding credentials and assuming a role
//! take calls of their own. What is not here: how a client is made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::{AwsKey, AwsKms, ServiceError};

/// What a client is made for: region, role and profile.
type Whose = (String, Option<String>, String);

/// A client once it is made, or why it can't be.
type Made = OnceCell<Result<Arc<AwsKms>, ServiceError>>;

/// Clients, by what they are for. One that could not be made is not tried again.
pub struct AwsClients(Mutex<BTreeMap<Whose, Arc<Made>>>);

impl AwsClients {
    /// Has none yet.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Returns the client for a key, which is made if there is none yet; whoever comes in between waits for the same.
    ///
    /// # Errors
    /// Fails if the key's ARN is not one, or as `make` does.
    pub async fn of(
        &self,
        key: &AwsKey,
        make: impl Future<Output = Result<AwsKms, ServiceError>> + Send,
    ) -> Result<Arc<AwsKms>, ServiceError> {
        let region = key.region().ok_or(ServiceError::Malformed { what: "the ARN" })?;
        let whose = (region.to_owned(), key.role.clone(), key.profile.clone());
        let made = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(whose).or_default());
        made.get_or_init(|| async { make.await.map(Arc::new) }).await.clone()
    }
}

impl Default for AwsClients {
    fn default() -> Self {
        Self::new()
    }
}

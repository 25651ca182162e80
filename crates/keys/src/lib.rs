//! Answers key requests and wraps data keys: age identities and recipients, PGP keys, keys of key services, and the cluster's sealing keys.
//!
//! A sealed document says which wrapped keys it has ([`KeyRequest`](waxwing_formats::KeyRequest)); what here holds
//! private keys unwraps one or says why not ([`Refusal`](waxwing_formats::Refusal)). Private RSA operations happen
//! nowhere else in the workspace. Beside that it reads secrets of stores, for references, and writes those of Vault, for `seal`.
//! Reading key files from disk or from the cluster is the caller's business.

mod age_identities;
mod age_recipient;
mod hybrid;
mod keyring;
mod locked_identities;
mod openpgp;
mod rsa_key;
mod sealing_certificate;
mod sealing_key;
mod services;
mod ssh;
mod unsealing_key;

pub use age_identities::{AgeIdentities, IdentityError, UnwrapError, unwrap_with};
pub use age_recipient::{AgeRecipient, RecipientError, WrapError, wrap_with};
pub use keyring::Keyring;
pub use locked_identities::{LockedIdentities, UnlockIdentitiesError};
pub use openpgp::{
    PgpIdentities, PgpKeyError, PgpKeyName, PgpNameError, PgpRecipient, PgpRecipientError, RsaSizes, Why,
};
pub use sealing_key::{GeneratedKey, KeyError, SealingKey};
pub use services::{
    AwsAccess, AwsClients, AwsKey, AwsKms, AwsPath, AwsSecrets, AzureAccess, AzureKey, AzureKeyVault, AzureLogin,
    AzureProof, AzureSecrets, DataKeyCache, GcpAccess, GcpAccountKey, GcpAccountKeyError, GcpKey, GcpKms, GcpLogin,
    GcpSecrets, Holder, Holdings, KeyPattern, KeyPatternError, LeaseId, Lifetime, MadeSecret, Newest, NoConnections,
    Origin, ParseOriginError, Patience, Proxies, ServiceClient, ServiceError, ServiceKey, ServiceKeyError, StoreError,
    StoredVersion, Tokens, VaultAccess, VaultKey, VaultKv, VaultLeases, VaultLogin, VaultProof, VaultSecrets,
    VaultTransit, VersionedSecret, service_name,
};
pub use unsealing_key::UnsealingKey;

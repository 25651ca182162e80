//! As whom a request is made.
//!
//! Tenants act as themselves: what a Sync names is read and applied as its ServiceAccount, by impersonation
//! (Kubernetes documentation, "User impersonation"). The controller's own rights are used for its own
//! resources and for metadata only.
//!
//! Only the user is named. The API server then takes the groups of a ServiceAccount from its namespace, so no right to
//! impersonate groups is needed, and it is what constrained impersonation (Kubernetes KEP-5284) takes.

use std::fmt;

use http::HeaderValue;
use http::header::{HeaderMap, InvalidHeaderValue};

/// A ServiceAccount, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAccount {
    namespace: String,
    name: String,
}

/// A namespace or ServiceAccount name that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a DNS label or subdomain name")]
pub struct InvalidName(pub String);

impl ServiceAccount {
    /// Makes the name of a ServiceAccount.
    ///
    /// # Errors
    ///
    /// Refuses what the API server would never accept as a name (RFC 1123), so that it can't change the meaning
    /// of a header.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        for part in [namespace, name] {
            if !is_dns_name(part) {
                return Err(InvalidName(part.to_owned()));
            }
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the user name that the API server knows this account by.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// As whom a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The controller itself.
    Controller,
    /// A tenant's ServiceAccount, by impersonation.
    Tenant(ServiceAccount),
}

impl Identity {
    /// Adds the impersonation header, where there is one.
    ///
    /// # Errors
    ///
    /// Fails when a name can't stand in a header; the request must not be sent then, since it would be the controller's own.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        let Self::Tenant(account) = self else { return Ok(()) };
        headers.append("impersonate-user", HeaderValue::try_from(account.user())?);
        Ok(())
    }
}

fn is_dns_name(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (1..=253).contains(&name.len())
        && edge(name.chars().next())
        && edge(name.chars().last())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_impersonated_by_name_and_the_api_server_knows_its_groups() {
        let account = ServiceAccount::new("shop", "deployer").unwrap();
        let mut headers = HeaderMap::new();
        Identity::Tenant(account).add_headers(&mut headers).unwrap();
        assert_eq!(headers.get("impersonate-user").unwrap(), "system:serviceaccount:shop:deployer");
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn names_that_could_change_a_header_or_path_are_refused() {
        for name in ["", "a b", "a\nb", "a/b", "A", "-a", "a:b", "ä"] {
            assert!(ServiceAccount::new("shop", name).is_err(), "{name:?}");
        }
    }
}

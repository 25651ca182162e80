//! Transit engines of Vault and OpenBao as the user: the token and the settings that their own command lines read.
//!
//! Source: `vaultClient` in `hcvault/keysource.go` of sops 3.13.3 and the variables of Vault's client library. Stricter: an entry of
//! `SOPS_HC_VAULT_ALLOWLIST` is an address as a whole, certificates are always checked, and no redirect is followed. Keys are found as sops
//! finds them; for what references lead to, OpenBao's variables count too ([`Environment`]).

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use reqwest::Url;
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_keys::service_name::VAULT as SERVICE;
use waxwing_keys::{
    Patience, Proxies, ServiceClient, ServiceError, VaultAccess, VaultKey, VaultKv, VaultSecrets, VaultTransit,
};
use zeroize::Zeroizing;

pub(super) const NO_CREDENTIALS: &str = "set VAULT_TOKEN, or log in with `vault login` or `bao login`";

const ALLOW_LIST: &str = "SOPS_HC_VAULT_ALLOWLIST";

/// By whose rules the user's settings are found in the environment.
#[derive(Clone, Copy)]
pub(crate) enum Environment {
    /// Those of sops, and of Vault's own client: `VAULT_ADDR` and its like.
    Vault,
    /// Those of OpenBao's client: `BAO_ADDR` and its like, also where they are empty, and those of Vault in the place of each that is not
    /// there (`ReadBaoVariable` in `api/env.go` of OpenBao 2).
    OpenBao,
}

impl Environment {
    /// Returns the variable that has a setting, such as `VAULT_ADDR` for `ADDR`.
    pub(crate) fn name(self, setting: &str) -> String {
        let own = format!("BAO_{setting}");
        match self {
            Self::OpenBao if env::var_os(&own).is_some() => own,
            Self::OpenBao | Self::Vault => format!("VAULT_{setting}"),
        }
    }

    /// Returns a setting, if the user has it.
    fn value(self, setting: &str) -> Option<OsString> {
        env::var_os(self.name(setting)).filter(|value| !value.is_empty())
    }

    /// Returns a setting that is a text.
    pub(crate) fn text(self, setting: &str) -> Option<String> {
        self.value(setting)?.into_string().ok()
    }
}

pub(super) async fn wrap(key: &VaultKey, data_key: &DataKey) -> Result<String, ServiceError> {
    client(key)?.wrap(key, data_key).await
}

pub(super) async fn unwrap(key: &VaultKey, enc: &str) -> Result<DataKey, ServiceError> {
    client(key)?.unwrap(key, enc).await
}

/// Makes a client for the server of a key, if it may be called.
fn client(key: &VaultKey) -> Result<VaultTransit, ServiceError> {
    let environment = Environment::Vault;
    VaultTransit::new(connections(environment)?, &key.address, &access(environment, &key.address)?)
}

/// Makes a client for secrets of a server, if it may be called.
pub(super) fn kv(address: &str) -> Result<VaultKv, ServiceError> {
    let environment = Environment::Vault;
    VaultKv::new(connections(environment)?, address, &access(environment, address)?)
}

/// Makes a client for secrets that references lead to.
pub(super) fn secrets(address: &str, namespace: Option<&str>) -> Result<VaultSecrets, ServiceError> {
    let environment = Environment::OpenBao;
    let mut access = access(environment, address)?;
    if let Some(namespace) = namespace {
        access.namespace = Some(namespace.to_owned());
    }
    VaultSecrets::new(connections(environment)?, address, &access)
}

/// Returns the connections that were made before, if they trust the same authorities: to read those of the system takes longer than
/// a call.
fn connections(environment: Environment) -> Result<ServiceClient, ServiceError> {
    static MADE: Mutex<Option<(Option<Vec<u8>>, ServiceClient)>> = Mutex::new(None);
    let authorities = authorities(environment)?;
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, client)) = made.as_ref().filter(|(trusted, _)| *trusted == authorities) {
        return Ok(client.clone());
    }
    let unreadable = |_| ServiceError::Malformed { what: "a certificate of the authorities" };
    let client = ServiceClient::new(authorities.as_deref(), Proxies::OfTheEnvironment, Patience::default());
    let client = client.map_err(unreadable)?;
    *made = Some((authorities, client.clone()));
    Ok(client)
}

/// Finds as whom a server is called, if it may be.
fn access(environment: Environment, address: &str) -> Result<VaultAccess, ServiceError> {
    let allowed = env::var(ALLOW_LIST).unwrap_or_default();
    check(address, &allowed)?;
    if environment.value("SKIP_VERIFY").is_some_and(|value| is_true(&value.to_string_lossy())) {
        let (skip, authority) = (environment.name("SKIP_VERIFY"), environment.name("CACERT"));
        let why = format!("{skip} would let anyone take the token; name the server's authority in {authority}");
        return Err(ServiceError::NotAllowed { service: SERVICE, why });
    }
    Ok(VaultAccess { token: token(environment)?, namespace: environment.text("NAMESPACE") })
}

/// Looks an address up among those that the user allows; `all` and nothing allow all, `none` none.
fn check(address: &str, allowed: &str) -> Result<(), ServiceError> {
    let refused = |why: String| Err(ServiceError::NotAllowed { service: SERVICE, why });
    match allowed {
        "" | "all" => return Ok(()),
        "none" => return refused(format!("{ALLOW_LIST} allows no server")),
        _ => {}
    }
    let mut is_allowed = false;
    let server = Url::parse(address).ok().filter(|url| url.username().is_empty()).map(|url| url.origin());
    for (number, entry) in (1..).zip(allowed.split(',')) {
        match Url::parse(entry.trim()).ok().filter(is_origin) {
            Some(entry) => is_allowed |= server.as_ref() == Some(&entry.origin()),
            None => return refused(format!("entry {number} of {ALLOW_LIST} is not an address as https://vault:8200")),
        }
    }
    let shown =
        || server.as_ref().map_or_else(|| "what is no address".to_owned(), |server| server.ascii_serialization());
    if is_allowed { Ok(()) } else { refused(format!("{ALLOW_LIST} does not have {}", shown())) }
}

/// Tells whether an address has nothing but scheme, host and port.
fn is_origin(url: &Url) -> bool {
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    is_bare && matches!(url.scheme(), "https" | "http") && url.has_host()
}

/// Tells whether a text is true for Go's `strconv.ParseBool`; what is neither would be an error there, and is no reason to trust.
fn is_true(text: &str) -> bool {
    !["", "0", "f", "F", "false", "FALSE", "False"].contains(&text)
}

/// Returns the token of the environment, or the one that a login left; neither is an error, since an agent needs none.
fn token(environment: Environment) -> Result<Option<SecretBytes>, ServiceError> {
    if let Some(token) = environment.value("TOKEN").map(OsString::into_vec).map(Zeroizing::new) {
        return Ok(Some(SecretBytes::concat(&[&token])));
    }
    let Some(file) = env::var_os("HOME").map(|home| Path::new(&home).join(".vault-token")) else { return Ok(None) };
    match fs::read(&file).map(Zeroizing::new) {
        Ok(token) if token.trim_ascii().is_empty() => Ok(None),
        Ok(token) => Ok(Some(SecretBytes::concat(&[token.trim_ascii()]))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(ServiceError::NoCredentials { service: SERVICE, why: format!("{}: {error}", file.display()) })
        }
    }
}

/// Returns the authorities that the user names, in the place of the system's; nothing if none are named.
fn authorities(environment: Environment) -> Result<Option<Vec<u8>>, ServiceError> {
    if let Some(file) = environment.value("CACERT") {
        return read(Path::new(&file)).map(Some);
    }
    if let Some(pem) = environment.value("CACERT_BYTES") {
        return Ok(Some(pem.into_vec()));
    }
    let Some(folder) = environment.value("CAPATH") else { return Ok(None) };
    let mut pem = Vec::new();
    for file in files(PathBuf::from(folder))? {
        pem.extend(read(&file)?);
        pem.push(b'\n');
    }
    Ok(Some(pem))
}

/// Returns all files of a folder and of those in it.
fn files(folder: PathBuf) -> Result<Vec<PathBuf>, ServiceError> {
    let (mut folders, mut files) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>, ServiceError> {
    fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> ServiceError {
    ServiceError::NotAllowed {
        service: SERVICE,
        why: format!("its authorities can't be read: {}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_allow_list_is_an_address_as_a_whole() {
        for (address, allowed, is_allowed) in [
            ("https://vault.example.com", "", true),
            ("https://vault.example.com", "all", true),
            ("https://vault.example.com", "none", false),
            ("https://vault.example.com", "https://vault.example.com", true),
            ("https://vault.example.com:443/", "https://other, https://VAULT.example.com/", true),
            ("https://vault.example.com:8200", "https://vault.example.com", false),
            ("http://vault.example.com", "https://vault.example.com", false),
            ("https://vault.example.com.evil.example", "https://vault.example.com", false),
            ("https://vault.example.com@evil.example", "https://vault.example.com", false),
            ("https://vault.example.com/below", "https://vault.example.com", true),
            ("https://vault.example.com", "https://vault.example.com,", false),
            ("https://vault.example.com", "vault.example.com", false),
            ("https://vault.example.com", "https://vault.example.com/v1", false),
            ("https://vault.example.com", "https://*", false),
        ] {
            assert_eq!(check(address, allowed).is_ok(), is_allowed, "{address} {allowed}");
        }
    }
}

//! Makes throw-away certificates for servers and clients on loopback (RFC 5280, ECDSA P-256).

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::failure::Failure;

/// Is a certificate authority that lives as long as one test's parts.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Is a certificate with its private key, both as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: String,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Errors
    /// [`Failure::Certificate`] when the library refuses.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let mut params = subject(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = new_key(name)
            .and_then(|key| CertifiedIssuer::self_signed(params, key).map_err(|source| failed(name, source)))?;
        Ok(Self { issuer })
    }

    /// Returns the authority's own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns the authority's own certificate, not armored.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Issues a certificate for a server with these host names and addresses.
    ///
    /// # Errors
    /// [`Failure::Certificate`] when a name is not one, or the library refuses.
    pub fn server(&self, names: &[&str]) -> Result<Identity, Failure> {
        let name = names.first().copied().unwrap_or("server");
        let owned: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let alternatives = CertificateParams::new(owned).map_err(|source| failed(name, source))?.subject_alt_names;
        let mut params = subject(name, None);
        params.subject_alt_names = alternatives;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, params)
    }

    /// Issues a client certificate that Kubernetes takes for this user, and in this group.
    ///
    /// # Errors
    /// [`Failure::Certificate`] when the library refuses.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity, Failure> {
        let mut params = subject(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(user, params)
    }

    fn issue(&self, name: &str, mut params: CertificateParams) -> Result<Identity, Failure> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = new_key(name)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|source| failed(name, source))?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// Makes a new private key.
pub(crate) fn new_key(name: &str) -> Result<KeyPair, Failure> {
    KeyPair::generate().map_err(|source| failed(name, source))
}

fn subject(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params
}

fn failed(name: &str, source: rcgen::Error) -> Failure {
    Failure::Certificate { name: name.to_owned(), source }
}

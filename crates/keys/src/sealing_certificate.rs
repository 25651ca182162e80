//! The certificate of a new sealing key, in the shape that upstream gives it.
//!
//! `SignKeyWithNotBefore` in `pkg/crypto/keys.go` of sealed-secrets 0.40 through Go's `x509.CreateCertificate`: version
//! 3, self-signed with SHA256withRSA, a random serial number of 128 bits, issuer and subject with the common name or
//! empty, and the extensions key usage (critical, encipherOnly), basic constraints (critical, CA) and subject key
//! identifier. `rcgen` knows no encipherOnly and signs with keys it has parsed itself, so the structures of `x509-cert`
//! are filled in here and signed by aws-lc-rs.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use jiff::Timestamp;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::asn1::{
    Any, BitString, GeneralizedTime, Null, OctetString, PrintableStringRef, SetOfVec, UtcTime, Utf8StringRef,
};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{self, DateTime, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use crate::KeyError;

/// Makes the certificate of `pair` as DER.
pub(crate) fn self_signed(
    pair: &RsaKeyPair,
    now: Timestamp,
    validity: Duration,
    common_name: &str,
) -> Result<Vec<u8>, KeyError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(KeyError::Generate)?;
    with_serial(pair, &serial, now, validity, common_name)
}

fn with_serial(
    pair: &RsaKeyPair,
    serial: &[u8],
    now: Timestamp,
    validity: Duration,
    common_name: &str,
) -> Result<Vec<u8>, KeyError> {
    let not_after = now.checked_add(validity).map_err(|_| KeyError::Dates)?;
    let validity = Validity { not_before: time(now)?, not_after: time(not_after)? };
    let tbs = to_be_signed(pair, serial, validity, common_name).map_err(KeyError::MakeCertificate)?;
    let message = tbs.to_der().map_err(KeyError::MakeCertificate)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).map_err(KeyError::Generate)?;
    assemble(tbs, &signature).map_err(KeyError::MakeCertificate)
}

fn to_be_signed(
    pair: &RsaKeyPair,
    serial: &[u8],
    validity: Validity,
    common_name: &str,
) -> der::Result<TbsCertificate> {
    let public_key = pair.public_key().as_ref();
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(serial)?,
        signature: algorithm(SHA256_WITH_RSA),
        issuer: name(common_name)?,
        validity,
        subject: name(common_name)?,
        subject_public_key_info: SubjectPublicKeyInfoOwned {
            algorithm: algorithm(RSA_ENCRYPTION),
            subject_public_key: BitString::from_bytes(public_key)?,
        },
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions(public_key)?),
    })
}

fn assemble(tbs_certificate: TbsCertificate, signature: &[u8]) -> der::Result<Vec<u8>> {
    let signature_algorithm = tbs_certificate.signature.clone();
    x509_cert::Certificate { tbs_certificate, signature_algorithm, signature: BitString::from_bytes(signature)? }
        .to_der()
}

/// The identifier is the first 160 bits of the key's SHA-256 (RFC 7093 section 2, method 1), as Go 1.25 and newer do.
fn extensions(public_key: &[u8]) -> der::Result<Vec<Extension>> {
    let digest = digest::digest(&digest::SHA256, public_key);
    let identifier = digest.as_ref().first_chunk::<20>().map(|bytes| bytes.to_vec()).unwrap_or_default();
    Ok(vec![
        extension(true, &KeyUsage(KeyUsages::EncipherOnly.into()))?,
        extension(true, &BasicConstraints { ca: true, path_len_constraint: None })?,
        extension(false, &SubjectKeyIdentifier(OctetString::new(identifier)?))?,
    ])
}

fn extension<T: AssociatedOid + Encode>(critical: bool, content: &T) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(content.to_der()?)? })
}

/// As Go: a `PrintableString` where the text allows it, else UTF-8.
fn name(common_name: &str) -> der::Result<Name> {
    if common_name.is_empty() {
        return Ok(RdnSequence::default());
    }
    let value = match PrintableStringRef::new(common_name) {
        Ok(printable) => Any::from(printable),
        Err(_) => Any::from(Utf8StringRef::new(common_name)?),
    };
    let attribute = AttributeTypeAndValue { oid: COMMON_NAME, value };
    Ok(RdnSequence(vec![RelativeDistinguishedName(SetOfVec::from_iter([attribute])?)]))
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Null.into()) }
}

/// `UTCTime` up to 2049 and `GeneralizedTime` from then on (RFC 5280 section 4.1.2.5), in whole seconds.
fn time(timestamp: Timestamp) -> Result<Time, KeyError> {
    let seconds = u64::try_from(timestamp.as_second()).map_err(|_| KeyError::Dates)?;
    let date = DateTime::from_unix_duration(Duration::from_secs(seconds)).map_err(|_| KeyError::Dates)?;
    if date.year() >= 2050 {
        return Ok(Time::GeneralTime(GeneralizedTime::from_date_time(date)));
    }
    UtcTime::from_date_time(date).map(Time::UtcTime).map_err(|_| KeyError::Dates)
}

/// RFC 8017 appendix A.1 and A.2.4, RFC 5280 appendix A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use waxwing_formats::sealed_secret::pem;
    use x509_cert::der::Decode;

    use super::*;

    fn block(name: &str, label: &str) -> Vec<u8> {
        let folder = Path::new("../formats/tests/fixtures/sealed_secret/keys");
        pem::first_block(&std::fs::read(folder.join(name)).unwrap(), &[label]).unwrap().der.to_vec()
    }

    fn assert_made_as_upstream(certificate: &str, common_name: &str) {
        let pair = RsaKeyPair::from_der(&block("throw-away.key", "RSA PRIVATE KEY")).unwrap();
        let theirs = block(certificate, "CERTIFICATE");
        let serial = x509_cert::Certificate::from_der(&theirs).unwrap().tbs_certificate.serial_number;
        let now = "2024-01-01T00:00:00Z".parse().unwrap();
        let validity = Duration::from_hours(876_000);
        let ours = with_serial(&pair, serial.as_bytes(), now, validity, common_name).unwrap();
        assert_eq!(ours, theirs, "{certificate}");
    }

    #[test]
    fn a_certificate_equals_the_one_that_upstream_makes_of_the_same_key() {
        assert_made_as_upstream("throw-away.crt", "");
        assert_made_as_upstream("throw-away-named.crt", "sealing.example.com");
        assert_made_as_upstream("throw-away-utf8.crt", "Größe");
    }
}

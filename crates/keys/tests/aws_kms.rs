//! Keys of AWS KMS, against moto, and against a server that answers what none should.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

#[path = "support/canned.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of other services")]
mod canned;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use canned::{Canned, answer};
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_harness::Moto;
use waxwing_keys::{AwsKey, AwsKms, ServiceError};

const DATA_KEY: &[u8; 32] = b"hunter2-hunter2-hunter2-hunter2-";
const REGION: &str = "eu-central-1";
/// A role of the account that moto keeps all keys in.
const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

/// One server for all tests that don't stop it.
static MOTO: LazyLock<Moto> = LazyLock::new(|| Moto::start().unwrap());

fn data_key() -> DataKey {
    DataKey::new(SecretBytes::new(DATA_KEY.to_vec()))
}

fn key(arn: &str) -> AwsKey {
    AwsKey::parse(arn, &BTreeMap::new(), "").unwrap()
}

fn with_context(arn: &str, context: &[(&str, &str)]) -> AwsKey {
    let context = context.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    AwsKey::parse(arn, &context, "").unwrap()
}

fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIAHUNTER2", "hunter2-access-key", None, None, "a test");
    SdkConfig::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

/// Of the tries that the SDK makes, one.
fn once(endpoint: &str) -> SdkConfig {
    config(endpoint).into_builder().retry_config(RetryConfig::disabled()).build()
}

async fn wrap(config: &SdkConfig, key: &AwsKey) -> Result<String, ServiceError> {
    AwsKms::for_key(config, key, "sops@test").await?.wrap(key, &data_key()).await
}

async fn unwrap(config: &SdkConfig, key: &AwsKey, enc: &str) -> Result<Vec<u8>, ServiceError> {
    let opened = AwsKms::for_key(config, key, "sops@test").await?.unwrap(key, enc).await;
    opened.map(|key| key.expose_secret().to_vec())
}

#[tokio::test]
async fn a_data_key_comes_back_from_the_key_or_alias_that_wrapped_it() {
    let config = config(&MOTO.address());
    let arn = MOTO.make_key(REGION).unwrap();
    let alias = MOTO.make_alias(REGION, "mine", &arn).unwrap();
    let context = [("app", "shop"), ("stage", "a b")];
    for key in [key(&arn), key(&alias), with_context(&arn, &context), key(&format!("{arn}+{ROLE}"))] {
        let enc = wrap(&config, &key).await.unwrap();
        assert!(STANDARD.decode(&enc).is_ok(), "{enc}");
        assert_eq!(unwrap(&config, &key, &enc).await.unwrap(), DATA_KEY, "{key:?}");
    }
    let share = DataKey::new(SecretBytes::new(vec![7; 33]));
    let client = AwsKms::for_key(&config, &key(&arn), "sops@test").await.unwrap();
    let enc = client.wrap(&key(&arn), &share).await.unwrap();
    assert_eq!(client.unwrap(&key(&arn), &enc).await.unwrap().expose_secret(), [7; 33]);
}

#[tokio::test]
async fn what_kms_refuses_is_told_by_its_code() {
    let config = once(&MOTO.address());
    let arn = MOTO.make_key(REGION).unwrap();
    let mine = with_context(&arn, &[("app", "shop")]);
    let enc = wrap(&config, &mine).await.unwrap();
    let missing = format!("arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000");
    let mut report = String::new();
    for (what, key, enc) in [
        ("no context", key(&arn), enc.as_str()),
        ("another context", with_context(&arn, &[("app", "bank")]), &enc),
        ("another key", with_context(&MOTO.make_key(REGION).unwrap(), &[("app", "shop")]), &enc),
        ("a key that is missing", key(&missing), &enc),
        ("an alias that is missing", key(&format!("arn:aws:kms:{REGION}:123456789012:alias/none")), &enc),
        ("a changed ciphertext", mine.clone(), &STANDARD.encode(b"hunter2 is no ciphertext")),
        ("no base64", mine.clone(), "hunter2!"),
    ] {
        let error = unwrap(&config, &key, enc).await.unwrap_err();
        report.push_str(&format!("{what}: {error}\n"));
    }
    insta::assert_snapshot!(report);
    let error = wrap(&config, &key(&missing)).await.unwrap_err();
    assert!(matches!(error, ServiceError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_client_calls_its_own_region_only() {
    let config = config(&MOTO.address());
    let arn = MOTO.make_key(REGION).unwrap();
    let client = AwsKms::for_key(&config, &key(&arn), "sops@test").await.unwrap();
    let elsewhere = key(&arn.replace(REGION, "us-east-1"));
    assert!(matches!(client.wrap(&elsewhere, &data_key()).await, Err(ServiceError::Malformed { .. })));
    assert!(matches!(client.unwrap(&elsewhere, "YQ==").await, Err(ServiceError::Malformed { .. })));
    let none = AwsKey { arn: "alias/mine".to_owned(), ..key(&arn) };
    assert!(matches!(AwsKms::for_key(&config, &none, "s").await.err(), Some(ServiceError::Malformed { .. })));
}

#[tokio::test]
async fn a_role_is_assumed_in_the_region_of_the_key_and_its_credentials_sign() {
    let assumed = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
        <AccessKeyId>ASIAOFTHEROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let wrapped = r#"{"CiphertextBlob":"YQ==","KeyId":"k"}"#;
    let server = Canned::serve(&[&answer("200 OK", assumed), &answer("200 OK", wrapped)]);
    let key = key(&format!("arn:aws:kms:{REGION}:1:key/k+{ROLE}"));
    assert_eq!(wrap(&config(&server.address()), &key).await.unwrap(), "YQ==");
    let asked = server.asked();
    assert!(asked[0].contains("Credential=AKIAHUNTER2/") && asked[0].contains(&format!("/{REGION}/sts/")));
    let role = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdeploy\
        &RoleSessionName=sops%40test";
    assert!(asked[0].ends_with(role), "{}", asked[0]);
    assert!(asked[1].contains("Credential=ASIAOFTHEROLE/") && asked[1].contains(&format!("/{REGION}/kms/")));
    assert!(asked[1].contains("x-amz-target: TrentService.Encrypt"), "{}", asked[1]);
    let refused = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>hunter2</Message></Error></ErrorResponse>";
    let server = Canned::serve(&[&answer("403 Forbidden", refused)]);
    let error = wrap(&config(&server.address()), &key).await.unwrap_err();
    assert_eq!(error.to_string(), "AWS STS does not allow it (AccessDenied)");
}

#[tokio::test]
async fn nothing_of_an_answer_is_told_but_its_code() {
    let secret = STANDARD.encode(DATA_KEY);
    let error = |code: &str| format!(r#"{{"__type":"{code}","message":"{secret} hunter2"}}"#);
    let mut report = String::new();
    for (status, body) in [
        ("200 OK", String::new()),
        ("200 OK", "hunter2".to_owned()),
        ("200 OK", "{}".to_owned()),
        ("200 OK", r#"{"Plaintext":"hunter2!"}"#.to_owned()),
        ("400 Bad Request", error("com.amazonaws.kms#DisabledException")),
        ("400 Bad Request", error("AccessDeniedException")),
        ("400 Bad Request", error("ThrottlingException")),
        ("400 Bad Request", error("UnrecognizedClientException")),
        ("400 Bad Request", error("hunter2 hunter2")),
        ("400 Bad Request", secret.clone()),
        ("307 Temporary Redirect", String::new()),
        ("500 Internal Server Error", error("KMSInternalException")),
        ("503 Service Unavailable", "<html>hunter2</html>".to_owned()),
    ] {
        let server = Canned::serve(&[&answer(status, &body)]);
        let failed = unwrap(&once(&server.address()), &key(&format!("arn:aws:kms:{REGION}:1:key/k")), "YQ==").await;
        let failed = failed.unwrap_err();
        let told = format!("{failed} {failed:?}");
        assert!(!told.contains("hunter2") && !told.contains(&secret) && !told.contains("AKIA"), "{told}");
        assert_eq!(server.asked().len(), 1, "{status}");
        report.push_str(&format!("{status} {}: {failed}\n", body.replace(&secret, "THE DATA KEY")));
    }
    insta::assert_snapshot!(report);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_a_server_that_is_away_can_not_be_reached() {
    let unwrapped = format!(r#"{{"Plaintext":"{}","KeyId":"k"}}"#, STANDARD.encode(DATA_KEY));
    let server = Canned::serve(&[&answer("500 Internal Server Error", ""), &answer("200 OK", &unwrapped)]);
    let key = key(&format!("arn:aws:kms:{REGION}:1:key/k"));
    assert_eq!(unwrap(&config(&server.address()), &key, "YQ==").await.unwrap(), DATA_KEY);
    assert_eq!(server.asked().len(), 2);
    let mut moto = Moto::start().unwrap();
    moto.stop();
    let error = wrap(&once(&moto.address()), &key).await.unwrap_err();
    assert_eq!(error.to_string(), "AWS KMS can't be reached: Connection refused (os error 111)");
}

#[tokio::test]
async fn without_credentials_nothing_is_asked() {
    let server = Canned::serve(&[&answer("200 OK", "{}")]);
    let key = key(&format!("arn:aws:kms:{REGION}:1:key/k"));
    let config = SdkConfig::builder().endpoint_url(server.address()).build();
    let error = unwrap(&config, &key, "YQ==").await.unwrap_err();
    assert!(matches!(error, ServiceError::NoCredentials { .. }), "{error:?}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

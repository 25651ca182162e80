//! Secrets of AWS, Google Cloud and Azure, as references name them: against moto, against the fakes of the others, and against a server that
//! answers what none should.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

#[path = "support/canned.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of other services")]
mod canned;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use canned::{Canned, answer};
use serde_json::{Value, json};
use waxwing_formats::SecretBytes;
use waxwing_formats::reference::{Pointer, SecretPath, StoredSecret, Version};
use waxwing_harness::{CloudMood, FakeGcpKms, FakeKeyVault, Moto};
use waxwing_keys::{
    AwsAccess, AwsPath, AwsSecrets, AzureSecrets, GcpSecrets, Newest, Patience, Proxies, ServiceClient, ServiceError,
    StoreError, Tokens, VersionedSecret,
};

const REGION: &str = "eu-central-1";

const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    tries: 1,
    pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(100),
};

struct One(String);

#[async_trait]
impl Tokens for One {
    async fn token(&self, _: &str) -> Result<SecretBytes, ServiceError> {
        Ok(SecretBytes::concat(&[self.0.as_bytes()]))
    }
}

fn path(text: &str) -> SecretPath {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn text(secret: &StoredSecret) -> String {
    let value = secret.value(&Pointer::default(), None).unwrap();
    String::from_utf8_lossy(value.expose_secret()).into_owned()
}

fn bytes(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

/// Takes apart what a store said of a version: the version, and what tells it from another.
fn told(newest: Newest) -> (Version, String) {
    match newest {
        Newest::Told { version, mark } => (version.unwrap(), mark),
        Newest::Read { version, secret } => (version.unwrap(), text(&secret)),
    }
}

/// Takes apart which version a secret is that was read: the version, and what tells it from another.
fn versioned(read: &VersionedSecret) -> (Version, String) {
    (read.version.clone().unwrap(), read.mark.clone().unwrap())
}

async fn aws_as(access: &AwsAccess, endpoint: &str) -> AwsSecrets {
    let client = ServiceClient::new(None, Proxies::None, PATIENCE).unwrap();
    AwsSecrets::with_access(client, access, Some(endpoint), REGION, "waxwing@test").await.unwrap()
}

async fn aws(endpoint: &str) -> AwsSecrets {
    let access = AwsAccess::Keys {
        id: bytes("AKIAHUNTER2"),
        secret: bytes("hunter2-access"),
        token: Some(bytes("hunter2-session")),
    };
    aws_as(&access, endpoint).await
}

#[tokio::test]
async fn secrets_of_aws_have_versions_by_id_and_by_stage_and_come_one_by_one_or_many_at_once() {
    let moto = Moto::start().unwrap();
    let ask = |operation: &str, body: Value| moto.secrets(REGION, operation, &body).unwrap();
    let made =
        ask("CreateSecret", json!({"Name": "shop/db", "SecretString": r#"{"user":"shop","password":"hunter-old"}"#}));
    let old = version(made["VersionId"].as_str().unwrap());
    let put = ask(
        "PutSecretValue",
        json!({"SecretId": "shop/db", "SecretString": r#"{"user":"shop","password":"hunter-one"}"#}),
    );
    let new = version(put["VersionId"].as_str().unwrap());
    ask("CreateSecret", json!({"Name": "shop/key", "SecretBinary": "AAH/"}));
    ask("CreateSecret", json!({"Name": "shop/gone", "SecretString": "hunter2"}));
    ask("DeleteSecret", json!({"SecretId": "shop/gone"}));
    let (store, db) = (aws(&moto.address()).await, path("secretsmanager/shop/db"));

    assert_eq!(told(store.newest(&db, None).await.unwrap()).0, new);
    assert_eq!(told(store.newest(&db, Some(&version("AWSPREVIOUS"))).await.unwrap()).0, old);
    for (wanted, value) in [(None, "hunter-one"), (Some(&new), "hunter-one"), (Some(&old), "hunter-old")] {
        let secret = store.read(&db, wanted).await.unwrap();
        let value_at = secret.value(&"/password".parse().unwrap(), None).unwrap();
        assert_eq!(value_at.expose_secret(), value.as_bytes());
    }
    let previous = store.read(&db, Some(&version("AWSPREVIOUS"))).await.unwrap();
    assert!(text(&previous).contains("hunter-old"));
    let access = AwsAccess::WebIdentity {
        role: "arn:aws:iam::123456789012:role/shop".to_owned(),
        token: bytes("eyJhbGciOiJub25lIn0.e30."),
    };
    let exchanged = aws_as(&access, &moto.address()).await.read(&db, None).await.unwrap();
    assert!(text(&exchanged).contains("hunter-one"));
    let key = store.read(&path("secretsmanager/shop/key"), None).await.unwrap();
    assert_eq!(key.value(&Pointer::default(), None).unwrap().expose_secret(), [0, 1, 255]);

    let [key, none] = ["shop/key", "shop/none"].map(|name| path(&format!("secretsmanager/{name}")));
    let many = store.read_of(&[(&db, Some(&new)), (&none, None), (&key, None)]).await.unwrap();
    assert_eq!(many.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert!(text(&many[&0].secret).contains("hunter-one"));
    let read_alone = store.read_with_version(&db, None).await.unwrap();
    for read in [&many[&0], &store.read_of(&[(&db, None)]).await.unwrap()[&0], &read_alone] {
        assert_eq!(versioned(read), told(store.newest(&db, None).await.unwrap()), "it is found so and so");
    }
    assert!(store.read_of(&[(&db, Some(&old))]).await.unwrap().is_empty(), "another version than was planned");

    let service = "AWS Secrets Manager";
    let gone = path("secretsmanager/shop/gone");
    for (what, error, wanted) in [
        ("newest of a missing one", store.newest(&none, None).await.err(), StoreError::Missing { service }),
        ("a missing one", store.read(&none, None).await.err(), StoreError::Missing { service }),
        ("newest of a deleted one", store.newest(&gone, None).await.err(), StoreError::Disabled { service }),
        ("a deleted one", store.read(&gone, None).await.err(), StoreError::Disabled { service }),
        (
            "a missing stage",
            store.newest(&db, Some(&version("blue"))).await.err(),
            StoreError::NoSuchVersion { service },
        ),
        (
            "a missing version",
            store.read(&db, Some(&version("00000000-0000-0000-0000-000000000000"))).await.err(),
            StoreError::NoSuchVersion { service },
        ),
    ] {
        assert_eq!(error, Some(wanted), "{what}");
    }
}

#[tokio::test]
async fn parameters_of_aws_are_opened_and_asked_for_ten_at_once() {
    let moto = Moto::start().unwrap();
    let put = |name: &str, kind: &str, value: &str| {
        let body = json!({"Name": name, "Type": kind, "Value": value, "Overwrite": true});
        moto.parameters(REGION, "PutParameter", &body).unwrap();
    };
    put("/shop/db/password", "SecureString", "hunter-old");
    put("/shop/db/password", "SecureString", "hunter-one");
    put("plain", "String", "hunter-plain");
    let (store, db) = (aws(&moto.address()).await, path("ssm/shop/db/password"));
    let (newest, mark) = told(store.newest(&db, None).await.unwrap());
    assert_eq!(newest, version("2"));
    assert!(!mark.is_empty(), "a number alone begins anew where a parameter does");
    assert_eq!(text(&store.read(&db, Some(&newest)).await.unwrap()), "hunter-one");
    assert_eq!(text(&store.read(&db, Some(&version("1"))).await.unwrap()), "hunter-old");
    moto.parameters(
        REGION,
        "LabelParameterVersion",
        &json!({"Name": "/shop/db/password", "ParameterVersion": 1, "Labels": ["blue"]}),
    )
    .unwrap();
    assert_eq!(told(store.newest(&db, Some(&version("blue"))).await.unwrap()).0, version("1"));

    let [plain, none] = ["ssm/plain", "ssm/shop/none"].map(path);
    let versions = store.newest_of(&[&db, &none, &plain]).await.unwrap();
    assert_eq!(
        versions.into_iter().map(|(place, newest)| (place, told(newest).0)).collect::<Vec<_>>(),
        [(0, version("2")), (2, version("1"))]
    );
    let (two, one) = (version("2"), version("1"));
    let many = store.read_of(&[(&db, Some(&two)), (&plain, Some(&one)), (&none, None)]).await.unwrap();
    assert_eq!(
        many.iter().map(|(place, read)| (*place, text(&read.secret))).collect::<Vec<_>>(),
        [(0, "hunter-one".to_owned()), (1, "hunter-plain".to_owned())]
    );
    let read_alone = store.read_with_version(&db, None).await.unwrap();
    for read in [&many[&0], &store.read_of(&[(&db, None)]).await.unwrap()[&0], &read_alone] {
        assert_eq!(versioned(read), (newest.clone(), mark.clone()), "it is found so and so");
    }
    let service = "AWS Parameter Store";
    assert_eq!(store.read(&none, None).await.err(), Some(StoreError::Missing { service }));
    assert_eq!(store.read(&db, Some(&version("7"))).await.err(), Some(StoreError::NoSuchVersion { service }));
}

#[test]
fn a_path_of_aws_is_a_service_and_a_name_and_never_an_arn() {
    let of = |text: &str| AwsPath::of(&path(text));
    assert_eq!(of("secretsmanager/prod/db").unwrap(), AwsPath::Secret("prod/db".to_owned()));
    assert_eq!(of("ssm/prod/db").unwrap(), AwsPath::Parameter("/prod/db".to_owned()));
    assert_eq!(of("ssm/db").unwrap(), AwsPath::Parameter("db".to_owned()));
    let mut report = String::new();
    for text in [
        "secretsmanager",
        "ssm",
        "db",
        "kms/db",
        "secretsmanager/arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf",
        "secretsmanager/a%20b",
        "ssm/db:3",
        "ssm/arn:aws:ssm:eu-west-1:111122223333:parameter/db",
        "ssm/a@b",
    ] {
        report.push_str(&format!("{text}: {}\n", of(text).unwrap_err()));
    }
    insta::assert_snapshot!(report);
    let stage = of("secretsmanager/db").unwrap();
    assert!(
        stage.may_move(&version("AWSPREVIOUS")) && !stage.may_move(&version("7c20aa96-51be-08f3-9d41-c7e27c20aa96"))
    );
    assert!(of("ssm/db").unwrap().may_move(&version("blue")) && !of("ssm/db").unwrap().may_move(&version("3")));
}

/// Checks a request as AWS does (Signature Version 4, "Create a signed AWS API request"); moto does not.
fn assert_is_signed(request: &str, secret: &str) {
    let (head, body) = request.split_once("\r\n{").unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash = |text: &str| hex(digest(&SHA256, text.as_bytes()).as_ref());
    let mac =
        |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let authorization = header("authorization").strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap();
    let (credential, rest) = authorization.split_once(", SignedHeaders=").unwrap();
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    let scope = credential.split_once('/').unwrap().1;
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let canonical = format!("POST\n/\n\n{headers}\n{names}\n{}", hash(&format!("{{{body}")));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", header("x-amz-date"), hash(&canonical));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
    assert_eq!(signature, hex(&mac(&key, &to_sign)), "{canonical}");
}

#[tokio::test]
async fn what_aws_is_sent_is_signed_and_nothing_of_its_answers_is_told_but_the_code() {
    let server = Canned::serve(&[&answer("200 OK", r#"{"Name":"db","VersionId":"v","SecretString":"hunter2"}"#)]);
    aws(&server.address()).await.read(&path("secretsmanager/db"), None).await.unwrap();
    let asked = &server.asked()[0];
    for part in [
        "POST / HTTP/1.1",
        "x-amz-target: secretsmanager.GetSecretValue",
        "content-type: application/x-amz-json-1.1",
        "x-amz-security-token: hunter2-session",
        "Credential=AKIAHUNTER2/",
        "/eu-central-1/secretsmanager/aws4_request",
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
        r#"{"SecretId":"db"}"#,
    ] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    assert!(!asked.contains("hunter2-access"));
    assert_is_signed(asked, "hunter2-access");

    let error = |code: &str| format!(r#"{{"__type":"{code}","message":"hunter2"}}"#);
    let large = format!(r#"{{"SecretString":"{}"}}"#, "x".repeat(4 << 20));
    let mut report = String::new();
    for (status, body) in [
        ("400 Bad Request", error("AccessDeniedException")),
        ("400 Bad Request", error("com.amazonaws.secretsmanager#ResourceNotFoundException")),
        ("400 Bad Request", error("InvalidRequestException")),
        ("400 Bad Request", error("DecryptionFailure")),
        ("400 Bad Request", error("ThrottlingException")),
        ("400 Bad Request", error("ExpiredTokenException")),
        ("400 Bad Request", error("ValidationException")),
        ("400 Bad Request", error("hunter2 hunter2")),
        ("500 Internal Server Error", error("InternalServiceError")),
        ("500 Internal Server Error", error("hunter2")),
        ("503 Service Unavailable", "<html>hunter2</html>".to_owned()),
        ("429 Too Many Requests", "hunter2".to_owned()),
        ("307 Temporary Redirect", String::new()),
        ("200 OK", "hunter2".to_owned()),
        ("200 OK", "{}".to_owned()),
        ("200 OK", r#"{"Name":"db","VersionId":"v"}"#.to_owned()),
        ("200 OK", r#"{"Name":"db","VersionId":"v","SecretBinary":"hunter2!"}"#.to_owned()),
        ("200 OK", large),
    ] {
        let server = Canned::serve(&[&answer(status, &body)]);
        let failed = aws(&server.address()).await.read(&path("secretsmanager/db"), None).await.unwrap_err();
        let body = if body.len() > 1000 { "something large".to_owned() } else { body.replace("hunter2", "...") };
        report.push_str(&format!("{status} {body}: {failed} ({})\n", failed.word()));
    }
    assert!(!report.contains("hunter2"), "{report}");
    insta::assert_snapshot!(report);
}

fn google(fake: &FakeGcpKms) -> GcpSecrets {
    let client = ServiceClient::new(Some(fake.ca_pem().as_bytes()), Proxies::None, PATIENCE).unwrap();
    GcpSecrets::new(client, &fake.url(), Arc::new(One(fake.access_token().unwrap()))).unwrap()
}

#[tokio::test]
async fn secrets_of_google_cloud_have_versions_by_number_and_whatever_else_happens_is_told_apart() {
    let fake = FakeGcpKms::start().unwrap();
    let id = path(&fake.add_secret("db", b"hunter-old"));
    fake.add_secret("db", b"hunter-one\0\xff");
    let store = google(&fake);
    let Newest::Read { version: Some(found), secret } = store.newest(&id, None).await.unwrap() else { panic!() };
    assert_eq!((found.as_str(), secret.len()), ("2", 12));
    assert_eq!(text(&store.read(&id, Some(&version("1"))).await.unwrap()), "hunter-old");
    assert!(GcpSecrets::may_move(&version("latest")) && !GcpSecrets::may_move(&version("12")));

    let mut report = String::new();
    let mut tell = |what: &str, error: StoreError| report.push_str(&format!("{what}: {error} ({})\n", error.word()));
    for (what, id, wanted) in [
        ("missing", "projects/fake/secrets/none", None),
        ("another project", "projects/other/secrets/db", None),
        ("no such version", "projects/fake/secrets/db", Some("7")),
        ("an alias that is none", "projects/fake/secrets/db", Some("blue")),
        ("a bare name", "db", None),
        ("a version in the path", "projects/fake/secrets/db/versions/1", None),
        ("an odd name", "projects/fake/secrets/d%3Ab", None),
        ("an odd project", "projects/f%20ake/secrets/db", None),
    ] {
        tell(what, store.read(&path(id), wanted.map(version).as_ref()).await.unwrap_err());
    }
    fake.set_secret_state("db", 2, "DISABLED");
    tell("disabled", store.newest(&id, None).await.unwrap_err());
    fake.set_secret_state("db", 2, "DESTROYED");
    tell("destroyed", store.read(&id, Some(&version("2"))).await.unwrap_err());
    fake.set_secret_state("db", 2, "ENABLED");
    for (what, mood) in [
        ("denied", CloudMood::Deny),
        ("throttled", CloudMood::Throttle { times: 1, retry_after: 7 }),
        ("damaged", CloudMood::Damage),
        ("garbled", CloudMood::Garble),
        ("elsewhere", CloudMood::Redirect),
        ("broken", CloudMood::Fail(http::StatusCode::BAD_GATEWAY)),
    ] {
        fake.behave(mood);
        tell(what, store.read(&id, None).await.unwrap_err());
    }
    assert_eq!(fake.count("/elsewhere"), 0);
    let refused = r#"{"error":{"code":400,"message":"hunter2","status":"INVALID_ARGUMENT"}}"#;
    let server = Canned::serve(&[&answer("400 Bad Request", refused)]);
    let client = ServiceClient::new(None, Proxies::None, PATIENCE).unwrap();
    let other = GcpSecrets::new(client, &server.address(), Arc::new(One("t".to_owned()))).unwrap();
    tell("a version that can be none", other.read(&id, Some(&version("-1"))).await.unwrap_err());
    fake.stop();
    tell("away", store.read(&id, None).await.unwrap_err());
    assert!(!report.contains("hunter"), "{report}");
    insta::assert_snapshot!(report);
}

fn azure(fake: &FakeKeyVault) -> AzureSecrets {
    let client = ServiceClient::new(Some(fake.ca_pem().as_bytes()), Proxies::Only(&fake.proxy()), PATIENCE).unwrap();
    AzureSecrets::new(client, FakeKeyVault::URL, Arc::new(One(fake.access_token().unwrap()))).unwrap()
}

#[tokio::test]
async fn secrets_of_azure_have_versions_by_id_and_whatever_else_happens_is_told_apart() {
    let fake = FakeKeyVault::start().unwrap();
    let old = version(&fake.add_secret("db", "hunter-old").unwrap());
    let new = version(&fake.add_secret("db", "hunter-one").unwrap());
    let (store, id) = (azure(&fake), path("secrets/db"));
    assert_eq!(told(store.newest(&id).await.unwrap()).0, new);
    assert_eq!(text(&store.read(&id, None).await.unwrap()), "hunter-one");
    assert_eq!(text(&store.read(&id, Some(&old)).await.unwrap()), "hunter-old");

    let mut report = String::new();
    let mut tell = |what: &str, error: StoreError| report.push_str(&format!("{what}: {error} ({})\n", error.word()));
    for (what, id, wanted) in [
        ("missing", "secrets/none", None),
        ("no such version", "secrets/db", Some("00000000000000000000000000000000")),
        ("a version that is none", "secrets/db", Some("1.2")),
        ("a bare name", "db", None),
        ("a key", "keys/db", None),
        ("a version in the path", "secrets/db/1", None),
        ("an odd name", "secrets/d_b", None),
    ] {
        tell(what, store.read(&path(id), wanted.map(version).as_ref()).await.unwrap_err());
    }
    fake.enable_secret("db", new.as_str(), false);
    tell("disabled", store.newest(&id).await.unwrap_err());
    fake.enable_secret("db", new.as_str(), true);
    for (what, mood) in [
        ("denied", CloudMood::Deny),
        ("throttled", CloudMood::Throttle { times: 1, retry_after: 7 }),
        ("garbled", CloudMood::Garble),
        ("elsewhere", CloudMood::Redirect),
        ("broken", CloudMood::Fail(http::StatusCode::BAD_GATEWAY)),
    ] {
        fake.behave(mood);
        tell(what, store.read(&id, None).await.unwrap_err());
    }
    fake.stop();
    tell("away", store.read(&id, None).await.unwrap_err());
    assert!(!report.contains("hunter"), "{report}");
    insta::assert_snapshot!(report);
    let client = ServiceClient::new(None, Proxies::None, PATIENCE).unwrap();
    for url in ["http://fake.vault.azure.net", "https://fake.vault.azure.net/x", "https://127.0.0.1"] {
        assert!(AzureSecrets::new(client.clone(), url, Arc::new(One(String::new()))).is_err(), "{url}");
    }
}

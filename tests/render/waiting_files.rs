//! SOPS files that wait for key services, between the render and the requests: what is asked for next, and that nothing is done twice.

use std::collections::{BTreeSet, HashSet};
use std::error::Error;

use jiff::Timestamp;
use rand_core::OsRng;
use waxwing::cluster::ServiceAccount;
use waxwing::unsealing::{self, KeyFile, ServiceAnswers, ServiceRefusal, SyncKeys};
use waxwing_formats::sops::{self, Plain, Recipient, Store, Terms, Vectors};
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey};
use waxwing_keys::{AgeIdentities, AgeRecipient, Keyring};
use waxwing_plan::Manifest;

use crate::repository::{fixture, repository, told};

const SECRET: &[u8] = b"apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";

fn of_vault(name: &str) -> WrappedKey {
    WrappedKey::VaultTransit {
        address: "https://vault.example.com".to_owned(),
        engine_path: "transit".to_owned(),
        key_name: name.to_owned(),
        enc: format!("vault:v1:{name}"),
    }
}

/// Seals a Secret for an age key, one of two keys of a service, and a third, which are all needed. Returns their shares too.
fn sealed(own: &AgeRecipient) -> Result<(String, Vec<DataKey>), Box<dyn Error>> {
    let now = Timestamp::UNIX_EPOCH;
    let key = sops::new_data_key(&mut OsRng)?;
    let shares = sops::parts(&key, 3, 3, &mut OsRng)?;
    let wrapped = [vec![own.wrap(&shares[0])?], vec![of_vault("away"), of_vault("first")], vec![of_vault("second")]];
    let groups = wrapped.map(|group| group.into_iter().map(|key| Recipient::new(key, now)).collect());
    let rule = sops::Rule::new(sops::RuleKind::EncryptedRegex, "^stringData$");
    let terms = Terms { groups: groups.into(), shamir_threshold: 3, rule, mac_only_encrypted: false, version: None };
    let sealed = Plain::parse(SECRET, Store::Yaml)?.seal(&key, terms, Vectors::default(), now, &mut OsRng)?;
    Ok((sealed.text(None)?, shares))
}

#[test]
fn a_file_goes_on_where_it_waited_and_its_identities_are_asked_once() -> Result<(), Box<dyn Error>> {
    let identity = fixture("throw-away.agekey")?;
    let text = String::from_utf8(identity.clone())?;
    let own = text.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("it says for whom it is");
    let (file, shares) = sealed(&own.parse()?)?;
    let repository = repository(&[("apps/db.yaml", &file)])?;
    let rendered = repository.render("apps").map_err(|errors| told(&errors))?;
    let sent: Vec<&Manifest> = rendered.manifests().iter().collect();
    let (ring, verified) = (Keyring::new(Vec::new()), BTreeSet::new());
    let mut keys = SyncKeys {
        identities: vec![("age".to_owned(), KeyFile::Age(AgeIdentities::parse(&identity)?))],
        services: ServiceAnswers::new(),
        stores: waxwing::unsealing::Stores::default(),
        ring: &ring,
        account: ServiceAccount::new("team", "deployer")?,
        may_write_secrets_in: BTreeSet::new(),
    };
    let share = |number: usize| Ok(DataKey::new(SecretBytes::concat(&[shares[number].expose_secret()])));

    let begun = unsealing::begin(&rendered, &sent, &verified);
    assert_eq!(begun.unanswered(&keys), HashSet::from([of_vault("away")]));
    // From here on nobody could give the share of the age key again.
    keys.identities.clear();
    assert_eq!(begun.unanswered(&keys), HashSet::from([of_vault("away")]), "until it is answered");
    let away = ServiceRefusal { refusal: Refusal("it is away".to_owned()), hint: String::new() };
    keys.services.insert(of_vault("away"), Err(away));
    assert_eq!(begun.unanswered(&keys), HashSet::from([of_vault("first")]));
    keys.services.insert(of_vault("first"), share(1));
    assert_eq!(begun.unanswered(&keys), HashSet::from([of_vault("second")]));
    keys.services.insert(of_vault("second"), share(2));
    assert_eq!(begun.unanswered(&keys), HashSet::new());
    let opened = unsealing::open(&rendered, &sent, &[], &keys, &verified, &begun);
    assert_eq!(opened.map(|opened| opened.requests.len()).map_err(|errors| errors.len()), Ok(1));
    Ok(())
}

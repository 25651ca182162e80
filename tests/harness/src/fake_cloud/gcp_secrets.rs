//! The part of the fake of Google Cloud that keeps secrets: versions, which are enabled, disabled or destroyed.
//!
//! Source: the REST reference of Secret Manager v1 (`projects.secrets.versions.access`) and its guide to data integrity.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::json;

use super::gcp_kms::{crc32c, refusal};
use super::{Answer, Asked, damaged};
use crate::tls_server::lock;

/// The project of all of them, and the number that Google calls it by.
const PROJECT: &str = "fake";
const NUMBER: &str = "123456789012";

/// Secrets by their names.
#[derive(Default)]
pub(super) struct GcpSecrets(Mutex<BTreeMap<String, Vec<Version>>>);

struct Version {
    data: Vec<u8>,
    /// `SecretVersion.State`.
    state: &'static str,
}

impl GcpSecrets {
    /// Adds a version to a secret, and returns the secret's resource id.
    pub(super) fn add(&self, name: &str, data: &[u8]) -> String {
        let version = Version { data: data.to_vec(), state: "ENABLED" };
        lock(&self.0).entry(name.to_owned()).or_default().push(version);
        format!("projects/{PROJECT}/secrets/{name}")
    }

    /// Says in which state a version is from now on.
    pub(super) fn set_state(&self, name: &str, number: usize, state: &'static str) {
        let mut all = lock(&self.0);
        let version = number.checked_sub(1).and_then(|place| all.get_mut(name)?.get_mut(place));
        if let Some(version) = version {
            version.state = state;
        }
    }

    /// Deletes a secret with all of its versions, and makes it anew with a first one.
    pub(super) fn remake(&self, name: &str, data: &[u8]) {
        lock(&self.0).insert(name.to_owned(), vec![Version { data: data.to_vec(), state: "ENABLED" }]);
    }

    /// Answers for `projects/P/secrets/S/versions/V` and a verb; nothing if that is no version of a secret.
    pub(super) fn answer(&self, asked: &Asked, id: &str, verb: &str, is_damaged: bool) -> Option<Answer> {
        let segments: Vec<&str> = id.split('/').collect();
        let ["projects", project, "secrets", name, "versions", wanted] = segments.as_slice() else { return None };
        if verb != "access" || asked.method != Method::GET {
            return Some(refusal(404, "NOT_FOUND", "Requested entity was not found."));
        }
        let all = lock(&self.0);
        let versions = all.get(*name).filter(|_| [PROJECT, NUMBER].contains(project));
        let Some(versions) = versions else {
            return Some(refusal(404, "NOT_FOUND", &format!("Secret [{id}] not found or has no versions.")));
        };
        let number = if *wanted == "latest" { Some(versions.len()) } else { wanted.parse().ok() };
        let found = number.and_then(|number: usize| Some((number, versions.get(number.checked_sub(1)?)?)));
        Some(match found {
            None => refusal(404, "NOT_FOUND", &format!("Secret Version [{id}] not found.")),
            Some((_, version)) if version.state != "ENABLED" => {
                let text = format!("Secret Version [{id}] is in {} state.", version.state);
                refusal(400, "FAILED_PRECONDITION", &text)
            }
            Some((number, version)) => {
                let (mut data, checksum) = (version.data.clone(), crc32c(&version.data).to_string());
                if is_damaged {
                    damaged(&mut data);
                }
                let answer = json!({
                    "name": format!("projects/{NUMBER}/secrets/{name}/versions/{number}"),
                    "payload": {"data": STANDARD.encode(data), "dataCrc32c": checksum},
                });
                super::json(StatusCode::OK, &answer)
            }
        })
    }
}

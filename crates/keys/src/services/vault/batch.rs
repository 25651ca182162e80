//! Several ciphertexts of one transit key, unwrapped by one request.
//!
//! What is not here: which of them are put together, and what is done where a server takes none together.
//! Source: <https://openbao.org/api-docs/secret/transit/> (`decrypt`, `batch_input`), and what OpenBao 2.7.2 answers: results in the order of
//! what was asked, each with a plaintext or an error, and 400 for all of it as soon as one has an error.

use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use waxwing_formats::DataKey;

use super::super::exchange::{Answer, Body};
use super::super::secret_text::SecretText;
use super::super::{ServiceError, VaultKey};
use super::{Enveloped, SERVICE, VaultTransit, read, unreadable};

impl VaultTransit {
    /// The most ciphertexts of one request. OpenBao refuses JSON with more than 1,000 strings, of which each ciphertext is two
    /// (`max_request_json_strings`).
    pub const MOST_AT_ONCE: usize = 128;

    /// The most bytes that the ciphertexts of one request have together, so that what they are answered by is no longer than what is read of an
    /// answer.
    pub const LONGEST_AT_ONCE: usize = 32 * 1024;

    /// Unwraps several data keys, or shares of some, by one request: returns what came of each, in their order. Nobody is asked for none.
    ///
    /// # Errors
    /// Fails, with nothing unwrapped, as [`VaultTransit::unwrap`] does, if there are more than [`VaultTransit::MOST_AT_ONCE`] or
    /// [`VaultTransit::LONGEST_AT_ONCE`], and if the server does not take several. Then each by itself may be unwrapped nevertheless: a policy
    /// that allows the parameter `ciphertext` alone denies `batch_input`.
    pub async fn unwrap_several(
        &self,
        key: &VaultKey,
        encs: &[&str],
    ) -> Result<Vec<Result<DataKey, ServiceError>>, ServiceError> {
        if encs.is_empty() {
            return Ok(Vec::new());
        }
        let url = self.endpoint(key, "decrypt")?;
        let length: usize = encs.iter().map(|enc| enc.len()).sum();
        if encs.len() > Self::MOST_AT_ONCE || length > Self::LONGEST_AT_ONCE {
            return Err(ServiceError::Malformed { what: "the list of ciphertexts, which is too long," });
        }
        let batch_input = encs.iter().map(|ciphertext| Input { ciphertext }).collect();
        let body = serde_json::to_vec(&Batch { batch_input });
        let body = body.map_err(|_| ServiceError::Malformed { what: "the ciphertext" })?;
        let answer = self.ask(Method::POST, url, Some(Body::json(&[&body]))).await?;
        self.results(&answer, encs.len())
    }

    fn results(&self, answer: &Answer, count: usize) -> Result<Vec<Result<DataKey, ServiceError>>, ServiceError> {
        let results = read::<Results<'_>>(answer);
        let is_answered = (200..300).contains(&answer.status) || (answer.status == 400 && results.is_ok());
        if !is_answered {
            return Err(self.refusal(answer));
        }
        let Enveloped { data: Results { batch_results } } = results?;
        if batch_results.len() != count {
            return Err(unreadable());
        }
        Ok(batch_results.iter().map(|result| result.data_key(answer.status)).collect())
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    batch_input: Vec<Input<'a>>,
}

#[derive(Serialize)]
struct Input<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    batch_results: Vec<Outcome<'a>>,
}

/// What came of one ciphertext. The server's error may quote what it was asked; that there is one is all that is looked at.
#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    plaintext: Option<SecretText<'a>>,
    #[serde(borrow)]
    error: Option<SecretText<'a>>,
}

impl Outcome<'_> {
    fn data_key(&self, status: u16) -> Result<DataKey, ServiceError> {
        if self.error.as_ref().is_some_and(|error| !error.is_empty()) {
            let code = if status == 400 { "400" } else { "an error among its results" };
            return Err(ServiceError::Refused { service: SERVICE, code: code.to_owned() });
        }
        let plaintext = self.plaintext.as_ref().and_then(|plaintext| plaintext.decode(&STANDARD));
        plaintext.map(DataKey::new).ok_or_else(unreadable)
    }
}

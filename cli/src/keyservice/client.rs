//! Asks a key service to wrap or unwrap a data key.
//!
//! An answer is read up to a limit and waited for up to a time. Of a refusal only its code is kept: what a service says of it may be
//! anything.

use std::cell::OnceCell;
use std::error::Error;
use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};

use super::address::KeyServiceAddress;
use super::wire::{self, DATA_KEY_LENGTHS, Request, Response};

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take: the service may ask its user first.
const ANSWER: Duration = Duration::from_secs(300);
/// The most bytes of what an answer has beside its message.
const MAX_HEADERS: u32 = 16 * 1024;

/// A key service that is asked. The connection stands once the first question is asked.
pub(crate) struct KeyService {
    address: KeyServiceAddress,
    answer: Duration,
    channel: OnceCell<Channel>,
}

/// Why a key service gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyServiceError {
    /// Keys of this kind have no form in the protocol.
    #[error("key services can't be asked for keys of this kind")]
    Kind,
    /// Nobody is there.
    #[error("it can't be reached")]
    Unreached,
    /// It takes too long.
    #[error("it does not answer in time")]
    Late,
    /// The connection ended, or what came over it is not of the protocol.
    #[error("the connection broke off, or it is no key service")]
    Broken,
    /// It answers with what can't be one.
    #[error("its answer is malformed or too large")]
    Malformed,
    /// It answers with something that can't be a data key.
    #[error("it gives {length} bytes, which are no data key")]
    Length {
        /// How many.
        length: usize,
    },
    /// It refuses.
    #[error("it refuses ({code:?})")]
    Refused {
        /// The code of gRPC.
        code: Code,
    },
}

impl KeyService {
    /// Makes a client. Nothing is connected yet.
    pub(crate) fn new(address: KeyServiceAddress) -> Self {
        Self { address, answer: ANSWER, channel: OnceCell::new() }
    }

    /// Returns where the service is.
    pub(crate) fn address(&self) -> &KeyServiceAddress {
        &self.address
    }

    /// Has a data key, or a share of one, wrapped for the recipient of `wanted`, whose ciphertext is not looked at. A key of Azure has to
    /// be named with its version: an answer does not say which one it was.
    ///
    /// # Errors
    /// Fails if the service can't be asked or does not do it.
    pub(crate) async fn wrap(&self, wanted: WrappedKey, key: &DataKey) -> Result<WrappedKey, KeyServiceError> {
        let asked = wire::Key::of(&wanted).ok_or(KeyServiceError::Kind)?;
        // Leaves for the service, which the user named.
        let request = Request { key: Some(asked), text: key.expose_secret().to_vec() };
        let mut answer = self.ask(wire::ENCRYPT, request).await?;
        let enc = String::from_utf8(std::mem::take(&mut answer.text)).ok().filter(|enc| is_ciphertext(enc));
        Ok(wire::with_ciphertext(wanted, enc.ok_or(KeyServiceError::Malformed)?))
    }

    /// Has a data key, or a share of one, unwrapped.
    ///
    /// # Errors
    /// Fails if the service can't be asked or does not do it.
    pub(crate) async fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, KeyServiceError> {
        let asked = wire::Key::of(wrapped).ok_or(KeyServiceError::Kind)?;
        let text = wire::ciphertext(wrapped).as_bytes().to_vec();
        let mut answer = self.ask(wire::DECRYPT, Request { key: Some(asked), text }).await?;
        let key = SecretBytes::new(std::mem::take(&mut answer.text));
        match key.len() {
            length if DATA_KEY_LENGTHS.contains(&length) => Ok(DataKey::new(key)),
            length => Err(KeyServiceError::Length { length }),
        }
    }

    async fn ask(&self, path: &'static str, request: Request) -> Result<Response, KeyServiceError> {
        let answer = tokio::time::timeout(self.answer, self.ask_patiently(path, request)).await;
        answer.unwrap_or(Err(KeyServiceError::Late))
    }

    async fn ask_patiently(&self, path: &'static str, request: Request) -> Result<Response, KeyServiceError> {
        let mut client = tonic::client::Grpc::new(self.channel()?).max_decoding_message_size(wire::MAX_MESSAGE);
        client.ready().await.map_err(|_| KeyServiceError::Unreached)?;
        let codec = ProstCodec::<Request, Response>::default();
        let answer = client.unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| KeyServiceError::of(&status))
    }

    /// Returns the connection, which is made when something is sent over it.
    fn channel(&self) -> Result<Channel, KeyServiceError> {
        if let Some(channel) = self.channel.get() {
            return Ok(channel.clone());
        }
        let uri = match &self.address {
            KeyServiceAddress::Tcp(authority) => format!("http://{authority}"),
            KeyServiceAddress::Unix(path) => format!("unix://{}", path.display()),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(|_| KeyServiceError::Unreached)?;
        let endpoint = endpoint.connect_timeout(CONNECT).http2_max_header_list_size(MAX_HEADERS);
        Ok(self.channel.get_or_init(|| endpoint.connect_lazy()).clone())
    }
}

impl KeyServiceError {
    fn of(status: &Status) -> Self {
        match status.code() {
            Code::Unavailable => Self::Unreached,
            Code::DeadlineExceeded => Self::Late,
            // What is made of an error on this side has that error as its source.
            _ if status.source().is_some() => Self::Broken,
            Code::Internal | Code::OutOfRange | Code::ResourceExhausted | Code::DataLoss => Self::Malformed,
            code => Self::Refused { code },
        }
    }

    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unreached | Self::Late => "see whether the key service runs, and at this address",
            Self::Refused { .. } => "look at what the key service says where it runs",
            _ => "name another key service, or none",
        }
    }
}

/// Tells whether a text can stand in a file as what a data key was wrapped to: letters, and the line breaks of armor.
fn is_ciphertext(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_graphic() || b" \r\n".contains(&byte);
    !text.trim().is_empty() && text.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::runtime::Builder;

    use super::*;

    fn wrapped() -> WrappedKey {
        WrappedKey::Age { recipient: "age1".to_owned(), enc: "enc".to_owned() }
    }

    #[test]
    fn a_service_that_says_nothing_is_not_waited_for_forever() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", silent.local_addr().unwrap()).parse().unwrap();
        let service = KeyService { answer: Duration::from_millis(50), ..KeyService::new(address) };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(service.unwrap(&wrapped()));
        assert_eq!(answer.map(drop), Err(KeyServiceError::Late));
    }

    #[test]
    fn what_is_shown_of_a_message_has_no_byte_of_a_key() {
        let request = Request { key: wire::Key::of(&wrapped()), text: b"hunter2".to_vec() };
        let response = Response { text: b"hunter2".to_vec() };
        let shown = format!("{request:?} {response:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }

    #[test]
    fn what_could_break_a_file_is_no_ciphertext() {
        for text in ["", " \n", "vault:v1:\0", "a\tb", "\u{202e}", "\x1b[2J"] {
            assert!(!is_ciphertext(text), "{text:?}");
        }
        assert!(is_ciphertext("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"));
    }
}

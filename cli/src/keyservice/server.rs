//! A key service: has the questions of others answered.
//!
//! Questions are answered one after the other, on one thread, so that a user who is asked first is asked one thing at a time. Here they
//! are read and the answers sent; with whose keys they are answered is the caller's business. What a client hears of a refusal is one
//! of a few sentences.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::thread;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use waxwing_formats::{SecretBytes, WrappedKey};

use super::wire::{self, Key, Request, Response};

/// How many questions may wait, of all clients.
const MAX_WAITING: usize = 64;
/// How many questions a client may have open on a connection.
const MAX_STREAMS: u32 = 16;
/// The most bytes of what a question has beside its message.
const MAX_HEADERS: u32 = 16 * 1024;

/// Where a key service listens.
pub(crate) enum Listening {
    /// An address and a port.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// What a key service is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A data key is to be wrapped.
    Encrypt,
    /// A wrapped data key is to be unwrapped.
    Decrypt,
}

/// What a client asks.
pub(crate) struct Question {
    /// What for.
    pub(crate) wish: Wish,
    /// The master key, and what a data key was wrapped to if it is to be unwrapped. Nothing in it was checked.
    pub(crate) wrapped: WrappedKey,
    /// The data key that is to be wrapped; empty if one is to be unwrapped.
    pub(crate) key: SecretBytes,
}

/// Why a question is not answered, as its client hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// The user said so, or nobody could be asked.
    Refused,
    /// It is not one that could be answered.
    Malformed,
    /// The keys at hand don't do it.
    Failed,
}

type Answer = Result<SecretBytes, Declined>;
type Waiting = (Question, oneshot::Sender<Answer>);

/// Serves until `end` is there. Each question is given to `answer`, one after the other.
///
/// # Errors
/// Fails when no connections can be taken any more.
pub(crate) async fn serve(
    listening: Listening,
    answer: impl FnMut(Question) -> Answer + Send + 'static,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let (ask, questions) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || answer_all(questions, answer));
    let service = tower::service_fn(move |request| {
        let ask = ask.clone();
        async move { Ok::<_, Infallible>(reply(request, ask).await) }
    });
    let server = Server::builder().max_concurrent_streams(MAX_STREAMS).http2_max_header_list_size(MAX_HEADERS);
    let served = async {
        match listening {
            Listening::Tcp(listener) => server.serve_with_incoming(service, TcpListenerStream::new(listener)).await,
            Listening::Unix(listener) => server.serve_with_incoming(service, UnixListenerStream::new(listener)).await,
        }
    };
    // Connections that are open are not waited for: a client may keep one for as long as it likes.
    tokio::select! {
        served = served => served.map_err(io::Error::other),
        () = end => Ok(()),
    }
}

/// A question whose client is gone is not answered any more.
fn answer_all(mut questions: mpsc::Receiver<Waiting>, mut answer: impl FnMut(Question) -> Answer) {
    while let Some((question, reply)) = questions.blocking_recv() {
        if !reply.is_closed() {
            // Who is gone by now hears nothing.
            let _ = reply.send(answer(question));
        }
    }
}

async fn reply(request: http::Request<Body>, ask: mpsc::Sender<Waiting>) -> http::Response<Body> {
    let wish = match request.uri().path() {
        wire::ENCRYPT => Wish::Encrypt,
        wire::DECRYPT => Wish::Decrypt,
        _ => return Status::unimplemented("there is no such question to a key service").into_http(),
    };
    let answered = tower::service_fn(move |request: tonic::Request<Request>| {
        let ask = ask.clone();
        async move { answered(wish, request.into_inner(), &ask).await.map(tonic::Response::new) }
    });
    let codec = ProstCodec::<Response, Request>::default();
    Grpc::new(codec).max_decoding_message_size(wire::MAX_MESSAGE).unary(answered, request).await
}

async fn answered(wish: Wish, request: Request, ask: &mpsc::Sender<Waiting>) -> Result<Response, Status> {
    let question = question(wish, request).ok_or(Declined::Malformed)?;
    let (reply, answer) = oneshot::channel();
    ask.send((question, reply)).await.map_err(|_| Declined::Failed)?;
    let answer = answer.await.map_err(|_| Declined::Failed)??;
    // Leaves for the client, who asked for it.
    Ok(Response { text: answer.expose_secret().to_vec() })
}

/// Reads a question; nothing if it names no master key, or what was wrapped is no text.
fn question(wish: Wish, mut request: Request) -> Option<Question> {
    let key: Key = request.key.take()?;
    let text = std::mem::take(&mut request.text);
    match wish {
        Wish::Encrypt => Some(Question { wish, wrapped: key.wrapped(String::new())?, key: SecretBytes::new(text) }),
        Wish::Decrypt => {
            let wrapped = key.wrapped(String::from_utf8(text).ok()?)?;
            Some(Question { wish, wrapped, key: SecretBytes::new(Vec::new()) })
        }
    }
}

impl From<Declined> for Status {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Refused => Self::new(Code::PermissionDenied, "the user of the key service refuses"),
            Declined::Malformed => Self::new(Code::InvalidArgument, "the key service can't make sense of the question"),
            Declined::Failed => Self::new(Code::FailedPrecondition, "the keys of the key service don't do that"),
        }
    }
}

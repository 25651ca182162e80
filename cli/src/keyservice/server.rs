//! A key service: has the questions of others answered.
//!
//! Several questions are answered at a time, each on a thread of its own, up to a limit; the others wait. Here they are read and the
//! answers sent; with whose keys they are answered is the caller's business. What a client hears of a refusal is one of a few
//! sentences.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use waxwing_formats::{SecretBytes, WrappedKey};

use super::wire::{self, Key, Request, Response};

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
    /// No keys of its kind are supported.
    Unsupported,
    /// The keys at hand don't do it.
    Failed,
}

type Answer = Result<SecretBytes, Declined>;

/// What answers questions, and how many at a time.
struct Desk<A> {
    answer: A,
    free: Arc<Semaphore>,
}

/// Serves until `end` is there. Each question is given to `answer`, so many at a time.
///
/// # Errors
/// Fails when no connections can be taken any more.
pub(crate) async fn serve<A>(
    listening: Listening,
    answer: A,
    at_a_time: NonZeroUsize,
    end: impl Future<Output = ()>,
) -> io::Result<()>
where
    A: Fn(Question) -> Answer + Send + Sync + 'static,
{
    let desk = Arc::new(Desk { answer, free: Arc::new(Semaphore::new(at_a_time.get())) });
    let service = tower::service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(reply(request, desk).await) }
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

async fn reply<A>(request: http::Request<Body>, desk: Arc<Desk<A>>) -> http::Response<Body>
where
    A: Fn(Question) -> Answer + Send + Sync + 'static,
{
    let wish = match request.uri().path() {
        wire::ENCRYPT => Wish::Encrypt,
        wire::DECRYPT => Wish::Decrypt,
        _ => return Status::unimplemented("there is no such question to a key service").into_http(),
    };
    let answered = tower::service_fn(move |request: tonic::Request<Request>| {
        let desk = Arc::clone(&desk);
        async move { answered(wish, request.into_inner(), desk).await.map(tonic::Response::new) }
    });
    let codec = ProstCodec::<Response, Request>::default();
    Grpc::new(codec).max_decoding_message_size(wire::MAX_MESSAGE).unary(answered, request).await
}

/// Answers a question when its turn has come. That of a client who is gone by then is dropped.
async fn answered<A>(wish: Wish, request: Request, desk: Arc<Desk<A>>) -> Result<Response, Status>
where
    A: Fn(Question) -> Answer + Send + Sync + 'static,
{
    let question = question(wish, request).ok_or(Declined::Malformed)?;
    let turn = Arc::clone(&desk.free).acquire_owned().await.map_err(|_| Declined::Failed)?;
    let answer = spawn_blocking(move || {
        // Kept until it is answered, also if the client is gone meanwhile.
        let _turn = turn;
        (desk.answer)(question)
    });
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
            Declined::Unsupported => {
                Self::new(Code::Unimplemented, "this key service has no keys of Huawei Cloud KMS: ask that of sops")
            }
            Declined::Failed => Self::new(Code::FailedPrecondition, "the keys of the key service don't do that"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn so_many_questions_are_answered_at_a_time_and_no_more() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (all_here, now, most) = (Barrier::new(4), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let answer = move |_| {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Nobody goes on before four are here.
            all_here.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(SecretBytes::new(vec![7; 32]))
        };
        let desk = Arc::new(Desk { answer, free: Arc::new(Semaphore::new(4)) });
        let key = WrappedKey::Age { recipient: "age1".to_owned(), enc: String::new() };
        runtime.block_on(async {
            let ask = || Request { key: Key::of(&key), text: b"enc".to_vec() };
            let asked: Vec<_> =
                (0..40).map(|_| tokio::spawn(answered(Wish::Decrypt, ask(), Arc::clone(&desk)))).collect();
            for answer in asked {
                assert_eq!(answer.await.unwrap().unwrap().text, [7; 32]);
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }
}

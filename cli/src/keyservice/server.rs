//! A key service: has the questions of others answered.
//!
//! Several questions are answered at a time, each on a thread of its own, up to a limit; the others wait. Those for which a user may
//! have to be asked have fewer places, so that nobody else waits for him. Here they are read and the
//! answers sent; with whose keys they are answered is the caller's business. What a client hears of a refusal is one of a few
//! sentences.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
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

/// How many questions are answered at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// All in all.
    pub(crate) all: NonZeroUsize,
    /// Of these, for keys of age and PGP, over which a user may be asked for a passphrase.
    pub(crate) with_a_user: NonZeroUsize,
}

/// What answers questions, and the places for it.
struct Desk<A> {
    answer: A,
    free: Arc<Semaphore>,
    free_with_a_user: Arc<Semaphore>,
}

impl<A> Desk<A> {
    fn new(answer: A, places: Places) -> Self {
        let [free, free_with_a_user] =
            [places.all, places.with_a_user].map(|number| Arc::new(Semaphore::new(number.get())));
        Self { answer, free, free_with_a_user }
    }

    /// Waits for a place, and returns what holds it.
    async fn place(&self, wrapped: &WrappedKey) -> Result<[Option<OwnedSemaphorePermit>; 2], AcquireError> {
        let may_ask = matches!(wrapped, WrappedKey::Age { .. } | WrappedKey::Pgp { .. });
        let with_a_user = match may_ask {
            true => Some(Arc::clone(&self.free_with_a_user).acquire_owned().await?),
            false => None,
        };
        Ok([with_a_user, Some(Arc::clone(&self.free).acquire_owned().await?)])
    }
}

/// Serves until `end` is there. Each question is given to `answer`, as many at a time as there are places.
///
/// # Errors
/// Fails when no connections can be taken any more.
pub(crate) async fn serve<A>(
    listening: Listening,
    answer: A,
    places: Places,
    end: impl Future<Output = ()>,
) -> io::Result<()>
where
    A: Fn(Question) -> Answer + Send + Sync + 'static,
{
    let desk = Arc::new(Desk::new(answer, places));
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
    let place = desk.place(&question.wrapped).await.map_err(|_| Declined::Failed)?;
    let answer = spawn_blocking(move || {
        // Kept until it is answered, also if the client is gone meanwhile.
        let _place = place;
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
        let desk = Arc::new(Desk::new(answer, places(4, 4)));
        runtime.block_on(async {
            let asked: Vec<_> =
                (0..40).map(|_| tokio::spawn(answered(Wish::Decrypt, of_age(), Arc::clone(&desk)))).collect();
            for answer in asked {
                assert_eq!(answer.await.unwrap().unwrap().text, [7; 32]);
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn however_many_wait_for_the_user_keys_of_services_are_answered() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let answer = move |question: Question| {
            if matches!(question.wrapped, WrappedKey::Age { .. }) {
                told.lock().unwrap().recv().unwrap();
            }
            Ok(SecretBytes::new(vec![7; 32]))
        };
        let desk = Arc::new(Desk::new(answer, places(4, 2)));
        let gcp = WrappedKey::GcpKms { resource_id: "projects/p".to_owned(), enc: String::new() };
        runtime.block_on(async {
            let asked: Vec<_> =
                (0..8).map(|_| tokio::spawn(answered(Wish::Decrypt, of_age(), Arc::clone(&desk)))).collect();
            tokio::task::yield_now().await;
            let request = Request { key: Key::of(&gcp), text: b"enc".to_vec() };
            assert!(answered(Wish::Decrypt, request, Arc::clone(&desk)).await.is_ok());
            assert!(asked.iter().all(|question| !question.is_finished()));
            // Which of them gets which word is nobody's to say, so all are there before one is waited for.
            for _ in &asked {
                tell.send(()).unwrap();
            }
            for answer in asked {
                assert!(answer.await.unwrap().is_ok());
            }
        });
    }

    fn places(all: usize, with_a_user: usize) -> Places {
        let [all, with_a_user] = [all, with_a_user].map(|number| NonZeroUsize::new(number).unwrap());
        Places { all, with_a_user }
    }

    fn of_age() -> Request {
        let key = WrappedKey::Age { recipient: "age1".to_owned(), enc: String::new() };
        Request { key: Key::of(&key), text: b"enc".to_vec() }
    }
}

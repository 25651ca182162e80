//! Reads the bodies of requests, within a bound on what all of them take in memory together: who sends slowly holds what was sent, and
//! no place that others wait for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// More than a SealedSecret that fits the API server's storage has.
pub(super) const LONGEST_BODY: usize = 4 << 20;
/// What all bodies may take that are read or worked on at the same time.
const ALL_BODIES: usize = 16 * LONGEST_BODY;
/// How long sending one may take.
const LONGEST_SENDING: Duration = Duration::from_secs(30);

/// The memory that bodies may take.
pub(super) struct Bodies(Arc<Semaphore>);

/// A body that was read; its part of the memory is free again when it is dropped.
pub(super) struct Read {
    /// What was sent.
    pub(super) text: Zeroizing<Vec<u8>>,
    _held: Option<OwnedSemaphorePermit>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BODIES)))
    }
}

impl Bodies {
    /// Reads a whole body.
    ///
    /// # Errors
    ///
    /// 413 for one that is too long, 408 for one that takes too long, 429 while others take all the memory, 400 for one that breaks
    /// off or is malformed.
    pub(super) async fn read(&self, body: Body) -> Result<Read, StatusCode> {
        match tokio::time::timeout(LONGEST_SENDING, self.whole(body)).await {
            Ok(read) => read,
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }

    async fn whole(&self, body: Body) -> Result<Read, StatusCode> {
        let mut read = Read { text: Zeroizing::default(), _held: None };
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
            if read.text.len() + chunk.len() > LONGEST_BODY {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            self.hold(&mut read, chunk.len())?;
            read.text.extend_from_slice(&chunk);
        }
        Ok(read)
    }

    fn hold(&self, read: &mut Read, len: usize) -> Result<(), StatusCode> {
        let len = u32::try_from(len).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let more = self.0.clone().try_acquire_many_owned(len).map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
        match &mut read._held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bodies_together_take_so_much_memory_and_no_more() {
        let bodies = Bodies(Arc::new(Semaphore::new(10)));
        let first = bodies.read(Body::from("12345678")).await.unwrap();
        assert_eq!(*first.text, b"12345678");
        assert_eq!(bodies.read(Body::from("123")).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(bodies.read(Body::from("12")).await.err(), None);
        drop(first);
        assert_eq!(bodies.read(Body::from("1234567890")).await.err(), None);
        let long = Body::from(vec![b'x'; LONGEST_BODY + 1]);
        assert_eq!(Bodies::default().read(long).await.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }
}

//! Reads the bodies of requests, within a bound on what all of them and their answers take in memory together: who sends slowly holds what
//! there is room for of what was sent, and no place that others wait for; who doesn't read holds his answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// More than a SealedSecret that fits the API server's storage has.
pub(super) const LONGEST_BODY: usize = 4 << 20;
/// What all bodies may take that are read or worked on at the same time.
const ALL_BODIES: usize = 16 * LONGEST_BODY;
/// How long sending one may take.
const LONGEST_SENDING: Duration = Duration::from_secs(30);
/// How long it may take before there has to be as much of it as [`BYTES_PER_SECOND`] make.
const FIRST_SENDING: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND: usize = 32 << 10;

/// The memory that bodies may take.
#[derive(Clone)]
pub(super) struct Bodies(Arc<Semaphore>);

/// A body that was read; its part of the memory is free again when it is dropped.
pub(super) struct Read {
    /// What was sent.
    pub(super) text: Zeroizing<Vec<u8>>,
    held: Held,
}

/// Part of the memory; free again when this is dropped.
#[derive(Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

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
        let announced = body.size_hint().exact().and_then(|len| usize::try_from(len).ok());
        let mut read = Read { text: Zeroizing::default(), held: Held::default() };
        let (mut chunks, begun) = (body.into_data_stream(), Instant::now());
        loop {
            let due = begun + longest_sending(read.text.len());
            let chunk = tokio::time::timeout_at(due, chunks.next()).await.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
            let Some(chunk) = chunk else { return Ok(read) };
            let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
            self.make_room(&mut read, chunk.len(), announced)?;
            read.text.extend_from_slice(&chunk);
        }
    }

    /// Makes room for so many bytes more, each of which is held before there is memory for it: while the text is copied, twice.
    fn make_room(&self, read: &mut Read, more: usize, announced: Option<usize>) -> Result<(), StatusCode> {
        let needed = read.text.len() + more;
        if needed > LONGEST_BODY {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if needed > read.text.capacity() {
            let twice = (2 * read.text.len()).min(announced.unwrap_or(LONGEST_BODY)).min(LONGEST_BODY);
            let len = needed.max(twice);
            let held = self.hold(len)?;
            let mut larger = Zeroizing::new(Vec::with_capacity(len));
            larger.extend_from_slice(&read.text);
            (read.text, read.held) = (larger, held);
        }
        Ok(())
    }

    fn hold(&self, len: usize) -> Result<Held, StatusCode> {
        let len = u32::try_from(len).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let held = self.0.clone().try_acquire_many_owned(len).map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
        Ok(Held(Some(held)))
    }

    /// Holds as much as an answer takes, in place of what its request took.
    ///
    /// # Errors
    ///
    /// 429 while others take all the memory.
    pub(super) fn exchange(&self, held: Held, len: usize) -> Result<Held, StatusCode> {
        let Held(Some(mut held)) = held else { return self.hold(len) };
        match len.checked_sub(held.num_permits()) {
            Some(more) => held.merge(self.hold(more)?.0.ok_or(StatusCode::TOO_MANY_REQUESTS)?),
            None => drop(held.split(held.num_permits() - len)),
        }
        Ok(Held(Some(held)))
    }
}

impl Read {
    /// Drops what was read, and returns what it held.
    pub(super) fn emptied(self) -> Held {
        self.held
    }
}

/// Returns how long sending a body may have taken once so many bytes of it are here.
fn longest_sending(len: usize) -> Duration {
    (FIRST_SENDING + Duration::from_secs((len / BYTES_PER_SECOND) as u64)).min(LONGEST_SENDING)
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

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
        let exchanged = bodies.exchange(bodies.read(Body::from("1234")).await.unwrap().emptied(), 9).unwrap();
        assert_eq!(bodies.0.available_permits(), 1);
        let exchanged = bodies.exchange(exchanged, 2).unwrap();
        assert_eq!(bodies.0.available_permits(), 8);
        assert_eq!(bodies.exchange(exchanged, 11).err(), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(bodies.0.available_permits(), 10);
        let long = Body::from(vec![b'x'; LONGEST_BODY + 1]);
        assert_eq!(Bodies::default().read(long).await.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn what_is_held_is_what_there_is_memory_for() {
        let (bodies, chunk) = (Bodies::default(), Bytes::from(vec![b'x'; 1000]));
        let chunks = futures::stream::iter((0..100).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
        let read = bodies.read(Body::from_stream(chunks)).await.unwrap();
        assert_eq!((read.text.len(), read.text.capacity()), (100_000, ALL_BODIES - bodies.0.available_permits()));
        assert!(read.text.capacity() < 200_000);
    }

    #[test]
    fn who_sends_has_to_go_on() {
        let kib = [0, 32, 320, 640, 4096].map(|kib| longest_sending(kib << 10).as_secs());
        assert_eq!(kib, [10, 11, 20, 30, 30]);
    }
}

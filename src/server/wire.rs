//! One connection as it is seen from the wire: what it is waited for, since when, and whether that is too long.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// How long sending the headers of a request may take.
const LONGEST_HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be open without a request: longer than the API server's proxy, which is written in Go, keeps one
/// (`http.DefaultTransport`, 90 s), so that the proxy doesn't send a request on one that is being closed.
const LONGEST_IDLE: Duration = Duration::from_secs(120);
/// How long nothing of an answer may be read.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(30);
/// How long reading an answer may take.
const LONGEST_WRITING: Duration = Duration::from_secs(5 * 60);

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request is to come, of which nothing is there yet.
    Idle,
    /// The headers of one are being sent.
    Head,
    /// A request is read and worked on, which has time limits of its own.
    Working,
    /// An answer is being written.
    Writing,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request came.
    Idle,
    /// Headers did not end.
    Head,
    /// An answer was not read.
    Unread,
}

impl Overdue {
    /// Returns the word for it in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "slow-headers",
            Self::Unread => "unread",
        }
    }
}

/// How one connection stands.
pub(super) struct Standing {
    state: Mutex<State>,
    /// Ends the connection when it is cancelled.
    pub(super) closed: CancellationToken,
}

struct State {
    phase: Phase,
    since: Instant,
    /// Since when nothing more can be written.
    stuck: Option<Instant>,
}

impl Standing {
    /// Of a connection that was just accepted: whoever opens one has something to send.
    pub(super) fn new(now: Instant) -> Self {
        let state = State { phase: Phase::Head, since: now, stuck: None };
        Self { state: Mutex::new(state), closed: CancellationToken::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.since) = (phase, Instant::now());
    }

    /// Returns since when there is no request under way; none where there is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        matches!(state.phase, Phase::Idle | Phase::Head).then_some(state.since)
    }

    /// Says what took too long, if anything did.
    pub(super) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let state = self.state();
        let is_over = |since, longest| now.saturating_duration_since(since) > longest;
        if state.stuck.is_some_and(|stuck| is_over(stuck, LONGEST_STANDSTILL)) {
            return Some(Overdue::Unread);
        }
        let (longest, overdue) = match state.phase {
            Phase::Idle => (LONGEST_IDLE, Overdue::Idle),
            Phase::Head => (LONGEST_HEAD, Overdue::Head),
            Phase::Writing => (LONGEST_WRITING, Overdue::Unread),
            Phase::Working => return None,
        };
        is_over(state.since, longest).then_some(overdue)
    }

    fn was_read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
    }

    fn was_written<T>(&self, written: &Poll<T>) {
        let mut state = self.state();
        match written {
            Poll::Ready(_) => state.stuck = None,
            Poll::Pending => state.stuck = state.stuck.or_else(|| Some(Instant::now())),
        }
    }
}

/// The connection itself. That it has no vectored writes is meant: what is written is copied piece by piece.
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    standing: Arc<Standing>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, standing: Arc<Standing>) -> Self {
        Self { stream: TokioIo::new(stream), standing }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if read.is_ready() {
            self.standing.was_read();
        }
        read
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.standing.was_written(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_told_and_a_request_that_is_worked_on_is_waited_for() {
        let begun = Instant::now();
        let standing = Standing::new(begun);
        let after = |seconds| standing.overdue(Instant::now() + Duration::from_secs(seconds));
        assert_eq!([after(9), after(11)], [None, Some(Overdue::Head)]);
        assert!(standing.waiting_since().is_some());
        standing.enter(Phase::Working);
        assert_eq!((after(1000), standing.waiting_since()), (None, None));
        standing.enter(Phase::Writing);
        assert_eq!([after(299), after(301)], [None, Some(Overdue::Unread)]);
        standing.was_written::<()>(&Poll::Pending);
        assert_eq!([after(29), after(31)], [None, Some(Overdue::Unread)]);
        standing.was_written(&Poll::Ready(()));
        standing.enter(Phase::Idle);
        assert_eq!([after(119), after(121)], [None, Some(Overdue::Idle)]);
        standing.was_read();
        assert_eq!([after(9), after(11)], [None, Some(Overdue::Head)]);
    }
}

//! What a proxy does to which requests.

use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};

/// Says what happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status; the API server never sees it.
    Answer(StatusCode),
    /// It is answered with 429 and the wish to come back after so many whole seconds (RFC 9110 section 10.2.3).
    ComeBackAfter(Duration),
    /// It is passed on after this long.
    Delay(Duration),
    /// It is passed on, and the connection breaks instead of an answer: what it asked for has happened.
    LoseAnswer,
    /// It is passed on, and the connection breaks after so many bytes of the answer's body.
    CutAfter(usize),
    /// It is taken and never answered.
    Hang,
    /// A watch begins and says at once that its resourceVersion has expired, as the API server does: an event with a 410.
    ExpireWatch,
    /// A watch begins and ends at once, in good order.
    EndWatch,
}

/// Says which requests meet with which fault: without more all of them, each time.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    verb: Option<&'static str>,
    target: String,
    except: Option<&'static str>,
    every: usize,
    times: usize,
    seen: usize,
    met: usize,
}

impl Rule {
    /// Returns a rule for every request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, verb: None, target: String::new(), except: None, every: 1, times: usize::MAX, seen: 0, met: 0 }
    }

    /// Narrows it to a method in lower case, such as `patch`, or to `watch`; watches are no `get`.
    pub fn verb(self, verb: &'static str) -> Self {
        Self { verb: Some(verb), ..self }
    }

    /// Narrows it to requests with this text in their path or query.
    pub fn on(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }

    /// Narrows it to requests without this text in their path or query.
    pub fn unless(self, target: &'static str) -> Self {
        Self { except: Some(target), ..self }
    }

    /// Narrows it to every so many of those requests.
    pub fn every(self, every: usize) -> Self {
        Self { every: every.max(1), ..self }
    }

    /// Ends it after so many faults.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    pub(super) fn is_on(&self, target: &str) -> bool {
        self.target.contains(target)
    }

    /// Returns the fault that a request meets with, if it does.
    pub(super) fn meets(&mut self, verb: &str, target: &str) -> Option<Fault> {
        let is_other = self.verb.is_some_and(|wanted| wanted != verb) || !target.contains(&self.target);
        if is_other || self.except.is_some_and(|except| target.contains(except)) || self.met >= self.times {
            return None;
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every) {
            return None;
        }
        self.met += 1;
        Some(self.fault)
    }
}

/// Is one request as the proxy saw it.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The method in lower case, or `watch`.
    pub verb: &'static str,
    /// The path and query.
    pub target: String,
    /// How it was answered, or nothing while it is not, or never was.
    pub status: Option<StatusCode>,
    /// The fault that it met with.
    pub fault: Option<Fault>,
    /// When it came.
    pub at: std::time::Instant,
}

impl ApiRequest {
    pub(super) fn of(head: &Parts) -> Self {
        Self {
            verb: verb(head),
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            status: None,
            fault: None,
            at: std::time::Instant::now(),
        }
    }

    /// Returns the path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

fn verb(head: &Parts) -> &'static str {
    let query = head.uri.query().unwrap_or_default();
    let watches = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    match head.method {
        Method::GET if watches => "watch",
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

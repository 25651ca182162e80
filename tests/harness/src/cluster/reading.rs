//! Reads of the API server from within the test's own process: what a test asks for again and again until it is so
//! costs a hundredth of a kubectl this way. What this is not: a client for what tests want to see kubectl do.

use std::sync::{Mutex, OnceLock, PoisonError};

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use kube::Client;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{Cluster, client};
use crate::failure::Failure;

/// What these reads say they are from.
pub const READER: &str = "waxwing-harness";

/// A client that is made when it is needed first.
#[derive(Default)]
pub(super) struct Reader {
    client: OnceLock<Client>,
}

impl Cluster {
    /// Returns the API server's answer to a GET of `path` by the administrator. Not for async functions.
    ///
    /// # Errors
    /// [`Failure::Request`] with what the API server said.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.request(path, Request::get(path).body(Vec::new()))
    }

    /// Changes the object at `path` by a JSON merge patch, as the administrator. Not for async functions.
    ///
    /// # Errors
    /// [`Failure::Request`] with what the API server said.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        let request = Request::patch(path).header(CONTENT_TYPE, "application/merge-patch+json");
        self.request(path, request.body(patch.to_string().into_bytes()))
    }

    /// Deletes the object at `path`, as the administrator. Not for async functions.
    ///
    /// # Errors
    /// [`Failure::Request`] with what the API server said.
    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.request(path, Request::delete(path).body(Vec::new()))
    }

    fn request(&self, path: &str, request: http::Result<Request<Vec<u8>>>) -> Result<Value, Failure> {
        let failed = |source: kube::Error| Failure::Request { path: path.to_owned(), source: Box::new(source) };
        let request = request.map_err(|error| failed(kube::Error::HttpError(error)))?;
        runtime()?.block_on(async { self.reading_client()?.request(request).await.map_err(failed) })
    }

    fn reading_client(&self) -> Result<Client, Failure> {
        if let Some(client) = self.reader.client.get() {
            return Ok(client.clone());
        }
        let mut config = self.config();
        config.headers.push((USER_AGENT, HeaderValue::from_static(READER)));
        let made = client("the administrator", config)?;
        Ok(self.reader.client.get_or_init(|| made).clone())
    }
}

/// Returns the runtime of all such clients, which stays as long as the process.
fn runtime() -> Result<&'static Runtime, Failure> {
    static RUNTIME: Mutex<Option<&'static Runtime>> = Mutex::new(None);
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match *runtime {
        Some(made) => Ok(made),
        None => {
            let made = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            Ok(*runtime.insert(Box::leak(Box::new(made.map_err(Failure::io("start a runtime"))?))))
        }
    }
}

//! Requests of the test's own process, as the administrator: what a test asks for again and again until it is so, or makes
//! before it begins, costs a hundredth of a kubectl this way. What this is not: a client for what tests want to see kubectl do.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Builder as RequestBuilder;
use http::{HeaderValue, Request};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{Cluster, client};
use crate::failure::Failure;
use crate::tls_server::lock;

/// What these requests say they are from.
pub const HARNESS: &str = "waxwing-harness";

/// How long an answer may take.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// The namespace of objects that don't name one.
const NAMESPACE: &str = "default";

/// A client that is made when it is needed first, and what it has learned.
#[derive(Default)]
pub(super) struct Requests {
    client: OnceLock<Client>,
    /// The resources of each version of a group, as far as they were asked for.
    resources: Mutex<HashMap<String, Vec<APIResource>>>,
}

/// Where an object belongs.
struct Place<'a> {
    /// The path of all of its kind.
    resources: String,
    name: &'a str,
}

impl Cluster {
    /// Returns the API server's answer to a GET of `path` by the administrator.
    ///
    /// # Errors
    /// [`Failure::Request`] with what the API server said.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.request(path, Request::get(path), Vec::new())
    }

    /// Changes the object at `path` by a JSON merge patch, as the administrator.
    ///
    /// # Errors
    /// [`Failure::Request`] with what the API server said.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        let request = Request::patch(path).header(CONTENT_TYPE, "application/merge-patch+json");
        self.request(path, request, patch.to_string().into_bytes())
    }

    /// Deletes the object at `path`, as the administrator.
    ///
    /// # Errors
    /// [`Failure::Request`] with what the API server said.
    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.request(path, Request::delete(path), Vec::new())
    }

    /// Applies the objects of these YAML documents one after the other, server-side and with force, as the administrator; objects
    /// with a namespace that name none go into `default`.
    ///
    /// # Errors
    /// [`Failure::Manifest`] for what is not an object of a known kind, [`Failure::Request`] with what the API server refused.
    pub fn apply_yaml(&self, documents: &str) -> Result<(), Failure> {
        for object in objects(documents)? {
            let Place { resources, name } = self.place(&object)?;
            let path = format!("{resources}/{name}?fieldManager=test&force=true");
            let request = Request::patch(&path).header(CONTENT_TYPE, "application/apply-patch+yaml");
            self.text(&path, request, object.to_string().into_bytes())?;
        }
        Ok(())
    }

    /// Asks what the API server says to the objects of these YAML documents if they were new, without storing them; unknown
    /// fields are refused.
    ///
    /// # Errors
    /// As [`Cluster::apply_yaml`].
    pub fn try_yaml(&self, documents: &str) -> Result<(), Failure> {
        for object in objects(documents)? {
            let path = format!("{}?dryRun=All&fieldValidation=Strict", self.place(&object)?.resources);
            let request = Request::post(&path).header(CONTENT_TYPE, "application/json");
            self.text(&path, request, object.to_string().into_bytes())?;
        }
        Ok(())
    }

    /// Tells whether the API server says that it is ready.
    pub(super) fn is_ready(&self) -> Result<(), Failure> {
        self.text("/readyz", Request::get("/readyz"), Vec::new()).map(drop)
    }

    fn place<'a>(&self, object: &'a Value) -> Result<Place<'a>, Failure> {
        let text = |pointer: &str| text(object, pointer);
        let named = || ["/apiVersion", "/kind", "/metadata/name"].map(|field| text(field).unwrap_or("?")).join(" ");
        let unknown = || Failure::Manifest(format!("{} is no object of a known kind", named()));
        let (api_version, kind) = (text("/apiVersion").ok_or_else(unknown)?, text("/kind").ok_or_else(unknown)?);
        let name = text("/metadata/name").ok_or_else(unknown)?;
        let api = if api_version.contains('/') { "/apis" } else { "/api" };
        let resource = self.resource(&format!("{api}/{api_version}"), kind)?.ok_or_else(unknown)?;
        let namespace = text("/metadata/namespace").unwrap_or(NAMESPACE);
        let within = if resource.namespaced { format!("namespaces/{namespace}/") } else { String::new() };
        Ok(Place { resources: format!("{api}/{api_version}/{within}{}", resource.name), name })
    }

    /// Returns how the API server serves a kind, which it is asked again where that was not known.
    fn resource(&self, group_version: &str, kind: &str) -> Result<Option<APIResource>, Failure> {
        let of_kind = |all: &Vec<APIResource>| {
            all.iter().find(|resource| resource.kind == kind && !resource.name.contains('/')).cloned()
        };
        if let Some(known) = lock(&self.requests.resources).get(group_version).and_then(of_kind) {
            return Ok(Some(known));
        }
        let listed: APIResourceList = self.request(group_version, Request::get(group_version), Vec::new())?;
        let found = of_kind(&listed.resources);
        lock(&self.requests.resources).insert(group_version.to_owned(), listed.resources);
        Ok(found)
    }

    fn request<T: DeserializeOwned>(&self, path: &str, request: RequestBuilder, body: Vec<u8>) -> Result<T, Failure> {
        let text = self.text(path, request, body)?;
        serde_json::from_str(&text).map_err(|error| failed(path, kube::Error::SerdeError(error)))
    }

    fn text(&self, path: &str, request: RequestBuilder, body: Vec<u8>) -> Result<String, Failure> {
        let request = request.body(body).map_err(|error| failed(path, kube::Error::HttpError(error)))?;
        let (runtime, client) = (runtime()?, self.requesting_client()?);
        let (answer, answered) = mpsc::channel();
        // There, and waited for here: a test may be in a runtime of its own.
        runtime.spawn(async move { answer.send(client.request_text(request).await) });
        let ended = |_| std::io::ErrorKind::UnexpectedEof.into();
        let answer = answered.recv().map_err(ended).map_err(Failure::io(format!("ask for {path}")))?;
        answer.map_err(|error| failed(path, error))
    }

    fn requesting_client(&self) -> Result<Client, Failure> {
        if let Some(client) = self.requests.client.get() {
            return Ok(client.clone());
        }
        let mut config = self.config();
        config.headers.push((USER_AGENT, HeaderValue::from_static(HARNESS)));
        config.read_timeout = Some(LONGEST_ANSWER);
        let _within = runtime()?.enter();
        let made = client("the administrator", config)?;
        Ok(self.requests.client.get_or_init(|| made).clone())
    }
}

fn failed(path: &str, source: kube::Error) -> Failure {
    Failure::Request { path: path.to_owned(), source: Box::new(source) }
}

/// Returns the objects of YAML documents; those of a `List` by themselves.
fn objects(documents: &str) -> Result<Vec<Value>, Failure> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(documents).map_err(|error| Failure::Manifest(error.to_string()))?;
    let is_there = documents.into_iter().filter(|document| !document.is_null());
    let unfolded = is_there.flat_map(|document| match (text(&document, "/kind"), document.get("items")) {
        (Some("List"), Some(Value::Array(items))) => items.clone(),
        _ => vec![document],
    });
    Ok(unfolded.collect())
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
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

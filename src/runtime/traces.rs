//! Sends spans to an OpenTelemetry collector: OTLP over HTTP, in protobuf, as batches, beside the work.
//!
//! Spans are those of reconciles and their steps (`reconcile/span.rs`); all of their fields are public. Requests go through the
//! one TLS stack of the process, follow no redirect and use no proxy. What can't be sent is dropped, and that is logged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why traces can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address of the collector is malformed. It is not quoted: perhaps it holds a password.
    #[error("the address is not of the form http://HOST:PORT or https://HOST:PORT, without user name and query")]
    Address,
    /// There is no client for the collector.
    #[error("failed to make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// There is no exporter for the collector.
    #[error("failed to make an exporter")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// Returns where a collector takes traces. An address is refused that could hold a credential: it stands in arguments.
fn address(collector: &str) -> Option<String> {
    let url = reqwest::Url::parse(collector).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let known = ["http", "https"].contains(&url.scheme()) && url.has_host() && url.fragment().is_none();
    (plain && known).then(|| format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
}

/// Makes what sends spans to a collector, on the runtime that this is called in.
///
/// # Errors
///
/// See [`TracesError`].
pub(super) fn provider(collector: &str) -> Result<SdkTracerProvider, TracesError> {
    let address = address(collector).ok_or(TracesError::Address)?;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
    let client = client.build().map_err(TracesError::Client)?;
    let sender = Sender { client, runtime: Handle::current(), fails: AtomicBool::new(false) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(address)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(TracesError::Exporter)?;
    let about = [opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    let resource = Resource::builder_empty().with_service_name("waxwing").with_attributes(about).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

/// Returns what turns the spans of the process into those that are sent.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("waxwing"));
    layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_target(false)
}

/// Sends batches. The exporter has a thread of its own without a runtime, so they are sent on that of the process.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    /// The last batch could not be sent, and that was said.
    fails: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.client.clone(), request)).await?;
        let trouble = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let failed = self.fails.swap(trouble.is_some(), Ordering::Relaxed);
        if let Some(trouble) = trouble.filter(|_| !failed) {
            tracing::warn!(trouble, "failed to send traces to the collector");
        }
        Ok(sent?)
    }
}

async fn send(client: reqwest::Client, request: http::Request<Bytes>) -> reqwest::Result<http::Response<Bytes>> {
    let answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_host_without_credentials() {
        for (text, expected) in [
            ("http://otel:4318", "http://otel:4318/v1/traces"),
            ("https://otel.example.com/", "https://otel.example.com/v1/traces"),
            ("https://otel.example.com/tenant/", "https://otel.example.com/tenant/v1/traces"),
        ] {
            assert_eq!(address(text).as_deref(), Some(expected));
        }
        let credentials = ["http://user:hunter2@otel", "http://otel?token=hunter2", "http://otel#hunter2"];
        for text in ["", "otel:4318", "grpc://otel:4317", "http://"].iter().chain(&credentials) {
            assert_eq!(address(text), None, "{text}");
        }
    }
}

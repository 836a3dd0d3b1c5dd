//! The SDK of OpenTelemetry, without tokio: spans are batched by a thread of the SDK, which sends
//! them by its own loop.

use std::error::Error;

use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tidegate::observe::otel::opentelemetry::global;
use tidegate::observe::otel::{OtlpClient, Traces};

/// Exports to this collector.
pub(crate) fn provider(collector: &str) -> Result<SdkTracerProvider, Box<dyn Error>> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(OtlpClient::new())
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("tide").build())
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(provider)
}

/// By that provider; without one, of nothing.
pub(crate) fn traces() -> Traces {
    Traces::new(global::tracer("tidegate"))
}

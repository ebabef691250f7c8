//! Where telemetry goes: read by Prometheus, pushed by OTLP.

use anyhow::bail;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchConfigBuilder, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{MeterProviderBuilder, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::Registry;

use super::trace::Ids;
use crate::config::{Otlp, Telemetry as Settings};

/// Who is telling: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win.
pub(super) fn resource(node: &str) -> Resource {
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
    let builder = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", node.to_owned()),
    ]);
    if named { builder.build() } else { builder.with_service_name("magistrate").build() }
}

pub(super) fn meters(settings: &Settings, registry: &Registry, resource: Resource) -> anyhow::Result<SdkMeterProvider> {
    let prometheus =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
    let builder = SdkMeterProvider::builder().with_resource(resource).with_reader(prometheus);
    Ok(pushed(builder, settings.otlp.as_ref())?.build())
}

fn pushed(builder: MeterProviderBuilder, otlp: Option<&Otlp>) -> anyhow::Result<MeterProviderBuilder> {
    let Some(otlp) = otlp else {
        return Ok(builder);
    };
    let exporter = MetricExporter::builder().with_tonic();
    let exporter = match &otlp.endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    Ok(builder.with_reader(PeriodicReader::builder(exporter.build()?).build()))
}

/// Decisions that wait to be told at most; more are left out.
const WAITING: usize = 65_536;
/// Decisions told at once at most.
const AT_ONCE: usize = 2_048;

/// The feed of decisions, if it is asked for.
pub(super) fn decisions(settings: &Settings, resource: Resource) -> anyhow::Result<Option<SdkLoggerProvider>> {
    let Some(otlp) = settings.otlp.as_ref().filter(|_| settings.decisions) else {
        return Ok(None);
    };
    let exporter = LogExporter::builder().with_tonic();
    let exporter = match &otlp.endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    let bounds = BatchConfigBuilder::default().with_max_queue_size(WAITING).with_max_export_batch_size(AT_ONCE).build();
    let processor = BatchLogProcessor::builder(exporter.build()?).with_batch_config(bounds).build();
    Ok(Some(SdkLoggerProvider::builder().with_resource(resource).with_log_processor(processor).build()))
}

/// What is sampled is decided before a span is begun, so every span that is begun is exported.
pub(super) fn traces(settings: &Settings, resource: Resource) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(otlp) = &settings.otlp else {
        return Ok(None);
    };
    if !(0.0..=1.0).contains(&settings.trace_ratio) {
        bail!("the share of traces to sample is {}, which is not between 0 and 1", settings.trace_ratio);
    }
    let exporter = SpanExporter::builder().with_tonic();
    let exporter = match &otlp.endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::AlwaysOn)
        .with_id_generator(Ids::default())
        .with_batch_exporter(exporter.build()?);
    Ok(Some(provider.build()))
}

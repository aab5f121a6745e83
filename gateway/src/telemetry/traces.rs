//! What an event goes back to, on whichever replica it is told: the request that caused it, and the trace of that request.
//!
//! A trace has the request, the transaction that wrote what it caused, the way over the bus, and on each replica the delivery, until
//! the last who listens there has it written down. Traces are kept only if `OTEL_EXPORTER_OTLP_ENDPOINT` says where they go; without
//! it there are none, and asking for one is a comparison. The id of the request goes along in any case.

use std::{fmt, sync::Arc, time::SystemTime};

use anyhow::Context as _;
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer, TracerProvider,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, Span},
};
use uuid::Uuid;

use crate::config::Telemetry;

/// What something goes back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The id under which the logs know the request.
    pub request_id: Arc<str>,
    /// Where it is in a trace, if there is one.
    pub trace: Option<SpanContext>,
}

tokio::task_local! {
    static CAUSE: Arc<Cause>;
}

impl Cause {
    /// Of what is being done at this moment.
    pub fn current() -> Option<Arc<Self>> {
        CAUSE.try_with(Arc::clone).ok()
    }

    /// Do something because of this.
    pub async fn leads_to<T>(self, work: impl Future<Output = T>) -> T {
        CAUSE.scope(Arc::new(self), work).await
    }

    /// The same request, further on in its trace.
    fn further(&self, stage: &Span) -> Arc<Self> {
        Arc::new(Self {
            request_id: self.request_id.clone(),
            trace: Some(stage.span_context().clone()),
        })
    }
}

/// The place of a trace as bytes: its id, that of the stage, and whether it is kept.
pub const PLACE: usize = 25;

pub fn place(trace: &SpanContext) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[..16].copy_from_slice(&trace.trace_id().to_bytes());
    bytes[16..24].copy_from_slice(&trace.span_id().to_bytes());
    bytes[24] = trace.trace_flags().to_u8();
    bytes
}

pub fn from_place(bytes: &[u8; PLACE]) -> SpanContext {
    let (mut trace, mut stage) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&bytes[..16]);
    stage.copy_from_slice(&bytes[16..24]);
    SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(stage),
        TraceFlags::new(bytes[24]),
        true,
        TraceState::default(),
    )
}

/// Where traces go, if they go anywhere.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Kept>>);

struct Kept {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Something that takes time, as a trace shows it. It ends when it is dropped.
#[derive(Debug)]
pub struct Stage(Span);

impl Traces {
    /// `replica` tells this one from the others.
    pub fn start(config: &Telemetry, replica: Uuid) -> anyhow::Result<Self> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(Self::default());
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .with_context(|| format!("cannot send traces to {endpoint} (OTEL_EXPORTER_OTLP_ENDPOINT)"))?;
        let resource = Resource::builder()
            .with_service_name(config.otlp_service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", replica.to_string()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("gateway");
        Ok(Self(Some(Arc::new(Kept { provider, tracer }))))
    }

    /// A request begins, and a trace with it. `name` is asked for only if it is kept.
    pub fn request(&self, name: impl FnOnce() -> String, request_id: &str) -> Option<Stage> {
        let kept = self.0.as_ref()?;
        let request = SpanBuilder::from_name(name())
            .with_kind(SpanKind::Server)
            .with_attributes([KeyValue::new("request_id", request_id.to_owned())]);
        Some(Stage(kept.tracer.build_with_context(request, &Context::new())))
    }

    /// Now, if it matters.
    pub fn now(&self) -> Option<SystemTime> {
        self.0.as_ref().map(|_| SystemTime::now())
    }

    /// A transaction that began then has been committed. It was part of each trace that something in it goes back to: says how each
    /// goes on.
    pub fn committed<'a>(
        &self,
        began: Option<SystemTime>,
        causes: impl ExactSizeIterator<Item = &'a mut Option<Arc<Cause>>>,
    ) {
        let (Some(kept), Some(began)) = (&self.0, began) else {
            return;
        };
        let together = causes.len();
        let mut last: Option<(Arc<Cause>, Arc<Cause>)> = None;
        for cause in causes.filter_map(Option::as_mut) {
            // One request may cause several events, one behind the other.
            let known = last.as_ref().filter(|(before, _)| Arc::ptr_eq(before, cause));
            let after = known.map(|(_, after)| after.clone()).or_else(|| {
                let stage = kept.stage("transaction", SpanKind::Internal, cause, Some(began))?;
                let mut stage = stage.0;
                stage.set_attribute(KeyValue::new("events", together as i64));
                Some(cause.further(&stage))
            });
            if let Some(after) = after {
                last = Some((cause.clone(), after.clone()));
                *cause = after;
            }
        }
    }

    /// Something that was told then has just been heard of, over the bus. Says how its trace goes on.
    pub fn heard(&self, cause: &Arc<Cause>, told: SystemTime) -> Arc<Cause> {
        let kept = self.0.as_ref();
        let stage = kept.and_then(|kept| kept.stage("bus", SpanKind::Consumer, cause, Some(told)));
        stage.map_or_else(|| cause.clone(), |stage| cause.further(&stage.0))
    }

    /// Something is told to all who listen here.
    pub fn delivery(&self, cause: Option<&Arc<Cause>>, kind: &str) -> Option<Box<Stage>> {
        let mut stage = self
            .0
            .as_ref()?
            .stage("delivery", SpanKind::Internal, cause?, None)?;
        stage.set("event", kind.to_owned());
        Some(Box::new(stage))
    }

    /// Send what is left, before the process ends.
    pub async fn finish(self) {
        let Some(kept) = self.0 else { return };
        // It waits for the network, on a thread that may.
        let finished = tokio::task::spawn_blocking(move || kept.provider.shutdown());
        if let Ok(Err(error)) = finished.await {
            tracing::warn!(%error, "The last traces could not be sent");
        }
    }
}

impl Kept {
    /// Nothing, if the trace is not kept.
    fn stage(
        &self,
        name: &'static str,
        kind: SpanKind,
        cause: &Cause,
        began: Option<SystemTime>,
    ) -> Option<Stage> {
        let before = cause.trace.clone().filter(SpanContext::is_sampled)?;
        let mut stage = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes([KeyValue::new("request_id", cause.request_id.to_string())]);
        stage.start_time = began;
        let before = Context::new().with_remote_span_context(before);
        Some(Stage(self.tracer.build_with_context(stage, &before)))
    }
}

impl Stage {
    /// Where this is in its trace.
    pub fn context(&self) -> SpanContext {
        self.0.span_context().clone()
    }

    pub fn set(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    pub fn failed(&mut self, why: String) {
        self.0.set_status(Status::error(why));
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_way() {
        let trace = SpanContext::new(
            TraceId::from_bytes([7; 16]),
            SpanId::from_bytes([9; 8]),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        assert_eq!(from_place(&place(&trace)), trace);
    }
}

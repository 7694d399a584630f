//! What the gRPC address counts of itself, by the names of Go's gRPC middleware, which Thanos' dashboards and alerts
//! know.

use crate::metrics::{Buckets, Histograms, SECONDS};
use axum::body::Body;
use axum::http::Response;
use nilometer_env::Clock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// A method of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Method {
    grpc_method: &'static str,
    grpc_service: &'static str,
    grpc_type: &'static str,
}

impl Method {
    pub(super) const INFO: Method = Method::new("thanos.info.Info", "Info", "unary");
    pub(super) const SERIES: Method = Method::new("thanos.Store", "Series", "server_stream");
    pub(super) const LABEL_NAMES: Method = Method::new("thanos.Store", "LabelNames", "unary");
    pub(super) const LABEL_VALUES: Method = Method::new("thanos.Store", "LabelValues", "unary");
    pub(super) const HEALTH: Method = Method::new("grpc.health.v1.Health", "Check", "unary");

    const fn new(grpc_service: &'static str, grpc_method: &'static str, grpc_type: &'static str) -> Self {
        Method { grpc_method, grpc_service, grpc_type }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    grpc_code: &'static str,
    grpc_method: &'static str,
    grpc_service: &'static str,
    grpc_type: &'static str,
}

#[derive(Clone)]
pub(super) struct GrpcMetrics {
    clock: Arc<dyn Clock>,
    started: Family<Method, Counter>,
    handled: Family<Handled, Counter>,
    seconds: Histograms<Method>,
}

impl GrpcMetrics {
    pub(super) fn register(registry: &mut Registry, clock: Arc<dyn Clock>) -> Self {
        let metrics = GrpcMetrics {
            clock,
            started: Family::default(),
            handled: Family::default(),
            seconds: Family::new_with_constructor(Buckets(&SECONDS)),
        };
        registry.register("grpc_server_started", "Calls begun", metrics.started.clone());
        registry.register("grpc_server_handled", "Calls ended, whatever their code", metrics.handled.clone());
        let help = "Time from the begin to the end of a call";
        registry.register("grpc_server_handling_seconds", help, metrics.seconds.clone());
        metrics
    }

    pub(super) fn begin(&self, method: Method) -> Call {
        self.started.get_or_create(&method).inc();
        Call { metrics: self.clone(), method, began: self.clock.monotonic(), code: Code::Cancelled }
    }
}

/// A call; one that is dropped without having ended was broken off by its client.
pub(super) struct Call {
    metrics: GrpcMetrics,
    method: Method,
    began: Duration,
    code: Code,
}

impl Call {
    pub(super) fn end(mut self, code: Code) {
        self.code = code;
    }

    /// Ends with what an answer's head says; one that has nothing to say is good.
    pub(super) fn answered(self, response: Response<Body>) -> Response<Body> {
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        self.end(code);
        response
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Method { grpc_method, grpc_service, grpc_type } = self.method;
        let handled = Handled { grpc_code: name(self.code), grpc_method, grpc_service, grpc_type };
        self.metrics.handled.get_or_create(&handled).inc();
        let took = self.metrics.clock.monotonic().saturating_sub(self.began);
        self.metrics.seconds.get_or_create(&self.method).observe(took.as_secs_f64());
    }
}

/// As Go's gRPC writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

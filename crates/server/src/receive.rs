//! Remote write: a request is stored and on stable storage before it is answered.
//!
//! ```text
//! tenant ─▶ 415? ─▶ 413? body ─▶ a place ─▶ decode ─▶ rate ─▶ Head::append ─▶ Head::durable ─▶ 204
//! ```
//!
//! Up to `append` nothing is stored, so a sender that breaks off, or a body that is wrong, leaves nothing
//! behind. Decoding and appending take about a millisecond and run where the request came in; a large one
//! makes room for others first.
//!
//! Success is 204, as Prometheus' own receiver answers: there is nothing to read. Senders take any 2xx.

use crate::Hub;
use crate::answer;
use crate::auth::tenant_header;
use crate::body::NoBody;
use crate::metrics::WriteOutcome;
use crate::series_policy::TenantPolicy;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use nilometer_access::{Identity, Refusal, TenantState};
use nilometer_model::{Error, Kind};
use nilometer_wire::content::{Unsupported, Written, negotiate};
use nilometer_wire::remote_write::{Limits, Message, WriteRequest};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// A disk that takes longer is treated as one that failed: the sender retries, and what was stored meanwhile
/// is found again.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(60);

/// From this size on, decoding may keep a thread for longer than others should wait.
const LARGE_BODY_BYTES: usize = 512 << 10;

/// Decoders kept for requests to come.
const MAX_IDLE_DECODERS: usize = 8;

pub(crate) async fn receive(
    State(hub): State<Arc<Hub>>,
    Extension(identity): Extension<Arc<Identity>>,
    request: Request,
) -> Response<Body> {
    let _pending = hub.receive.begin();
    let named = tenant_header(&hub, request.headers());
    let tenant = match hub.access.resolve_write(&identity, named.as_deref()) {
        Ok(tenant) => tenant,
        Err(refusal) => return with_written(answer::refusal(&refusal), Written::default()),
    };
    let mut seen = Seen::default();
    let response = match store(&hub, &tenant, request, &mut seen).await {
        Ok(response) => response,
        Err(stop) => with_written(stop.answer(), Written::default()),
    };
    let (series, samples) = (seen.series, seen.samples);
    let outcome = WriteOutcome { code: response.status().as_u16(), series, samples };
    hub.receive.written(&tenant.tenant, outcome);
    response
}

/// What a request holds, as far as it was read.
#[derive(Default)]
struct Seen {
    series: usize,
    samples: usize,
}

/// Why nothing of a request is stored.
enum Stop {
    Refused(Refusal),
    Unsupported(Unsupported),
    Body(NoBody),
    Failed(Error),
}

async fn store(
    hub: &Hub,
    tenant: &TenantState,
    request: Request,
    seen: &mut Seen,
) -> Result<Response<Body>, Stop> {
    let (head, body) = request.into_parts();
    let message = message(&head.headers).map_err(Stop::Unsupported)?;
    let max = tenant.limits.request_bytes;
    let received =
        hub.bodies.receive(tenant.tenant.as_str(), &head.headers, body, max).await.map_err(Stop::Body)?;
    hub.receive.body(received.bytes.len());
    // Only now: who sends slowly must not take the places of those who do not.
    let _place = hub.access.enter(Some(tenant)).map_err(Stop::Refused)?;
    let turn = received.turn().await;
    let mut append = || {
        let mut decoder = hub.decoders.take();
        let request = &mut decoder.request;
        request.read(message, &received.bytes, &limits(tenant)).map_err(Stop::Failed)?;
        seen.series = request.series().len();
        seen.samples = request.sample_count() + request.histogram_count();
        hub.access.admit_samples(tenant, seen.samples as u64).map_err(Stop::Refused)?;
        let policy = TenantPolicy { state: tenant, hub_full_at_series: hub.census.full_at(&hub.access) };
        hub.head.append(&tenant.tenant, request, &policy).map_err(Stop::Failed)
    };
    // Who has to wait for its tenant's memory must not keep this thread from other tenants.
    let appended = if received.bytes.len() > LARGE_BODY_BYTES || hub.head.is_busy(&tenant.tenant) {
        tokio::task::block_in_place(append)?
    } else {
        append()?
    };
    drop((turn, received));
    match tokio::time::timeout(DURABLE_TIMEOUT, hub.head.durable(&appended)).await {
        Ok(durable) => durable.map_err(Stop::Failed)?,
        Err(_) => return Err(Stop::Failed(Error::unavailable("the disk does not answer; retry later"))),
    }
    hub.census.stored(&tenant.tenant, appended.samples, appended.histograms);
    let written =
        Written { samples: appended.samples, histograms: appended.histograms, exemplars: appended.exemplars };
    let refused = &appended.refused;
    hub.receive.refused(&tenant.tenant, refused);
    if !refused.fails_request() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(with_written(response, written));
    }
    let status = if refused.only_conflicts() { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST };
    Ok(with_written(answer::text(status, refused), written))
}

fn message(headers: &HeaderMap) -> Result<Message, Unsupported> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()));
    negotiate(text(header::CONTENT_TYPE).as_deref(), text(header::CONTENT_ENCODING).as_deref())
}

fn limits(tenant: &TenantState) -> Limits {
    let of = &tenant.limits;
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Limits {
        max_decompressed_bytes: usize::try_from(of.decompressed_bytes).unwrap_or(usize::MAX),
        max_series: small(of.series_per_request),
        ..Limits::default()
    }
}

fn with_written(mut response: Response<Body>, written: Written) -> Response<Body> {
    for (name, count) in written.headers() {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
    }
    response
}

impl Stop {
    fn answer(&self) -> Response<Body> {
        match self {
            Stop::Refused(refusal) => answer::refusal(refusal),
            Stop::Unsupported(why) => answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
            // A file of ours is missing, nothing that was asked for: no reason to drop samples.
            Stop::Failed(e) if *e.kind() == Kind::NotFound => {
                answer::text(StatusCode::SERVICE_UNAVAILABLE, e)
            }
            Stop::Failed(e) => answer::error(e),
            Stop::Body(NoBody::TooLarge { max }) => answer::text(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the body is larger than {max} bytes (limit request_bytes): send fewer samples at a time"
                ),
            ),
            Stop::Body(NoBody::NoMemory) => answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "other requests take all the memory that there is for bodies: retry",
            ),
            // 408 and 400 would make a Prometheus drop what only a bad connection kept from arriving.
            Stop::Body(NoBody::TooSlow(why)) => answer::text(StatusCode::SERVICE_UNAVAILABLE, why),
            Stop::Body(NoBody::Broken(why)) => {
                answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("the body broke off: {why}"))
            }
            Stop::Body(NoBody::Malformed(why)) => answer::text(StatusCode::BAD_REQUEST, why),
        }
    }
}

/// Decoders that keep their memory from request to request.
#[derive(Default)]
pub(crate) struct Decoders(Mutex<Vec<WriteRequest>>);

/// Goes back when dropped.
struct Decoder<'a> {
    request: WriteRequest,
    home: &'a Decoders,
}

impl Decoders {
    fn take(&self) -> Decoder<'_> {
        let request = self.0.lock().pop().unwrap_or_default();
        Decoder { request, home: self }
    }

    /// Memory of those that wait for requests.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.lock().iter().map(WriteRequest::allocated_bytes).sum()
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        self.request.clear();
        let mut idle = self.home.0.lock();
        if idle.len() < MAX_IDLE_DECODERS {
            idle.push(std::mem::take(&mut self.request));
        }
    }
}

//! Who calls, and whether it may: every route but the two probes is behind one of these.

use crate::{Edge, answer};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::middleware::Next;
use nilometer_access::{Identity, InFlight, Outcome, ReadScope, Refusal, Scope};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Put into the extensions of each request to a route that reads.
#[derive(Clone)]
pub struct Caller {
    pub identity: Arc<Identity>,
    /// Which tenants a query of this request sees.
    pub read_scope: ReadScope,
    /// Where it comes from, proxies that are trusted left out.
    pub client: IpAddr,
}

/// The other end of a connection, put into the extensions of each request by `listen`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Header of the tenant that Thanos' senders know.
pub(crate) const THANOS_TENANT: &str = "THANOS-TENANT";

/// For routes that write: they find their tenant themselves.
pub(crate) async fn known(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response<Body> {
    match authenticate(&edge, &request).await {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => answer::refusal(&refusal),
    }
}

/// For routes that query: they find a [`Caller`].
pub(crate) async fn reads(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response<Body> {
    match reader(&edge, &request).await {
        Ok((caller, _place)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => answer::refusal(&refusal),
    }
}

/// The same for calls over gRPC. Thanos' queriers name a tenant in each, mostly the default one: without
/// `--query.enforce-tenancy` that says nothing of what may be read.
pub(crate) async fn grpc_reads(
    State(edge): State<Arc<Edge>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if !edge.callers.enforce_tenancy {
        request.headers_mut().remove(&edge.callers.tenant_header);
        request.headers_mut().remove(THANOS_TENANT);
    }
    match reader(&edge, &request).await {
        Ok((caller, _place)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => answer::grpc_refusal(&refusal).into_http(),
    }
}

/// For what changes the hub itself.
pub(crate) async fn administers(
    State(edge): State<Arc<Edge>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let allowed = authenticate(&edge, &request).await.and_then(|who| edge.access.require(&who, Scope::Admin));
    match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => answer::refusal(&refusal),
    }
}

/// For what tells of all tenants: either of the scopes of operators will do.
pub(crate) async fn oversees(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response<Body> {
    let allowed = authenticate(&edge, &request).await.and_then(|who| match who.require(Scope::Admin) {
        Ok(()) => Ok(()),
        Err(_) => edge.access.require(&who, Scope::ReadAll),
    });
    match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => answer::refusal(&refusal),
    }
}

/// Takes what it needs from the request at once: a body cannot be shared while a password is hashed.
fn reader(
    edge: &Arc<Edge>,
    request: &Request,
) -> impl Future<Output = Result<(Caller, InFlight), Refusal>> + Send + use<> {
    let (edge, outcome) = (edge.clone(), authenticate(edge, request));
    let (header, client) = (tenant_header(&edge, request.headers()), peer(&edge, request));
    async move {
        let identity = outcome.await?;
        let read_scope =
            edge.access.resolve_read(&identity, header.as_deref(), edge.callers.enforce_tenancy)?;
        let place = edge.access.enter(None)?;
        Ok((Caller { identity, read_scope, client }, place))
    }
}

fn authenticate(
    edge: &Edge,
    request: &Request,
) -> impl Future<Output = Result<Arc<Identity>, Refusal>> + Send + use<> {
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let outcome = edge.access.authenticate(authorization, peer(edge, request));
    async move {
        match outcome {
            Outcome::Known(identity) => Ok(identity),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Pending(pending) => pending.await,
        }
    }
}

fn peer(edge: &Edge, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    edge.callers.trusted_proxies.client(peer, request.headers())
}

/// The tenant that a request names, if it does. What is not text becomes a name that no tenant can have.
pub(crate) fn tenant_header(edge: &Edge, headers: &HeaderMap) -> Option<String> {
    let of = |name: &str| headers.get(name).filter(|value| !value.is_empty());
    let value = of(&edge.callers.tenant_header).or_else(|| of(THANOS_TENANT))?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

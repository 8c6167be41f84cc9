//! Carries a request to the upstream and the response back. Both bodies are streamed, never buffered.

use crate::upload::{self, TooSlow};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use buttress::metrics::http::HttpMetricsLayer;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE, VIA};
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Uri, Version};
use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use tower::{Service, ServiceBuilder};

/// The server that requests are carried to: the host and port of an `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream(Authority);

/// A client for `upstream` that takes requests as they arrive at a gateway, lets their bodies take so long, and is
/// measured.
pub(crate) fn client(
    upstream: Upstream,
    upload: Duration,
    metrics: HttpMetricsLayer,
) -> impl Service<Request, Response = Response, Error = Error, Future: Send> + Clone + Send + Sync + 'static {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    ServiceBuilder::new()
        .map_request(move |request| outward(request, &upstream).map(|body| upload::limited(body, upload)))
        .map_response(|response: http::Response<_>| homeward(response.map(Body::new)))
        .layer(metrics)
        .service(client)
}

/// Whether the exchange failed because the body that the gateway's own client sent could not be read.
/// That says nothing about the upstream, and must not open its breaker.
pub(crate) fn is_clients_fault(error: &Error) -> bool {
    // What reading an axum body fails with; it is in the chain only when the client's body failed.
    chain(error).any(<dyn StdError>::is::<axum::Error>)
}

/// Whether the gateway's own client did not send its body in time.
pub(crate) fn is_too_slow(error: &Error) -> bool {
    chain(error).any(<dyn StdError>::is::<TooSlow>)
}

/// An error and its sources.
pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn outward(mut request: Request, Upstream(authority): &Upstream) -> Request {
    let asked = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority.clone()).path_and_query(path);
    *request.uri_mut() = uri.build().expect("a scheme, an authority and a path make a URI");
    *request.version_mut() = Version::HTTP_11;

    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    let headers = request.headers_mut();
    drop_hop_by_hop(headers);
    headers.append(VIA, HeaderValue::from_static("1.1 gateway"));
    // What the client says of itself is not passed on as if the gateway had said it. Of `X-Forwarded-For` only the
    // last hop is the gateway's own word.
    for claimed in ["forwarded", "x-real-ip", "x-forwarded-host"] {
        headers.remove(claimed);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    // Where there is no `Host`, the client sets the upstream's.
    let host = headers.remove(HOST);
    if let Some(host) = asked.or(host) {
        headers.insert("x-forwarded-host", host);
    }
    if let Some(Ok(peer)) = peer.map(HeaderValue::try_from) {
        headers.append("x-forwarded-for", peer);
    }
    request
}

fn homeward(mut response: Response) -> Response {
    *response.version_mut() = Version::HTTP_11;
    drop_hop_by_hop(response.headers_mut());
    response
}

/// Drops what is meant for one connection only (RFC 9110 §7.6.1), also what `Connection` names.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    static ALWAYS: [HeaderName; 6] = [
        CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    if headers.contains_key(TRANSFER_ENCODING) {
        // It overrides a length, which must not outlive it: RFC 9112 §6.3.
        headers.remove(CONTENT_LENGTH);
    }
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.iter().chain(&ALWAYS) {
        headers.remove(name);
    }
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error: InvalidUri| error.to_string())?;
        let (scheme, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => (scheme, authority),
            _ => return Err("expected http://host:port".into()),
        };
        let without_port = authority.as_str() == authority.host();
        if scheme != "http" {
            Err(format!("`{scheme}` is not supported, only `http`"))
        } else if authority.as_str().contains('@') {
            Err("a user name is not supported".into())
        } else if authority.host().is_empty() {
            Err("the host is missing".into())
        } else if !without_port && authority.port_u16().is_none() {
            Err("the port is not a number from 0 to 65535".into())
        } else if !matches!(uri.path_and_query().map(PathAndQuery::as_str), None | Some("" | "/")) {
            Err("a path is not supported, only http://host:port".into())
        } else {
            Ok(Self(authority.clone()))
        }
    }
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string().parse().expect("an address and a port are an authority"))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

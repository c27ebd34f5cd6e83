//! What every request passes: origin check, time-out, security headers, one measurement.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use crate::health;
use crate::problem::ApiError;

/// Other sites need not learn what is read here.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
/// A body is what its type says, never a script by guess.
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// For browsers older than `frame-ancestors`, which the web slice sends.
const DENY: HeaderValue = HeaderValue::from_static("DENY");

/// The address that a request comes from; put there by the accepting loop.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let known = parts.extensions.get::<Self>().copied();
        Ok(known.unwrap_or(Self(IpAddr::V4(Ipv4Addr::LOCALHOST))))
    }
}

/// Wraps every route.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let limit = time_limit(&app, route.as_ref().map(MatchedPath::as_str), &method);
    let mut response = if !is_own_origin(&method, request.headers()) {
        ApiError::origin_mismatch().into_response()
    } else if let Some(limit) = limit {
        tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| too_slow())
    } else {
        next.run(request).await
    };
    add_headers(response.headers_mut(), route.as_ref());
    health::measure(route.as_ref().map(MatchedPath::as_str), &method, response.status(), begun);
    response
}

/// Streams watch over themselves: events and media have no end, uploads count bytes.
fn time_limit(app: &App, route: Option<&str>, method: &Method) -> Option<Duration> {
    let is_stream = route.is_none_or(|route| {
        route == "/api/v1/events"
            || route.starts_with("/media/")
            || (route.starts_with("/api/v1/uploads/") && method == Method::PATCH)
    });
    (!is_stream).then(|| Duration::from_secs(app.config.http.request_timeout_s))
}

fn too_slow() -> Response {
    let status = axum::http::StatusCode::REQUEST_TIMEOUT;
    ApiError::new(status, "internal", "The request took too long; try again.").into_response()
}

/// A page of another site may make a browser send its cookie; browsers name the page's origin.
fn is_own_origin(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, o)), Some(h)) if o.eq_ignore_ascii_case(h))
}

fn add_headers(headers: &mut HeaderMap, route: Option<&MatchedPath>) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(header::X_FRAME_OPTIONS, DENY);
    headers.insert(HeaderName::from_static("referrer-policy"), REFERRER);
    let is_api = route.is_some_and(|route| route.as_str().starts_with("/api/"));
    if is_api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_from_a_page_of_this_hub_or_from_no_page_pass() {
        let headers = |origin: &'static str| {
            let pairs = [(header::HOST, "hub.lan:8470"), (header::ORIGIN, origin)];
            pairs.into_iter().map(|(n, v)| (n, HeaderValue::from_static(v))).collect::<HeaderMap>()
        };
        assert!(is_own_origin(&Method::POST, &headers("http://hub.lan:8470")));
        assert!(is_own_origin(&Method::POST, &headers("https://HUB.lan:8470")));
        assert!(!is_own_origin(&Method::POST, &headers("http://hub.lan")));
        assert!(!is_own_origin(&Method::DELETE, &headers("http://evil.example")));
        assert!(!is_own_origin(&Method::PUT, &headers("null")));
        assert!(is_own_origin(&Method::GET, &headers("http://evil.example")));
        assert!(is_own_origin(&Method::POST, &HeaderMap::new()));
    }
}

//! The web UI inside the binary: hashed assets for ever, everything else is asked for again.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest as _, Sha256};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::app::hex;
use crate::problem::ApiError;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../web-ui/build"]
struct Files;

const INDEX: &str = "index.html";
/// What SvelteKit puts under this prefix has its hash in its name.
const HASHED_PREFIX: &str = "_app/immutable/";
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Smaller answers do not shrink below one packet.
const COMPRESS_BYTES_MIN: u64 = 1_024;

/// Content Security Policy: only what this hub serves. `blob:` is the player's media source and
/// its worker, `data:` small pictures; styles inline, because Svelte's transitions write them.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let page = Files::get(INDEX).map_or(Vec::new(), |file| file.data.into_owned());
    let hashes = inline_script_hashes(&String::from_utf8_lossy(&page));
    let policy = format!(
        "default-src 'self'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; \
         object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a policy is printable ASCII")
});

/// Compresses JSON and pages by gzip; never events, which must not wait in a buffer.
pub fn compression() -> CompressionLayer<impl Predicate> {
    let predicate = SizeAbove::new(COMPRESS_BYTES_MIN)
        .and(NotForContentType::const_new("text/event-stream"))
        .and(NotForContentType::IMAGES);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate)
}

/// Answers what no slice does: assets, and the one page for every address that a person opens.
pub async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if !matches!(method, Method::GET | Method::HEAD) || is_machines(path) {
        return ApiError::not_found().into_response();
    }
    if !path.is_empty()
        && let Some(response) = asset(path, &headers)
    {
        return response;
    }
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|kinds| kinds.contains("text/html")) {
        return asset(INDEX, &headers).unwrap_or_else(|| ApiError::not_found().into_response());
    }
    ApiError::not_found().into_response()
}

fn is_machines(path: &str) -> bool {
    path.starts_with("api/") || path.starts_with("media/")
}

fn asset(path: &str, request: &HeaderMap) -> Option<Response> {
    let (file, encoding) = find(path, request)?;
    let tag = HeaderValue::try_from(format!("\"{}\"", &hex(&file.metadata.sha256_hash())[..32]));
    let tag = tag.expect("a hash is hex");
    let mut headers = HeaderMap::new();
    let is_hashed = path.starts_with(HASHED_PREFIX);
    headers.insert(header::CACHE_CONTROL, if is_hashed { FOR_EVER } else { ASK_AGAIN });
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, tag.clone());
    headers.insert(HeaderName::from_static("content-security-policy"), POLICY.clone());
    if request.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    encoding.map(|e| headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(e)));
    let body = match file.data {
        std::borrow::Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    };
    Some((headers, body).into_response())
}

/// Finds a file, compressed beforehand if the build made that and the browser takes it.
fn find(path: &str, request: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepts = request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    for (encoding, suffix) in [("br", "br"), ("gzip", "gz")] {
        if accepts.is_some_and(|kinds| kinds.contains(encoding))
            && let Some(file) = Files::get(&format!("{path}.{suffix}"))
        {
            return Some((file, Some(encoding)));
        }
    }
    Files::get(path).map(|file| (file, None))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Gives ` 'sha256-…'` for each inline script of a page (CSP level 3, §2.3.1).
fn inline_script_hashes(page: &str) -> String {
    let mut hashes = String::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("<script") {
        let Some((attributes, after)) = after.split_once('>') else { break };
        let Some((script, after)) = after.split_once("</script>") else { break };
        if !attributes.contains("src=") {
            hashes += " 'sha256-";
            hashes += &encode_base64(&Sha256::digest(script.as_bytes()));
            hashes.push('\'');
        }
        rest = after;
    }
    hashes
}

/// Encodes standard base64 (RFC 4648 §4), with padding.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_scripts_are_allowed_by_hash_and_others_by_origin() {
        let page = "<script src=\"/a.js\"></script><script>alert('Hello, world.');</script>";
        // The example of CSP level 3.
        let expected = " 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        assert_eq!(inline_script_hashes(page), expected);
        assert_eq!(inline_script_hashes("<script"), "");
    }

    #[tokio::test]
    async fn every_address_that_a_person_opens_gets_the_page_and_machines_get_problems() {
        let get = |path: &'static str, accept: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            page(Method::GET, Uri::from_static(path), headers)
        };
        let response = get("/lessons/abc", "text/html,*/*").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(get("/api/v1/nothing", "text/html").await.status(), 404);
        assert_eq!(get("/missing.js", "*/*").await.status(), 404);
        assert_eq!(get("/../../etc/passwd", "*/*").await.status(), 404);
    }
}

//! One resource of known length: which part of it is asked for, and the headers of the answer.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::byte_range::{self, Asked};

/// What the headers say of it.
pub(crate) struct Resource {
    /// Its version.
    pub etag: HeaderValue,
    /// Of all of it.
    pub total_bytes: u64,
    /// Its type.
    pub media_type: &'static str,
    /// How long it may be kept.
    pub cache: HeaderValue,
}

impl Resource {
    /// Says what a request asks for; or the answer, if that is not bytes.
    pub fn asked(&self, headers: &HeaderMap) -> Result<(StatusCode, Range<u64>), Box<Response>> {
        if is_named(headers, header::IF_NONE_MATCH, &self.etag) {
            let known =
                [(header::ETAG, self.etag.clone()), (header::CACHE_CONTROL, self.cache.clone())];
            return Err(Box::new((StatusCode::NOT_MODIFIED, known).into_response()));
        }
        let is_other = headers.get(header::IF_RANGE).is_some_and(|named| named != self.etag);
        let asked = match headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
            Some(value) if !is_other => byte_range::parse(value, self.total_bytes),
            _ => Asked::Whole,
        };
        match asked {
            Asked::Whole => Ok((StatusCode::OK, 0..self.total_bytes)),
            Asked::Part(range) => Ok((StatusCode::PARTIAL_CONTENT, range)),
            Asked::Unsatisfiable => Err(Box::new(unsatisfiable(self.total_bytes))),
        }
    }

    /// Puts the headers of an answer with these bytes.
    pub fn describe(&self, response: &mut Response, status: StatusCode, range: &Range<u64>) {
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CACHE_CONTROL, self.cache.clone());
        headers.insert(header::ETAG, self.etag.clone());
        if status == StatusCode::PARTIAL_CONTENT {
            let part = format!("bytes {}-{}/{}", range.start, range.end - 1, self.total_bytes);
            let part = HeaderValue::from_str(&part).expect("digits are a header value");
            headers.insert(header::CONTENT_RANGE, part);
        }
    }

    /// Answers with all of it, or that it is known already.
    pub fn whole(&self, headers: &HeaderMap, bytes: bytes::Bytes) -> Response {
        match self.asked(headers) {
            Ok((status, range)) => {
                let part = bytes.slice(range.start as usize..range.end as usize);
                let mut response = part.into_response();
                self.describe(&mut response, status, &range);
                response
            }
            Err(answer) => *answer,
        }
    }
}

/// Makes a version of plain letters and digits.
pub(crate) fn etag(version: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("hex and names are a header value")
}

fn is_named(headers: &HeaderMap, name: HeaderName, etag: &HeaderValue) -> bool {
    let Some(named) = headers.get(name).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let tags = named.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
    tags.into_iter().any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}

fn unsatisfiable(total_bytes: u64) -> Response {
    let whole = HeaderValue::from_str(&format!("bytes */{total_bytes}"));
    let headers = [(header::CONTENT_RANGE, whole.expect("digits are a header value"))];
    (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response()
}

/// Names a download (RFC 6266); what a file name cannot have is left out.
pub(crate) fn attachment(name: &str) -> HeaderValue {
    let is_kept = |c: &char| !c.is_control() && !"/\\:*?\"<>|".contains(*c);
    let name: String = name.chars().filter(is_kept).take(100).collect();
    let ascii: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let encoded: String = name.bytes().map(percent).collect();
    let value = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}");
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

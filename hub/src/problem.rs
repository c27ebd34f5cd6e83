//! The one error of the HTTP API: problem JSON (RFC 9457) with a stable code.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::db;

/// What a handler answers when it cannot do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable; the web UI translates it.
    pub code: &'static str,
    /// One English sentence: what was wrong, what is allowed, what to do next.
    pub detail: String,
    /// Values that the translation needs; an object.
    pub params: Value,
}

/// How an [`ApiError`] looks on the wire.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `/problems/<code>`.
    pub r#type: String,
    /// The status in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Stable; the web UI translates it.
    pub code: &'static str,
    /// One English sentence: what was wrong, what is allowed, what to do next.
    pub detail: String,
    /// Values that the translation needs.
    #[schema(value_type = Object)]
    pub params: Value,
}

macro_rules! fixed_errors {
    ($($(#[$doc:meta])* $name:ident => $status:ident, $detail:literal;)*) => {
        impl ApiError {
            $($(#[$doc])* pub fn $name() -> Self {
                Self::new(StatusCode::$status, stringify!($name), $detail)
            })*
        }
    };
}

fixed_errors! {
    /// The request needs a login.
    not_logged_in => UNAUTHORIZED, "Log in first.";
    /// Login or password is wrong; which of them is not said.
    wrong_login => UNAUTHORIZED, "The login name or the password is wrong.";
    /// The caller's role is not enough.
    not_allowed => FORBIDDEN, "Your role does not allow this; ask an administrator of your school.";
    /// There is no such thing, or the caller may not know of it.
    not_found => NOT_FOUND, "There is nothing here under this name.";
    /// Set-up was done already.
    already_set_up => CONFLICT, "This hub is set up already; log in instead.";
    /// The one-time code is wrong.
    wrong_setup_code => FORBIDDEN,
        "The code is wrong; it is printed on the hub's console and in the file setup-code.";
    /// The hub has to be set up first.
    not_set_up => CONFLICT, "Set this hub up first: open it in a browser.";
    /// Another user has that login.
    login_taken => CONFLICT, "Another user has this login name; choose another one.";
    /// A page of another site sent the request.
    origin_mismatch => FORBIDDEN, "The request comes from a page of another site.";
    /// The hub belongs to an alliance already.
    already_member => CONFLICT, "This hub already belongs to an alliance.";
    /// The hub belongs to no alliance.
    no_alliance => NOT_FOUND, "This hub belongs to no alliance yet; found one or join one.";
    /// Only the registrar's hub can do this.
    not_registrar => FORBIDDEN, "Only the lead school's hub can do this.";
    /// The text is no invitation.
    invitation_malformed => UNPROCESSABLE_ENTITY,
        "This is not an invitation, or a part of it is missing; copy the whole line.";
    /// The invitation is unknown to the lead.
    invitation_unknown => UNPROCESSABLE_ENTITY,
        "This invitation is of another alliance, or was never made; ask for a new one.";
    /// Somebody joined with it already.
    invitation_used => UNPROCESSABLE_ENTITY,
        "This invitation was used already; ask the lead school for a new one.";
    /// Its time is over.
    invitation_expired => UNPROCESSABLE_ENTITY,
        "This invitation has expired; ask the lead school for a new one.";
    /// The hub was restored, and others may hold what it wrote after that.
    in_doubt => SERVICE_UNAVAILABLE, "This hub was restored or copied and waits for another hub to \
        give back what it wrote; connect it, or say: yingxue alliance write-anyway.";
    /// The secret is not the alliance's root key.
    wrong_root_key => UNPROCESSABLE_ENTITY,
        "This is not the alliance's root key: 64 characters of 0-9 and a-f, from its paper.";
    /// The last administrator cannot be deleted or lose the role.
    last_admin => CONFLICT, "The last administrator stays; make another one first.";
}

impl ApiError {
    /// Makes an error without parameters.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), params: json!({}) }
    }

    /// Sets the parameters; an object.
    #[must_use]
    pub fn with_params(mut self, params: Value) -> Self {
        self.params = params;
        self
    }

    /// A field is outside what is allowed; `allowed` is a few English words.
    pub fn invalid_input(field: &str, allowed: impl Into<String>) -> Self {
        let allowed = allowed.into();
        let detail = format!("{field}: allowed is {allowed}.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", detail)
            .with_params(json!({ "field": field, "allowed": allowed }))
    }

    /// The same was tried too often.
    pub fn too_many_tries(retry_after_s: u64) -> Self {
        let detail = format!("Too many tries; try again in {retry_after_s} seconds.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", detail)
            .with_params(json!({ "retry_after_s": retry_after_s }))
    }

    /// The body is longer than allowed.
    pub fn body_too_large(bytes_max: usize) -> Self {
        let detail = format!("The request is too large; at most {bytes_max} bytes are allowed.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            .with_params(json!({ "bytes_max": bytes_max }))
    }

    /// The disk is full; `missing_bytes` where it is known.
    pub fn disk_full(missing_bytes: Option<u64>) -> Self {
        let detail = match missing_bytes {
            Some(bytes) => format!("The hub's disk is full: {bytes} bytes are missing; free some."),
            None => "The hub's disk is full; free some space and try again.".to_owned(),
        };
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail)
            .with_params(json!({ "missing_bytes": missing_bytes }))
    }

    /// The upload goes on at another offset.
    pub fn upload_offset_mismatch(offset: u64) -> Self {
        let detail = format!("The upload goes on at offset {offset}.");
        Self::new(StatusCode::CONFLICT, "upload_offset_mismatch", detail)
            .with_params(json!({ "offset": offset }))
    }

    /// The file is larger than allowed.
    pub fn upload_too_large(bytes_max: u64) -> Self {
        let detail = format!("The file is too large; at most {bytes_max} bytes are allowed.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", detail)
            .with_params(json!({ "bytes_max": bytes_max }))
    }

    /// The body has another type than the one expected.
    pub fn unsupported_media(allowed: &str) -> Self {
        let detail = format!("The request's content type must be {allowed}.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media", detail)
            .with_params(json!({ "allowed": allowed }))
    }

    /// The lead school's hub does not answer.
    pub fn lead_unreachable(reason: &str) -> Self {
        let detail = format!("The lead school's hub cannot be reached: {reason}.");
        Self::new(StatusCode::BAD_GATEWAY, "lead_unreachable", detail)
            .with_params(json!({ "reason": reason }))
    }

    /// The thing is not in the state that the request needs.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// A defect or a failing machine: logged here, once, and not shown.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong inside the hub; its log says what. Try again.",
        )
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        db::damage::note(&error);
        if db::is_disk_full(&error) { Self::disk_full(None) } else { Self::internal(error) }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::disk_full(None),
            _ => Self::internal(error),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::body_too_large(crate::app::JSON_BYTES_MAX),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media("application/json"),
            _ => Self::invalid_input("body", rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid_input("query", rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.params.get("retry_after_s").and_then(Value::as_u64);
        let problem = Problem {
            r#type: format!("/problems/{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            params: self.params,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A JSON body within the bound; what is wrong with it is said as [`ApiError`].
pub struct Body<T>(pub T);

impl<T, S> axum::extract::FromRequest<S> for Body<T>
where
    T: serde::de::DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, ApiError> {
        let Json(body) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_type_status_code_detail_and_params() {
        let response = ApiError::too_many_tries(30).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "30");
    }

    #[test]
    fn a_full_disk_is_said_as_such_and_other_causes_are_not_shown() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(ApiError::from(full).code, "disk_full");
        let other = std::io::Error::other("/secret/path");
        let error = ApiError::from(other);
        assert_eq!(error.code, "internal");
        assert!(!error.detail.contains("secret"));
    }
}

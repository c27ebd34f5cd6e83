//! The API's description, made from the handlers; `hub/openapi.json` is its snapshot.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use crate::app::App;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Yingxue hub",
        description = "One school's hub. Errors are problem JSON (RFC 9457) with a stable `code`. \
            Log in by POST /api/v1/session; the cookie that it sets carries the login. Its name \
            is `yingxue_session_` and the first eight characters of the hub's id."
    ),
    components(schemas(crate::problem::Problem))
)]
struct Description;

/// Gives the description without paths.
pub fn description() -> OpenApi {
    Description::openapi()
}

/// Serves the whole description.
pub fn route(openapi: &OpenApi) -> Router<App> {
    let json = Bytes::from(openapi.to_json().expect("a description is plain JSON"));
    let answer = move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    };
    Router::new().route("/api/v1/openapi.json", get(answer))
}

#[cfg(test)]
mod tests {
    /// Rewrite it with `YINGXUE_UPDATE_OPENAPI=1 cargo test -p yingxue-hub openapi`.
    #[test]
    fn the_snapshot_is_what_the_handlers_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let openapi = crate::app::api_routes().into_openapi();
        let is = openapi.to_pretty_json().unwrap() + "\n";
        if std::env::var_os("YINGXUE_UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &is).unwrap();
        }
        let was = std::fs::read_to_string(path).unwrap_or_default();
        let first = is.lines().zip(was.lines()).find(|(is, was)| is != was);
        assert!(is == was, "openapi.json differs: {first:?}; see above how to rewrite it");
    }
}

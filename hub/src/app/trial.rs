//! A whole hub for tests: the real router, database and driver, in a folder that goes away.

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{App, Shutdown};
use crate::config::Config;

pub(crate) mod image;

/// The administrator's password, and everybody else's.
pub(crate) const PASSWORD: &str = "snow-light";

/// A hub without a listener and without the loop of jobs.
pub(crate) struct TrialHub {
    pub app: App,
    pub router: Router,
    pub dir: tempfile::TempDir,
    pub stop: watch::Sender<bool>,
}

/// What a hub answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("the answer is JSON")
    }

    /// Gives `status code`, as in `404 not_found`, or the status alone.
    pub(crate) fn outcome(&self) -> String {
        let json = serde_json::from_slice::<Value>(&self.bytes).unwrap_or_default();
        let code = json["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{}{code}", self.status.as_u16())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

impl TrialHub {
    /// Starts a hub that is not set up.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Config::default()).await
    }

    pub(crate) async fn start_in(dir: tempfile::TempDir, mut config: Config) -> Self {
        config.sync.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        config.sync.is_mdns = false;
        let (stop, shutdown) = Shutdown::channel();
        let app = crate::serve::start(dir.path().to_owned(), config, shutdown).await.unwrap();
        let router = super::router(&app);
        Self { app, router, dir, stop }
    }

    /// Starts a hub that is set up; gives the administrator's cookie too.
    pub(crate) async fn start_set_up() -> (Self, String) {
        let hub = Self::start().await;
        let admin = hub.set_up().await;
        (hub, admin)
    }

    /// Sets the hub up; gives the administrator's cookie.
    pub(crate) async fn set_up(&self) -> String {
        let code = self.app.setup_code.read().unwrap().clone().unwrap();
        let body = json!({"code": code, "school": "雪山中学", "name": "管理员",
            "login": "admin", "password": PASSWORD});
        let answer = self.post("/api/v1/setup", "", body).await;
        assert_eq!(answer.outcome(), "201");
        answer.cookie()
    }

    /// Makes a user of a role, logs in, gives the cookie.
    pub(crate) async fn log_in_new(&self, admin: &str, login: &str, role: &str) -> String {
        let body = json!({"login": login, "name": login, "role": role, "password": PASSWORD});
        assert_eq!(self.post("/api/v1/users", admin, body).await.outcome(), "201");
        self.log_in(login).await
    }

    pub(crate) async fn log_in(&self, login: &str) -> String {
        let body = json!({"login": login, "password": PASSWORD});
        let answer = self.post("/api/v1/session", "", body).await;
        assert_eq!(answer.outcome(), "200");
        answer.cookie()
    }

    pub(crate) async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(request(Method::GET, path, cookie), Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, cookie: &str, body: Value) -> Answer {
        self.json(Method::POST, path, cookie, body).await
    }

    pub(crate) async fn patch(&self, path: &str, cookie: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, cookie, body).await
    }

    pub(crate) async fn delete(&self, path: &str, cookie: &str) -> Answer {
        self.send(request(Method::DELETE, path, cookie), Body::empty()).await
    }

    pub(crate) async fn json(&self, method: Method, path: &str, who: &str, body: Value) -> Answer {
        let request = request(method, path, who).header(header::CONTENT_TYPE, "application/json");
        self.send(request, Body::from(body.to_string())).await
    }

    pub(crate) async fn send(&self, request: Builder, body: Body) -> Answer {
        let request: Request<Body> = request.body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }
}

/// Begins a request with a login's cookie.
pub(crate) fn request(method: Method, path: &str, cookie: &str) -> Builder {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "hub.lan");
    if cookie.is_empty() { request } else { request.header(header::COOKIE, cookie) }
}

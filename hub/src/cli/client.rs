//! Speaks HTTP to one hub, as its command line or as somebody who has logged in.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::{Agent, Body, SendBody};

use super::shown;

/// Joining over a satellite is the longest answer; the hub gives up after 90 s itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The hub is on this computer, so a connection takes no time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer; the longest is a list of 100 lessons.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No hub has ever run there, or it has ended properly.
    #[error("no hub is running on {data}; start it with: yingxue serve --data {data}")]
    NotRunning {
        /// The data directory.
        data: String,
    },
    /// The hub's files cannot be read.
    #[error("cannot read {path}: {reason} (the command line needs the rights of the hub's user)")]
    Unreadable {
        /// Which file.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// The connection failed or was cut; trying again may help.
    #[error("the hub at {url} does not answer: {reason}")]
    Cut {
        /// Where.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The hub said no.
    #[error("{detail}")]
    Refused {
        /// The stable code of the problem; empty if the answer was none of the hub's.
        code: String,
        /// One sentence.
        detail: String,
        /// The HTTP status.
        status: u16,
    },
}

/// One hub, and who asks.
#[derive(Clone)]
pub(crate) struct HubClient {
    agent: Agent,
    url: String,
    token: Option<String>,
}

impl HubClient {
    /// Finds the hub that runs on a data directory; acts as an administrator.
    pub(crate) fn of_data_dir(data: &Path) -> Result<Self, ClientError> {
        let read = |name: &str| {
            let path = data.join(name);
            fs::read_to_string(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => ClientError::NotRunning { data: shown(data) },
                _ => ClientError::Unreadable { path: shown(&path), reason: error.to_string() },
            })
        };
        let address = read("http.addr")?;
        let token = read("cli.token")?.trim().to_owned();
        let client = Self { token: Some(token), ..Self::at(&dialled(address.trim())) };
        // An address that a killed hub left behind is no hub.
        match client.healthz() {
            Err(ClientError::Cut { .. }) => Err(ClientError::NotRunning { data: shown(data) }),
            result => result.map(|()| client),
        }
    }

    /// Makes a client of the hub at `url`, without a login.
    pub(crate) fn at(url: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT));
        Self { agent: config.build().into(), url: url.to_owned(), token: None }
    }

    /// Gives the hub's address for a browser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks whether the hub is up.
    pub(crate) fn healthz(&self) -> Result<(), ClientError> {
        self.send(Method::GET, "/healthz", &[], SendBody::none()).map(drop)
    }

    /// Reads `path` below `/api/v1`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.api(Method::GET, path, &[], SendBody::none()).map(|(_, body)| body)
    }

    /// Posts JSON to `path` below `/api/v1`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let text = body.to_string();
        let json = [("content-type", "application/json".to_owned())];
        let body = SendBody::from_owned_reader(std::io::Cursor::new(text));
        self.api(Method::POST, path, &json, body).map(|(_, body)| body)
    }

    /// Sends any request below `/api/v1`; gives the headers and the JSON, null if there is none.
    pub(crate) fn api(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: SendBody<'_>,
    ) -> Result<(HeaderMap, Value), ClientError> {
        let (parts, text) = self.send(method, &format!("/api/v1{path}"), headers, body)?;
        Ok((parts, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: SendBody<'_>,
    ) -> Result<(HeaderMap, String), ClientError> {
        let uri = if path.starts_with("http") { path.into() } else { self.url.clone() + path };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| self.cut(&error))?;
        let response = self.agent.run(request).map_err(|error| self.cut(&error))?;
        self.read(response)
    }

    fn read(&self, response: Response<Body>) -> Result<(HeaderMap, String), ClientError> {
        let (parts, body) = response.into_parts();
        let mut text = String::new();
        let mut reader = body.into_reader().take(ANSWER_BYTES_MAX);
        reader.read_to_string(&mut text).map_err(|error| self.cut(&error))?;
        if parts.status.is_success() {
            return Ok((parts.headers, text));
        }
        let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let detail = problem["detail"].as_str().map_or_else(
            || format!("the hub at {} answered {}", self.url, parts.status),
            ToOwned::to_owned,
        );
        let code = problem["code"].as_str().unwrap_or_default().to_owned();
        Err(ClientError::Refused { code, detail, status: parts.status.as_u16() })
    }

    fn cut(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Cut { url: self.url.clone(), reason: reason.to_string() }
    }
}

/// Turns what a hub listens on into what can be dialled from this computer.
fn dialled(address: &str) -> String {
    let address = address.trim_start_matches("http://");
    let address = match address.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => address.to_owned(),
    };
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_on_all_addresses_is_dialled_on_loopback() {
        assert_eq!(dialled("0.0.0.0:8470"), "http://127.0.0.1:8470");
        assert_eq!(dialled("[::]:8470"), "http://[::1]:8470");
        assert_eq!(dialled("192.0.2.7:80"), "http://192.0.2.7:80");
    }

    #[test]
    fn a_hub_that_does_not_run_is_said_in_words_with_the_next_step() {
        let data = tempfile::tempdir().unwrap();
        let says_how = |error: ClientError| error.to_string().contains("yingxue serve --data");
        assert!(says_how(HubClient::of_data_dir(data.path()).err().unwrap()));
        // A port that was free a moment ago, as after kill -9.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(data.path().join("http.addr"), free.to_string()).unwrap();
        fs::write(data.path().join("cli.token"), "0123").unwrap();
        assert!(says_how(HubClient::of_data_dir(data.path()).err().unwrap()));
    }
}

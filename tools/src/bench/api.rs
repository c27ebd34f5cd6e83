//! A hub's API, as a bench needs it: set-up, login, a few calls.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use yingxue_hub::setup::CODE_FILE;

/// The administrator of every hub that a bench sets up.
const LOGIN: (&str, &str) = ("bench", "bench-2026");

/// One hub.
pub struct Api {
    agent: ureq::Agent,
    url: String,
    cookie: String,
}

impl Api {
    /// Sets up the hub on `data` that serves at `address`, and logs in.
    pub fn set_up(address: &str, data: &Path, school: &str) -> Result<Self> {
        let code = fs::read_to_string(data.join(CODE_FILE)).context("read the set-up code")?;
        let mut api = Self::new(address);
        let (login, password) = LOGIN;
        let body = json!({
            "code": code.trim(), "school": school, "name": "Bench",
            "login": login, "password": password,
        });
        api.cookie = api.send_for_cookie("/setup", &body)?;
        Ok(api)
    }

    /// Logs in at a hub that was set up before.
    pub fn log_in(address: &str) -> Result<Self> {
        let mut api = Self::new(address);
        let (login, password) = LOGIN;
        let body = json!({ "login": login, "password": password });
        api.cookie = api.send_for_cookie("/session", &body)?;
        Ok(api)
    }

    fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let url = format!("http://{address}/api/v1");
        Self { agent: config.build().into(), url, cookie: String::new() }
    }

    /// Gives `name=value` of the login, for a `Cookie` header.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Reads `path` below `/api/v1`.
    pub fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut answer = request.header("cookie", &self.cookie).call().context("ask the hub")?;
        let text = answer.body_mut().read_to_string().context("read the answer")?;
        ensure!(answer.status().is_success(), "GET {path}: {} {text}", answer.status());
        Ok(serde_json::from_str(&text)?)
    }

    /// Posts JSON to `path` below `/api/v1`.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let mut answer = request.header("cookie", &self.cookie).send_json(body)?;
        let text = answer.body_mut().read_to_string().context("read the answer")?;
        ensure!(answer.status().is_success(), "POST {path}: {} {text}", answer.status());
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn send_for_cookie(&self, path: &str, body: &Value) -> Result<String> {
        let mut answer = self.agent.post(format!("{}{path}", self.url)).send_json(body)?;
        let cookie = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok());
        match cookie.and_then(|cookie| cookie.split(';').next()) {
            Some(cookie) => Ok(cookie.to_owned()),
            None => bail!("POST {path}: {}", answer.body_mut().read_to_string()?),
        }
    }
}

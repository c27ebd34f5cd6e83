//! One real `yingxue serve` process and its HTTP API.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

/// Between two looks at a hub; a request over loopback takes about a millisecond.
pub const LOOK_DELAY: Duration = Duration::from_millis(20);
/// Joining is the slowest answer; it takes a second on loopback.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Of a whole story; it takes about a third.
const STORY_MAX: Duration = Duration::from_secs(90);
/// Lines of a log that a failure shows.
const LOG_LINES: usize = 15;

/// When a story has to be over.
#[derive(Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// Begins a story.
    pub fn begin() -> Self {
        Self::within(STORY_MAX)
    }

    /// Begins a story that takes longer.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Looks again and again until there is something.
    pub fn wait<T>(self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < self.0, "the story's time has passed, but not: {what}");
            std::thread::sleep(LOOK_DELAY);
        }
    }
}

/// Where a hub lives.
pub struct Place {
    /// Words that run a command there; none is here.
    pub wrapper: Vec<String>,
    /// Address and port of its API.
    pub http: String,
    /// Where other hubs find it, also after it was killed.
    pub sync: String,
}

impl Place {
    /// On this machine, for everybody here.
    pub fn on_loopback() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let sync = format!("/ip4/127.0.0.1/tcp/{port}");
        Self { wrapper: Vec::new(), http: "127.0.0.1:0".into(), sync }
    }
}

/// A hub's process, data directory and address.
pub struct Hub {
    pub name: &'static str,
    wrapper: Vec<String>,
    data: PathBuf,
    deadline: Deadline,
    agent: Agent,
    running: Option<Running>,
}

struct Running {
    child: Child,
    killer: Option<Child>,
    url: String,
    token: String,
}

impl Running {
    fn end(mut self) {
        // Before the hub's number may be another process's.
        if let Some(mut killer) = self.killer.take() {
            drop(killer.wait());
        }
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a hub said.
pub struct Answer {
    pub status: u16,
    pub bytes: Vec<u8>,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Hub {
    /// Makes a hub in a folder of its own, starts it, and sets up its school.
    pub fn start_new(name: &'static str, folder: &Path, deadline: Deadline, place: Place) -> Self {
        let data = folder.join(name);
        fs::create_dir_all(&data).unwrap();
        let Place { wrapper, http, sync } = place;
        let config = format!(
            "[http]\nlisten = \"{http}\"\n\
             [sync]\nlisten = [\"{sync}\"]\nis_mdns = false\n"
        );
        fs::write(data.with_extension("toml"), config).unwrap();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .build()
            .into();
        let mut hub = Self { name, wrapper, data, deadline, agent, running: None };
        hub.start();
        let code = fs::read_to_string(hub.data.join("setup-code")).unwrap();
        let school = json!({"code": code, "school": name, "name": name, "login": "admin",
            "password": "snow-light"});
        assert_eq!(hub.post("/setup", &school).unwrap().status, 201);
        hub
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let address = self.data.join("http.addr");
        // What a killed process has left says nothing of the new one.
        drop(fs::remove_file(&address));
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut words = self.wrapper.iter().map(Into::into).chain([program().into_os_string()]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .arg("--config")
            .arg(self.data.with_extension("toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let url = self.deadline.wait("a hub starts", || {
            assert_eq!(child.try_wait().unwrap(), None, "{} ended:\n{}", self.name, self.said());
            let url = format!("http://{}", fs::read_to_string(&address).ok()?);
            let answer = self.agent.get(format!("{url}/healthz")).call().ok()?;
            (answer.status() == 200).then_some(url)
        });
        let token = fs::read_to_string(self.data.join("cli.token")).unwrap();
        self.running = Some(Running { child, killer: None, url, token });
    }

    /// Ends the process as a power cut would.
    pub fn kill(&mut self) {
        self.running.take().expect("only a hub that runs is killed").end();
    }

    /// Ends the process while what is asked next is under way: within a few milliseconds.
    /// [`Hub::kill`] has to follow.
    pub fn kill_soon(&mut self) {
        let running = self.running.as_mut().expect("only a hub that runs is killed");
        let pid = running.child.id().to_string();
        let killer = Command::new("sh").args(["-c", "kill -9 $0", &pid]).spawn();
        running.killer = Some(killer.unwrap());
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Asks for `path` below `/api/v1`; none if the hub is not there.
    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = self.ask("GET", &format!("/api/v1{path}"), &[], &[])?;
        (answer.status == 200).then(|| answer.json())
    }

    /// Posts JSON to `path` below `/api/v1`; none if no answer came.
    pub fn post(&self, path: &str, body: &Value) -> Option<Answer> {
        let json = [("content-type", "application/json")];
        self.ask("POST", &format!("/api/v1{path}"), &json, body.to_string().as_bytes())
    }

    /// Asks anything, as an administrator; none if no answer came.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let running = self.running.as_ref()?;
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", running.url));
        if path != "/api/v1/setup" {
            request = request.header("authorization", format!("Bearer {}", running.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = self.agent.run(request.body(body.to_vec()).unwrap()).ok()?;
        let (parts, mut body) = answered.into_parts();
        let bytes = body.read_to_vec().ok()?;
        Some(Answer { status: parts.status.as_u16(), headers: parts.headers, bytes })
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn said(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} said last:\n{}", self.name, self.said());
        }
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

/// Finds the program: `YINGXUE_BIN`, or the one that cargo has built last.
pub fn program() -> PathBuf {
    built("yingxue", "YINGXUE_BIN", "yingxue-hub")
}

/// Finds a program that a variable names, or that cargo has built last.
pub fn built(name: &str, variable: &str, package: &str) -> PathBuf {
    let last = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        root.join(target).join("debug").join(name)
    };
    let program = std::env::var_os(variable).map_or_else(last, PathBuf::from);
    assert!(
        program.exists(),
        "{} is missing: run `cargo build -p {package}`, or name it in {variable}",
        program.display()
    );
    program
}

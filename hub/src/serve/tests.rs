use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{listener, lock, write_files};
use crate::app::trial::TrialHub;
use crate::config::HttpConfig;

async fn listen(hub: &TrialHub, config: HttpConfig) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, shutdown) = (hub.router.clone(), hub.app.shutdown.clone());
    let serving = tokio::spawn(async move {
        listener::accept(listener, router, &config, shutdown).await;
    });
    (address, serving)
}

async fn ask(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    drop(tokio::time::timeout(Duration::from_secs(20), read).await.expect("closed in time"));
    String::from_utf8_lossy(&answer).into_owned()
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n";

#[test]
fn two_hubs_cannot_share_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let first = lock(&folder).unwrap();
    let error = lock(&folder).unwrap_err().to_string();
    assert!(error.contains("another hub runs in"), "{error}");
    drop(first);
    lock(&folder).unwrap();
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_for_the_command_line_are_private_and_the_code_goes_after_set_up() {
    let hub = TrialHub::start().await;
    let address = "0.0.0.0:8470".parse().unwrap();
    write_files(&hub.app, address).unwrap();
    let read = |name: &str| std::fs::read_to_string(hub.dir.path().join(name)).unwrap();
    assert_eq!(read("http.addr"), "127.0.0.1:8470");
    assert_eq!(read("cli.token"), hub.app.sessions.cli_token());
    assert_eq!(read("setup-code").len(), 9);
    for name in ["http.addr", "cli.token", "setup-code"] {
        let mode = std::fs::metadata(hub.dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    hub.set_up().await;
    assert!(!hub.dir.path().join("setup-code").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_slow_headers_close_their_connection_and_others_are_served() {
    let hub = TrialHub::start().await;
    let config = HttpConfig { header_timeout_s: 1, ..HttpConfig::default() };
    let (address, _serving) = listen(&hub, config).await;
    let slow = ask(address, b"GET / HTTP/1.1\r\nhost: hub\r\nx-slow: ");
    let garbage = ask(address, &[0xff; 300]);
    let oversized = vec![b'x'; 200_000];
    let oversized = ask(address, &oversized);
    let (slow, garbage, _) = tokio::join!(slow, garbage, oversized);
    assert!(!slow.contains("200 OK"), "{slow}");
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    assert!(ask(address, HEALTH).await.contains("\"status\":\"ok\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let hub = TrialHub::start().await;
    let config = HttpConfig { connections_max: 1, header_timeout_s: 1, ..HttpConfig::default() };
    let (address, _serving) = listen(&hub, config).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    assert!(ask(address, HEALTH).await.contains("\"status\":\"ok\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_computer_takes_at_most_half_of_the_places() {
    let hub = TrialHub::start().await;
    let config = HttpConfig { connections_max: 4, header_timeout_s: 60, ..HttpConfig::default() };
    let (address, _serving) = listen(&hub, config).await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(ask(address, HEALTH).await, "", "a third connection is closed at once");
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(address).await.unwrap();
    other.write_all(HEALTH).await.unwrap();
    let mut head = [0; 15];
    other.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_event_streams_and_the_listener() {
    let hub = TrialHub::start().await;
    let cookie = hub.set_up().await;
    let (address, serving) = listen(&hub, HttpConfig::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: hub\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    hub.app.events.publish(crate::events::HubEvent::Lesson { lesson_id: "ab".to_owned() });
    hub.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("event: lesson\ndata: {\"lesson_id\":\"ab\"}"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_lost_its_key_does_not_begin_as_another_one() {
    let hub = TrialHub::start().await;
    hub.set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    hub.app.sync.shutdown().await;
    let dir = hub.dir;
    drop(hub.app);
    let (database, key) = (dir.path().join("hub.sqlite"), dir.path().join("hub.key"));
    let aside = dir.path().join("aside");
    let says = async |words: &str| {
        let (_stop, shutdown) = crate::app::Shutdown::channel();
        let mut config = crate::config::Config::default();
        config.sync.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        let started = super::start(dir.path().to_owned(), config, shutdown).await;
        let error = started.err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains(words), "{error:?}");
    };
    std::fs::remove_file(&key).unwrap();
    says("hub.key is missing").await;
    std::fs::rename(&database, &aside).unwrap();
    std::fs::write(&database, "").unwrap();
    says("ask the lead school for an invitation").await;
}

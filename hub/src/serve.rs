//! The process: opens what is kept, starts every part, serves until it is told to stop.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::FlockOperation;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use yingxue_codec::Ffmpeg;

use crate::accounts::sessions::Sessions;
use crate::app::{self, App, AppParts, Shutdown, Tries};
use crate::catalog::projection;
use crate::config::{self, Config};
use crate::db::{Db, OpenError};
use crate::driver::{self, DriverConfig, StartError};
use crate::events::EventBus;
use crate::jobs::{self, Jobs};
use crate::night::{self, policy::Policy};
use crate::playing::Playing;
use crate::repair::report::{LoginsEnded, logins_ended};
use crate::{accounts, courier, health, repair, setup, snapshots, timetable, uploads};

mod listener;

/// The file in the data directory that holds the command line's token.
pub const TOKEN_FILE: &str = "cli.token";
/// The file in the data directory that says where the hub listens, as `127.0.0.1:8470`.
pub const ADDRESS_FILE: &str = "http.addr";
/// Longest wait for connections and for the job that runs, when the hub stops.
const STOP_WAIT_MAX: Duration = Duration::from_secs(8);
/// Between two foldings of what was counted.
const FOLD_EVERY: Duration = Duration::from_secs(5);
/// Between two rounds of removing what is old.
const KEEP_HOUSE_EVERY: Duration = Duration::from_secs(3_600);
/// Threads for handlers; the cores of the smallest hub. Queries and files have their own.
const HANDLER_THREADS_MIN: usize = 2;

/// What a hub needs to run.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where everything is kept; made if it is missing.
    pub data_dir: PathBuf,
    /// The configuration.
    pub config: Config,
}

/// Runs a hub until SIGTERM or SIGINT.
pub fn serve(options: ServeOptions) -> anyhow::Result<()> {
    init_log();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(HANDLER_THREADS_MIN))
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let ended = runtime.block_on(run(options))?;
    // A query or a child that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ended::Stopped => Ok(()),
        Ended::Damaged => begin_again(),
    }
}

/// Why a hub has ended.
enum Ended {
    /// Somebody stopped it.
    Stopped,
    /// Its database was found to be damaged; the next start repairs it.
    Damaged,
}

/// Makes this process the same program anew: no thread of the old one writes any more.
fn begin_again() -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "yingxue".into());
    // By this name it is found although a newer program has taken the place of its file.
    let error = std::process::Command::new("/proc/self/exe").arg0(name).args(words).exec();
    Err(error).context("the database is damaged, and the hub cannot start itself anew")
}

/// Sends what is logged to standard error; later calls change nothing.
pub fn init_log() {
    let filter = tracing_subscriber::EnvFilter::new(config::log_filter());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    drop(log.try_init());
}

async fn run(options: ServeOptions) -> anyhow::Result<Ended> {
    let ServeOptions { data_dir, config } = options;
    let _lock = lock(&data_dir)?;
    let listener = TcpListener::bind(&config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    let address = listener.local_addr()?;
    let (stop, shutdown) = Shutdown::channel();
    let app = match start(data_dir.clone(), config, shutdown).await {
        Err(error) if error.is::<Damaged>() => {
            // Every file has to be closed before it is moved: a new process does that.
            repair::check::want(&data_dir, &format!("{error:#}"))
                .context("cannot note that the database is to be repaired")?;
            return Ok(Ended::Damaged);
        }
        started => started?,
    };
    write_files(&app, address)?;
    repair::check::note_running(&app.data_dir).context("cannot write in the data directory")?;
    print_welcome(&app, address);
    let runner = tokio::spawn(jobs::runner::run(app.clone()));
    let couriers = tokio::spawn(courier::runner::run(app.clone()));
    let house = tokio::spawn(keep_house(app.clone()));
    let night = tokio::spawn(night::run(app.clone()));
    night::scrub::start(app.clone()).context("cannot start the thread that reads again")?;
    snapshots::keeper::start(app.clone()).context("cannot start the thread of snapshots")?;
    let stop = Arc::new(stop);
    tokio::spawn(stop_on_signal(Arc::clone(&stop), app.clone()));
    tokio::spawn(stop_on_damage(stop, app.clone()));
    let router = app::router(&app);
    listener::accept(listener, router, &app.config.http, app.shutdown.clone()).await;
    app.sync.shutdown().await;
    if tokio::time::timeout(STOP_WAIT_MAX, runner).await.is_err() {
        tracing::warn!("a job did not stop in time; it begins again at the next start");
    }
    if tokio::time::timeout(STOP_WAIT_MAX, couriers).await.is_err() {
        tracing::warn!("a stick did not stop in time; it goes on at the next start");
    }
    house.abort();
    night.abort();
    drop(std::fs::remove_file(app.data_dir.join(ADDRESS_FILE)));
    if app.db.watch_damage().borrow().is_some() {
        return Ok(Ended::Damaged);
    }
    repair::check::note_stopped(&app.data_dir).context("cannot write in the data directory")?;
    tracing::info!("stopped");
    Ok(Ended::Stopped)
}

/// The database is damaged in a way that only shows when it is used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Damaged(String);

/// Opens what is kept in `data_dir` and starts the parts, save the HTTP listener and the jobs. A
/// database that is damaged is repaired first.
pub async fn start(data_dir: PathBuf, config: Config, shutdown: Shutdown) -> anyhow::Result<App> {
    health::install();
    let dir = data_dir.clone();
    off_async(move || Ok(repair::before_start(&dir)?)).await?;
    start_parts(data_dir, config, shutdown).await
}

/// Runs what blocks on a thread for that.
async fn off_async<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("opening the database was interrupted")?
}

/// What is read of the database before the other parts start.
struct Opened {
    db: Db,
    sessions: Sessions,
    school: Option<setup::School>,
    jobs: Jobs,
    logins_ended: Option<LoginsEnded>,
}

fn open(data_dir: &Path, config: &Config, events: &EventBus) -> anyhow::Result<Opened> {
    let db = Db::open(&data_dir.join("hub.sqlite")).map_err(|error| match error {
        OpenError::Damaged { .. } => anyhow::Error::new(Damaged(error.to_string())),
        error => error.into(),
    })?;
    check_key(&db, &data_dir.join("hub.key"))?;
    let load = || -> anyhow::Result<_> {
        projection::renew(&db)?;
        let sessions = Sessions::load(&db, &config.accounts)?;
        let school = db.read_blocking(setup::load)?;
        let attempts_max = config.import.attempts_max;
        Ok((sessions, school, Jobs::load(&db, data_dir, events, attempts_max)?))
    };
    let loaded = load();
    let damage = db.watch_damage().borrow().clone();
    let (sessions, school, jobs) = loaded.map_err(|error| match damage {
        Some(why) => anyhow::Error::new(Damaged(why)),
        None => error.context("cannot read what the hub has kept"),
    })?;
    Ok(Opened { db, sessions, school, jobs, logins_ended: logins_ended(data_dir) })
}

async fn start_parts(data_dir: PathBuf, config: Config, shutdown: Shutdown) -> anyhow::Result<App> {
    let events = EventBus::default();
    let (dir, known, bus) = (data_dir.clone(), config.clone(), events.clone());
    let Opened { db, sessions, school, jobs, logins_ended } =
        off_async(move || open(&dir, &known, &bus)).await?;
    let policy = Policy::new(config.night.clone(), config.timetable.utc_offset_min)
        .with_storage(config.storage.clone());
    let sync = config.sync.clone();
    let driver = DriverConfig { data_dir: data_dir.clone(), sync, policy: Arc::new(policy) };
    let started = driver::start(driver, db.clone(), events.clone()).await;
    let sync = started.map_err(|error| match error {
        StartError::Damaged(_) | StartError::Restore(_) => {
            anyhow::Error::new(Damaged(error.to_string()))
        }
        error => error.into(),
    })?;
    let ffmpeg = Ffmpeg::find()
        .inspect_err(|error| tracing::warn!(%error, "lessons cannot be imported"))
        .ok();
    timetable::settle(&db, &sync.hub_id(), config.timetable.utc_offset_min).await?;
    let tries = Tries::new(&config.accounts);
    let setup_code = RwLock::new(school.is_none().then(setup::new_code));
    let app = App::new(AppParts {
        db,
        config,
        events,
        cookie_name: accounts::cookie_name(&sync.hub_id()),
        sessions,
        tries,
        school: RwLock::new(school),
        logins_ended,
        setup_code,
        sync,
        data_dir,
        jobs,
        courier: courier::Courier::default(),
        uploads: uploads::Uploads::default(),
        playing: Playing::default(),
        ffmpeg,
        serving: crate::media::Serving::default(),
        timetable: crate::timetable::Turn::default(),
        scrub: crate::night::scrub::Scrub::default(),
        fresh: crate::night::fresh::Fresh::default(),
        snapshots: crate::snapshots::keeper::Keeper::default(),
        shutdown,
    });
    let house = app.clone();
    off_async(move || Ok(uploads::reconcile(&house)?)).await?;
    repair::after::start(app.clone())?;
    Ok(app)
}

/// A hub that has lost its key is no member of its alliance any more.
fn check_key(db: &Db, key: &Path) -> anyhow::Result<()> {
    const IN_ALLIANCE: &str = "select exists (select 1 from epochs)";
    let is_in_alliance: bool = db.read_blocking(|c| c.query_row(IN_ALLIANCE, [], |r| r.get(0)))?;
    anyhow::ensure!(
        !is_in_alliance || key.exists(),
        "{} is missing, but the database belongs to a hub of an alliance; restore a backup of it, \
         or move the whole data directory away to begin as a new hub",
        key.display()
    );
    Ok(())
}

/// Makes the data directory and keeps other hubs out of it, as long as the file is open.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let shown = data_dir.display();
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make {shown}"))?;
    std::fs::set_permissions(data_dir, Permissions::from_mode(0o700))
        .with_context(|| format!("cannot keep other users out of {shown}"))?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data_dir.join("lock"))
        .with_context(|| format!("cannot write in {shown}"))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        anyhow::anyhow!("another hub runs in {shown}; stop it, or choose another --data directory")
    })?;
    Ok(file)
}

fn write_files(app: &App, address: SocketAddr) -> anyhow::Result<()> {
    let folder = &app.data_dir;
    write_private(&folder.join(TOKEN_FILE), app.sessions.cli_token())?;
    write_private(&folder.join(ADDRESS_FILE), &reachable(address).to_string())?;
    let code = app.setup_code.read().expect("never held over a panic").clone();
    match code {
        Some(code) => write_private(&folder.join(setup::CODE_FILE), &code)?,
        None => drop(std::fs::remove_file(folder.join(setup::CODE_FILE))),
    }
    Ok(())
}

/// Replaces a file that nobody else may read, in one step.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let shown = path.display();
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(&part);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {shown}"))
}

/// Gives an address that a program on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn print_welcome(app: &App, address: SocketAddr) {
    println!("萤雪 Yingxue {} — http://{}", env!("CARGO_PKG_VERSION"), reachable(address));
    if address.ip().is_unspecified()
        && let Some(ip) = lan_address()
    {
        println!("  on the LAN: http://{}", SocketAddr::new(ip, address.port()));
    }
    let code = app.setup_code.read().expect("never held over a panic").clone();
    if let Some(code) = code {
        println!("  not set up yet: open the address in a browser, the set-up code is {code}");
    }
    // Whoever reads this through a pipe that has closed misses nothing more.
    drop(std::io::stdout().flush());
}

/// Finds the address by which this machine would leave; nothing is sent.
fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // TEST-NET-1 of RFC 5737: routed like any other address, never answered.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

async fn keep_house(app: App) {
    let mut fold = tokio::time::interval(FOLD_EVERY);
    let mut round = tokio::time::interval(KEEP_HOUSE_EVERY);
    loop {
        tokio::select! {
            _ = fold.tick() => health::fold(),
            _ = round.tick() => {
                let done = app.sessions.remove_expired().await;
                if let Err(error) = done.and(uploads::keep_house(&app).await) {
                    tracing::warn!(%error, "old logins and uploads could not be removed");
                }
            }
        }
    }
}

/// Stops the hub when its database is found to be damaged: the next start repairs it.
async fn stop_on_damage(stop: Arc<watch::Sender<bool>>, app: App) {
    let mut damage = app.db.watch_damage();
    let Ok(Some(why)) = damage.wait_for(Option::is_some).await.map(|it| it.clone()) else { return };
    if let Err(error) = repair::check::want(&app.data_dir, &why) {
        // The next start looks for itself.
        tracing::error!(%error, "cannot note that the database is to be repaired");
    }
    tracing::error!("stopping, to begin again with a repaired database");
    app.jobs.stop_all();
    stop.send_replace(true);
}

async fn stop_on_signal(stop: Arc<watch::Sender<bool>>, app: App) {
    let (term, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (term, interrupt) {
        (Ok(mut term), Ok(mut interrupt)) => {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => {
            tracing::warn!("signals cannot be heard; only kill -9 stops this hub");
            std::future::pending::<()>().await;
        }
    }
    tracing::info!("stopping");
    app.jobs.stop_all();
    stop.send_replace(true);
}

#[cfg(test)]
mod tests;

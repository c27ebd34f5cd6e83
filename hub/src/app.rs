//! What every handler shares, and the router that joins the slices.

use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use yingxue_codec::Ffmpeg;

use crate::accounts::sessions::Sessions;
use crate::accounts::throttle::Throttle;
use crate::config::{AccountsConfig, Config};
use crate::db::Db;
use crate::driver::SyncHandle;
use crate::events::EventBus;
use crate::jobs::Jobs;
use crate::playing::{self, Playing};
use crate::problem::ApiError;
use crate::repair::report::LoginsEnded;
use crate::setup::School;
use crate::{
    accounts, alarms, alliance, captions, comments, contacts, courier, demo_link, events, health,
    jobs, lessons, media, night, offers, openapi, page_times, room, setup, snapshots, timeline,
    timetable, uploads, web,
};

mod guard;
#[cfg(test)]
pub(crate) mod trial;

pub use guard::ClientAddress;

/// Bytes of a JSON body; the largest, a comment of 2,000 characters, has 10 KiB.
pub const JSON_BYTES_MAX: usize = 64 << 10;

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

/// The parts of an [`App`].
pub struct AppParts {
    /// The database.
    pub db: Db,
    /// The configuration, as it was at start.
    pub config: Config,
    /// Tells browsers what has changed.
    pub events: EventBus,
    /// Name of the cookie that carries a login at this hub.
    pub cookie_name: String,
    /// Who has logged in.
    pub sessions: Sessions,
    /// Wrong passwords, by login name and by address.
    pub tries: Tries,
    /// The school, once the hub is set up.
    pub school: RwLock<Option<School>>,
    /// The newest repair of the database that ended all logins, as it was at start.
    pub logins_ended: Option<LoginsEnded>,
    /// The code that proves who sets up that they see the console; none once set up.
    pub setup_code: RwLock<Option<String>>,
    /// The way to the sync node.
    pub sync: SyncHandle,
    /// Where everything of this hub is kept.
    pub data_dir: PathBuf,
    /// Work that outlives a restart.
    pub jobs: Jobs,
    /// What is written to sticks and read from them now.
    pub courier: courier::Courier,
    /// Which uploads take bytes now.
    pub uploads: uploads::Uploads,
    /// Whether a class is on.
    pub playing: Playing,
    /// The system's ffmpeg, if there is one.
    pub ffmpeg: Option<Ffmpeg>,
    /// What serving of lessons keeps between requests.
    pub serving: media::Serving,
    /// Keeps edits of timetables and plans one after another.
    pub timetable: timetable::Turn,
    /// The way to the thread that reads again what is kept.
    pub scrub: night::scrub::Scrub,
    /// What is read off the disk for somebody who waits.
    pub fresh: night::fresh::Fresh,
    /// The way to the thread that takes copies of the database.
    pub snapshots: snapshots::keeper::Keeper,
    /// Becomes true when the hub stops.
    pub shutdown: Shutdown,
}

/// Wrong passwords and codes, counted.
pub struct Tries {
    /// By login name and address, so that whoever guesses does not keep the owner out.
    pub login: Throttle<(String, IpAddr)>,
    /// By login name, from all addresses.
    pub login_everywhere: Throttle<String>,
    /// By address.
    pub address: Throttle<IpAddr>,
    /// Of the set-up code, by nobody in particular.
    pub setup: Throttle<()>,
}

impl Tries {
    /// Makes counters that have seen nothing.
    pub fn new(config: &AccountsConfig) -> Self {
        Self {
            login: Throttle::new(config.wrong_tries_per_login),
            login_everywhere: Throttle::new(config.wrong_tries_per_login_everywhere),
            address: Throttle::new(config.wrong_tries_per_address),
            setup: Throttle::new(setup::WRONG_CODES_MAX),
        }
    }

    /// Counts a try to log in. One that is refused costs no hash and counts nowhere; gives the
    /// seconds to wait.
    pub fn begin(&self, login: &str, address: IpAddr) -> Result<(), u64> {
        let (now, here, login) = (Instant::now(), (login.to_owned(), address), login.to_owned());
        self.login.begin(&here, now)?;
        self.login_everywhere.begin(&login, now).inspect_err(|_| self.login.forgive(&here))?;
        self.address.begin(&address, now).inspect_err(|_| {
            self.login_everywhere.forgive(&login);
            self.login.forgive(&here);
        })
    }

    /// Takes a try back that was right after all.
    pub fn forgive(&self, login: &str, address: IpAddr) {
        self.login.forgive(&(login.to_owned(), address));
        self.login_everywhere.forgive(&login.to_owned());
        self.address.forgive(&address);
    }
}

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

impl App {
    /// Joins the parts.
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Says whether this hub is part of `yingxue demo`.
    pub fn is_demo(&self) -> bool {
        self.config.demo.is_some()
    }

    /// Gives the school's name; an error before set-up.
    pub fn school_name(&self) -> Result<String, ApiError> {
        let school = self.school.read().expect("never held over a panic");
        school.as_ref().map(|school| school.name.clone()).ok_or_else(ApiError::not_set_up)
    }
}

/// Tells long-running parts that the hub stops. Cheap to clone.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Makes the pair: send `true` to stop.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until the hub stops.
    pub async fn wait(&mut self) {
        // An error means that the sender is gone, and the hub with it.
        drop(self.0.wait_for(|stops| *stops).await);
    }

    /// Says whether the hub stops.
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }
}

/// Joins the slices: API, media, health, web UI.
pub fn router(app: &App) -> Router {
    let (api, openapi) = api_routes().split_for_parts();
    let media = OpenApiRouter::<App>::new().merge(media::routes()).merge(health::routes());
    let (media, _) = media.split_for_parts();
    let media = media.layer(middleware::from_fn_with_state(app.clone(), playing::notice));
    Router::new()
        .merge(api.layer(DefaultBodyLimit::max(JSON_BYTES_MAX)).layer(web::compression()))
        .merge(openapi::route(&openapi))
        .merge(media)
        .fallback(web::page)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .layer(CatchPanicLayer::custom(|_| {
            axum::response::IntoResponse::into_response(ApiError::internal("a handler panicked"))
        }))
        .with_state(app.clone())
}

/// Joins the slices of the API, with their documentation.
pub fn api_routes() -> OpenApiRouter<App> {
    let slices = OpenApiRouter::new()
        .merge(setup::routes())
        .merge(accounts::routes())
        .merge(alliance::routes())
        .merge(lessons::routes())
        .merge(timeline::routes())
        .merge(playing::routes())
        .merge(media::check::routes())
        .merge(comments::routes())
        .merge(captions::routes())
        .merge(page_times::routes())
        .merge(uploads::routes())
        .merge(jobs::routes())
        .merge(timetable::routes())
        .merge(night::routes())
        .merge(room::routes())
        .merge(offers::routes())
        .merge(contacts::routes())
        .merge(courier::routes())
        .merge(alarms::routes())
        .merge(snapshots::keeper::routes())
        .merge(demo_link::routes())
        .merge(events::routes());
    OpenApiRouter::with_openapi(openapi::description()).nest("/api/v1", slices)
}

/// Gives the wall clock in unix milliseconds.
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// Gives random bytes of the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Writes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string works");
        text
    })
}

/// Checks that a text is `bytes` bytes in lower-case hex, as ids in paths are.
pub fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == bytes * 2 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

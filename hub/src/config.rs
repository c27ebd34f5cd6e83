//! The configuration: one struct per module, from a TOML file; every field has a default.
//!
//! The one place that reads the environment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::accounts::Role;
use crate::catalog::readiness::TierName;
use crate::timetable::term::ClockTime;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The web pages and their API.
    pub http: HttpConfig,
    /// Connections to other hubs.
    pub sync: SyncConfig,
    /// Logins.
    pub accounts: AccountsConfig,
    /// Files on their way in.
    pub uploads: UploadsConfig,
    /// Making of lessons.
    pub import: ImportConfig,
    /// Tracks of lessons.
    pub media: MediaConfig,
    /// The school's days.
    pub timetable: TimetableConfig,
    /// When and how much is fetched from other schools.
    pub night: NightConfig,
    /// Room on the disk for lessons.
    pub storage: StorageConfig,
    /// Only for `yingxue demo`, which writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demo: Option<DemoConfig>,
}

/// The web pages and their API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port; port 0 takes a free one. All addresses, because panels and pupils come
    /// over the school's LAN.
    pub listen: String,
    /// Connections at once; a school of 800 devices with reserve. Each costs about 20 KiB.
    pub connections_max: usize,
    /// Seconds until a request's headers must be complete; slow senders are cut off.
    pub header_timeout_s: u64,
    /// Seconds until a request is answered; joining an alliance over a satellite is the slowest.
    pub request_timeout_s: u64,
    /// Seconds without a byte after which an upload's connection is closed.
    pub upload_idle_s: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8470".to_owned(),
            connections_max: 1_024,
            header_timeout_s: 10,
            request_timeout_s: 90,
            upload_idle_s: 60,
        }
    }
}

/// Connections to other hubs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// Multiaddresses to listen on: TCP first, QUIC as fallback.
    pub listen: Vec<String>,
    /// Multiaddresses that other hubs are told, if the ones that are seen from here are not what
    /// reaches this hub (a router's forwarded port).
    pub announce: Vec<String>,
    /// Find hubs on the LAN by multicast.
    pub is_mdns: bool,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            listen: vec![
                "/ip4/0.0.0.0/tcp/8471".to_owned(),
                "/ip4/0.0.0.0/udp/8471/quic-v1".to_owned(),
            ],
            announce: Vec::new(),
            is_mdns: true,
        }
    }
}

/// Logins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// Days that a login of teachers and administrators lasts without use; a month's holiday.
    pub session_days: u64,
    /// Hours that a pupil's login lasts without use; a school day, on shared computers.
    pub pupil_session_hours: u64,
    /// Wrong passwords for one login name from one address within five minutes.
    pub wrong_tries_per_login: u32,
    /// Wrong passwords for one login name from all addresses within five minutes; a guesser has
    /// to have ten computers before the owner of the name has to wait.
    pub wrong_tries_per_login_everywhere: u32,
    /// Wrong passwords from one address within five minutes; a whole school may share one.
    pub wrong_tries_per_address: u32,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            session_days: 30,
            pupil_session_hours: 12,
            wrong_tries_per_login: 10,
            wrong_tries_per_login_everywhere: 100,
            wrong_tries_per_address: 300,
        }
    }
}

/// Files on their way in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadsConfig {
    /// Bytes of the largest file: 8 GiB is two hours of a camera at 9 Mbit/s.
    pub upload_bytes_max: u64,
    /// Days after which an upload that does not go on is removed; a week's absence.
    pub keep_days: u64,
    /// Bytes of the disk that uploads leave free, for the database and what is being fetched.
    pub disk_reserve_bytes: u64,
    /// Unfinished uploads of one user at once.
    pub unfinished_max: u32,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self {
            upload_bytes_max: 8 << 30,
            keep_days: 7,
            disk_reserve_bytes: 256 << 20,
            unfinished_max: 100,
        }
    }
}

/// Making of lessons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportConfig {
    /// How often a lesson is begun that a stop of the hub has interrupted, if nothing new of it is
    /// on the disk since; a file that brings the hub down must not do so for ever.
    pub attempts_max: u32,
}

impl Default for ImportConfig {
    fn default() -> Self {
        Self { attempts_max: 3 }
    }
}

/// Tracks of lessons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaConfig {
    /// Encoder of the AV1 tracks: "auto" is SVT-AV1 where ffmpeg has one that works (`yingxue
    /// doctor` says), because it takes a third of the time and a third fewer bits on camera
    /// pictures, and rav1e, which is built in, where it has not. "rav1e" and "svt-av1" leave no
    /// choice.
    pub encoder: Encoder,
    /// Make the track of 480 lines too, after everything else: the tier 清晰. It takes several
    /// times as long as the one of 360 lines.
    pub video_480: bool,
    /// Encode nothing while lessons are being played from this hub, and for a minute after: a
    /// class needs the processor more. A teacher can let one import go on.
    pub pause_while_playing: bool,
    /// Threads that encode; 0 is one for each core, which is the fastest. They are fewer where the
    /// memory does not suffice.
    pub workers: usize,
    /// Bytes of memory that making a lesson may take, children included. Each thread takes some
    /// 220 MiB: eight threads fit into 2 GiB, as many as the cores of most hubs. It never takes
    /// more than half of what is free when a lesson is begun.
    pub memory_bytes_max: u64,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            encoder: Encoder::Auto,
            video_480: true,
            pause_while_playing: true,
            workers: 0,
            memory_bytes_max: 2 << 30,
        }
    }
}

/// See [`MediaConfig::encoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    /// SVT-AV1 where it works, else rav1e.
    Auto,
    /// Built in.
    Rav1e,
    /// Of the system's ffmpeg.
    SvtAv1,
}

/// The school's days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimetableConfig {
    /// Minutes that the school's clocks are ahead of UTC, -720 to 840; China has 480 everywhere,
    /// all year.
    pub utc_offset_min: i32,
}

impl Default for TimetableConfig {
    fn default() -> Self {
        Self { utc_offset_min: 480 }
    }
}

/// When and how much is fetched from other schools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NightConfig {
    /// `HH:MM`, local time, at which everything may be fetched: classes are over, and lines carry
    /// the most.
    pub window_from: ClockTime,
    /// `HH:MM`, local time, at which that ends, on the next day if it is earlier than the first:
    /// before the first teachers come.
    pub window_to: ClockTime,
    /// Outside that time: "idle" fetches while no lesson is played from this hub, because it costs
    /// nothing; "always" fetches in any case; "never" is for lines that are paid by day. What a
    /// lesson needs before the window opens is fetched in any case.
    pub by_day: ByDay,
    /// Days ahead for which lessons of the timetable are fetched; three reach over a weekend.
    pub days_ahead: u32,
    /// Bytes fetched on one day from all schools together; 0 is no limit.
    pub bytes_per_day_max: u64,
    /// Bytes fetched on one day from each school; 0 is no limit.
    pub bytes_per_link_per_day_max: u64,
    /// The quality of a lesson that somebody has asked for, beside the timetable: "t0", "t1",
    /// "t2" or "source".
    pub pinned_tier: TierName,
    /// `HH:MM`, local time, at which is said what will not make it: a stick can still be brought.
    pub warn_at: ClockTime,
    /// Days within which everything that is kept is read again and compared; disks rot slowly.
    pub scrub_days: u32,
}

impl Default for NightConfig {
    fn default() -> Self {
        Self {
            window_from: ClockTime::of_hour(22),
            window_to: ClockTime::of_hour(6),
            by_day: ByDay::Idle,
            days_ahead: 3,
            bytes_per_day_max: 0,
            bytes_per_link_per_day_max: 0,
            pinned_tier: TierName::T1,
            warn_at: ClockTime::of_hour(20),
            scrub_days: 7,
        }
    }
}

/// Room on the disk for lessons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Bytes of the disk that lessons take at most; 0 is all of it but 256 MiB. For a hub that
    /// shares its disk with other things.
    pub lessons_bytes_max: u64,
    /// Bytes kept free for what will be taught, beside what the lessons of the coming days still
    /// lack of sound and slides. What nobody has asked for, better pictures and pinned lessons are
    /// not fetched into it. 2 GiB: sound and slides of 160 lessons that are put into the timetable
    /// at noon, and a recording that a teacher uploads.
    pub reserve_bytes: u64,
    /// Bytes freed beyond that when the reserve is touched, by letting go of what was taught
    /// longest ago. 1 GiB: lessons are let go once in a while, not each time one arrives.
    pub freed_bytes: u64,
    /// Bytes that stay free when originals of other schools are fetched that nobody has asked for.
    /// 20 GiB, what `yingxue doctor` calls enough: an original takes as much as five lessons that
    /// can be taught from.
    pub originals_free_bytes_min: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            lessons_bytes_max: 0,
            reserve_bytes: 2 << 30,
            freed_bytes: 1 << 30,
            originals_free_bytes_min: 20 << 30,
        }
    }
}

/// See [`NightConfig::by_day`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByDay {
    /// While no lesson is played.
    Idle,
    /// In any case.
    Always,
    /// Only what cannot wait.
    Never,
}

/// What the demo page shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DemoConfig {
    /// The hubs of the demo.
    pub hubs: Vec<DemoHub>,
    /// Logins that work on each of them.
    pub logins: Vec<DemoLogin>,
}

/// One hub of the demo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoHub {
    /// Its school's name.
    pub school: String,
    /// Where a browser finds it.
    pub url: String,
    /// True for the hub that answers.
    pub is_self: bool,
    /// True for the lead school's.
    pub is_lead: bool,
}

/// One login of the demo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoLogin {
    /// What is typed.
    pub login: String,
    /// What is typed below it.
    pub password: String,
    /// What it may do.
    pub role: Role,
    /// Name shown.
    pub name: String,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// The file says something that is not known.
    #[error("the configuration {path} is wrong: {reason}")]
    Malformed {
        /// Which file.
        path: String,
        /// Where, and what.
        reason: String,
    },
}

impl Config {
    /// Reads a file; without one, gives the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::Unreadable { path: shown.clone(), reason: e.to_string() })?;
        toml::from_str(&text)
            .map_err(|e| ConfigError::Malformed { path: shown, reason: e.to_string() })
    }

    /// Gives the configuration as a TOML file, each field with what it means above it.
    pub fn to_documented_toml(&self) -> String {
        let plain = toml::to_string(self).expect("a configuration is plain TOML");
        let mut documented = String::from("# Yingxue's configuration; these are its values.\n");
        let mut section = String::new();
        for line in plain.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_matches(['[', ']']).to_owned();
            } else if let Some((field, _)) = line.split_once(" = ") {
                let words = field_words(&section, field);
                words.iter().for_each(|text| {
                    writeln!(documented, "# {text}").expect("writing to a string works");
                });
            }
            writeln!(documented, "{line}").expect("writing to a string works");
        }
        documented
    }
}

/// Gives the doc comment of a field, as it stands in this file.
fn field_words(section: &str, field: &str) -> Vec<&'static str> {
    let source = include_str!("config.rs");
    let name = format!("pub struct {}Config {{", capitalised(section));
    let body = source.split_once(&name).map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}").map_or(body, |(body, _)| body);
    let mut words = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            words.push(text);
        } else if line.starts_with(&format!("pub {field}:")) {
            return words;
        } else {
            words.clear();
        }
    }
    Vec::new()
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// Gives the folder for a program's data, as the XDG base directory specification says:
/// `XDG_DATA_HOME` if it is absolute, or `~/.local/share`. None without a home directory.
pub fn data_home(name: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).and_then(absolute);
    Some(base.or_else(|| Some(std::env::home_dir()?.join(".local/share")))?.join(name))
}

/// Gives the log filter: `YINGXUE_LOG` in the form of `tracing`'s `EnvFilter`, or `info`.
pub fn log_filter() -> String {
    std::env::var("YINGXUE_LOG").unwrap_or_else(|_| "info,libp2p=warn".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_configuration_reads_back_and_documents_every_field() {
        let config = Config::default();
        let text = config.to_documented_toml();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
        let mut is_documented = false;
        for line in text.lines().skip(1) {
            assert!(!line.contains(" = ") || is_documented, "no words above {line:?}");
            is_documented = line.starts_with("# ");
        }
    }

    #[test]
    fn a_field_that_is_unknown_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("yingxue.toml");
        std::fs::write(&path, "[http]\nlisten_on = \"x\"\n").unwrap();
        let error = Config::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("listen_on"), "{error}");
    }

    #[test]
    fn an_encoder_is_chosen_by_name_and_a_wrong_one_is_told_which_there_are() {
        let config: Config = toml::from_str("[media]\nencoder = \"svt-av1\"\n").unwrap();
        assert_eq!(config.media, MediaConfig { encoder: Encoder::SvtAv1, ..Default::default() });
        let error = toml::from_str::<Config>("[media]\nencoder = \"x264\"\n").unwrap_err();
        let error = error.to_string();
        for name in ["auto", "rav1e", "svt-av1"] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_file_may_name_only_what_it_changes() {
        let config: Config = toml::from_str("[http]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        assert_eq!(config.http.listen, "127.0.0.1:0");
        assert_eq!(config.http.connections_max, HttpConfig::default().connections_max);
    }
}

//! Where the child programs are, and what they may use.

use std::path::{Path, PathBuf};

use crate::child::{Child, ChildError};
use crate::probe::STREAMS_MAX;

/// Formats that an upload may be in. Playlists (`hls`, `concat`, `dash`), image sequences and
/// text-mode art are left out on purpose: they open other files of the machine, or turn a text
/// file into a picture.
const FORMATS: &str = "mov,mp4,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,asf,ogg,wav,w64,mp3,\
                       aac,flac,aiff,amr,rm,h264,hevc,m4v,dv,mxf,nut,caf,ac3";

/// The two programs that read what teachers bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ffmpeg {
    /// The path of `ffmpeg`.
    pub ffmpeg: PathBuf,
    /// The path of `ffprobe`.
    pub ffprobe: PathBuf,
}

/// The programs are not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{program}` was not found on PATH; install it (Debian, Ubuntu: apt install ffmpeg)")]
pub struct MissingFfmpeg {
    /// The program that was looked for.
    pub program: &'static str,
}

impl Ffmpeg {
    /// Finds both programs on `PATH`.
    pub fn find() -> Result<Self, MissingFfmpeg> {
        Ok(Self { ffmpeg: on_path("ffmpeg")?, ffprobe: on_path("ffprobe")? })
    }

    /// Starts `ffmpeg` reading `input`; `arguments` follow the input and end with the output.
    pub(crate) fn decode(
        &self,
        input: &Path,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        self.decode_with(&[], input, arguments, limits)
    }

    /// As [`Ffmpeg::decode`], from the key frame before `at_ms`; times count from `at_ms`, so those
    /// of the pictures before it are negative.
    pub(crate) fn decode_from(
        &self,
        input: &Path,
        at_ms: u64,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        let seconds = seconds(at_ms);
        self.decode_with(&["-noaccurate_seek", "-ss", &seconds], input, arguments, limits)
    }

    /// As [`Ffmpeg::decode_from`] with the times that [`Ffmpeg::decode`] gives.
    pub(crate) fn decode_rest(
        &self,
        input: &Path,
        at_ms: u64,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        let seconds = seconds(at_ms);
        let before = ["-noaccurate_seek", "-ss", &seconds, "-itsoffset", &seconds];
        self.decode_with(&before, input, arguments, limits)
    }

    /// As [`Ffmpeg::decode`] with two inputs: `made`, which is our own, and `input`.
    pub(crate) fn join(
        &self,
        made: &Path,
        input: &Path,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        let head = ["-nostdin", "-hide_banner", "-loglevel", "error", "-nostats"];
        let mut all: Vec<std::ffi::OsString> = head.iter().map(Into::into).collect();
        all.extend(input_options(made, limits));
        all.extend(input_options(input, limits));
        all.extend(arguments.iter().map(Into::into));
        Child::start(&self.ffmpeg, &all, limits)
    }

    fn decode_with(
        &self,
        before: &[&str],
        input: &Path,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        let head = ["-nostdin", "-hide_banner", "-loglevel", "error", "-nostats"];
        let mut all: Vec<std::ffi::OsString> = head.iter().chain(before).map(Into::into).collect();
        all.extend(input_options(input, limits));
        all.extend(arguments.iter().map(Into::into));
        Child::start(&self.ffmpeg, &all, limits)
    }

    /// As `decode` for a still picture: `options` stand before the input and name its one format.
    pub(crate) fn decode_picture(
        &self,
        input: &Path,
        options: &[&str],
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        let head = ["-nostdin", "-hide_banner", "-loglevel", "error", "-nostats"];
        let threads = limits.child_threads.to_string();
        let fixed = ["-threads", &threads, "-protocol_whitelist", "file,pipe", "-i"];
        let all = head.iter().chain(options).chain(&fixed).map(Into::into);
        let all = all.chain([file_url(input)]).chain(arguments.iter().map(Into::into));
        Child::start(&self.ffmpeg, &all.collect::<Vec<_>>(), limits)
    }

    /// Starts `ffprobe` on `input`.
    pub(crate) fn inspect(
        &self,
        input: &Path,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Child, ChildError> {
        let mut all: Vec<std::ffi::OsString> = arguments.iter().map(Into::into).collect();
        all.extend(input_options(input, limits));
        Child::start(&self.ffprobe, &all, limits)
    }
}

/// `file:` keeps a name such as `http:x.mp4` or `-i` from being read as anything but a path.
fn file_url(input: &Path) -> std::ffi::OsString {
    let mut url = std::ffi::OsString::from("file:");
    url.push(input);
    url
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn input_options(input: &Path, limits: &Limits) -> Vec<std::ffi::OsString> {
    let (streams_max, threads) = (STREAMS_MAX.to_string(), limits.child_threads.to_string());
    let fixed = ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS];
    let bounds = ["-max_streams", &streams_max, "-threads", &threads, "-i"];
    let all = fixed.into_iter().chain(bounds);
    all.map(Into::into).chain([file_url(input)]).collect()
}

pub(crate) fn on_path(program: &'static str) -> Result<PathBuf, MissingFfmpeg> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or(MissingFfmpeg { program })
}

/// What an upload may be and what a child process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest lesson, in milliseconds. 10 h: a whole day recorded in one file; a mistake
    /// (a camera left on over a weekend) is longer.
    pub duration_ms_max: u64,
    /// The widest picture, in pixels. 8192: the largest that phones and cameras record.
    pub width_max: u32,
    /// The highest picture, in pixels.
    pub height_max: u32,
    /// The most pixels in one picture. 8192 × 4320 (8K): some 53 MB a decoded frame.
    pub pixels_max: u64,
    /// The address space of a child, in bytes. 4 GiB: room for decoding 8K with two threads
    /// (estimated, not measured), and half of what a small hub has.
    pub child_memory_bytes: u64,
    /// How long a child may deliver nothing while it is being waited for, in milliseconds.
    /// 60 s: far above the slowest first frame of an 8K file on a small machine.
    pub stall_timeout_ms: u64,
    /// The largest file that a child may write, in bytes. 0: what it makes comes through a pipe;
    /// only LibreOffice writes files.
    pub child_file_bytes: u64,
    /// The CPU time of a child, in seconds. `None`: decoding takes as long as the lesson is long.
    pub child_cpu_s: Option<u64>,
    /// The threads with which one child decodes, filters or encodes H.264. 2: a lecture decodes
    /// faster than it is encoded even with one.
    pub child_threads: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duration_ms_max: 10 * 3600 * 1000,
            width_max: 8192,
            height_max: 8192,
            pixels_max: 8192 * 4320,
            child_memory_bytes: 4 << 30,
            stall_timeout_ms: 60_000,
            child_file_bytes: 0,
            child_cpu_s: None,
            child_threads: 2,
        }
    }
}

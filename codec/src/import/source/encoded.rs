//! The picture of a `source` that has to be encoded again, kept segment by segment.
//!
//! The picture grows in one file of its own, an MP4 without sound. A note says how much of it is
//! durable; after a cut everything up to there is kept, the file is decoded again from its
//! beginning, and the encoder begins with the first picture that is missing. A segment begins with
//! a key frame that nothing before it is needed for, so pictures and times are those of an import
//! that was not cut; the bytes of later segments may differ, because the encoder starts anew.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::boxes::BoxReader;
use super::{BOXES, FRAGMENTS, KIND, MOOF_BYTES_MAX, encode_rate};
use crate::cmaf::scan::{self, BoxHead, ScanError};
use crate::frame_size::FrameSize;
use crate::import::work_dir::{ENCODED_PICTURE, remove_file};
use crate::import::{ImportError, Job, SEGMENT_MS, Stage, child_error};
use crate::mux::{only, put_word};
use crate::probe::VideoStream;
use crate::track::INIT_BYTES_MAX;

/// What a re-encoded picture is clipped to; a lecture is readable at 720p.
const ENCODE_WIDTH_MAX: u32 = 1280;
const ENCODE_HEIGHT_MAX: u32 = 720;

/// How much of the file is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Of the file.
    bytes: u64,
    segments: u64,
    pictures: u64,
    ticks: u64,
    is_whole: bool,
    /// `ftyp` and `moov`; a run that writes others begins anew.
    init: Vec<u8>,
}

/// Makes the picture, or goes on with it; gives its file.
pub(super) fn make(job: &Job) -> Result<PathBuf, ImportError> {
    let video = job.probe.video.as_ref().ok_or(ImportError::NothingDecoded)?;
    let path = job.work.own_file(ENCODED_PICTURE);
    let kept = kept(job, &path);
    if kept.is_whole {
        return Ok(path);
    }
    match Picture::open(job, path.clone(), kept)?.encode(video) {
        // Another ffmpeg than before the cut.
        Err(Stop::OtherInit) => {
            match Picture::open(job, path.clone(), Kept::default())?.encode(video) {
                Err(Stop::OtherInit) => Err(ScanError::Damaged("moov").into()),
                Err(Stop::Import(error)) => Err(error),
                Ok(()) => Ok(path),
            }
        }
        Err(Stop::Import(error)) => Err(error),
        Ok(()) => Ok(path),
    }
}

/// Removes the picture once the track has it.
pub(super) fn remove(job: &Job) {
    if let Err(error) = remove_file(&job.work.own_file(ENCODED_PICTURE)) {
        // The whole work folder goes once the tracks are in the blob store.
        tracing::debug!(%error, "the picture of a finished track is left behind");
    }
}

fn kept(job: &Job, path: &std::path::Path) -> Kept {
    let note = job.work.read_note(KIND);
    let kept: Option<Kept> = note.and_then(|note| serde_json::from_slice(&note).ok());
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    kept.filter(|kept| bytes >= kept.bytes).unwrap_or_default()
}

enum Stop {
    /// What is kept cannot be gone on with.
    OtherInit,
    Import(ImportError),
}

impl<E: Into<ImportError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Import(error.into())
    }
}

struct Picture<'a> {
    job: &'a Job<'a>,
    file: File,
    kept: Kept,
    /// What an earlier call has kept: the encoder's own times begin after it.
    ticks_before: u64,
    init: Vec<u8>,
}

impl<'a> Picture<'a> {
    fn open(job: &'a Job<'a>, path: PathBuf, kept: Kept) -> Result<Self, ImportError> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // What lies behind it was never made durable.
        file.set_len(kept.bytes)?;
        file.seek(SeekFrom::Start(kept.bytes))?;
        Ok(Self { job, file, ticks_before: kept.ticks, kept, init: Vec::new() })
    }

    fn encode(mut self, video: &VideoStream) -> Result<(), Stop> {
        let job = self.job;
        let arguments = arguments(job, video, &self.kept);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut reader = BoxReader { child: job.ffmpeg(KIND, &arguments)?, job };
        while let Some((head, bytes)) = reader.head()? {
            match &head.kind {
                b"ftyp" | b"moov" => self.init(&reader.body(head, bytes, INIT_BYTES_MAX)?)?,
                b"moof" => self.moof(reader.body(head, bytes, MOOF_BYTES_MAX as u32)?)?,
                b"mdat" => {
                    reader.media(head, &bytes, |bytes| Ok(self.write(bytes)?))?;
                    self.keep()?;
                }
                _ => reader.skip(head)?,
            }
        }
        match reader.child.finish() {
            // Everything was encoded when the cut came.
            Err(error) if error.is_empty_input() && self.kept.segments > 0 => {}
            done => done.map_err(|error| child_error(KIND, error))?,
        }
        if self.kept.segments == 0 {
            return Err(ImportError::NothingDecoded.into());
        }
        self.kept.is_whole = true;
        Ok(self.keep()?)
    }

    /// Writes the init segment, or checks that it is the one that is there.
    fn init(&mut self, whole: &[u8]) -> Result<(), Stop> {
        self.init.extend(whole);
        if whole.get(4..8) != Some(b"moov") {
            return Ok(());
        }
        if self.kept.segments > 0 {
            return if self.kept.init == self.init { Ok(()) } else { Err(Stop::OtherInit) };
        }
        self.kept.init.clone_from(&self.init);
        let init = std::mem::take(&mut self.init);
        Ok(self.write(&init)?)
    }

    fn moof(&mut self, mut moof: Vec<u8>) -> Result<(), ImportError> {
        let tracks = scan::init(&self.kept.init)?;
        let default_ticks = tracks.first().map_or(0, |track| track.default_sample_ticks);
        let fragments = scan::fragment(&moof)?;
        let fragment = fragments.first().ok_or(ScanError::Missing("traf"))?;
        let start_ticks = self.ticks_before + fragment.start_ticks;
        let ticks = fragment.duration_ticks + fragment.default_samples * u64::from(default_ticks);
        rebase(&mut moof, self.kept.segments as u32 + 1, start_ticks)?;
        self.kept.segments += 1;
        self.kept.pictures += fragment.samples;
        self.kept.ticks = start_ticks + ticks;
        Ok(self.write(&moof)?)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.kept.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Makes what was written durable, then the note that says so.
    fn keep(&mut self) -> Result<(), ImportError> {
        self.file.sync_data()?;
        let note = serde_json::to_vec(&self.kept).expect("numbers and bytes always encode");
        self.job.work.write_note(KIND, &note)?;
        let made_ms = self.kept.segments * SEGMENT_MS;
        self.job.reporter.report(Stage::Source, self.job.fraction(made_ms).min(0.99));
        Ok(())
    }
}

fn arguments(job: &Job, video: &VideoStream, kept: &Kept) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |words: &str| out.extend(words.split(' ').map(str::to_owned));
    add(&format!("-map 0:{} -an -sn -dn -map_metadata -1 -map_chapters -1", video.index));
    add(&format!("-threads {}", job.request.limits.child_threads));
    add("-c:v libx264 -preset veryfast -crf 23 -profile:v high");
    // 4 Mbit/s at most: what a school's wireless network carries to thirty tablets.
    add("-maxrate 4M -bufsize 8M");
    // At the same moments of the lesson as without a cut, whatever was kept.
    let fps = format!("{:.3}", encode_rate(video));
    let before_s = kept.pictures as f64 / fps.parse::<f64>().unwrap_or(1.0);
    add(&format!(
        "-sc_threshold 0 -g 600 -force_key_frames \
         expr:gte(t+{before_s:.9},(n_forced+{})*{})",
        kept.segments,
        SEGMENT_MS / 1000
    ));
    add("-colorspace bt709 -color_primaries bt709 -color_trc bt709 -tag:v avc1");
    let size = FrameSize::fit(video, ENCODE_WIDTH_MAX, ENCODE_HEIGHT_MAX);
    let deinterlace = if video.is_interlaced { "yadif," } else { "" };
    let fps = format!("fps={fps}:start_time=0");
    // What is kept is decoded and dropped; the rest begins at 0, at the same rate.
    let rest = match kept.pictures {
        0 => String::new(),
        count => format!("trim=start_frame={count},setpts=PTS-STARTPTS,{fps},"),
    };
    add(&format!("-vf {deinterlace}{fps},{rest}{}", size.filters(video)));
    add(FRAGMENTS);
    add(BOXES);
    out
}

/// Puts a fragment at its place: its number, and when it begins.
fn rebase(moof: &mut [u8], number: u32, start_ticks: u64) -> Result<(), ScanError> {
    let inside = BoxHead::read(moof)?.head_bytes as usize..moof.len();
    let sequence = only(moof, inside.clone(), *b"mfhd")?;
    let fragment = only(moof, inside, *b"traf")?;
    let time = only(moof, fragment, *b"tfdt")?;
    let is_long = moof.get(time.start) == Some(&1);
    put_word(moof, sequence.start + 4, number)?;
    if is_long {
        put_word(moof, time.start + 4, (start_ticks >> 32) as u32)?;
        return put_word(moof, time.start + 8, start_ticks as u32);
    }
    put_word(moof, time.start + 4, u32::try_from(start_ticks).map_err(|_| ScanError::Length)?)
}

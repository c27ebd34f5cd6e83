//! SVT-AV1 by the system's ffmpeg: raw pictures in by its standard input, IVF out.

use std::ffi::OsString;

use super::{CodedPicture, EncodeError, GopEncoder, PictureFormat, Scale};
use crate::av1::{Av1Error, has_sequence_header, strip_temporal_delimiters};
use crate::child::{Child, ChildError};
use crate::ffmpeg::{Ffmpeg, Limits};

/// SVT-AV1's preset. On camera pictures 7 takes a third more work for 2 % fewer bits, 9 a third
/// less for 9 % more; on slides both are within 4 % of bits.
const PRESET: &str = "8";
/// Quantizer indices of AV1 to a step of SVT-AV1's scale of 0 to 63.
const INDICES_PER_STEP: u8 = 4;
const STEP_MAX: u8 = 63;
/// The smallest side that it takes, in pixels.
const SIDE_MIN: u32 = 64;
/// An IVF file's header, and a picture's: its length in 4 bytes and its time in 8.
const FILE_HEAD_BYTES: usize = 32;
const PICTURE_HEAD_BYTES: usize = 12;
/// What it is tried out on: enough pictures for it to predict some from later ones.
const TRIAL: PictureFormat =
    PictureFormat { width: 128, height: 96, gop_frames: 9, frame_rate: (25, 2) };
/// The quantizer that they are encoded at: in the middle.
const TRIAL_INDEX: u8 = 128;
/// How often a GOP that it fails at is given to it: a child that could not start a thread or get
/// memory fails too, and begins a track again only if that is no accident.
const FAILURES_MAX: usize = 2;
/// How often a GOP is given to it whose child was stopped.
const STOPS_MAX: usize = 3;
/// How much of ffmpeg's complaint is repeated, in characters: a line.
const COMPLAINT_CHARS_MAX: usize = 160;

/// The child's recipe.
pub(super) struct SvtAv1 {
    ffmpeg: Ffmpeg,
    limits: Limits,
}

/// Whether it can encode such pictures.
pub(super) fn takes(format: &PictureFormat) -> bool {
    format.width.min(format.height) >= SIDE_MIN
}

impl SvtAv1 {
    pub(super) fn new(ffmpeg: &Ffmpeg, limits: &Limits) -> Self {
        Self { ffmpeg: ffmpeg.clone(), limits: limits.clone() }
    }

    /// Encodes a few pictures with the options of lessons: an ffmpeg may list the encoder and be
    /// too old for them. Gives what came out, all of it.
    pub(super) fn try_out(&self, is_cancelled: &dyn Fn() -> bool) -> Result<Vec<u8>, EncodeError> {
        let pictures: Vec<Vec<u8>> = (0..TRIAL.gop_frames as usize).map(trial_picture).collect();
        let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
        match self.encode_gop(&TRIAL, TRIAL_INDEX, &pictures, is_cancelled) {
            Ok(coded) => Ok(coded.into_iter().flat_map(|picture| picture.bytes).collect()),
            Err(EncodeError::Cancelled) => Err(EncodeError::Cancelled),
            Err(error) if error.is_stopped() => Err(error),
            Err(error) => Err(EncodeError::NoSvtAv1 { why: last_line(&error) }),
        }
    }

    fn try_gop(
        &self,
        format: &PictureFormat,
        quantizer: u8,
        frames: &[&[u8]],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<CodedPicture>, EncodeError> {
        // A child that has all its pictures goes on with them, so a pause waits before it starts.
        if is_cancelled() {
            return Err(EncodeError::Cancelled);
        }
        // No GOP is larger coded than it is raw.
        let bytes_max = format.frame_bytes() * (frames.len() + 1);
        let arguments = arguments(format, quantizer);
        let ivf = Child::filter(
            &self.ffmpeg.ffmpeg,
            &arguments,
            &self.limits,
            frames,
            bytes_max,
            is_cancelled,
        )?;
        let coded = pictures(&ivf)?;
        match coded.len() == frames.len() {
            true => Ok(coded),
            false => Err(EncodeError::Count { made: coded.len(), given: frames.len() }),
        }
    }
}

/// A slope with stripes that move.
fn trial_picture(n: usize) -> Vec<u8> {
    let (width, height) = (TRIAL.width as usize, TRIAL.height as usize);
    let level = |at: usize| {
        let (x, y) = (at % width, at / width);
        if (x + 3 * n + y / 4) % 24 < 4 { 220 } else { 40 + (x + y) / 2 }
    };
    let mut planes: Vec<u8> = (0..width * height).map(|at| level(at) as u8).collect();
    planes.resize(TRIAL.frame_bytes(), 128);
    planes
}

fn last_line(error: &EncodeError) -> String {
    let text = match error {
        EncodeError::Child(ChildError::Failed { complaint, .. }) => complaint.clone(),
        error => error.to_string(),
    };
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason");
    last.chars().take(COMPLAINT_CHARS_MAX).collect()
}

impl GopEncoder for SvtAv1 {
    fn scale(&self) -> &Scale {
        &Scale {
            // Measured on camera pictures; slides lose a little more.
            db_per_index: 0.047,
            step: INDICES_PER_STEP,
            // A face in the corner of a lecture is as clear as at rav1e's floor, and letters are
            // clearer.
            index_max: 248,
            camera_start: 172,
        }
    }

    fn encode_gop(
        &self,
        format: &PictureFormat,
        quantizer: u8,
        frames: &[&[u8]],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<CodedPicture>, EncodeError> {
        let (mut failures, mut stops) = (0, 0);
        loop {
            let error = match self.try_gop(format, quantizer, frames, is_cancelled) {
                Err(error) if !matches!(error, EncodeError::Cancelled) => error,
                done => return done,
            };
            let times = if error.is_stopped() { &mut stops } else { &mut failures };
            *times += 1;
            if failures == FAILURES_MAX || stops == STOPS_MAX {
                return Err(error);
            }
            tracing::warn!(%error, "SVT-AV1 is given the same pictures again");
        }
    }
}

fn arguments(format: &PictureFormat, quantizer: u8) -> Vec<OsString> {
    let PictureFormat { width, height, gop_frames, frame_rate: (frames, seconds) } = format;
    let half = INDICES_PER_STEP / 2;
    let step = (quantizer.saturating_add(half) / INDICES_PER_STEP).clamp(1, STEP_MAX);
    // One key frame a GOP, and no second one where the scene changes; one thread, as every worker
    // has a child of its own. Without its look ahead it takes 27 MB less, 2 % fewer bits on slides,
    // and 2 % more on camera pictures.
    let interval = gop_frames + 1;
    let text = format!(
        "-nostdin -hide_banner -loglevel error -nostats -f rawvideo -pix_fmt yuv420p \
         -s {width}x{height} -r {frames}/{seconds} -i pipe:0 -c:v libsvtav1 -preset {PRESET} \
         -crf {step} -g {interval} -svtav1-params lp=1:scd=0:lookahead=0 \
         -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -f ivf pipe:1"
    );
    text.split_whitespace().map(Into::into).collect()
}

/// The pictures of an IVF file.
pub(crate) fn pictures(ivf: &[u8]) -> Result<Vec<CodedPicture>, Av1Error> {
    let mut rest = ivf.get(FILE_HEAD_BYTES..).ok_or(Av1Error::Stream("IVF header"))?;
    let mut coded = Vec::new();
    while !rest.is_empty() {
        let (head, after) =
            rest.split_at_checked(PICTURE_HEAD_BYTES).ok_or(Av1Error::Stream("IVF picture"))?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (unit, after) =
            after.split_at_checked(length).ok_or(Av1Error::Stream("IVF picture"))?;
        let bytes = strip_temporal_delimiters(unit)?;
        let is_key = has_sequence_header(&bytes)?;
        coded.push(CodedPicture { bytes, is_key });
        rest = after;
    }
    Ok(coded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An ffmpeg that complains and ends.
    fn fake(script: &str) -> (tempfile::TempDir, SvtAv1) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let ffmpeg = Ffmpeg { ffmpeg: program.clone(), ffprobe: program };
        (folder, SvtAv1::new(&ffmpeg, &Limits::default()))
    }

    #[test]
    fn an_ffmpeg_without_it_is_said_in_words_and_why() {
        let (_folder, svt_av1) = fake("echo \"Unknown encoder 'libsvtav1'\" >&2; exit 1");
        let error = svt_av1.try_out(&|| false).unwrap_err().to_string();
        assert!(error.contains("Unknown encoder") && error.contains("\"rav1e\""), "{error}");
        let (_folder, svt_av1) = fake("cat >/dev/null");
        let error = svt_av1.try_out(&|| false).unwrap_err().to_string();
        assert!(error.contains("without a readable IVF header"), "{error}");
    }

    #[test]
    fn a_child_that_is_stopped_is_not_one_that_fails() {
        // Children may write no files, but make folders: one for each that was started.
        let after = |script: &str| {
            let (folder, mut svt_av1) =
                fake(&format!("cd ${{0%/*}}; mkdir run-$$; {script}; exec sleep 600"));
            svt_av1.limits.stall_timeout_ms = 200;
            let error = svt_av1.try_out(&|| false).unwrap_err();
            let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
            let runs = names.filter(|name| name.to_string_lossy().starts_with("run-")).count();
            (runs, error.is_stopped())
        };
        assert_eq!(after("exit 1"), (2, false));
        assert_eq!(after("kill -SEGV $$"), (2, false), "a crash is its own doing");
        assert_eq!(after("kill -KILL $$"), (3, true));
        assert!(after("true").1, "it hangs");
        let once = "mkdir once 2>/dev/null || exit 1; kill -KILL $$";
        assert_eq!(after(once), (3, false));
    }

    #[test]
    fn it_is_tried_out_with_the_same_outcome_each_time() {
        let svt_av1 = SvtAv1::new(&Ffmpeg::find().unwrap(), &Limits::default());
        let trial = svt_av1.try_out(&|| false).unwrap();
        assert!((200..4000).contains(&trial.len()), "{} bytes", trial.len());
        assert_eq!(svt_av1.try_out(&|| false).unwrap(), trial);
        let cancelled = svt_av1.try_out(&|| true);
        assert!(matches!(cancelled, Err(EncodeError::Cancelled)));
    }

    #[test]
    fn the_nearest_step_is_taken() {
        let step_of = |quantizer| {
            let arguments = arguments(&TRIAL, quantizer);
            let at = arguments.iter().position(|argument| argument == "-crf").unwrap();
            arguments[at + 1].to_str().unwrap().parse::<u8>().unwrap()
        };
        assert_eq!([1, 5, 6, 172, 252, 255].map(step_of), [1, 1, 2, 43, 63, 63]);
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = pictures(&bytes);
        }
    }
}

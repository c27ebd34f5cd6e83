//! The pictures of a lesson at a track's rate and size, from the first or from one in the middle.
//!
//! What begins in the middle comes out as it does from the beginning: the times are those of the
//! whole file, so that the rate's filter chooses the same pictures, and nothing is shown of before
//! the key frame where decoding begins. An index has to lead there; a transport stream has none,
//! and of two fields the picture before is needed as well. Whether it is so is seen by the last
//! picture that an earlier call had: it has to come out again.

use serde::{Deserialize, Serialize};

use super::{ImportError, Job, child_error};
use crate::child::{Child, ChildError};
use crate::frame_size::FrameSize;
use crate::probe::VideoStream;
use crate::track::TrackKind;

/// Containers whose index leads to every moment; in others ffmpeg guesses.
const INDEXED: [&str; 2] = ["mov,", "matroska,"];
/// How far before the wanted picture a key frame is looked for: further than times of decoding and
/// of showing are apart, and than a picture takes to be whole again without key frames.
const SEEK_MARGIN_MS: u64 = 2000;
/// While pictures are passed over one of so many is delivered: a child that is silent for a minute
/// counts as stuck.
const SIGN_OF_LIFE_FRAMES: u64 = 250;

/// What a picture is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark([u8; 32]);

impl Mark {
    pub(super) fn of(picture: &[u8]) -> Self {
        Self(*blake3::hash(picture).as_bytes())
    }
}

/// What is decoded, for which track.
pub(super) struct Pictures<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) kind: TrackKind,
    pub(super) video: &'a VideoStream,
    /// Pictures a second.
    pub(super) rate: (u64, u64),
    pub(super) size: FrameSize,
}

impl Pictures<'_> {
    /// Starts at picture 0.
    pub(super) fn decode_all(&self) -> Result<Child, ImportError> {
        self.start(None, "")
    }

    /// Whether the middle can be begun at without all that is before it.
    pub(super) fn can_seek(&self) -> bool {
        is_indexed(self.job) && !self.video.is_interlaced
    }

    /// Starts behind picture `n`, which has to be the one of `mark`, at the key frame before it;
    /// `None` if the file does not lead there.
    pub(super) fn seek_behind(&self, n: u64, mark: &Mark) -> Result<Option<Child>, ImportError> {
        if !self.can_seek() {
            return Ok(None);
        }
        let at_ms = n * 1000 * self.rate.1 / self.rate.0;
        let trim = format!("trim=start_frame={n},setpts=PTS-STARTPTS,");
        let child = self.start(Some(at_ms.saturating_sub(SEEK_MARGIN_MS)), &trim)?;
        self.checked(child, 1, mark)
    }

    /// As [`Pictures::seek_behind`], decoding all that is before it, which is not scaled.
    pub(super) fn pass_behind(&self, n: u64, mark: &Mark) -> Result<Option<Child>, ImportError> {
        let select = format!(
            "select=gte(n\\,{n})+not(mod(n\\,{SIGN_OF_LIFE_FRAMES})),setpts=N/({}/{})/TB,",
            self.rate.0, self.rate.1
        );
        let child = self.start(None, &select)?;
        self.checked(child, n.div_ceil(SIGN_OF_LIFE_FRAMES) + 1, mark)
    }

    /// Reads so many pictures; the last has to be the one of `mark`.
    fn checked(
        &self,
        mut child: Child,
        count: u64,
        mark: &Mark,
    ) -> Result<Option<Child>, ImportError> {
        let mut picture = vec![0; self.size.frame_bytes()];
        for _ in 0..count {
            match child.read(&mut picture, &|| self.job.must_stop()) {
                Ok(filled) if filled == picture.len() => {}
                Ok(_) | Err(ChildError::Stalled { .. }) => return Ok(None),
                Err(error) => return Err(child_error(self.kind, error)),
            }
        }
        let is_same = Mark::of(&picture) == *mark;
        tracing::debug!(track = %self.kind, is_same, "decoding goes on in the middle");
        Ok(is_same.then_some(child))
    }

    fn start(&self, at_ms: Option<u64>, chosen: &str) -> Result<Child, ImportError> {
        let Self { job, video, rate, .. } = self;
        let deinterlace = if video.is_interlaced { "yadif," } else { "" };
        let rate = format!("{}/{}", rate.0, rate.1);
        let filters =
            format!("{deinterlace}fps={rate}:start_time=0,{chosen}{}", self.size.filters(video));
        let map = format!("0:{}", video.index);
        let threads = job.request.limits.child_threads.to_string();
        let mut arguments = vec!["-map", &map, "-an", "-sn", "-dn", "-filter_threads", &threads];
        // The rate once more: new times make ffmpeg forget it, and fill up to another.
        arguments.extend(["-vf", &filters, "-r", &rate]);
        arguments.extend(["-f", "rawvideo", "-c:v", "rawvideo", "pipe:1"]);
        let request = job.request;
        let child = match at_ms {
            None => request.ffmpeg.decode(request.source, &arguments, &request.limits),
            Some(at) => request.ffmpeg.decode_rest(request.source, at, &arguments, &request.limits),
        };
        child.map_err(|error| child_error(self.kind, error))
    }
}

/// Whether the file has an index that leads to every moment.
pub(super) fn is_indexed(job: &Job) -> bool {
    INDEXED.iter().any(|name| job.probe.container.starts_with(name))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;
    use crate::import::{EncoderChoice, ImportRequest, Observer, Progress, Tiers};
    use crate::{Ffmpeg, Limits};

    struct Quiet;

    impl Observer for Quiet {
        fn progress(&self, _: Progress) {}
        fn is_cancelled(&self) -> bool {
            false
        }
    }

    fn make(folder: &Path, name: &str, arguments: &str) -> PathBuf {
        let path = folder.join(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "error", "-y"]).args(arguments.split_whitespace());
        assert!(command.arg(&path).status().unwrap().success(), "ffmpeg could not make {name}");
        path
    }

    /// All that still comes.
    fn rest(mut child: Child) -> Vec<u8> {
        let (mut all, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
        loop {
            let filled = child.read(&mut chunk, &|| false).unwrap();
            all.extend_from_slice(&chunk[..filled]);
            if filled < chunk.len() {
                child.finish().unwrap();
                return all;
            }
        }
    }

    /// Decodes from pictures in the middle, and compares with what comes from the beginning.
    fn assert_same_rest(folder: &Path, source: &Path, can_seek: bool) {
        let request = ImportRequest {
            ffmpeg: &Ffmpeg::find().unwrap(),
            source,
            work_dir: &folder.join("work"),
            workers: 1,
            limits: Limits::default(),
            encoder: EncoderChoice::Rav1e,
            tiers: Tiers { audio: true, video_360: false, ..Tiers::SECOND },
        };
        let job = Job::open(&request, &Quiet).unwrap();
        let video = job.probe.video.as_ref().unwrap();
        let size = FrameSize::fit(video, 640, 360);
        for (rate, numbers) in [((25, 2), [0, 62]), ((25, 1), [124, 501])] {
            let pictures = Pictures { job: &job, kind: TrackKind::Slides, video, rate, size };
            let whole = rest(pictures.decode_all().unwrap());
            let picture = |n: u64| &whole[n as usize * size.frame_bytes()..][..size.frame_bytes()];
            for n in numbers {
                let name = format!("{} at {n} of {rate:?}", source.display());
                let mark = Mark::of(picture(n));
                let behind = &whole[(n as usize + 1) * size.frame_bytes()..];
                let passed = pictures.pass_behind(n, &mark).unwrap().expect(&name);
                assert!(rest(passed) == behind, "passed over: {name}");
                let sought = pictures.seek_behind(n, &mark).unwrap();
                assert_eq!(sought.is_some(), can_seek, "{name}");
                assert!(sought.is_none_or(|child| rest(child) == behind), "{name}");
            }
            let other = Mark::of(picture(1));
            assert!(pictures.pass_behind(30, &other).unwrap().is_none());
            assert!(pictures.seek_behind(30, &other).unwrap().is_none());
        }
    }

    #[test]
    fn the_middle_of_a_file_comes_out_as_it_does_from_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let film = |rate: &str| format!("-f lavfi -i testsrc2=s=96x64:r={rate}:d=30");
        let open =
            "-c:v libx264 -preset veryfast -bf 3 -x264-params open-gop=1:keyint=60:b-adapt=0";
        let open = make(folder, "open.mp4", &format!("{} {open}", film("25")));
        let hevc =
            "-c:v libx265 -preset ultrafast -x265-params log-level=none:open-gop=1:keyint=80";
        let seldom = format!("{},select=not(mod(n\\,7))*not(between(t\\,5\\,12))", film("25"));
        let copy =
            |before: &str, after: &str| format!("{before} -i {} -c copy {after}", open.display());
        let made = [
            // An edit list hides what is before 3.3 s.
            make(folder, "cut.mp4", &copy("-ss 3.3", "")),
            make(folder, "late.mkv", &copy("-itsoffset 1.24", "")),
            make(folder, "fragments.mp4", &copy("", "-movflags frag_keyframe+empty_moov")),
            make(folder, "ntsc.mp4", &format!("{} -c:v libx264 -g 300", film("30000/1001"))),
            make(folder, "seldom.mkv", &format!("{seldom} -vsync vfr -c:v libx264 -g 20")),
            make(folder, "hevc.mp4", &format!("{} {hevc}", film("25"))),
        ];
        made.iter().chain([&open]).for_each(|source| assert_same_rest(folder, source, true));
        assert_same_rest(folder, &make(folder, "open.ts", &copy("", "")), false);
    }
}

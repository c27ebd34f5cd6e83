//! Raw pictures, and how like them what came out of an encoder is.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use yingxue_codec::quality::ssim;
use yingxue_codec::scan::BoxHead;

/// What `video-360` is made of: its size, its rate, and the import's own scaling.
const FILTERS: &str = "fps=25/2:start_time=0,\
    scale=640:360:flags=bicubic+accurate_rnd:in_color_matrix=bt709:out_color_matrix=bt709\
    :out_range=tv,setsar=1,format=yuv420p";
/// Pictures a second of `video-360`, as ffmpeg writes it.
pub const RATE: &str = "25/2";
/// The same as a number.
pub const FRAMES_PER_S: f64 = 12.5;
/// Pixels in a row, and rows.
pub const SIZE: (usize, usize) = (640, 360);
/// Pictures of a segment of 4 s.
pub const GOP: usize = 50;
/// Bytes of a picture in 4:2:0.
pub const FRAME_BYTES: usize = SIZE.0 * SIZE.1 * 3 / 2;
/// The share of pictures that may be missing at the end: sound and picture end apart.
const MISSING_MAX: f64 = 0.01;

/// A clip as raw 4:2:0 pictures of 640×360 at 12.5 a second, in memory and in a file.
pub struct Frames {
    /// The file, nothing but the pictures.
    pub file: PathBuf,
    bytes: Vec<u8>,
}

impl Frames {
    /// Decodes the first `seconds` of a clip.
    pub fn decode(clip: &Path, seconds: f64, file: PathBuf) -> Result<Self> {
        let mut bytes = Vec::new();
        let seconds = seconds.to_string();
        let mut decoder = Decoder::start(clip, &["-t", &seconds], FILTERS, FRAME_BYTES)?;
        while let Some(frame) = decoder.next()? {
            bytes.extend_from_slice(frame);
        }
        fs::write(&file, &bytes).with_context(|| format!("write {}", file.display()))?;
        Ok(Self { file, bytes })
    }

    /// How many pictures there are.
    pub fn count(&self) -> usize {
        self.bytes.len() / FRAME_BYTES
    }

    /// How long they last.
    pub fn seconds(&self) -> f64 {
        self.count() as f64 / FRAMES_PER_S
    }

    /// The pictures in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(FRAME_BYTES)
    }

    /// Gives the mean SSIM of the luma of each picture against what `file` shows at its time.
    pub fn ssim_of(&self, file: &Path) -> Result<f64> {
        let luma = SIZE.0 * SIZE.1;
        let filters = format!("fps={RATE},format=yuv420p");
        let mut decoder = Decoder::start(file, &[], &filters, FRAME_BYTES)?;
        let (mut total, mut count) = (0.0, 0);
        for original in self.iter() {
            let Some(shown) = decoder.next()? else { break };
            total += ssim(&original[..luma], &shown[..luma], SIZE.0);
            count += 1;
        }
        let missing = self.count() - count;
        ensure!(
            missing as f64 <= MISSING_MAX * self.count() as f64,
            "{missing} of {} pictures are missing in {}",
            self.count(),
            file.display()
        );
        Ok(total / count as f64)
    }
}

/// The system's ffmpeg, decoding to raw pictures.
pub struct Decoder {
    child: std::process::Child,
    frame: Vec<u8>,
}

impl Decoder {
    /// Starts on a part of `file`; `input` comes before it (`-ss`), and `filters` have to give
    /// pictures of `frame_bytes` bytes.
    pub fn start(file: &Path, input: &[&str], filters: &str, frame_bytes: usize) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error"]).args(input).arg("-i").arg(file);
        command.args(["-map", "0:v:0", "-vf", filters, "-f", "rawvideo", "pipe:1"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.context("start ffmpeg (Debian package ffmpeg)")?;
        Ok(Self { child, frame: vec![0; frame_bytes] })
    }

    /// Gives the next picture; `None` is the end.
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        let output = self.child.stdout.as_mut().expect("stdout was asked for as a pipe");
        match output.read_exact(&mut self.frame) {
            Ok(()) => Ok(Some(&self.frame)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error).context("read from ffmpeg"),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // It may still have pictures beyond those that were compared.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives the bytes of a fragmented MP4 that are media: what is in its `mdat` boxes.
pub fn media_bytes(file: &Path) -> Result<u64> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let (mut rest, mut total) = (&bytes[..], 0);
    while !rest.is_empty() {
        let head = BoxHead::read(rest)?;
        if &head.kind == b"mdat" {
            total += head.total_bytes - head.head_bytes;
        }
        let whole = usize::try_from(head.total_bytes)?;
        rest = rest.get(whole..).context("a box longer than its file")?;
    }
    Ok(total)
}

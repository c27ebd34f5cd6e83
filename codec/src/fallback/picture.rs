//! One AV1 segment becomes one of H.264.

use mp4_atom::{Codec, Decode, Moov};

use super::{FallbackError, Material, Scratch, Workshop};
use crate::cmaf::scan::{self, ScanError};
use crate::cmaf::{Coding, Medium, Sample, segment};
use crate::track::TrackInfo;

/// The largest segment that comes out: 30 s at 2 Mbit/s.
const BYTES_MAX: usize = 8 << 20;
/// What ffmpeg is told of each frame: any equal distance will do, the true ones are put back.
const EVEN_TICKS: u32 = 1024;
/// At most 640 wide, sides even: what a decoder in hardware of 2012 takes.
const SCALE: &str = "scale='min(640,iw)':-2:flags=bilinear,format=yuv420p";
/// Main without B frames: every H.264 decoder of a browser has it, and no frame needs another
/// order. One key frame a segment; quality about that of the AV1 it comes from.
const ENCODER: &str = "-c:v libx264 -preset veryfast -profile:v main -level 3.0 -crf 25 \
                       -maxrate 800k -bufsize 1600k -bf 0 -g 9999 -sc_threshold 0 -threads 2";
/// One fragment, `avcC` in front of it.
const MUXER: &str = "-f mp4 -movflags +empty_moov+default_base_moof+frag_keyframe+skip_trailer";

/// Encodes the picture's segment; each frame lasts as long as before.
pub(super) fn encode(
    material: &Material,
    info: &TrackInfo,
    workshop: &Workshop,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(Medium, Vec<Sample>), FallbackError> {
    let init = scan::init(&material.picture_init)?;
    let default_ticks = init.first().map_or(0, |track| track.default_sample_ticks);
    let ticks = scan::sample_ticks(&material.picture, default_ticks)?;
    let made = run(&even(material)?, workshop, is_cancelled)?;
    let samples = scan::samples(&made)?;
    if samples.len() != ticks.len() {
        return Err(FallbackError::Frames { given: ticks.len(), made: samples.len() });
    }
    let sample = |(at, (bytes, ticks)): (usize, (&&[u8], &u32))| Sample {
        bytes: bytes.to_vec(),
        is_sync: at == 0,
        ticks: *ticks,
    };
    let samples = samples.iter().zip(&ticks).enumerate().map(sample).collect();
    let medium = Medium {
        timescale: info.timescale,
        sample_ticks: EVEN_TICKS,
        duration_ticks: info.segments.iter().map(|s| u64::from(s.duration_ticks)).sum(),
        coding: coding(&made)?,
    };
    Ok((medium, samples))
}

/// Gives the segment as a file whose frames are equally far apart, so that none is dropped or
/// doubled, however ffmpeg keeps time.
fn even(material: &Material) -> Result<Vec<u8>, ScanError> {
    let sample = |(at, bytes): (usize, &&[u8])| Sample {
        bytes: bytes.to_vec(),
        is_sync: at == 0,
        ticks: EVEN_TICKS,
    };
    let samples: Vec<_> =
        scan::samples(&material.picture)?.iter().enumerate().map(sample).collect();
    let mut file = scan::without_index(&material.picture_init)?;
    file.extend(segment(1, 0, &samples));
    Ok(file)
}

fn run(
    input: &[u8],
    workshop: &Workshop,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<u8>, FallbackError> {
    let file = Scratch::write(workshop.folder, "mp4", input)?;
    let mut arguments = vec!["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", SCALE];
    arguments.extend(ENCODER.split_ascii_whitespace());
    arguments.extend(MUXER.split_ascii_whitespace());
    arguments.push("pipe:1");
    let child = workshop.ffmpeg.decode(&file.0, &arguments, workshop.limits)?;
    Ok(child.read_all(BYTES_MAX, is_cancelled)?)
}

fn coding(made: &[u8]) -> Result<Coding, ScanError> {
    let boxes = scan::boxes(made)?;
    let moov = boxes.into_iter().find(|(kind, _)| kind == b"moov");
    let (_, whole) = moov.ok_or(ScanError::Missing("moov"))?;
    let moov = Moov::decode(&mut &*whole).map_err(|_| ScanError::Damaged("moov"))?;
    let entry = moov.trak.first().and_then(|trak| trak.mdia.minf.stbl.stsd.codecs.first());
    match entry {
        Some(Codec::Avc1(avc1)) => Ok(Coding::Avc {
            width: avc1.visual.width,
            height: avc1.visual.height,
            config: avc1.avcc.clone(),
        }),
        _ => Err(ScanError::Codec),
    }
}

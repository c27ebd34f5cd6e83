//! Our own encoders as lessons are made with them, at fixed quantizers: no target, no picture left
//! out. SVT-AV1's cost is that of its processes too, one for each GOP.

use std::thread;

use anyhow::{Context, Result, ensure};
use yingxue_codec::decode::each_picture;
use yingxue_codec::encoder::{CodedPicture, EncoderName, GopEncoder, PictureFormat, encoder};
use yingxue_codec::quality::ssim;
use yingxue_codec::{Ffmpeg, Limits};

use super::cost;
use super::encoders::{Encode, Series};
use super::frames::{Frames, GOP, SIZE};
use super::import::By;
use crate::bench::figures::say;

/// AV1 quantizer indices from far better to far worse than a lesson needs.
const QUANTIZERS_RAV1E: [u8; 5] = [50, 85, 120, 155, 190];
/// The same quality takes a coarser index of SVT-AV1: it is that of its best pictures.
const QUANTIZERS_SVT_AV1: [u8; 5] = [80, 124, 168, 212, 252];
/// `video-360`, as a codec's format says it.
const FORMAT: PictureFormat = PictureFormat {
    width: SIZE.0 as u32,
    height: SIZE.1 as u32,
    gop_frames: GOP as u64,
    frame_rate: (25, 2),
};

/// Encodes a clip in segments of 4 s at several quantizers; `name` is the encoder's.
pub fn series(by: By, name: EncoderName, frames: &Frames, clip: &str) -> Result<Series> {
    let encoder = encoder(by.choice(), &Ffmpeg::find()?, &Limits::default())?;
    let quantizers = match name {
        EncoderName::Rav1e => QUANTIZERS_RAV1E,
        EncoderName::SvtAv1 => QUANTIZERS_SVT_AV1,
    };
    let pictures: Vec<&[u8]> = frames.iter().collect();
    let mut encodes = Vec::new();
    for quantizer in quantizers {
        let before_s = cpu_s()?;
        let coded = encode(encoder.as_ref(), quantizer, &pictures)?;
        let cpu_s = cpu_s()? - before_s;
        let bytes: usize = coded.iter().flatten().map(|picture| picture.bytes.len()).sum();
        let kbps = bytes as f64 * 8.0 / 1000.0 / frames.seconds();
        let ssim = mean_ssim(&coded, &pictures)?;
        say(&format!(
            "{clip}, our {name} {quantizer}: {kbps:.1} kbit/s, SSIM {ssim:.4}, {cpu_s:.2} CPU s"
        ));
        encodes.push(Encode { file: None, kbps, ssim, cpu_s });
    }
    Ok(Series { frames: frames.count(), encodes })
}

/// Of this process and its children that have ended.
fn cpu_s() -> Result<f64> {
    Ok(cost::own_cpu_s()? + cost::ended_children_cpu_s()?)
}

/// Encodes each GOP by itself, on every core.
fn encode(
    encoder: &dyn GopEncoder,
    quantizer: u8,
    pictures: &[&[u8]],
) -> Result<Vec<Vec<CodedPicture>>> {
    let gops: Vec<&[&[u8]]> = pictures.chunks(GOP).collect();
    let share = gops.len().div_ceil(thread::available_parallelism()?.get());
    let encode_share = |gops: &[&[&[u8]]]| -> Result<Vec<Vec<CodedPicture>>> {
        let encode = |gop| encoder.encode_gop(&FORMAT, quantizer, gop, &|| false);
        gops.iter().map(|gop| encode(gop).context("encode")).collect()
    };
    let shares = thread::scope(|scope| {
        let started: Vec<_> =
            gops.chunks(share).map(|gops| scope.spawn(move || encode_share(gops))).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended.collect::<Vec<_>>()
    });
    let mut all = Vec::new();
    for share in shares {
        all.extend(share.map_err(|_| anyhow::anyhow!("an encoder panicked"))??);
    }
    Ok(all)
}

fn mean_ssim(coded: &[Vec<CodedPicture>], pictures: &[&[u8]]) -> Result<f64> {
    let mut originals = pictures.iter();
    let mut total = 0.0;
    for gop in coded {
        each_picture(gop.iter().map(|picture| &picture.bytes[..]), |shown| {
            if let Some(original) = originals.next() {
                total += ssim(&original[..SIZE.0 * SIZE.1], &shown.luma, SIZE.0);
            }
        })?;
    }
    ensure!(originals.next().is_none(), "fewer pictures came out than went in");
    Ok(total / pictures.len() as f64)
}

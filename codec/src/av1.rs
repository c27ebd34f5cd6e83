//! One GOP of AV1 by rav1e (AV1 in ISOBMFF: no temporal delimiters, `av1C` from the sequence
//! header).
//!
//! A GOP is encoded by a context of its own, so that GOPs can be made in any order, on any core,
//! again after a cut, and always come out the same.

use mp4_atom::Av1c;
use rav1e::prelude::*;

use crate::cmaf::Sample;
use crate::content::Content;
use crate::frame_size::FrameSize;

/// rav1e's preset for slides, with the exceptions below; its blocks of 8×8 are what letters need.
const SLIDES_SPEED: u8 = 8;
/// rav1e's preset for camera pictures: 1.4 times as fast as 8 for 6 % more bits; 10 is twice as
/// fast again for 20 % more.
const CAMERA_SPEED: u8 = 9;
/// `seq_level_idx` of levels 2.1 to 5.0, and the pixels of a picture and of a second that each
/// allows (AV1 specification, annex A.3).
const LEVELS: [(u8, u64, u64); 5] = [
    (1, 278_784, 8_363_520),
    (4, 665_856, 19_975_680),
    (5, 1_065_024, 31_950_720),
    (8, 2_359_296, 70_778_880),
    (12, 8_912_896, 267_386_880),
];
/// OBU types (AV1 specification §6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;

/// How a track's pictures are coded; the same for all its GOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Av1Settings {
    pub(crate) size: FrameSize,
    /// Frames of a whole GOP.
    pub(crate) gop_frames: u64,
    /// Frames a second, as a fraction.
    pub(crate) frame_rate: (u64, u64),
    /// rav1e's base quantizer, 0 (best) to 255.
    pub(crate) quantizer: usize,
}

impl Av1Settings {
    /// The lowest level, from 2.1, that these pictures keep to.
    fn level_index(&self) -> u8 {
        let pixels = u64::from(self.size.width) * u64::from(self.size.height);
        let (frames, seconds) = self.frame_rate;
        let keeps = |level: &&(u8, u64, u64)| {
            pixels <= level.1 && pixels * frames <= level.2 * seconds.max(1)
        };
        LEVELS.iter().find(keeps).unwrap_or(&LEVELS[LEVELS.len() - 1]).0
    }
}

/// Why a GOP could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Av1Error {
    /// rav1e refuses the settings.
    #[error("the AV1 encoder refuses its settings: {0}")]
    Settings(#[from] InvalidConfig),
    /// rav1e failed on the pictures.
    #[error("the AV1 encoder failed: {0}")]
    Encode(#[from] EncoderStatus),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The stream is not what rav1e writes.
    #[error("an AV1 stream without a readable {0}")]
    Stream(&'static str),
}

/// Encodes `frames` (planar 4:2:0) as one GOP that starts with its only key frame. A sample a
/// frame comes out; how long each is shown is for the caller to say.
pub(crate) fn encode_gop(
    settings: &Av1Settings,
    frames: &[&[u8]],
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Sample>, Av1Error> {
    let content = Content::of(frames, settings.size.width as usize, settings.size.height as usize);
    let config = encoder_config(settings, content);
    let config = Config::new().with_encoder_config(config).with_threads(1);
    let mut context: Context<u8> = config.new_context()?;
    let mut input = frames.iter();
    let mut samples = Vec::with_capacity(settings.gop_frames as usize);
    loop {
        match context.receive_packet() {
            Ok(packet) => samples.push(Sample {
                is_sync: packet.frame_type == FrameType::KEY,
                bytes: strip_temporal_delimiters(&packet.data)?,
                ticks: 0,
            }),
            Err(EncoderStatus::Encoded) => {}
            Err(EncoderStatus::LimitReached) => return Ok(samples),
            Err(EncoderStatus::NeedMoreData) => {
                if is_cancelled() {
                    return Err(Av1Error::Cancelled);
                }
                match input.next() {
                    Some(bytes) => {
                        let frame = frame(&context, &settings.size, bytes);
                        context.send_frame(frame)?;
                    }
                    None => context.flush(),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn encoder_config(settings: &Av1Settings, content: Content) -> EncoderConfig {
    let (frames, seconds) = settings.frame_rate;
    let mut config = EncoderConfig::with_speed_preset(match content {
        Content::Slides => SLIDES_SPEED,
        Content::Camera => CAMERA_SPEED,
    });
    if content == Content::Slides {
        // Letters: searching transforms gives 2.7 dB of SSIM at 5 % fewer bits.
        config.speed_settings.transform.rdo_tx_decision = true;
        // Both cost a quarter of the work for less than 0.1 dB where next to nothing moves.
        // Without pictures out of order (`low_latency`) a lecture takes a fifth less work, but a
        // quarter more bits for 1.3 dB less.
        config.speed_settings.prediction.fine_directional_intra = false;
        config.speed_settings.motion.use_satd_subpel = false;
    } else {
        // What later pictures are made of is worth more bits: 6 % fewer at the same quality, for
        // next to no work. The presets leave it off. On slides it takes 6 % fewer bits as well,
        // but a tenth more work.
        config.speed_settings.transform.tx_domain_distortion = false;
        // Motion vectors judged by plain differences, and two more of the neighbours' tried: the
        // one saves 3 % of the work and costs 0.7 % of bits, the other gives those back.
        config.speed_settings.motion.use_satd_subpel = false;
        config.speed_settings.motion.include_near_mvs = true;
    }
    config.width = settings.size.width as usize;
    config.height = settings.size.height as usize;
    config.time_base = Rational::new(seconds, frames);
    config.level_idx = Some(settings.level_index());
    config.min_key_frame_interval = settings.gop_frames;
    config.max_key_frame_interval = settings.gop_frames;
    config.quantizer = settings.quantizer;
    config.color_description = Some(ColorDescription {
        color_primaries: ColorPrimaries::BT709,
        transfer_characteristics: TransferCharacteristics::BT709,
        matrix_coefficients: MatrixCoefficients::BT709,
    });
    // Key frames are where segments begin, and nowhere else.
    config.speed_settings.scene_detection_mode = SceneDetectionSpeed::None;
    config
}

fn frame(context: &Context<u8>, size: &FrameSize, bytes: &[u8]) -> Frame<u8> {
    let mut frame = context.new_frame();
    let (width, height) = (size.width as usize, size.height as usize);
    let (luma, chroma) = bytes.split_at(width * height);
    let (u, v) = chroma.split_at(chroma.len() / 2);
    for (plane, (bytes, stride)) in
        frame.planes.iter_mut().zip([(luma, width), (u, width / 2), (v, width / 2)])
    {
        plane.copy_from_raw_u8(bytes, stride, 1);
    }
    frame
}

/// The codec configuration for a track whose first sample is `sample`.
pub(crate) fn configuration(sample: &[u8]) -> Result<Av1c, Av1Error> {
    let missing = Av1Error::Stream("sequence header");
    let mut obus = obus(sample)?.into_iter();
    let (_, header) = obus.find(|(kind, _)| *kind == OBU_SEQUENCE_HEADER).ok_or(missing)?;
    let (seq_profile, seq_level_idx_0) = profile_and_level(payload(header)?)?;
    Ok(Av1c {
        seq_profile,
        seq_level_idx_0,
        chroma_subsampling_x: true,
        chroma_subsampling_y: true,
        config_obus: header.to_vec(),
        ..Av1c::default()
    })
}

/// The RFC 6381 name (AV1-ISOBMFF §5): profile, level, tier, bit depth.
pub(crate) fn codec_name(config: &Av1c) -> String {
    format!("av01.{}.{:02}M.08", config.seq_profile, config.seq_level_idx_0)
}

/// Reads the first fields of a sequence header (AV1 specification §5.5.1).
fn profile_and_level(header: &[u8]) -> Result<(u8, u8), Av1Error> {
    let word = header.first_chunk::<4>().ok_or(Av1Error::Stream("sequence header"))?;
    let bits = u32::from_be_bytes(*word);
    let field = |from: u32, count: u32| (bits >> (32 - from - count)) & ((1 << count) - 1);
    // Profile 3, still 1, reduced 1, timing 1, display delay 1, operating points 5, idc 12.
    if field(3, 4) != 0 || field(7, 5) != 0 {
        return Err(Av1Error::Stream("plain sequence header"));
    }
    Ok((field(0, 3) as u8, field(24, 5) as u8))
}

pub(crate) fn strip_temporal_delimiters(unit: &[u8]) -> Result<Vec<u8>, Av1Error> {
    let kept = obus(unit)?.into_iter().filter(|(kind, _)| *kind != OBU_TEMPORAL_DELIMITER);
    Ok(kept.flat_map(|(_, obu)| obu).copied().collect())
}

/// Whether a temporal unit brings a sequence header, as those of key frames do.
pub(crate) fn has_sequence_header(unit: &[u8]) -> Result<bool, Av1Error> {
    Ok(obus(unit)?.iter().any(|(kind, _)| *kind == OBU_SEQUENCE_HEADER))
}

/// The OBUs of a temporal unit, each with its type (AV1 specification §5.3).
fn obus(mut unit: &[u8]) -> Result<Vec<(u8, &[u8])>, Av1Error> {
    let mut found = Vec::new();
    while let Some(first) = unit.first() {
        let total = head_and_payload_bytes(unit).map(|(head, payload)| head + payload)?;
        let (obu, after) = unit.split_at_checked(total).ok_or(Av1Error::Stream("OBU"))?;
        found.push(((first >> 3) & 0x0f, obu));
        unit = after;
    }
    Ok(found)
}

fn payload(obu: &[u8]) -> Result<&[u8], Av1Error> {
    let (head, _) = head_and_payload_bytes(obu)?;
    Ok(&obu[head..])
}

fn head_and_payload_bytes(obu: &[u8]) -> Result<(usize, usize), Av1Error> {
    let missing = || Av1Error::Stream("OBU size");
    let first = obu.first().ok_or_else(missing)?;
    let has_extension = first & 0x04 != 0;
    if first & 0x02 == 0 {
        return Err(missing());
    }
    let mut head = 1 + usize::from(has_extension);
    let mut size = 0usize;
    // leb128() has at most 8 bytes; a size of our own is far below 2^28.
    for shift in [0, 7, 14, 21] {
        let byte = obu.get(head).ok_or_else(missing)?;
        head += 1;
        size |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((head, size));
        }
    }
    Err(missing())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cmaf::segment;
    use crate::decode::pictures;

    /// A grey wedge that moves, with a hard edge as letters have.
    fn moving_picture(settings: &Av1Settings, count: usize) -> Vec<u8> {
        let (width, height) = (settings.size.width as usize, settings.size.height as usize);
        let mut frames = Vec::new();
        for n in 0..count {
            for y in 0..height {
                frames.extend((0..width).map(|x| {
                    let is_bar = (x + 2 * n) % 64 < 8;
                    if is_bar { 235 } else { 40 + ((x + y) / 8) as u8 }
                }));
            }
            frames.extend(std::iter::repeat_n(128, width * height / 2));
        }
        frames
    }

    fn each<'a>(settings: &Av1Settings, frames: &'a [u8]) -> Vec<&'a [u8]> {
        frames.chunks_exact(settings.size.frame_bytes()).collect()
    }

    fn settings() -> Av1Settings {
        let size = FrameSize { scaled_width: 160, scaled_height: 96, width: 160, height: 96 };
        Av1Settings { size, gop_frames: 50, frame_rate: (25, 2), quantizer: 100 }
    }

    #[test]
    fn a_gop_decodes_to_what_went_in() {
        let settings = settings();
        let frames = moving_picture(&settings, 50);
        let samples = encode_gop(&settings, &each(&settings, &frames), &|| false).unwrap();
        assert_eq!(samples.len(), 50);
        assert!(samples[0].is_sync && samples[1..].iter().all(|s| !s.is_sync));
        let again = encode_gop(&settings, &each(&settings, &frames), &|| false).unwrap();
        assert_eq!(samples, again, "the same pictures give the same bytes");

        let decoded = pictures(&segment(1, 0, &samples)).unwrap();
        assert_eq!(decoded.len(), 50);
        let frame_bytes = settings.size.frame_bytes();
        for (n, picture) in decoded.iter().enumerate() {
            assert_eq!((picture.width, picture.height), (160, 96));
            let source = &frames[n * frame_bytes..][..160 * 96];
            let psnr = psnr(source, &picture.luma);
            assert!(psnr > 34.0, "picture {n}: {psnr:.1} dB");
        }
    }

    #[test]
    fn the_configuration_comes_from_the_stream() {
        let settings = settings();
        let frames = moving_picture(&settings, 1);
        let samples = encode_gop(&settings, &each(&settings, &frames), &|| false).unwrap();
        let config = configuration(&samples[0].bytes).unwrap();
        assert_eq!(codec_name(&config), "av01.0.01M.08");
        assert_eq!(samples[0].bytes[0] >> 3, OBU_SEQUENCE_HEADER, "no temporal delimiter");
    }

    #[test]
    fn a_short_last_gop_and_a_cancelled_one_end() {
        let settings = settings();
        let frames = moving_picture(&settings, 3);
        assert_eq!(encode_gop(&settings, &each(&settings, &frames), &|| false).unwrap().len(), 3);
        assert!(matches!(
            encode_gop(&settings, &each(&settings, &frames), &|| true),
            Err(Av1Error::Cancelled)
        ));
    }

    #[test]
    fn the_level_follows_size_and_rate() {
        let level = |width, height, frame_rate| {
            let size = FrameSize { scaled_width: width, scaled_height: height, width, height };
            Av1Settings { size, gop_frames: 1, frame_rate, quantizer: 100 }.level_index()
        };
        assert_eq!(level(640, 360, (25, 2)), 1);
        assert_eq!(level(854, 480, (25, 1)), 4);
        assert_eq!(level(1280, 720, (1, 1)), 5);
        assert_eq!(level(1920, 1080, (1, 1)), 8);
    }

    fn psnr(a: &[u8], b: &[u8]) -> f64 {
        let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
        let mean = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
        10.0 * (255.0f64.powi(2) / mean.max(1e-9)).log10()
    }

    proptest! {
        #[test]
        fn arbitrary_units_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = configuration(&bytes);
            let _ = strip_temporal_delimiters(&bytes);
        }
    }
}

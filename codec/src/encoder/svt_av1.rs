//! SVT-AV1 by the system's ffmpeg: raw pictures in by its standard input, IVF out.

use std::ffi::OsString;

use super::{CodedPicture, EncodeError, GopEncoder, PictureFormat};
use crate::av1::{Av1Error, has_sequence_header, strip_temporal_delimiters};
use crate::child::{Child, ChildError};
use crate::ffmpeg::{Ffmpeg, Limits};

/// SVT-AV1's preset: 8 is where its own curve of speed against size bends (DESIGN §8).
const PRESET: &str = "8";
/// Quantizer indices of AV1 to a step of SVT-AV1's scale of 0 to 63.
const INDICES_PER_STEP: u8 = 4;
const STEP_MAX: u8 = 63;
/// An IVF file's header, and a picture's: its length in 4 bytes and its time in 8.
const FILE_HEAD_BYTES: usize = 32;
const PICTURE_HEAD_BYTES: usize = 12;
/// What `ffmpeg -encoders` may answer: 200 lines.
const ANSWER_BYTES_MAX: usize = 1 << 18;

/// The child's recipe.
pub(super) struct SvtAv1 {
    ffmpeg: Ffmpeg,
    limits: Limits,
}

impl SvtAv1 {
    /// Asks ffmpeg whether it has the encoder.
    pub(super) fn find(ffmpeg: &Ffmpeg, limits: &Limits) -> Result<Self, EncodeError> {
        let arguments = ["-hide_banner", "-encoders"].map(OsString::from);
        let child = Child::start(&ffmpeg.ffmpeg, &arguments, limits)?;
        let answer = child.read_all(ANSWER_BYTES_MAX, &|| false)?;
        if !String::from_utf8_lossy(&answer).contains(" libsvtav1 ") {
            return Err(EncodeError::NoSvtAv1);
        }
        Ok(Self { ffmpeg: ffmpeg.clone(), limits: limits.clone() })
    }
}

impl GopEncoder for SvtAv1 {
    fn encode_gop(
        &self,
        format: &PictureFormat,
        quantizer: u8,
        frames: &[&[u8]],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<CodedPicture>, EncodeError> {
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
        );
        let ivf = ivf.map_err(|error| match &error {
            ChildError::Failed { complaint, .. } if complaint.contains("Unknown encoder") => {
                EncodeError::NoSvtAv1
            }
            _ => error.into(),
        })?;
        let coded = pictures(&ivf)?;
        match coded.len() == frames.len() {
            true => Ok(coded),
            false => Err(EncodeError::Count { made: coded.len(), given: frames.len() }),
        }
    }
}

fn arguments(format: &PictureFormat, quantizer: u8) -> Vec<OsString> {
    let PictureFormat { width, height, gop_frames, frame_rate: (frames, seconds) } = format;
    let step = (quantizer / INDICES_PER_STEP).clamp(1, STEP_MAX);
    // One key frame a GOP, and no second one where the scene changes; one thread, as every worker
    // has a child of its own.
    let interval = gop_frames + 1;
    let text = format!(
        "-nostdin -hide_banner -loglevel error -nostats -f rawvideo -pix_fmt yuv420p \
         -s {width}x{height} -r {frames}/{seconds} -i pipe:0 -c:v libsvtav1 -preset {PRESET} \
         -crf {step} -g {interval} -svtav1-params lp=1:scd=0 \
         -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -f ivf pipe:1"
    );
    text.split_whitespace().map(Into::into).collect()
}

/// The pictures of an IVF file.
fn pictures(ivf: &[u8]) -> Result<Vec<CodedPicture>, Av1Error> {
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

    #[test]
    fn an_ffmpeg_without_it_is_said_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        std::fs::write(&program, "#!/bin/sh\necho ' V....D libx264  H.264'\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let ffmpeg = Ffmpeg { ffmpeg: program.clone(), ffprobe: program };
        let error = SvtAv1::find(&ffmpeg, &Limits::default()).err().unwrap();
        assert!(error.to_string().contains("encoder = \"rav1e\""), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = pictures(&bytes);
        }
    }
}

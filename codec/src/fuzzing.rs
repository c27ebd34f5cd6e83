//! What fuzz targets reach of this crate's inside; it is there only in their builds. No function
//! returns anything: what is looked for is a panic, a hang or memory without a bound.

use crate::document::pdf;
use crate::document::picture::Bitmap;
use crate::encoder::svt_av1;
use crate::fallback::sound;
use crate::probe::answer::Answer;
use crate::{av1, mux};

/// Reads an encoder's output: temporal units, an IVF file, AAC in ADTS.
pub fn coded(bytes: &[u8]) {
    let _ = av1::configuration(bytes).map(|config| av1::codec_name(&config));
    let _ = av1::has_sequence_header(bytes);
    let _ = av1::strip_temporal_delimiters(bytes);
    let _ = svt_av1::pictures(bytes);
    let _ = sound::adts_frames(bytes);
}

/// Reads what child programs say: ffprobe's JSON, pdfinfo's lines, pictures as PPM and PAM.
pub fn answers(bytes: &[u8]) {
    if let Ok(answer) = serde_json::from_slice::<Answer>(bytes) {
        let _ = answer.into_probe();
    }
    let _ = std::str::from_utf8(bytes).map(pdf::sizes);
    let _ = (Bitmap::from_ppm(bytes), Bitmap::from_pam(bytes));
}

/// Joins init segments and renumbers a segment, as a download of one MP4 does.
pub fn joined(init: &[u8], segment: &[u8]) {
    let _ = mux::join(&[init, init]);
    let mut beginning = segment.to_vec();
    let _ = mux::renumber(&mut beginning, segment.len() as u64, 2, 1);
}

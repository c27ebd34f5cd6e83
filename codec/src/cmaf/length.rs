//! The length of a file in fragments (`mehd`, ISO/IEC 14496-12 §8.8.2). VLC goes to no other time
//! in a file that does not say it.

use mp4_atom::{Decode, Moov};

use super::scan::{BoxHead, ScanError, boxes};

/// The box: head, version and flags, and a length of 64 bits.
const BOX_BYTES: usize = 8 + 4 + 8;
/// Before the length.
const LENGTH_AT: usize = 8 + 4;

/// Where the length of a file is written once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// First of its 8 bytes, in `moov`.
    pub at: usize,
    /// Ticks a second of the length.
    pub timescale: u32,
}

/// Adds the box, of no length, to a `moov` of a file in fragments; `None` if one is there.
///
/// # Errors
/// If the bytes are no `moov` of such a file.
pub(crate) fn reserve(moov: &mut Vec<u8>) -> Result<Option<Place>, ScanError> {
    let timescale =
        Moov::decode(&mut &moov[..]).map_err(|_| ScanError::Damaged("moov"))?.mvhd.timescale;
    let head_bytes = BoxHead::read(moov)?.head_bytes as usize;
    let mut start = head_bytes;
    let mut mvex = None;
    for (kind, whole) in boxes(&moov[head_bytes..])? {
        if kind == *b"mvex" {
            let inside = boxes(&whole[BoxHead::read(whole)?.head_bytes as usize..])?;
            if inside.iter().any(|(kind, _)| kind == b"mehd") {
                return Ok(None);
            }
            mvex = Some(start);
        }
        start += whole.len();
    }
    let mvex = mvex.ok_or(ScanError::Missing("mvex"))?;
    let body = mvex + BoxHead::read(&moov[mvex..])?.head_bytes as usize;
    for head in [0, mvex] {
        grow(moov, head)?;
    }
    let mut empty = [0; BOX_BYTES];
    empty[3] = BOX_BYTES as u8;
    empty[4..8].copy_from_slice(b"mehd");
    empty[8] = 1; // the version with 64 bits
    moov.splice(body..body, empty);
    Ok(Some(Place { at: body + LENGTH_AT, timescale }))
}

/// Makes the box that begins at a byte longer by ours.
fn grow(bytes: &mut [u8], at: usize) -> Result<(), ScanError> {
    let field = bytes.get_mut(at..at + 4).ok_or(ScanError::Length)?;
    let long = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
    // 1 is a length of 64 bits, which no head of a file needs; 0 goes to the end.
    let longer = long.checked_add(BOX_BYTES as u32).filter(|_| long > 1);
    field.copy_from_slice(&longer.ok_or(ScanError::Length)?.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use mp4_atom::Encode;

    use super::*;
    use crate::cmaf::{Coding, Medium, init_segment};

    /// A `moov` of ours, with or without the box.
    fn moov(has_length: bool) -> Vec<u8> {
        let medium = Medium {
            timescale: 48_000,
            sample_ticks: 1024,
            duration_ticks: 480_000,
            coding: Coding::Aac,
        };
        let init = init_segment(&medium);
        let found = boxes(&init).unwrap().into_iter().find(|(kind, _)| kind == b"moov").unwrap();
        let mut moov = Moov::decode(&mut &*found.1).unwrap();
        if !has_length && let Some(mvex) = &mut moov.mvex {
            mvex.mehd = None;
        }
        let mut out = Vec::new();
        moov.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn a_length_is_added_and_everything_else_stays() {
        let mut bytes = moov(false);
        let before = Moov::decode(&mut &bytes[..]).unwrap();
        let place = reserve(&mut bytes).unwrap().unwrap();
        bytes[place.at..place.at + 8].copy_from_slice(&(1_u64 << 33).to_be_bytes());
        let mut after = Moov::decode(&mut &bytes[..]).unwrap();
        let length = after.mvex.as_mut().unwrap().mehd.take().unwrap();
        assert_eq!(length.fragment_duration, 1 << 33);
        assert_eq!((after, place.timescale), (before.clone(), before.mvhd.timescale));
        assert_eq!(reserve(&mut bytes), Ok(None), "once");
    }

    #[test]
    fn a_length_that_is_there_is_kept_and_a_file_of_no_fragments_is_refused() {
        assert_eq!(reserve(&mut moov(true)), Ok(None));
        let mut bytes = moov(false);
        let mut plain = Moov::decode(&mut &bytes[..]).unwrap();
        plain.mvex = None;
        bytes.clear();
        plain.encode(&mut bytes).unwrap();
        assert_eq!(reserve(&mut bytes), Err(ScanError::Missing("mvex")));
        assert!(reserve(&mut b"\0\0\0\x08moo".to_vec()).is_err());
    }
}

//! Compression of what is small and often comes: the contexts are kept, for setting one up costs
//! more than packing an envelope. What comes out depends on what goes in alone.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses bytes into one zstd frame.
pub(crate) fn compress(bytes: &[u8], level: i32) -> Vec<u8> {
    let packed = COMPRESSOR.with_borrow_mut(|kept| -> io::Result<Vec<u8>> {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(level)?),
        };
        compressor.set_compression_level(level)?;
        compressor.compress(bytes)
    });
    packed.expect("memory compresses")
}

/// Gives the content of a zstd frame; none if it is longer than `bytes_max`, or no such frame.
pub(crate) fn decompress(frame: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(frame, bytes_max).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_context_packs_as_a_new_one_and_a_bad_frame_does_not_spoil_it() {
        let texts: [&[u8]; 3] = [b"", b"a lesson", &[7; 100_000]];
        for level in [1, 3, 1] {
            for text in texts {
                let packed = compress(text, level);
                assert_eq!(packed, zstd::bulk::compress(text, level).unwrap());
                assert_eq!(decompress(&packed[..packed.len() - 1], 100_000), None);
                assert_eq!(decompress(&packed, 100_000).as_deref(), Some(text));
            }
        }
        assert_eq!(decompress(&compress(&[7; 1_001], 3), 1_000), None);
    }
}

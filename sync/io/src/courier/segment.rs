//! Segments: frames in an encrypted file, written and read as a stream.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use age::stream::{StreamReader, StreamWriter};
use yingxue_sync_core::courier::{FRAME_HEAD_BYTES, Frame, Segment, frame_bytes};
use yingxue_sync_core::id::Hash;

use super::StickError;
use super::cipher::{self, Bounded};

/// Bytes written or read at a time; what sticks like.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes one segment; nobody sees it before [`SegmentWriter::finish`].
pub struct SegmentWriter {
    output: StreamWriter<Hashed<BufWriter<File>>>,
    group: u8,
    plain_bytes: u64,
}

/// Hashes and counts what goes through.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SegmentWriter {
    pub(super) fn new(file: File, keys: &[[u8; 32]], group: u8) -> Result<Self, StickError> {
        let inner = BufWriter::with_capacity(BUFFER_BYTES, file);
        let hashed = Hashed { inner, hasher: blake3::Hasher::new(), bytes: 0 };
        Ok(Self { output: cipher::encrypt(keys, hashed)?, group, plain_bytes: 0 })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// If the stick is full or gone.
    pub fn write(&mut self, frame: &Frame) -> Result<(), StickError> {
        let bytes = frame.encode();
        self.output.write_all(&bytes)?;
        self.plain_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives the bytes of frames so far; encrypted they are 0.03 % more, and a head.
    pub const fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Ends the segment; its bytes are on the stick when this returns.
    pub(super) fn finish(self) -> Result<Segment, StickError> {
        let hashed = self.output.finish()?;
        let Hashed { inner, hasher, bytes } = hashed;
        let file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(Segment { bytes, hash: Hash(*hasher.finalize().as_bytes()), group: self.group })
    }
}

/// The frames of one segment, in order. Ends at the first that is wrong.
pub struct Frames<R: Read> {
    input: StreamReader<Bounded<BufReader<R>>>,
    is_over: bool,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(input: R, secret: &[u8; 32]) -> Result<Self, StickError> {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Ok(Self { input: cipher::decrypt(secret, input)?, is_over: false })
    }

    fn read(&mut self) -> Result<Frame, StickError> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.input.read_exact(&mut head).map_err(explain)?;
        let wrong =
            |error: yingxue_sync_core::courier::FrameError| StickError::Frames(error.to_string());
        let bytes = frame_bytes(head).map_err(wrong)?;
        let mut body = vec![0; bytes];
        self.input.read_exact(&mut body).map_err(explain)?;
        Frame::decode(head, &body).map_err(wrong)
    }
}

impl<R: Read> Iterator for Frames<R> {
    type Item = Result<Frame, StickError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read();
        self.is_over = !matches!(&read, Ok(frame) if *frame != Frame::End);
        match read {
            Ok(Frame::End) => None,
            other => Some(other),
        }
    }
}

fn explain(error: io::Error) -> StickError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StickError::Frames("it ends too early".to_owned()),
        // So age says that a part was changed.
        io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            StickError::Frames("a part was changed".to_owned())
        }
        _ => error.into(),
    }
}

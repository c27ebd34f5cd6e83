//! The boxes that ffmpeg writes into its pipe, one after the other.

use super::KIND;
use crate::child::Child;
use crate::cmaf::scan::{BoxHead, ScanError};
use crate::import::{ImportError, Job, child_error};

/// The largest `mdat`: 30 s at 60 Mbit/s.
const MDAT_BYTES_MAX: u64 = 256 << 20;

/// Reads boxes from a child as they come.
pub(super) struct BoxReader<'a> {
    pub(super) child: Child,
    pub(super) job: &'a Job<'a>,
}

impl BoxReader<'_> {
    /// Reads the next box's head, and the bytes it was read from; `None` at the end.
    pub(super) fn head(&mut self) -> Result<Option<(BoxHead, Vec<u8>)>, ImportError> {
        let mut bytes = vec![0; 8];
        match self.read(&mut bytes)? {
            0 => return Ok(None),
            8 => {}
            _ => return Err(ScanError::Length.into()),
        }
        if bytes[..4] == [0, 0, 0, 1] {
            bytes.resize(16, 0);
            if self.read(&mut bytes[8..])? < 8 {
                return Err(ScanError::Length.into());
            }
        }
        Ok(Some((BoxHead::read(&bytes)?, bytes)))
    }

    /// Reads a whole box into memory.
    pub(super) fn body(
        &mut self,
        head: BoxHead,
        mut bytes: Vec<u8>,
        bytes_max: u32,
    ) -> Result<Vec<u8>, ImportError> {
        if head.total_bytes > u64::from(bytes_max) {
            let max = bytes_max.into();
            return Err(ScanError::TooMany { what: "bytes of a box", max }.into());
        }
        let already = bytes.len();
        bytes.resize(head.total_bytes as usize, 0);
        let filled = self.read(&mut bytes[already..])?;
        if already + filled < bytes.len() {
            return Err(ScanError::Length.into());
        }
        Ok(bytes)
    }

    /// Passes on an `mdat` without holding it in memory, its head first.
    pub(super) fn media(
        &mut self,
        head: BoxHead,
        head_bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        if head.total_bytes > MDAT_BYTES_MAX {
            let max = MDAT_BYTES_MAX;
            return Err(ScanError::TooMany { what: "bytes of a segment", max }.into());
        }
        take(head_bytes)?;
        self.pass(head, take)
    }

    pub(super) fn skip(&mut self, head: BoxHead) -> Result<(), ImportError> {
        self.pass(head, |_| Ok(()))
    }

    fn pass(
        &mut self,
        head: BoxHead,
        mut take: impl FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut left = head.total_bytes - head.head_bytes;
        let mut buffer = vec![0; 256 << 10];
        while left > 0 {
            let count = left.min(buffer.len() as u64) as usize;
            if self.read(&mut buffer[..count])? < count {
                return Err(ScanError::Length.into());
            }
            take(&buffer[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImportError> {
        let is_cancelled = || self.job.must_stop();
        self.child.read(buffer, &is_cancelled).map_err(|error| child_error(KIND, error))
    }
}

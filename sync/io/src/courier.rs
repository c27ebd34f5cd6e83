//! Courier folders: `yingxue-courier/` on any stick, beside whatever else is on it.
//!
//! ```text
//! yingxue-courier/
//!   outbox/0a1b2c3d/        a parcel: what one hub wrote in one go
//!     0000.seg 0001.seg …   segments, encrypted to the hubs that they are for (age)
//!     manifest              signed; names the segments that are whole, written after each
//!   have/4e5f6a7b.8c9       a receipt: what a hub holds and wants, signed, encrypted
//!   join/4e5f6a7b.8c9       an answer to an invitation, signed, encrypted to who invites
//! ```
//!
//! Every file is written under another name, synced, and renamed, so that a stick which is pulled
//! out at any byte holds whole segments and a manifest of these. Names fit 8.3 characters, files
//! stay far below 4 GiB, and nothing depends on the case of names or on times of files: any FAT
//! will do. Nothing but regular files in real folders is opened, and nothing else is touched.
//!
//! A `.yxc` file is one parcel in one file, for browsers: a head with the manifest, and the
//! segments one after the other.
//!
//! Every call blocks. What is inside a segment is judged by the node, not here.

use std::io;

use yingxue_sync_core::courier::CourierError;

mod answers;
mod cipher;
mod folder;
mod parcel;
mod segment;
mod stick;

pub use answers::{answer_file, is_answer_file, read_answer_file};
pub use parcel::{Parcel, ParcelWriter, YXC_BYTES_MAX, yxc_head};
pub use segment::{Frames, SegmentWriter};
pub use stick::{FOLDER, Stick};

/// Most entries of a folder that are looked at; a stick for a county has some hundred.
pub const ENTRIES_MAX: usize = 4_096;

/// Says why something on a stick cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// The folder is not there.
    #[error("there is no folder {0}; is the stick plugged in?")]
    NoFolder(String),
    /// Nothing was ever exported to it.
    #[error("there is no folder yingxue-courier in {0}; export something to it first")]
    NoCourier(String),
    /// A link or a file where a folder should be, or the other way round.
    #[error("{0} is a link or no plain file or folder; nothing was touched")]
    NotPlain(String),
    /// The stick cannot be written to.
    #[error("the stick is read-only")]
    ReadOnly,
    /// The stick is full.
    #[error("the stick is full")]
    Full,
    /// A manifest or a receipt.
    #[error(transparent)]
    Wrong(#[from] CourierError),
    /// A file is shorter or longer than its manifest says.
    #[error("{found} of {expected} bytes are there: the stick was pulled out, or it was edited")]
    Length {
        /// Bytes that are there.
        found: u64,
        /// Bytes that the manifest says.
        expected: u64,
    },
    /// A file is not what its manifest says.
    #[error("its bytes are not those of the manifest: the stick is damaged, or it was edited")]
    Hash,
    /// It is encrypted to others.
    #[error("it is encrypted to other schools")]
    NotForUs,
    /// It was decrypted, and makes no sense.
    #[error("what is in it does not decode: {0}")]
    Frames(String),
    /// Somebody does not want it any more.
    #[error("cancelled")]
    Cancelled,
    /// Anything else that the system says.
    #[error("the stick cannot be used: {0}")]
    Io(io::Error),
}

impl From<io::Error> for StickError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io(error),
        }
    }
}

impl StickError {
    /// Says whether the stick itself fails: pulled out, or a place on it that cannot be read.
    pub const fn is_stick_failing(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

#[cfg(test)]
mod tests;

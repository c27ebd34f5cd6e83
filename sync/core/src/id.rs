//! Names of things: fixed-size identifiers that are hashes or keys, shown as hex.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod owner;

/// Says why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: expected {expected_chars} hexadecimal characters")]
pub struct IdError {
    /// Characters that the identifier has.
    pub expected_chars: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Gives the bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Gives the first eight hexadecimal characters, for people and logs.
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { expected_chars: $bytes * 2 };
                if text.len() != $bytes * 2 || !text.is_ascii() {
                    return Err(error);
                }
                let mut bytes = [0; $bytes];
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).map_err(|_| error)?;
                }
                Ok(Self(bytes))
            }
        }
    };
}

id!(
    /// One school's machine: its Ed25519 public key, which is its libp2p identity too.
    HubId, 32
);
id!(
    /// Schools that trust one root key: the BLAKE3 hash of that Ed25519 public key.
    AllianceId, 32
);
id!(
    /// An immutable file: the BLAKE3 hash of its encoded manifest.
    BlobId, 32
);
id!(
    /// One Automerge document.
    DocId, 16
);
id!(
    /// The BLAKE3 hash of a signed envelope or epoch.
    Hash, 32
);

/// The documents that share one list of readers and writers, by a short name.
///
/// At most [`CollectionId::CHARS_MAX`] characters of `a-z`, `0-9`, `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CollectionId(pub String);

impl CollectionId {
    /// Longest name; short because it travels with every batch.
    pub const CHARS_MAX: usize = 32;

    /// Says whether the name is one that is allowed.
    pub fn is_valid(&self) -> bool {
        let chars = self.0.len();
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=Self::CHARS_MAX).contains(&chars) && self.0.bytes().all(is_allowed)
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One live connection to a hub; the driver numbers them and never reuses a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContactId(pub u64);

/// Milliseconds since the driver started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// Gives the moment `ms` milliseconds later.
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Gives the milliseconds since `earlier`, or 0 if that is in the future.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_what_it_shows() {
        let id = BlobId([0xa5; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("é".repeat(32).parse::<BlobId>().is_err());
        assert!("a5".parse::<BlobId>().is_err());
    }
}

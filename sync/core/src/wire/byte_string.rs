//! Bytes encoded and decoded in one go: serde takes a `Vec<u8>` apart byte by byte, which for
//! pieces is a tenth of a hub's work. The encoding is the same.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Encodes bytes, for `#[serde(with)]`.
///
/// # Errors
/// As the serializer says.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Decodes bytes, for `#[serde(with)]`.
///
/// # Errors
/// As the deserializer says.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// Borrowed bytes, encoded as a `Vec<u8>` is; decoding copies none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice<'a>(#[serde(borrow, serialize_with = "serialize")] pub &'a [u8]);

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::Slice;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct InOneGo(#[serde(with = "super")] Vec<u8>);

    #[test]
    fn bytes_in_one_go_are_encoded_as_one_by_one() {
        for len in [0, 1, 127, 128, 70_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let encoded = postcard::to_stdvec(&InOneGo(bytes.clone())).unwrap();
            assert_eq!(encoded, postcard::to_stdvec(&bytes).unwrap());
            assert_eq!(postcard::from_bytes::<InOneGo>(&encoded).unwrap().0, bytes);
            assert_eq!(postcard::to_stdvec(&Slice(&bytes)).unwrap(), encoded);
            assert_eq!(postcard::from_bytes::<Slice<'_>>(&encoded).unwrap().0, bytes);
            let cut = &encoded[..encoded.len() - 1];
            assert!(postcard::from_bytes::<InOneGo>(cut).is_err());
        }
    }
}

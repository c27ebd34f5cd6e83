//! Invitations: one line of text that lets one hub join once.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::id::{AllianceId, Hash, HubId};
use crate::membership::are_addresses;

/// What the text begins with; upper case, so that a QR code packs it tightly.
const PREFIX: &str = "YX1-";
/// Longest text: eight addresses of the longest kind.
const TEXT_BYTES_MAX: usize = 2_500;
const CHECK_BYTES: usize = 4;

/// What an invitation says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Which alliance.
    pub alliance: AllianceId,
    /// Whom to ask.
    pub registrar: HubId,
    /// Where the registrar can be reached.
    pub addresses: Vec<String>,
    /// Whoever shows it may join.
    pub secret: [u8; 16],
    /// Milliseconds since 1970.
    pub expires_wall_ms: u64,
}

impl Invitation {
    /// Gives the line of text: `YX1-` and base32, with a checksum against misreading.
    pub fn to_text(&self) -> String {
        let mut bytes = postcard::to_stdvec(self).expect("an invitation has only plain fields");
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK_BYTES]);
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes))
    }

    /// Reads a line of text; blanks, line breaks and letter case do not matter.
    pub fn from_text(text: &str) -> Option<Self> {
        if text.len() > 2 * TEXT_BYTES_MAX {
            return None;
        }
        let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let packed = packed.to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(packed.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
        if blake3::hash(body).as_bytes()[..CHECK_BYTES] != *check {
            return None;
        }
        match postcard::take_from_bytes::<Self>(body) {
            Ok((invitation, [])) if are_addresses(&invitation.addresses) => Some(invitation),
            _ => None,
        }
    }
}

/// Gives what the registrar keeps of a secret.
pub fn secret_hash(secret: &[u8; 16]) -> Hash {
    Hash(*blake3::hash(secret).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invitation() -> Invitation {
        Invitation {
            alliance: AllianceId([1; 32]),
            registrar: HubId([2; 32]),
            addresses: vec!["/ip4/127.0.0.1/tcp/4001".into()],
            secret: [3; 16],
            expires_wall_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn a_line_copied_by_hand_reads_back() {
        let text = invitation().to_text();
        let broken_in_two = format!("  {}\n {}", &text[..40].to_lowercase(), &text[40..]);
        assert_eq!(Invitation::from_text(&broken_in_two), Some(invitation()));
    }

    #[test]
    fn a_line_with_a_wrong_letter_is_not_an_invitation() {
        let text = invitation().to_text();
        for i in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[i] = if wrong[i] == b'A' { b'B' } else { b'A' };
            let wrong = String::from_utf8(wrong).unwrap();
            // The last character may carry bits that do not count; all others do.
            assert!(Invitation::from_text(&wrong) != Some(invitation()) || i + 1 == text.len());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            prop_assert_eq!(Invitation::from_text(&text), None);
        }
    }
}

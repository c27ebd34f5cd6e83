//! An answer to an invitation, for a hub that no wire reaches: what it would ask for on the wire,
//! signed by it, for the registrar's eyes alone.

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::{CourierError, Keys, VERSION, sign, split, verify};
use crate::id::{AllianceId, HubId};
use crate::membership::invitation::Invitation;
use crate::membership::{are_addresses, is_name};

/// Longest answer: a name, and eight addresses of the longest kind.
pub const ANSWER_BYTES_MAX: usize = 8 << 10;

const CONTEXT: &[u8] = b"yingxue courier answer 1\0";

/// What a hub answers to an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`]; first, so that any version can be told.
    pub version: u16,
    /// The alliance that invites.
    pub alliance: AllianceId,
    /// Who invites.
    pub registrar: HubId,
    /// Who wants to join; whoever copies the answer cannot join in its place.
    pub hub: HubId,
    /// The key that couriers encrypt to for it.
    pub x25519: [u8; 32],
    /// The invitation's.
    pub secret: [u8; 16],
    /// Its school's name.
    pub school: String,
    /// Where it can be reached, should there be a wire one day.
    pub addresses: Vec<String>,
    /// Its clock, milliseconds since 1970; shown, never trusted.
    pub written_at_wall_ms: u64,
}

/// An answer with its signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAnswer {
    /// What it says.
    pub answer: Answer,
    /// Its encoding and its hub's signature.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Answers an invitation.
    pub fn to(
        invitation: &Invitation,
        keys: &Keys,
        school: String,
        addresses: Vec<String>,
        written_at_wall_ms: u64,
    ) -> Self {
        Self {
            version: VERSION,
            alliance: invitation.alliance,
            registrar: invitation.registrar,
            hub: keys.hub(),
            x25519: keys.x25519_public(),
            secret: invitation.secret,
            school,
            addresses,
            written_at_wall_ms,
        }
    }

    /// Signs the answer with its hub's key.
    pub fn sign(self, keys: &Keys) -> SignedAnswer {
        let body = postcard::to_stdvec(&self).expect("an answer has only plain fields");
        let bytes = sign(CONTEXT, body, &keys.signing);
        SignedAnswer { answer: self, bytes }
    }
}

impl SignedAnswer {
    /// Reads an answer from anywhere: bounds and signature. Whether its hub may join is for the
    /// registrar to say.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CourierError> {
        let (body, signature) = split(bytes, ANSWER_BYTES_MAX)?;
        let answer: Answer = match postcard::take_from_bytes(body) {
            Ok((answer, [])) => answer,
            _ => return Err(CourierError::Malformed("it does not decode")),
        };
        if !is_name(&answer.school) || !are_addresses(&answer.addresses) {
            return Err(CourierError::Malformed("allowed are a name and eight addresses"));
        }
        verify(&answer.hub, CONTEXT, body, signature)?;
        Ok(Self { answer, bytes: bytes.to_vec() })
    }
}

/// Gives the X25519 key to which an answer to `registrar` is encrypted; none if it is no key.
///
/// An invitation names the registrar by its Ed25519 key alone, and whoever holds it knows no
/// other one yet. So it is turned into an X25519 key, as age does for `ssh-ed25519` recipients
/// (RFC 7748 §4.1; "On using the same key pair for Ed25519 and an X25519 based KEM", ePrint
/// 2021/509). Nothing else is encrypted to it.
pub fn answer_key(registrar: &HubId) -> Option<[u8; 32]> {
    let key = VerifyingKey::from_bytes(registrar.as_bytes()).ok()?;
    (!key.is_weak()).then(|| key.to_montgomery().to_bytes())
}

//! Encryption to hubs: the age format, X25519 recipients (age-encryption.org/v1).

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use age::stream::{StreamReader, StreamWriter};
use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use bech32::{Bech32, Hrp};

use super::StickError;

/// Longest head of an age file that is read: 256 recipients of some 120 bytes, with reserve. The
/// time to parse one grows with the square of its length.
const HEAD_BYTES_MAX: u64 = 48 << 10;

/// Gives what encrypts to `keys`, X25519 public keys, at least one.
pub(super) fn encrypt<W: Write>(
    keys: &[[u8; 32]],
    output: W,
) -> Result<StreamWriter<W>, StickError> {
    let recipients: Vec<Recipient> = keys.iter().map(recipient).collect::<Result<_, _>>()?;
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients)
        .map_err(|error| StickError::Frames(error.to_string()))?;
    Ok(encryptor.wrap_output(output)?)
}

/// A reader whose head is bounded, so that a file without an end of it costs no memory.
pub(super) struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its head is too long"));
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..wanted])?;
        self.left.set(left.saturating_sub(read as u64));
        Ok(read)
    }
}

/// Gives what decrypts with an X25519 secret.
///
/// # Errors
/// [`StickError::NotForUs`] if it is encrypted to others.
pub(super) fn decrypt<R: Read>(
    secret: &[u8; 32],
    input: R,
) -> Result<StreamReader<Bounded<R>>, StickError> {
    let left = Rc::new(Cell::new(HEAD_BYTES_MAX));
    let bounded = Bounded { inner: input, left: Rc::clone(&left) };
    let decryptor = Decryptor::new(bounded).map_err(explain)?;
    let identity = identity(secret)?;
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let reader = reader.map_err(explain)?;
    left.set(u64::MAX);
    Ok(reader)
}

fn explain(error: DecryptError) -> StickError {
    match error {
        DecryptError::NoMatchingKeys => StickError::NotForUs,
        DecryptError::Io(error) if error.kind() != io::ErrorKind::InvalidData => error.into(),
        other => StickError::Frames(other.to_string()),
    }
}

fn recipient(key: &[u8; 32]) -> Result<Recipient, StickError> {
    let text = in_text("age", key);
    text.parse().map_err(|error: &str| StickError::Frames(error.to_owned()))
}

fn identity(secret: &[u8; 32]) -> Result<Identity, StickError> {
    let text = in_text("age-secret-key-", secret).to_uppercase();
    text.parse().map_err(|error: &str| StickError::Frames(error.to_owned()))
}

/// Writes a key as age does: Bech32 (BIP 173).
fn in_text(prefix: &str, key: &[u8; 32]) -> String {
    let prefix = Hrp::parse(prefix).expect("both prefixes are lower-case ASCII");
    bech32::encode::<Bech32>(prefix, key).expect("32 bytes are short enough")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_hubs_are_keys_of_age() {
        let keys = yingxue_sync_core::courier::Keys::of(&[5; 32]);
        let of_secret = identity(keys.x25519_secret()).unwrap().to_public().to_string();
        assert_eq!(recipient(&keys.x25519_public()).unwrap().to_string(), of_secret);
    }

    #[test]
    fn a_head_without_an_end_is_refused() {
        let endless = io::repeat(b'-').take(1 << 30);
        let head = b"age-encryption.org/v1\n-> ".chain(endless);
        assert!(matches!(decrypt(&[1; 32], head), Err(StickError::Frames(_))));
    }
}

//! Answers to invitations: a small file each, in `join/` of a stick or by itself for a browser.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use yingxue_sync_core::courier::{ANSWER_BYTES_MAX, Keys, SignedAnswer, answer_key, receipt_name};

use super::stick::{Stick, is_hub_name};
use super::{StickError, cipher};

const JOIN: &str = "join";
/// What encryption to one hub adds.
const CIPHER_BYTES_MAX: usize = 4 << 10;
/// How an answer begins that is a file by itself.
const FILE_MAGIC: &[u8; 4] = b"YXA1";

impl Stick {
    /// Leaves an answer, encrypted to whoever invites.
    ///
    /// # Errors
    /// [`StickError::ReadOnly`], or [`StickError::Full`]; an older answer stays then.
    pub fn write_answer(&self, answer: &SignedAnswer) -> Result<(), StickError> {
        let join = self.root.make_folder(JOIN)?;
        let name = receipt_name(&answer.answer.hub);
        let part = format!("{}.tmp", &name[..8]);
        join.write(&name, &part, &encrypt(answer)?)
    }

    /// Reads the answers to this hub's invitations; of one that cannot be read, why. Those to
    /// others are left out.
    ///
    /// # Errors
    /// If the stick fails.
    #[expect(clippy::type_complexity, reason = "a list of names, each with an answer or why not")]
    pub fn answers(
        &self,
        keys: &Keys,
    ) -> Result<Vec<(String, Result<SignedAnswer, StickError>)>, StickError> {
        let Some(join) = self.root.folder(JOIN)? else { return Ok(Vec::new()) };
        let mut answers = Vec::new();
        for name in join.names()?.into_iter().filter(|name| is_hub_name(name)) {
            let read = join.read(&name, ANSWER_BYTES_MAX + CIPHER_BYTES_MAX);
            let read = read.and_then(|bytes| {
                let bytes = bytes.ok_or_else(|| StickError::NotPlain(name.clone()))?;
                let signed = decrypt(&bytes, keys)?;
                if receipt_name(&signed.answer.hub) != name {
                    return Err(StickError::Frames("it is the answer of another hub".to_owned()));
                }
                Ok(signed)
            });
            match read {
                Err(StickError::NotForUs) => {}
                Err(error) if self.is_gone(&error) => return Err(error),
                read => answers.push((name, read)),
            }
        }
        Ok(answers)
    }

    /// Removes an answer that has done its work.
    ///
    /// # Errors
    /// If the stick is gone or read-only.
    pub fn remove_answer(&self, answer: &SignedAnswer) -> Result<(), StickError> {
        let Some(join) = self.root.folder(JOIN)? else { return Ok(()) };
        join.remove(&receipt_name(&answer.answer.hub))
    }
}

/// Gives an answer as a file by itself, encrypted to whoever invites.
///
/// # Errors
/// If the invitation names a registrar that cannot be.
pub fn answer_file(answer: &SignedAnswer) -> Result<Vec<u8>, StickError> {
    Ok([FILE_MAGIC.as_slice(), &encrypt(answer)?].concat())
}

/// Says whether a file begins as an answer does.
///
/// # Errors
/// If it cannot be read.
pub fn is_answer_file(path: &Path) -> Result<bool, StickError> {
    let mut head = [0; FILE_MAGIC.len()];
    let is_long_enough = File::open(path)?.read_exact(&mut head).is_ok();
    Ok(is_long_enough && head == *FILE_MAGIC)
}

/// Reads an answer from a file by itself.
///
/// # Errors
/// If it is none, or answers an invitation of another hub.
pub fn read_answer_file(path: &Path, keys: &Keys) -> Result<SignedAnswer, StickError> {
    let bytes_max = FILE_MAGIC.len() + ANSWER_BYTES_MAX + CIPHER_BYTES_MAX;
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.strip_prefix(FILE_MAGIC) {
        Some(encrypted) if bytes.len() <= bytes_max => decrypt(encrypted, keys),
        _ => Err(StickError::Frames("this is no answer to an invitation".to_owned())),
    }
}

fn encrypt(answer: &SignedAnswer) -> Result<Vec<u8>, StickError> {
    let key = answer_key(&answer.answer.registrar);
    let key =
        key.ok_or_else(|| StickError::Frames("no hub has the key that invites".to_owned()))?;
    let mut writer = cipher::encrypt(&[key], Vec::new())?;
    writer.write_all(&answer.bytes)?;
    Ok(writer.finish()?)
}

fn decrypt(bytes: &[u8], keys: &Keys) -> Result<SignedAnswer, StickError> {
    let mut plain = Vec::new();
    let reader = cipher::decrypt(&keys.answer_secret(), bytes)?;
    let read = reader.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
    read.map_err(|_| StickError::Frames("a part was changed".to_owned()))?;
    Ok(SignedAnswer::decode(&plain)?)
}

#[cfg(test)]
mod tests {
    use yingxue_sync_core::courier::Answer;
    use yingxue_sync_core::id::AllianceId;
    use yingxue_sync_core::membership::invitation::Invitation;

    use super::*;

    fn answer(registrar: &Keys) -> SignedAnswer {
        let invitation = Invitation {
            alliance: AllianceId([3; 32]),
            registrar: registrar.hub(),
            addresses: vec![],
            secret: [7; 16],
            expires_wall_ms: 1,
        };
        let keys = Keys::of(&[2; 32]);
        Answer::to(&invitation, &keys, "山顶小学".to_owned(), vec![], 0).sign(&keys)
    }

    #[test]
    fn an_answer_is_read_by_whoever_invites_and_by_nobody_else() {
        let (folder, lead) = (tempfile::tempdir().unwrap(), Keys::of(&[1; 32]));
        let stick = Stick::open_or_make(folder.path()).unwrap();
        let written = answer(&lead);
        stick.write_answer(&written).unwrap();
        let found = stick.answers(&lead).unwrap();
        assert!(matches!(found.as_slice(), [(_, Ok(read))] if *read == written), "{found:?}");
        assert!(stick.answers(&Keys::of(&[9; 32])).unwrap().is_empty());
        let file = folder.path().join(super::super::FOLDER).join(JOIN).join(&found[0].0);
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            !bytes.windows(16).any(|window| window == [7; 16]),
            "the secret is not in the clear"
        );
        for at in (0..bytes.len()).step_by(7) {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            std::fs::write(&file, edited).unwrap();
            let found = stick.answers(&lead).unwrap();
            assert!(found.iter().all(|(_, answer)| answer.is_err()), "byte {at}");
        }
        std::fs::File::create(&file).unwrap().set_len((4 << 30) - 1).unwrap();
        assert!(matches!(stick.answers(&lead).unwrap().as_slice(), [(_, Err(_))]));
        stick.remove_answer(&written).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn an_answer_by_itself_is_told_from_a_parcel() {
        let (folder, lead) = (tempfile::tempdir().unwrap(), Keys::of(&[1; 32]));
        let path = folder.path().join("a.yxc");
        let written = answer(&lead);
        std::fs::write(&path, answer_file(&written).unwrap()).unwrap();
        assert!(is_answer_file(&path).unwrap());
        assert_eq!(read_answer_file(&path, &lead).unwrap(), written);
        let stranger = read_answer_file(&path, &Keys::of(&[9; 32]));
        assert!(matches!(stranger, Err(StickError::NotForUs)), "{stranger:?}");
        std::fs::write(&path, b"YXC1").unwrap();
        assert!(!is_answer_file(&path).unwrap());
        assert!(matches!(read_answer_file(&path, &lead), Err(StickError::Frames(_))));
        std::fs::write(&path, b"Y").unwrap();
        assert!(!is_answer_file(&path).unwrap());
    }

    #[test]
    fn a_registrar_that_is_no_key_is_refused_and_nothing_is_written() {
        let mut nonsense = answer(&Keys::of(&[1; 32]));
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            nonsense.answer.registrar = yingxue_sync_core::id::HubId(weak);
            assert!(matches!(answer_file(&nonsense), Err(StickError::Frames(_))));
        }
    }
}

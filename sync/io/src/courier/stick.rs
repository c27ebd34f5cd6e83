//! The folder `yingxue-courier` of a stick: parcels and receipts.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use yingxue_sync_core::courier::{
    Keys, Manifest, ParcelId, RECEIPT_BYTES_MAX, SignedReceipt, receipt_name,
};

use super::folder::Folder;
use super::parcel::{Parcel, ParcelWriter, is_ours, is_part};
use super::{StickError, cipher};

/// Name of the one folder on a stick that is ours.
pub const FOLDER: &str = "yingxue-courier";

const OUTBOX: &str = "outbox";
const HAVE: &str = "have";
/// What encryption adds to a receipt for as many hubs as it may be for.
const RECEIPT_CIPHER_BYTES_MAX: usize = 512 << 10;

/// A stick's courier folder.
#[derive(Debug)]
pub struct Stick {
    pub(super) root: Folder,
    /// The folder that it was opened in.
    path: PathBuf,
}

impl Stick {
    /// Opens the courier folder of a stick that has one.
    ///
    /// # Errors
    /// If the stick or the folder is not there.
    pub fn open(folder: &Path) -> Result<Self, StickError> {
        let root = Folder::open(folder)?.folder(FOLDER)?;
        let root = root.ok_or_else(|| StickError::NoCourier(folder.display().to_string()))?;
        Ok(Self { root, path: folder.to_owned() })
    }

    /// Opens the courier folder of a stick, and makes it if it is not there.
    ///
    /// # Errors
    /// If the stick is not there, full or read-only.
    pub fn open_or_make(folder: &Path) -> Result<Self, StickError> {
        let root = Folder::open(folder)?.make_folder(FOLDER)?;
        Ok(Self { root, path: folder.to_owned() })
    }

    /// Says whether an error means that the stick is there no more. One whose folder can be opened
    /// again has a bad place: what else is on it can be read.
    pub fn is_gone(&self, error: &StickError) -> bool {
        error.is_stick_failing() && Self::open(&self.path).is_err()
    }

    /// Gives the bytes that are free on the stick.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn free_bytes(&self) -> Result<u64, StickError> {
        self.root.free_bytes()
    }

    /// Opens every parcel that has a manifest; of one that cannot be opened, why.
    ///
    /// # Errors
    /// If the stick fails.
    #[expect(clippy::type_complexity, reason = "a list of names, each with a parcel or why not")]
    pub fn parcels(&self) -> Result<Vec<(ParcelId, Result<Parcel, StickError>)>, StickError> {
        let Some(outbox) = self.root.folder(OUTBOX)? else { return Ok(Vec::new()) };
        let mut parcels = Vec::new();
        for id in outbox.names()?.iter().filter_map(|name| ParcelId::of_folder(name)) {
            let opened = match outbox.folder(&id.folder()) {
                Ok(Some(folder)) => Parcel::of_folder(folder),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            let checked = opened.and_then(|parcel| match parcel {
                // Copied under another name, a parcel would pass for a second one.
                Some(parcel) if parcel.manifest().parcel != id => {
                    Err(StickError::Frames("it belongs to another parcel".to_owned()))
                }
                other => Ok(other),
            });
            match checked {
                Ok(None) => {}
                Ok(Some(parcel)) => parcels.push((id, Ok(parcel))),
                Err(error) if self.is_gone(&error) => return Err(error),
                Err(error) => parcels.push((id, Err(error))),
            }
        }
        Ok(parcels)
    }

    /// Lists parcels without a manifest: the stick was pulled out before any of them was whole.
    ///
    /// # Errors
    /// If the stick fails.
    pub fn begun_parcels(&self) -> Result<Vec<ParcelId>, StickError> {
        let Some(outbox) = self.root.folder(OUTBOX)? else { return Ok(Vec::new()) };
        let mut begun = Vec::new();
        for id in outbox.names()?.iter().filter_map(|name| ParcelId::of_folder(name)) {
            let Ok(Some(folder)) = outbox.folder(&id.folder()) else { continue };
            let Ok(names) = folder.names() else { continue };
            if !names.iter().any(|name| name == "manifest") {
                begun.push(id);
            }
        }
        Ok(begun)
    }

    /// Removes what a segment that was not ended has left in a parcel of ours.
    ///
    /// # Errors
    /// If the stick is gone or read-only.
    pub fn remove_parts(&self, id: ParcelId) -> Result<(), StickError> {
        let Some(outbox) = self.root.folder(OUTBOX)? else { return Ok(()) };
        let Some(folder) = outbox.folder(&id.folder())? else { return Ok(()) };
        for name in folder.names()?.iter().filter(|name| is_part(name)) {
            folder.remove(name)?;
        }
        Ok(())
    }

    /// Goes on with a parcel of ours after its first `kept` segments, which were looked at, or
    /// begins it; `empty` is its manifest without segments.
    ///
    /// # Errors
    /// If the stick is full, gone or read-only.
    pub fn write_parcel(
        &self,
        keys: &Keys,
        empty: Manifest,
        kept: usize,
    ) -> Result<ParcelWriter, StickError> {
        let outbox = self.root.make_folder(OUTBOX)?;
        let folder = outbox.make_folder(&empty.parcel.folder())?;
        ParcelWriter::new(folder, keys, empty, kept)
    }

    /// Removes a parcel of ours; files that are not of our making stay, and their folder.
    ///
    /// # Errors
    /// If the stick is gone or read-only.
    pub fn remove_parcel(&self, id: ParcelId) -> Result<(), StickError> {
        let Some(outbox) = self.root.folder(OUTBOX)? else { return Ok(()) };
        let Some(folder) = outbox.folder(&id.folder())? else { return Ok(()) };
        // The manifest last but first gone: what is without one does not count.
        folder.remove("manifest")?;
        for name in folder.names()?.iter().filter(|name| is_ours(name)) {
            folder.remove(name)?;
        }
        drop(folder);
        outbox.remove_folder(&id.folder())
    }

    /// Reads the receipts that are encrypted to us; of one that cannot be read, why. Those for
    /// others are left out.
    ///
    /// # Errors
    /// If the stick fails.
    #[expect(clippy::type_complexity, reason = "a list of names, each with a receipt or why not")]
    pub fn receipts(
        &self,
        keys: &Keys,
    ) -> Result<Vec<(String, Result<SignedReceipt, StickError>)>, StickError> {
        let Some(have) = self.root.folder(HAVE)? else { return Ok(Vec::new()) };
        let mut receipts = Vec::new();
        for name in have.names()?.into_iter().filter(|name| is_hub_name(name)) {
            match read_receipt(&have, &name, keys) {
                Ok(receipt) => receipts.push((name, Ok(receipt))),
                Err(StickError::NotForUs) => {}
                Err(error) if self.is_gone(&error) => return Err(error),
                Err(error) => receipts.push((name, Err(error))),
            }
        }
        Ok(receipts)
    }

    /// Leaves a receipt, encrypted to the hubs whose X25519 keys these are.
    ///
    /// # Errors
    /// [`StickError::ReadOnly`], or [`StickError::Full`]; an older receipt stays then.
    pub fn write_receipt(
        &self,
        receipt: &SignedReceipt,
        keys: &[[u8; 32]],
    ) -> Result<(), StickError> {
        let have = self.root.make_folder(HAVE)?;
        let mut writer = cipher::encrypt(keys, Vec::new())?;
        writer.write_all(&receipt.bytes)?;
        let bytes = writer.finish()?;
        let name = receipt_name(&receipt.receipt.hub);
        let part = format!("{}.tmp", &name[..8]);
        have.write(&name, &part, &bytes)
    }
}

fn read_receipt(have: &Folder, name: &str, keys: &Keys) -> Result<SignedReceipt, StickError> {
    let bytes = have.read(name, RECEIPT_BYTES_MAX + RECEIPT_CIPHER_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| StickError::NotPlain(name.to_owned()))?;
    let mut plain = Vec::new();
    let reader = cipher::decrypt(keys.x25519_secret(), bytes.as_slice())?;
    let read = reader.take(RECEIPT_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
    read.map_err(|_| StickError::Frames("a part was changed".to_owned()))?;
    let signed = SignedReceipt::decode(&plain)?;
    if receipt_name(&signed.receipt.hub) != name {
        return Err(StickError::Frames("it is the receipt of another hub".to_owned()));
    }
    Ok(signed)
}

/// Says whether a name is one of ours: 8.3 hexadecimal characters.
pub(super) fn is_hub_name(name: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    name.len() == 12
        && name
            .split_once('.')
            .is_some_and(|(stem, end)| stem.len() == 8 && is_hex(stem) && is_hex(end))
}

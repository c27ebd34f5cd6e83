//! Automerge changes and snapshots, as an accepted envelope or the disk hands them to a document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::doc::{self, Doc};

fuzz_target!(|bytes: &[u8]| {
    let changes = vec![bytes.to_vec()];
    let _ = doc::actors_of(&changes);
    if let Ok((mut document, _)) = Doc::load_with(None, &[changes]) {
        let _ = doc::read(&document.save());
    }
    let _ = doc::read(bytes);
});

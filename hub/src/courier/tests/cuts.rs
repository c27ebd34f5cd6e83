//! Sticks that are pulled out at any byte, or changed on the way.

use super::*;

/// Cuts of an ordinary run; `YINGXUE_CUTS` gives another number.
const CUTS: u64 = 24;

/// The stick is pulled out at a random byte while it is written; a file on it ends at a random
/// byte, or has a wrong one; or it is pulled out while it is read. Nothing bad gets in, and when
/// it is plugged in again everything does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stick_may_be_pulled_out_at_any_byte() {
    let cuts = std::env::var("YINGXUE_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    let schools = schools().await;
    let mut chance = Chance(7);
    for n in 1..=cuts {
        let (_, blobs) = add_lesson(&schools.lead, n).await;
        let (stick, parcel) = (schools.stick(n), 2 * n as u32);
        schools.export(&stick, parcel).await;
        let folder = folder_of(&stick, parcel);
        let looks = if n % 4 == 3 { 1 + chance.below(30) } else { 0 };
        let must_be_refused = match n % 4 {
            0 => pull_out(&schools.lead, &folder, &mut chance),
            1 => shorten(&folder, &mut chance),
            2 => flip(&folder, &mut chance),
            _ => false,
        };
        let (report, outcome) = run(&schools.village, import_from(&stick), looks).await;
        let is_refused = outcome.is_err() || !report.refused.is_empty();
        assert!(is_refused || !must_be_refused, "cut {n}: {report:?}");
        are_whole(&schools.village, &blobs);

        schools.export(&stick, parcel + 1).await;
        let imported = schools.import(&stick).await;
        assert_eq!(imported.refused, [], "cut {n}");
        assert!(are_whole(&schools.village, &blobs), "cut {n}");
        fs::remove_dir_all(&stick).unwrap();
    }
}

/// Leaves what would be there had the stick been pulled out at a random byte of its segments.
fn pull_out(lead: &TrialHub, folder: &Path, chance: &mut Chance) -> bool {
    let bytes = fs::read(folder.join("manifest")).unwrap();
    let mut manifest = yingxue_sync_core::courier::SignedManifest::decode(&bytes).unwrap().manifest;
    let mut left = chance.below(manifest.total_bytes());
    let whole = manifest.segments.iter().take_while(|segment| {
        let fits = segment.bytes <= left;
        left -= if fits { segment.bytes } else { 0 };
        fits
    });
    let whole = whole.count();
    let path = |n: usize, end: &str| folder.join(format!("{n:04}.{end}"));
    for n in whole + 1..manifest.segments.len() {
        fs::remove_file(path(n, "seg")).unwrap();
    }
    let part = fs::read(path(whole, "seg")).unwrap();
    fs::remove_file(path(whole, "seg")).unwrap();
    fs::write(path(whole, "tmp"), &part[..left as usize]).unwrap();
    manifest.segments.truncate(whole);
    manifest.is_finished = false;
    match whole {
        0 => fs::remove_file(folder.join("manifest")).unwrap(),
        _ => fs::write(folder.join("manifest"), manifest.sign(lead.app.sync.keys()).bytes).unwrap(),
    }
    false
}

fn any_file(folder: &Path, chance: &mut Chance) -> (PathBuf, Vec<u8>) {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let file = files.swap_remove(chance.below(files.len() as u64) as usize);
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

fn shorten(folder: &Path, chance: &mut Chance) -> bool {
    let (file, bytes) = any_file(folder, chance);
    let len = chance.below(bytes.len() as u64) as usize;
    fs::write(file, &bytes[..len]).unwrap();
    true
}

fn flip(folder: &Path, chance: &mut Chance) -> bool {
    let (file, mut bytes) = any_file(folder, chance);
    let at = chance.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << chance.below(8);
    fs::write(file, bytes).unwrap();
    true
}

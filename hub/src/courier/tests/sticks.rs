//! Sticks as they are: full, read-only, full of other things, or made to mislead.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::super::report::RefusedCode;
use super::*;
use crate::app::trial::image::{Image, sh};
use yingxue_sync_core::courier::SEGMENT_BYTES_MAX;

async fn failed(hub: &TrialHub, job: NewJob) -> JobError {
    run(hub, job, 0).await.1.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_full_of_other_things_is_read_and_nothing_of_them_is_touched() {
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    let mut deep = stick.clone();
    for n in 0..100 {
        deep.push(format!("作业{n}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("a.doc"), "mine").unwrap();
    schools.export(&stick, 1).await;
    let outbox = stick.join("yingxue-courier/outbox");
    for n in 0..3_000 {
        fs::write(outbox.join(format!("photo {n}.jpg")), "mine").unwrap();
    }
    fs::write(outbox.join("0000000a"), "a file with the name of a parcel").unwrap();
    fs::create_dir(outbox.join("0000000b")).unwrap();
    // Whatever a link or a pipe leads to is not read, and a pipe does not hold anybody up.
    symlink("/etc", outbox.join("0000000c")).unwrap();
    symlink(outbox.join(ParcelId(1).folder()), outbox.join("0000000d")).unwrap();
    let made = Command::new("mkfifo").arg(outbox.join("0000000e")).status().unwrap();
    assert!(made.success());
    fs::create_dir(outbox.join("0000000f")).unwrap();
    let made = Command::new("mkfifo").arg(outbox.join("0000000f/manifest")).status().unwrap();
    assert!(made.success());
    fs::create_dir(outbox.join("00000010")).unwrap();
    symlink("/dev/zero", outbox.join("00000010/manifest")).unwrap();
    let imported = schools.import(&stick).await;
    assert!(are_whole(&schools.village, &blobs));
    let refused: Vec<&str> = imported.refused.iter().map(|it| &it.file[7..15]).collect();
    let names = ["0000000a", "0000000c", "0000000d", "0000000e", "0000000f", "00000010"];
    assert_eq!(refused, names, "{:?}", imported.refused);
    assert!(
        imported.refused.iter().all(|it| it.code == RefusedCode::Unreadable),
        "{:?}",
        imported.refused
    );
    schools.export(&stick, 2).await;
    assert_eq!(fs::read_to_string(deep.join("a.doc")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(outbox.join("photo 2999.jpg")).unwrap(), "mine");
    assert!(outbox.join("0000000c").is_symlink() && Path::new("/etc/passwd").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_folder_that_is_a_file_or_leads_elsewhere_is_refused_both_ways() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let (file, link, outside) = (schools.stick(0), schools.stick(1), schools.stick(2));
    fs::write(file.join("yingxue-courier"), "mine").unwrap();
    symlink(&outside, link.join("yingxue-courier")).unwrap();
    let before = state_of(&schools.village);
    for stick in [&file, &link] {
        let export = export_to(stick, schools.village.app.sync.hub_id(), 1);
        for (hub, job) in [(&schools.lead, export), (&schools.village, import_from(stick))] {
            let error = failed(hub, job).await;
            assert!(error.detail.contains("nothing was touched"), "{error:?}");
        }
    }
    assert_eq!(fs::read_to_string(file.join("yingxue-courier")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing went out of the stick");
    assert_eq!(state_of(&schools.village), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_gigabytes_of_zeros_and_edits_are_refused_and_change_nothing() {
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    schools.export(&stick, 1).await;
    let folder = folder_of(&stick, 1);
    let manifest = fs::read(folder.join("manifest")).unwrap();
    let first = fs::read(folder.join("0000.seg")).unwrap();
    let before = state_of(&schools.village);
    let zeros = |name: &str| {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_len((4 << 30) - 1).unwrap();
    };
    zeros("manifest");
    let report = schools.import(&stick).await;
    assert_eq!(report.refused[0].file, "outbox/00000001/manifest");
    assert_eq!(report.refused[0].code, RefusedCode::Damaged);
    let mut edited = manifest.clone();
    edited[40] ^= 1;
    fs::write(folder.join("manifest"), edited).unwrap();
    let report = schools.import(&stick).await;
    assert_eq!(report.refused[0].code, RefusedCode::BadSignature, "{report:?}");
    assert_eq!(state_of(&schools.village), before);
    fs::write(folder.join("manifest"), manifest).unwrap();
    zeros("0000.seg");
    let report = schools.import(&stick).await;
    assert_eq!(report.refused[0].file, "outbox/00000001/0000.seg");
    assert_eq!(report.envelopes, 0, "they were in the first segment");
    fs::write(folder.join("0000.seg"), first).unwrap();
    assert_eq!(schools.import(&stick).await.refused, []);
    assert!(are_whole(&schools.village, &blobs));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_parcel_that_is_replayed_and_one_of_an_older_epoch_undo_nothing() {
    let schools = schools().await;
    let (_, first) = add_lesson(&schools.lead, 1).await;
    let (old, new) = (schools.stick(0), schools.stick(1));
    schools.export(&old, 1).await;
    add_lesson(&schools.lead, 2).await;
    schools.export(&new, 2).await;
    schools.import(&new).await;
    // The membership goes on, and what was written before is read after it.
    schools.lead.app.sync.set_online(false).await;
    let outsider = TrialHub::start_set_up().await;
    let text = schools.lead.app.sync.invite(u64::MAX / 2).await.unwrap();
    let answer = outsider.0.app.sync.answer_invitation(text, "山顶".to_owned()).await.unwrap();
    let carried = courier::Carried::Answer(answer.bytes);
    assert_eq!(schools.lead.app.sync.carry(carried).await.accepted, 1);
    let later = schools.stick(2);
    schools.export(&later, 3).await;
    schools.import(&later).await;
    let epoch = schools.village.app.sync.membership().unwrap().epoch;
    assert_eq!(epoch, schools.lead.app.sync.membership().unwrap().epoch);
    let before = state_of(&schools.village);
    let replayed = schools.import(&old).await;
    assert_eq!((replayed.envelopes, replayed.payload_bytes), (0, 0), "{replayed:?}");
    assert_eq!(replayed.refused, []);
    assert_eq!(state_of(&schools.village), before);
    assert!(are_whole(&schools.village, &first));
}

/// A place of the stick that cannot be read, as old flash has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_place_costs_its_segment_and_nothing_behind_it() {
    let schools = schools().await;
    let mut blobs = Vec::new();
    for n in 1..=3 {
        blobs.extend(add_lesson(&schools.lead, n).await.1);
    }
    let (stick, to) = (schools.stick(0), schools.village.app.sync.hub_id());
    schools.export(&stick, 1).await;
    let bad = |number: u64| Live { bad_segment: AtomicU64::new(number + 1), ..Live::default() };
    let (report, outcome) = run_with(&schools.village, import_from(&stick), bad(2)).await;
    outcome.unwrap();
    let refused: Vec<_> = report.refused.iter().map(|it| (&*it.file, it.code)).collect();
    assert_eq!(refused, [("outbox/00000001/0002.seg", RefusedCode::Unreadable)]);
    assert!(report.blobs >= 4 && !are_whole(&schools.village, &blobs), "{report:?}");
    assert_eq!(report.receipt, Some(report::ReceiptLeft::Written));
    // Who writes to it again writes what is lost, and leaves the bad place where it is.
    let (again, outcome) = run_with(&schools.lead, export_to(&stick, to, 2), bad(2)).await;
    outcome.unwrap();
    assert_eq!(again.refused, report.refused);
    assert!((1..100_000).contains(&again.payload_bytes), "{again:?}");
    assert!(folder_of(&stick, 1).join("0002.seg").is_file());
    fs::remove_dir_all(folder_of(&stick, 1)).unwrap();
    assert_eq!(schools.import(&stick).await.refused, []);
    assert!(are_whole(&schools.village, &blobs));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stick_that_was_pulled_out_kept_of_a_segment_goes_with_the_next_export() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    for parcel in [1, 2] {
        schools.export(&stick, parcel).await;
    }
    let foreign = folder_of(&stick, 99);
    fs::create_dir(&foreign).unwrap();
    for folder in [&folder_of(&stick, 1), &folder_of(&stick, 2), &foreign] {
        fs::write(folder.join("0077.tmp"), "half a segment").unwrap();
    }
    fs::remove_file(folder_of(&stick, 2).join("manifest")).unwrap();
    schools.export(&stick, 3).await;
    assert!(!folder_of(&stick, 2).exists(), "nothing of it was whole");
    assert!(folder_of(&stick, 1).join("manifest").is_file());
    assert!(!folder_of(&stick, 1).join("0077.tmp").exists());
    assert!(foreign.join("0077.tmp").is_file(), "another hub's is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parcels_that_were_taken_as_many_are_remembered_as_a_receipt_names() {
    use yingxue_sync_core::courier::PARCELS_TAKEN_MAX;
    let (hub, _) = TrialHub::start_set_up().await;
    let count = hub.app.db.write(|tx| -> rusqlite::Result<_> {
        for n in 0..2 * PARCELS_TAKEN_MAX as u32 {
            table::remember_parcel(tx, &HubId([1; 32]), ParcelId(n))?;
            // Each in its own millisecond.
            tx.execute("update courier_parcels set at_ms = at_ms - 1", [])?;
        }
        tx.query_row("select count(*), max(parcel) from courier_parcels", [], |row| {
            Ok((row.get::<_, usize>(0)?, row.get::<_, u32>(1)?))
        })
    });
    let newest = 2 * PARCELS_TAKEN_MAX as u32 - 1;
    assert_eq!(count.await.unwrap(), (PARCELS_TAKEN_MAX + 1, newest));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts an image, which takes root"]
async fn a_stick_that_is_locked_is_read_and_not_written() {
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let fat = Image::mount(64);
    schools.export(&fat.folder(), 0xabcd_ef01).await;
    fat.remount("ro");
    let imported = schools.import(&fat.folder()).await;
    assert_eq!((&imported.refused[..], imported.blobs), (&[][..], 2));
    assert_eq!(imported.receipt, Some(report::ReceiptLeft::Kept));
    assert!(imported.notes.iter().any(|note| note.contains("read-only")), "{imported:?}");
    assert!(are_whole(&schools.village, &blobs));
    let to = schools.village.app.sync.hub_id();
    let error = failed(&schools.lead, export_to(&fat.folder(), to, 2)).await;
    assert_eq!(error.code, "stick_read_only", "{error:?}");
    fat.remount("rw");
    assert_eq!(schools.import(&fat.folder()).await.receipt, Some(report::ReceiptLeft::Written));
    // What a PC shows in capitals is the same folder.
    let outbox = fat.folder().join("YINGXUE-COURIER/OUTBOX");
    assert!(!fat.is_fat || outbox.join("ABCDEF01/MANIFEST").is_file());
    let again = schools.export(&fat.folder(), 3).await;
    assert_eq!(again.payload_bytes, 0, "the receipt came back: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts an image, which takes root"]
async fn a_stick_that_is_full_says_so_and_what_is_on_it_is_whole() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let to = schools.village.app.sync.hub_id();
    let fat = Image::mount(64);
    fat.fill(0);
    let error = failed(&schools.lead, export_to(&fat.folder(), to, 1)).await;
    assert_eq!(error.code, "stick_full", "{error:?}");
    for (parcel, left_bytes) in [(2, 20_000), (3, 60_000), (4, 150_000)] {
        fs::remove_file(fat.folder().join("FILM.AVI")).unwrap();
        fat.fill(left_bytes);
        let (report, outcome) = run(&schools.lead, export_to(&fat.folder(), to, parcel), 0).await;
        let is_said = outcome.is_err_and(|error| error.code == "stick_full");
        assert!(is_said || report.left_out > 0, "{left_bytes}: {report:?}");
        let (imported, _) = run(&schools.village, import_from(&fat.folder()), 0).await;
        assert_eq!(imported.refused, [], "{left_bytes}");
    }
    fs::remove_file(fat.folder().join("FILM.AVI")).unwrap();
    schools.export(&fat.folder(), 5).await;
    assert_eq!(schools.import(&fat.folder()).await.refused, []);
}

/// The stick's lock is pushed, or its flash gives up, while it is written.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts an image, which takes root"]
async fn a_stick_that_becomes_read_only_in_the_middle_keeps_what_was_whole() {
    let schools = schools().await;
    let mut blobs = Vec::new();
    for n in 1..=40 {
        blobs.extend(add_lesson(&schools.lead, n).await.1);
    }
    let (to, stick) = (schools.village.app.sync.hub_id(), Image::mount_as(false, 64));
    let (third, folder) = (folder_of(&stick.folder(), 1).join("0003.seg"), stick.folder());
    let locking = std::thread::spawn(move || {
        while !third.exists() {
            std::thread::yield_now();
        }
        // What ext4 does when its disk fails (ext4(5), "abort").
        sh("mount", &["-o", "remount,abort", folder.to_str().unwrap()]);
    });
    let error = failed(&schools.lead, export_to(&stick.folder(), to, 1)).await;
    locking.join().unwrap();
    assert!(["stick_read_only", "stick_gone"].contains(&error.code.as_str()), "{error:?}");
    let (half, _) = run(&schools.village, import_from(&stick.folder()), 0).await;
    assert_eq!(half.refused, []);
    assert!(half.envelopes > 0 && !are_whole(&schools.village, &blobs), "{half:?}");
    stick.plug_in_again();
    let rest = schools.export(&stick.folder(), 2).await;
    assert_eq!(rest.left_out, 0);
    schools.import(&stick.folder()).await;
    assert!(are_whole(&schools.village, &blobs));
}

/// Any FAT takes them: 8.3 characters below the one folder that is ours, none twice in another
/// case, and no file near 4 GiB.
#[tokio::test(flavor = "multi_thread")]
async fn names_and_sizes_fit_every_fat() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    schools.export(&stick, 0xabcd_ef01).await;
    schools.import(&stick).await;
    let (mut folders, mut seen) = (vec![stick.join("yingxue-courier")], 0);
    while let Some(folder) = folders.pop() {
        let mut names = std::collections::BTreeSet::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let (stem, end) = name.split_once('.').unwrap_or((&name, ""));
            let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
            assert!(is_plain(stem) && is_plain(end), "{name}");
            assert!((1..=8).contains(&stem.len()) && end.len() <= 3, "{name}");
            assert!(names.insert(name.to_uppercase()), "{name}");
            match entry.metadata().unwrap() {
                it if it.is_dir() => folders.push(entry.path()),
                it => assert!(it.len() < SEGMENT_BYTES_MAX, "{name}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}

//! What exports and imports cost.

use super::*;

/// Prints what export and import cost: `cargo test -p yingxue-hub --lib -- --ignored figures`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing of time"]
async fn figures_of_an_export_and_an_import() {
    let schools = schools().await;
    for hub in [&schools.lead, &schools.village] {
        hub.app.courier.segment_bytes.store(SEGMENT_BYTES, Ordering::Relaxed);
    }
    let (blob, bytes) = add_large_blob(&schools.lead, 200).await;
    let track = NewTrack {
        kind: "source".to_owned(),
        blob,
        bytes,
        codecs: "avc1".to_owned(),
        width: None,
        height: None,
    };
    let edits = vec![catalog::track_edit(&track)];
    let (doc, _) = add_lesson(&schools.lead, 1).await;
    let author = "t1".to_owned();
    schools.lead.app.sync.edit_doc(catalog::collection(), doc, author, edits).await.unwrap();
    let stick = std::env::var("YINGXUE_STICK").map_or_else(|_| schools.stick(0), PathBuf::from);
    let (began, before) = (std::time::Instant::now(), cpu_seconds());
    let exported = schools.export(&stick, 1).await;
    let (wall, used) = (began.elapsed().as_secs_f64(), cpu_seconds() - before);
    let megabytes = exported.payload_bytes as f64 / 1e6;
    println!("export: {:.0} MB/s, {:.0} MB per CPU-second", megabytes / wall, megabytes / used);
    println!("stick over payload: {:.5}", exported.stick_bytes as f64 / 1e6 / megabytes);
    let (began, before) = (std::time::Instant::now(), cpu_seconds());
    let imported = schools.import(&stick).await;
    let (wall, used) = (began.elapsed().as_secs_f64(), cpu_seconds() - before);
    println!("import: {:.0} MB/s, {:.0} MB per CPU-second", megabytes / wall, megabytes / used);
    assert_eq!(imported.payload_bytes, exported.payload_bytes);
    assert!(are_whole(&schools.village, &[blob]));
}

/// Gives what this process has used (proc(5): fields 14 and 15, in hundredths).
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields = fields.split(' ').skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

async fn add_large_blob(hub: &TrialHub, mebibytes: u64) -> (BlobId, u64) {
    let mut chance = Chance(1);
    let words = (mebibytes << 20) / 8;
    let content: Vec<u8> = (0..words).flat_map(|_| chance.below(u64::MAX).to_le_bytes()).collect();
    let lengths = vec![1 << 19; 2 * mebibytes as usize];
    make_blob(hub, &lengths, &content).await
}

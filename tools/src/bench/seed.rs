//! Fills a hub's data directory while the hub is stopped, by the way that its own lessons take:
//! document, journal, store, projection. Only encoding is left out.

use std::fs;
use std::future::Future;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use yingxue_hub::app::{App, Shutdown};
use yingxue_hub::catalog::{self, NewLesson, NewTrack};
use yingxue_hub::config::Config;
use yingxue_hub::serve;
use yingxue_hub::store::blobs;
use yingxue_sync_core::blob::{Manifest, PIECE_BYTES_MAX};
use yingxue_sync_core::id::DocId;

/// Documents that are written at once; the store puts them into one commit.
const AT_ONCE: usize = 200;
/// 2026-01-01; the lessons lie a minute apart after it.
const FIRST_MS: i64 = 1_767_225_600_000;
/// Pieces of a track of a seeded lesson: four minutes of segments.
const PIECES: usize = 60;

/// A lesson that is to be published, its tracks with what the store has to know of them and what
/// their files hold.
struct Described {
    id: DocId,
    lesson: NewLesson,
    tracks: Vec<(NewTrack, Manifest, Vec<u8>)>,
}

/// Adds lessons whose tracks are held, with small files, as a hub looks for each of them.
pub fn lessons(data: &Path, count: usize) -> Result<()> {
    with_hub(data, async |app| {
        let all: Vec<usize> = (0..count).collect();
        for some in all.chunks(AT_ONCE) {
            let some = some.iter().map(|&i| described(i, &app)).collect::<Result<Vec<_>>>()?;
            for (track, _, content) in some.iter().flat_map(|lesson| &lesson.tracks) {
                put_file(&app, track, content)?;
            }
            publish(&app, some).await?;
        }
        Ok(())
    })
}

/// Adds lessons of one track of `bytes` bytes each in pieces of `piece_bytes` to a hub that others
/// know under `addresses`; gives their ids.
pub fn tracks(
    data: &Path,
    addresses: &[String],
    count: usize,
    (bytes, piece_bytes): (usize, usize),
) -> Result<Vec<String>> {
    with_hub_at(data, addresses, async |app| {
        let mut ids = Vec::new();
        for n in 0..count {
            let content = noise_from(u64::MAX - n as u64, bytes);
            let sizes: Vec<u32> =
                content.chunks(piece_bytes).map(|piece| piece.len() as u32).collect();
            let manifest = Manifest::of(&sizes, &content, Vec::new())?;
            let mut lesson = described(n, &app)?;
            let track = track("source", &manifest);
            put_file(&app, &track, &content)?;
            ids.push(lesson.id.to_string());
            lesson.tracks = vec![(track, manifest, Vec::new())];
            publish(&app, vec![lesson]).await?;
        }
        Ok(ids)
    })
}

/// Adds one lesson with a track of `bytes` bytes that no link can compress; gives its id.
pub fn blob(data: &Path, bytes: usize) -> Result<String> {
    let content = noise(bytes);
    let sizes: Vec<u32> =
        content.chunks(PIECE_BYTES_MAX as usize).map(|piece| piece.len() as u32).collect();
    let manifest = Manifest::of(&sizes, &content, Vec::new())?;
    let file = data.join("bench-blob");
    fs::write(&file, content).context("write the blob")?;
    fs::File::open(&file)?.sync_all()?;
    with_hub(data, async |app| {
        let track = track("source", &manifest);
        app.sync.files().adopt(track.blob, &file)?;
        let mut lesson = described(0, &app)?;
        lesson.lesson.title = "Bench".into();
        lesson.tracks = vec![(track, manifest.clone(), Vec::new())];
        let id = lesson.id.to_string();
        publish(&app, vec![lesson]).await?;
        Ok(id)
    })
}

/// Runs `work` in a hub that serves nobody.
fn with_hub<T, F: Future<Output = Result<T>>>(
    data: &Path,
    work: impl FnOnce(App) -> F,
) -> Result<T> {
    with_hub_at(data, &[], work)
}

/// The same, in a hub that goes on telling others where it is reached.
fn with_hub_at<T, F: Future<Output = Result<T>>>(
    data: &Path,
    addresses: &[String],
    work: impl FnOnce(App) -> F,
) -> Result<T> {
    let mut config = Config::default();
    config.sync.announce = addresses.to_vec();
    config.sync.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    config.sync.is_mdns = false;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_stop, shutdown) = Shutdown::channel();
        let app = serve::start(data.into(), config, shutdown).await?;
        let done = work(app.clone()).await;
        app.sync.shutdown().await;
        done
    })
}

/// Puts a track's file where the hub keeps it. Not fsynced, unlike the hub's own.
fn put_file(app: &App, track: &NewTrack, content: &[u8]) -> Result<()> {
    let path = app.sync.files().path(track.blob);
    fs::create_dir_all(path.parent().context("a blob's file lies in a folder")?)?;
    fs::write(&path, content).context("write a track")
}

async fn publish(app: &App, lessons: Vec<Described>) -> Result<()> {
    let lessons = app
        .db
        .write(move |tx| -> Result<_> {
            for (track, manifest, _) in lessons.iter().flat_map(|lesson| &lesson.tracks) {
                blobs::insert_complete(tx, &track.blob, manifest)?;
            }
            Ok(lessons)
        })
        .await?;
    let mut edits = tokio::task::JoinSet::new();
    for Described { id, lesson, tracks } in lessons {
        let sync = app.sync.clone();
        edits.spawn(async move {
            let tracks: Vec<NewTrack> = tracks.into_iter().map(|(track, ..)| track).collect();
            let edits = catalog::lesson_edits(&lesson, 240_000, None, &tracks);
            sync.edit_doc(catalog::collection(), id, "bench".into(), edits).await
        });
    }
    while let Some(done) = edits.join_next().await {
        done?.map_err(|refusal| anyhow!("write a lesson: {refusal}"))?;
    }
    Ok(())
}

fn described(i: usize, app: &App) -> Result<Described> {
    let subjects = catalog::bounds::SUBJECTS;
    let mut id = [0; 16];
    id[..8].copy_from_slice(&splitmix(i as u64).to_le_bytes());
    id[8..].copy_from_slice(&splitmix(!(i as u64)).to_le_bytes());
    let lesson = NewLesson {
        title: format!("第 {} 课 分数的意义与性质", i + 1),
        subject: subjects[i % subjects.len()].into(),
        grade: (i % 12 + 1).to_string(),
        teacher: "陈老师".into(),
        school: "城区实验小学".into(),
        school_hub: app.sync.hub_id(),
        filename: format!("lesson-{i}.mp4"),
        created_at_ms: FIRST_MS + i as i64 * 60_000,
    };
    let kinds = ["audio", "video-360", "source"];
    let tracks = kinds.iter().enumerate().map(|(n, kind)| {
        let content = noise_from((i * kinds.len() + n) as u64, PIECES * 8);
        let manifest = Manifest::of(&[8; PIECES], &content, Vec::new())?;
        Ok((track(kind, &manifest), manifest, content))
    });
    Ok(Described { id: DocId(id), lesson, tracks: tracks.collect::<Result<_>>()? })
}

fn track(kind: &str, manifest: &Manifest) -> NewTrack {
    let picture = (kind != "audio").then_some(());
    NewTrack {
        kind: kind.into(),
        blob: manifest.blob_id(),
        bytes: manifest.total_bytes(),
        codecs: "avc1.64001f,mp4a.40.2".into(),
        width: picture.map(|()| 640),
        height: picture.map(|()| 360),
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    noise_from(0x5eed << 32, bytes)
}

/// Gives bytes that nothing can compress, the same ones for a seed.
pub fn noise_from(seed: u64, bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8) as u64).map(|i| splitmix(splitmix(seed) ^ i));
    let mut noise: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    noise.truncate(bytes);
    noise
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same bytes in every run.
pub fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_each_time_and_different_for_each_seed() {
        assert_eq!(noise(13).len(), 13);
        assert_eq!(noise(64), noise(64));
        assert_ne!(noise_from(1, 64), noise_from(2, 64));
    }
}

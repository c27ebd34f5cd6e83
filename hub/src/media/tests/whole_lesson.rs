//! What is made of a lesson on its way out; the lesson is a real one, imported by the codec.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, header};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use yingxue_codec::import::{EncoderChoice, ImportRequest, Observer, Progress, Tiers, import};
use yingxue_codec::track::{SegmentInfo, TrackInfo, TrackKind};
use yingxue_codec::{Ffmpeg, Limits};
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::id::{BlobId, DocId};

use crate::app::trial::{Answer, TrialHub, request};
use crate::catalog::{self, NewLesson, NewTrack, collection};
use crate::playing::Played;
use crate::store::blobs;

const LESSON: DocId = DocId([2; 16]);
const CAPTIONS: &str = "WEBVTT\n\nSTYLE\n::cue { color: url(x) }\n\n\
    00:01.000 --> 00:02.000\n光合<script>作用\n\n";

struct Quiet;

impl Observer for Quiet {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Tracks of 10 s: `source`, `audio`, `video-360` of the codec, and captions.
static TRACKS: LazyLock<Vec<(TrackInfo, Vec<u8>)>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("lesson.mp4");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .args(["testsrc2=s=192x108:r=25:d=10", "-f", "lavfi", "-i", "sine=440:d=10:r=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p"])
        .args(["-c:a", "aac", "-shortest"])
        .arg(&source)
        .status();
    assert!(made.unwrap().success());
    let request = ImportRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        source: &source,
        work_dir: &folder.path().join("work"),
        workers: 2,
        limits: Limits::default(),
        encoder: EncoderChoice::Rav1e,
        tiers: Tiers::FIRST,
    };
    let tracks = import(&request, &Quiet).unwrap().tracks;
    let read = |track: &Path| std::fs::read(track).unwrap();
    let mut all: Vec<_> = tracks.into_iter().map(|t| (t.info, read(&t.path))).collect();
    assert!(all.iter().any(|(info, _)| info.kind == TrackKind::Slides), "the codec finds a slide");
    all.push((captions(), CAPTIONS.as_bytes().to_vec()));
    all
});

fn captions() -> TrackInfo {
    let init_bytes = "WEBVTT\n\n".len() as u32;
    let bytes = CAPTIONS.len() as u32 - init_bytes;
    TrackInfo {
        kind: TrackKind::Captions(1),
        codecs: "wvtt".to_owned(),
        width: None,
        height: None,
        frame_rate: None,
        language: Some("zh-Hans".to_owned()),
        timescale: 1_000,
        bandwidth_avg_bits_per_s: 100,
        bandwidth_peak_bits_per_s: 100,
        init_bytes,
        segments: vec![SegmentInfo { duration_ticks: 10_000, bytes }],
    }
}

fn info_of(kind: TrackKind) -> &'static TrackInfo {
    &TRACKS.iter().find(|(info, _)| info.kind == kind).unwrap().0
}

struct Served {
    hub: TrialHub,
    who: String,
    blobs: Vec<(TrackKind, BlobId)>,
}

impl Served {
    /// A hub with the lesson; `missing` names pieces that are not here.
    async fn start(missing: &[(TrackKind, u32)]) -> Self {
        let (hub, who) = TrialHub::start_set_up().await;
        hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
        let (mut blobs, mut named) = (Vec::new(), Vec::new());
        for (info, content) in TRACKS.iter() {
            let lost = missing.iter().filter(|(kind, _)| *kind == info.kind).map(|(_, n)| *n);
            let blob = keep(&hub, info, content, lost.collect()).await;
            blobs.push((info.kind, blob));
            named.push(NewTrack {
                kind: info.kind.to_string(),
                blob,
                bytes: content.len() as u64,
                codecs: info.codecs.clone(),
                width: info.width,
                height: info.height,
            });
        }
        let lesson = NewLesson {
            title: "光合/作用".to_owned(),
            subject: "biology".to_owned(),
            grade: "8".to_owned(),
            teacher: String::new(),
            school: "一中".to_owned(),
            school_hub: hub.app.sync.hub_id(),
            filename: "a.mp4".to_owned(),
            created_at_ms: 1,
        };
        let edits = catalog::lesson_edits(&lesson, 10_000, None, &named);
        hub.app.sync.edit_doc(collection(), LESSON, "t".to_owned(), edits).await.unwrap();
        Self { hub, who, blobs }
    }

    async fn media(&self, file: &str) -> Answer {
        self.hub.get(&format!("/media/{LESSON}/{file}"), &self.who).await
    }

    async fn timeline(&self) -> Value {
        self.hub.get(&format!("/api/v1/lessons/{LESSON}/timeline"), &self.who).await.json()
    }

    async fn check(&self, who: &str) -> Answer {
        self.hub.post(&format!("/api/v1/lessons/{LESSON}/check"), who, json!({})).await
    }

    async fn part(&self, file: &str, name: header::HeaderName, value: &str) -> Answer {
        let path = format!("/media/{LESSON}/{file}");
        let asked = request(Method::GET, &path, &self.who).header(name, value);
        self.hub.send(asked, Body::empty()).await
    }

    /// What the playlist of H.264 names its segments by.
    fn h264_version(&self) -> String {
        format!("{}-{}", self.blob(TrackKind::Video360), self.blob(TrackKind::Audio))
    }

    /// Changes a byte of a track's file that is `back` before its end.
    fn rot(&self, kind: TrackKind, back: usize) {
        let path = self.hub.app.sync.files().path(self.blob(kind));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - back;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }

    fn blob(&self, kind: TrackKind) -> BlobId {
        self.blobs.iter().find(|(of_track, _)| *of_track == kind).unwrap().1
    }
}

async fn keep(hub: &TrialHub, info: &TrackInfo, content: &[u8], missing: Vec<u32>) -> BlobId {
    let manifest = Manifest::of(&info.pieces(), content, info.encode()).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join(info.kind.as_str());
    std::fs::write(&path, content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    let kept = hub.app.db.write(move |tx| -> rusqlite::Result<()> {
        blobs::insert_complete(tx, &blob, &manifest)?;
        let mut held = Bitmap::new(manifest.pieces.len());
        (0..manifest.pieces.len() as u32).filter(|n| !missing.contains(n)).for_each(|n| {
            held.insert(n);
        });
        let sql = "update blobs set bitmap = ?2, held_pieces = ?3, is_complete = ?4, \
             verified_bytes = ?5 where blob = ?1";
        let bytes = manifest.held_bytes(&held) as i64;
        let row = (blob.as_bytes(), held.as_bytes(), held.count(), missing.is_empty(), bytes);
        tx.execute(sql, row).map(drop)
    });
    kept.await.unwrap();
    blob
}

/// What ffprobe makes of bytes: the codec of each stream, and how many packets it has.
fn probed(bytes: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.mp4");
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-count_packets", "-of", "csv=p=0", "-show_entries"])
        .arg("stream=codec_name,nb_read_packets")
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_is_one_file_of_which_any_part_can_be_asked_for() {
    let served = Served::start(&[]).await;
    let file = "download.mp4?tier=t1";
    let whole = served.media(file).await;
    assert_eq!((whole.outcome().as_str(), whole.header("content-type")), ("200", "video/mp4"));
    assert_eq!(whole.header("content-length"), whole.bytes.len().to_string());
    assert!(whole.header("content-disposition").contains("filename*=UTF-8''%E5%85%89%E5%90%88%E4"));
    // 10 s in packets of 60 ms; the pre-skip of 6.5 ms fits into the last one.
    assert_eq!(probed(&whole.bytes), ["av1,125", "opus,167"]);
    let length = whole.bytes.len();
    for (from, to) in
        [(0, 0), (3, 900), (700, 9_000), (length / 2, length - 1), (length - 1, length)]
    {
        let part = served.part(file, header::RANGE, &format!("bytes={from}-{to}")).await;
        assert_eq!(part.outcome(), "206");
        let end = (to + 1).min(length);
        assert!(part.bytes == whole.bytes[from..end], "bytes {from} to {to}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{length}", end - 1));
    }
    for at in (0..length).step_by(length / 97) {
        let part = served.part(file, header::RANGE, &format!("bytes={at}-{}", at + 40)).await;
        assert!(part.bytes == whole.bytes[at..(at + 41).min(length)], "bytes from {at}");
    }
    let etag = whole.header("etag");
    let known = served.part(file, header::IF_NONE_MATCH, etag).await;
    assert_eq!((known.outcome().as_str(), known.bytes.len()), ("304", 0));
    let past = served.part(file, header::RANGE, &format!("bytes={length}-")).await;
    assert_eq!(past.outcome(), "416");

    let source = served.media("download.mp4?tier=source").await;
    let as_it_is = TRACKS.iter().find(|(info, _)| info.kind == TrackKind::Source).unwrap();
    assert!(source.bytes == as_it_is.1, "the source goes out as it is");
    let slides = served.media("download.mp4?tier=t0").await;
    let count = info_of(TrackKind::Slides).segments.len();
    assert_eq!(probed(&slides.bytes), [format!("av1,{count}"), "opus,167".to_owned()]);
    assert_eq!(served.media("download.mp4?tier=t2").await.outcome(), "404 not_found");
    assert_eq!(served.media("download.mp4?tier=best").await.outcome(), "422 invalid_input");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wholly_here_is_no_file_and_its_times_are_missing() {
    // Piece 0 is the init segment; pieces 2 and 3 the segments from 4 s on.
    let served = Served::start(&[(TrackKind::Audio, 3), (TrackKind::Video360, 2)]).await;
    assert_eq!(served.media("download.mp4?tier=t1").await.outcome(), "404 not_found");
    assert_eq!(served.media("download.mp4?tier=t0").await.outcome(), "404 not_found");
    assert_eq!(served.media("download.mp4").await.outcome(), "200");
    let timeline = served.timeline().await;
    let missing = &timeline["missing"];
    let sound_ms =
        TRACKS.iter().find(|(info, _)| info.kind == TrackKind::Audio).unwrap().0.duration_ms();
    assert_eq!(missing["t0"], json!([[7980, sound_ms]]));
    assert_eq!(missing["t1"], json!([[4000, sound_ms]]));
    assert_eq!((&missing["t2"], &missing["source"]), (&Value::Null, &json!([])));
    assert_eq!(timeline["duration_ms"], 10_000);
    assert_eq!(timeline["captions"], json!([{"n": 1, "language": "zh-Hans", "is_here": true}]));
    let old = String::from_utf8(served.media("h264.m3u8").await.bytes).unwrap();
    let of = served.h264_version();
    let two = format!("h264/0.m4s?of={of}\n#EXT-X-GAP\n#EXTINF:4.00000,\nh264/1.m4s?of={of}");
    assert!(old.contains(&two), "{old}");
    assert_eq!(served.media("h264/1.m4s").await.outcome(), "404 not_found");
    let tier = String::from_utf8(served.media("master.m3u8?tier=t1").await.bytes).unwrap();
    assert!(tier.contains("video-360.m3u8") && !tier.contains("source.m3u8"), "{tier}");
    assert!(!tier.contains("SUBTITLES"), "a page shows captions itself");
    let all = String::from_utf8(served.media("master.m3u8").await.bytes).unwrap();
    assert!(all.contains("source.m3u8") && all.contains("URI=\"captions-1.m3u8\""), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn captions_come_clean_and_only_whole() {
    let served = Served::start(&[]).await;
    let vtt = served.media("captions-1.vtt").await;
    assert_eq!(vtt.header("content-type"), "text/vtt; charset=utf-8");
    assert_eq!(vtt.header("x-content-type-options"), "nosniff");
    assert_eq!(
        String::from_utf8(vtt.bytes).unwrap(),
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n光合作用\n\n"
    );
    let raw = format!("/media/blob/{}", served.blob(TrackKind::Captions(1)));
    let raw = served.hub.get(&raw, &served.who).await;
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    let list = String::from_utf8(served.media("captions-1.m3u8").await.bytes).unwrap();
    let of = served.blob(TrackKind::Captions(1));
    assert!(list.contains(&format!("#EXTINF:10.00000,\ncaptions-1.vtt?of={of}")), "{list}");
    for file in ["captions-2.vtt", "audio.vtt", "captions-9.vtt"] {
        assert_eq!(served.media(file).await.outcome(), "404 not_found", "{file}");
    }
    let part = Served::start(&[(TrackKind::Captions(1), 1)]).await;
    assert_eq!(part.media("captions-1.vtt").await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_panel_gets_h264_made_once() {
    let served = Served::start(&[]).await;
    // Two at once: the second waits for the first one's work.
    let (init, first) = tokio::join!(served.media("h264/init.mp4"), served.media("h264/0.m4s"));
    assert_eq!((init.outcome().as_str(), first.outcome().as_str()), ("200", "200"));
    let mut file = init.bytes.clone();
    file.extend(&first.bytes);
    for n in 1..3 {
        file.extend(served.media(&format!("h264/{n}.m4s")).await.bytes);
    }
    assert_eq!(probed(&file), ["h264,125", "aac,469"]);
    assert!(served.media("h264/0.m4s").await.bytes == first.bytes);
    for file in ["h264/3.m4s", "h264/x.m4s", "h264/0.ts", "h265/0.m4s"] {
        assert_eq!(served.media(file).await.outcome(), "404 not_found", "{file}");
    }
    let scratch = served.hub.dir.path().join("work").join("h264");
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_without_its_sound_is_not_kept_and_has_it_once_it_is_here() {
    // Piece 3 of the sound is its last segment, from 8 s on.
    let served = Served::start(&[(TrackKind::Audio, 3)]).await;
    let of = served.h264_version();
    let whole = served.media(&format!("h264/0.m4s?of={of}")).await;
    assert_eq!(whole.header("cache-control"), "private, immutable, max-age=31536000");
    assert_eq!(served.media("h264/0.m4s").await.header("cache-control"), "private, no-cache");
    let file = format!("h264/2.m4s?of={of}");
    let silent = served.media(&file).await;
    assert_eq!(silent.header("cache-control"), "private, no-store");
    let blob = served.blob(TrackKind::Audio);
    let arrived = served.hub.app.db.write(move |tx| {
        let sql = "update blobs set is_complete = 1, bitmap = x'0f', held_pieces = 4 \
             where blob = ?1";
        tx.execute(sql, [blob.as_bytes()])
    });
    assert_eq!(arrived.await.unwrap(), 1);
    served.hub.app.sync.news().tracks().forget(&blob);
    let heard = served.media(&file).await;
    assert_eq!(heard.header("cache-control"), "private, immutable, max-age=31536000");
    assert!(heard.bytes != silent.bytes, "the silence was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joined_file_ends_before_what_has_rotted() {
    let served = Served::start(&[]).await;
    let file = format!("/media/{LESSON}/download.mp4?tier=t1");
    let whole = served.hub.get(&file, &served.who).await.bytes;
    served.rot(TrackKind::Video360, 9);
    let asked = request(Method::GET, &file, &served.who).body(Body::empty()).unwrap();
    let answer = served.hub.router.clone().oneshot(asked).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body().into_data_stream();
    let mut given = Vec::new();
    let mut is_broken_off = false;
    while let Some(bytes) = body.next().await {
        match bytes {
            Ok(bytes) => given.extend(bytes),
            Err(_) => is_broken_off = true,
        }
    }
    assert!(is_broken_off, "whoever keeps the file hears that it is not whole");
    assert!(given.len() < whole.len() && whole.starts_with(&given), "nothing that has rotted");
    assert_eq!(served.timeline().await["missing"]["t1"], json!([[8000, 10_000]]));
    let again = served.hub.get(&file, &served.who).await;
    assert_eq!(again.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_captions_under_an_old_number_reach_a_browser_that_knows_the_old_ones() {
    let served = Served::start(&[]).await;
    let plain = served.media("captions-1.vtt").await;
    assert_eq!(plain.header("cache-control"), "private, no-cache");
    let old = served.blob(TrackKind::Captions(1));
    let named = format!("captions-1.vtt?of={old}");
    let kept = served.media(&named).await;
    assert_eq!(kept.header("cache-control"), "private, immutable, max-age=31536000");

    let corrected = CAPTIONS.replace("光合", "呼吸");
    let new = keep(&served.hub, &captions(), corrected.as_bytes(), Vec::new()).await;
    let changed = served.hub.app.db.write(move |tx| {
        let sql = "update lesson_tracks set blob = ?2 where lesson = ?1 and kind = 'captions-1'";
        tx.execute(sql, [LESSON.as_bytes().as_slice(), new.as_bytes().as_slice()])
    });
    assert_eq!(changed.await.unwrap(), 1);
    let asked_again =
        served.part("captions-1.vtt", header::IF_NONE_MATCH, plain.header("etag")).await;
    assert_eq!(asked_again.outcome(), "200");
    assert!(String::from_utf8(asked_again.bytes).unwrap().contains("呼吸作用"));
    let old_name = served.media(&named).await;
    assert_eq!(old_name.header("cache-control"), "private, no-cache", "new words, old name");
    let new_name = served.media(&format!("captions-1.vtt?of={new}")).await;
    assert_eq!(new_name.header("cache-control"), "private, immutable, max-age=31536000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_holds_the_rest_says_that_it_plays() {
    let served = Served::start(&[]).await;
    let say = format!("/api/v1/lessons/{LESSON}/playing");
    let is_on = || served.hub.app.playing.is_on(Instant::now());
    assert_eq!(served.hub.post(&say, "", json!({})).await.outcome(), "401 not_logged_in");
    let none = format!("/api/v1/lessons/{}/playing", DocId([9; 16]));
    assert_eq!(served.hub.post(&none, &served.who, json!({})).await.outcome(), "404 not_found");
    assert!(!is_on());
    let pupil = served.hub.log_in_new(&served.who, "pupil", "pupil").await;
    assert_eq!(served.hub.post(&say, &pupil, json!({})).await.outcome(), "204");
    assert!(is_on());
    assert_eq!(served.hub.app.playing.played(Instant::now()), [Played::Lesson(LESSON)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_damage_and_takes_it_back() {
    let served = Served::start(&[(TrackKind::Source, 1)]).await;
    let pupil = served.hub.log_in_new(&served.who, "pupil", "pupil").await;
    assert_eq!(served.check(&pupil).await.outcome(), "403 not_allowed");
    let track = |answer: &Value, kind: &str| {
        let tracks = answer["tracks"].as_array().unwrap().clone();
        tracks.into_iter().find(|track| track["kind"] == kind).unwrap()
    };
    let found = served.check(&served.who).await.json();
    assert_eq!(found["is_whole"], false);
    assert_eq!(
        track(&found, "source"),
        json!({"kind": "source", "pieces": 4, "damaged": 0, "missing": 1})
    );
    assert_eq!(track(&found, "audio")["missing"], 0);

    served.rot(TrackKind::Audio, 9);
    assert_eq!(served.timeline().await["missing"]["t0"], json!([]), "nobody has looked yet");
    let found = served.check(&served.who).await.json();
    assert_eq!(
        track(&found, "audio"),
        json!({"kind": "audio", "pieces": 4, "damaged": 1, "missing": 1})
    );
    assert_eq!(served.timeline().await["missing"]["t0"][0][0], 7980);
    let again = served.check(&served.who).await.json();
    assert_eq!(
        (&track(&again, "audio")["damaged"], &track(&again, "audio")["missing"]),
        (&json!(0), &json!(1))
    );
    let none = format!("/api/v1/lessons/{}/check", DocId([9; 16]));
    assert_eq!(served.hub.post(&none, &served.who, json!({})).await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slide_is_a_picture_for_every_browser() {
    let served = Served::start(&[(TrackKind::Thumbs, 1)]).await;
    let avif = served.media("slides/0.avif").await;
    assert_eq!((avif.outcome().as_str(), avif.header("content-type")), ("200", "image/avif"));
    assert_eq!(&avif.bytes[4..12], b"ftypavif");
    assert_eq!(avif.header("cache-control"), "private, no-cache");
    let of = served.blob(TrackKind::Slides);
    let named = served.media(&format!("slides/0.avif?of={of}")).await;
    assert_eq!(named.header("cache-control"), "private, immutable, max-age=31536000");
    assert!(named.bytes == avif.bytes);
    let known = served.part("slides/0.avif", header::IF_NONE_MATCH, avif.header("etag")).await;
    assert_eq!(known.outcome(), "304");
    let jpeg = served.media("slides/0.jpg").await;
    assert_eq!(jpeg.header("content-type"), "image/jpeg");
    assert!(jpeg.bytes.starts_with(&[0xff, 0xd8, 0xff]));
    assert!(served.media("slides/0.jpg").await.bytes == jpeg.bytes, "the same again");
    let timeline = served.timeline().await;
    let info = info_of(TrackKind::Slides);
    assert_eq!(timeline["slides"][0], json!({"at_ms": 0, "is_here": true}));
    assert_eq!(timeline["slides"].as_array().unwrap().len(), info.segments.len());
    assert_eq!(timeline["slides_size"], json!({"width": info.width, "height": info.height}));
    assert_eq!(timeline["thumbs"]["count"], info_of(TrackKind::Thumbs).segments.len());
    let none = format!("slides/{}.avif", info.segments.len());
    for file in ["slides/0.png", "slides/x.avif", "slides/-1.jpg", "thumbs/0.jpg", &none] {
        assert_eq!(served.media(file).await.outcome(), "404 not_found", "{file}");
    }
    assert_eq!(
        served.hub.get(&format!("/media/{LESSON}/slides/0.jpg"), "").await.outcome(),
        "401 not_logged_in"
    );
}

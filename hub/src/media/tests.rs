mod whole_lesson;

use axum::body::Body;
use axum::http::{Method, header};
use yingxue_codec::track::{SegmentInfo, TrackInfo, TrackKind};
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::id::{BlobId, DocId};

use crate::app::trial::{Answer, TrialHub, request};
use crate::catalog::{self, NewLesson, NewTrack, collection};
use crate::store::blobs;

const LESSON: DocId = DocId([1; 16]);

struct Served {
    hub: TrialHub,
    who: String,
    blob: BlobId,
    content: Vec<u8>,
}

impl Served {
    async fn ask(&self, method: Method, headers: &[(header::HeaderName, &str)]) -> Answer {
        let path = format!("/media/blob/{}?download=a%2Fb%22.mp4", self.blob);
        let mut asked = request(method, &path, &self.who);
        for (name, value) in headers {
            asked = asked.header(name, *value);
        }
        self.hub.send(asked, Body::empty()).await
    }

    async fn range(&self, range: &str) -> Answer {
        self.ask(Method::GET, &[(header::RANGE, range)]).await
    }
}

fn info() -> TrackInfo {
    TrackInfo {
        kind: TrackKind::Audio,
        codecs: "opus".to_owned(),
        width: None,
        height: None,
        frame_rate: None,
        language: None,
        timescale: 1_000,
        bandwidth_avg_bits_per_s: 1_000,
        bandwidth_peak_bits_per_s: 1_000,
        init_bytes: 100,
        segments: [1_500_000, 200, 300]
            .map(|bytes| SegmentInfo { duration_ticks: 4_000, bytes })
            .to_vec(),
    }
}

/// A hub with one lesson of one track; `bitmap` says which of its five pieces are held.
async fn served(bitmap: u8) -> Served {
    let (hub, who) = TrialHub::start_set_up().await;
    let info = info();
    let content: Vec<u8> = (0..info.total_bytes()).map(|i| (i % 253) as u8).collect();
    let manifest = Manifest::of(&info.pieces(), &content, info.encode()).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join("made");
    std::fs::write(&path, &content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    let changed = hub.app.db.write(move |tx| -> rusqlite::Result<usize> {
        blobs::insert_complete(tx, &blob, &manifest)?;
        let sql = "update blobs set bitmap = ?1, is_complete = (?1 = x'1f')";
        tx.execute(sql, [vec![bitmap]])
    });
    assert_eq!(changed.await.unwrap(), 1);
    publish(&hub, blob, &content).await;
    Served { hub, who, blob, content }
}

async fn publish(hub: &TrialHub, blob: BlobId, content: &[u8]) {
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let lesson = NewLesson {
        title: "声音".to_owned(),
        subject: "physics".to_owned(),
        grade: "8".to_owned(),
        teacher: String::new(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: 1,
    };
    let track = NewTrack {
        kind: "audio".to_owned(),
        blob,
        bytes: content.len() as u64,
        codecs: "opus".to_owned(),
        width: None,
        height: None,
    };
    let poster = Some(vec![0xff, 0xd8, 7]);
    let edits = catalog::lesson_edits(&lesson, 12_000, poster, &[track]);
    hub.app.sync.edit_doc(collection(), LESSON, "t".to_owned(), edits).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_track_is_served_by_range_by_head_and_by_name() {
    let served = served(0x1f).await;
    let etag = format!("\"{}\"", served.blob);
    let whole = served.ask(Method::GET, &[]).await;
    assert_eq!((whole.outcome().as_str(), whole.header("etag")), ("200", etag.as_str()));
    assert!(whole.bytes == served.content, "a long body comes in several reads");
    assert_eq!(whole.header("content-type"), "audio/mp4");
    assert_eq!(whole.header("cache-control"), "private, immutable, max-age=31536000");
    assert!(whole.header("content-disposition").starts_with("attachment; filename=\"ab.mp4\""));
    let head = served.ask(Method::HEAD, &[]).await;
    assert_eq!(head.header("content-length"), served.content.len().to_string());
    assert!(head.bytes.is_empty());

    let part = served.range("bytes=90-109").await;
    assert_eq!(part.outcome(), "206");
    assert_eq!(part.header("content-range"), format!("bytes 90-109/{}", served.content.len()));
    assert_eq!(part.bytes, served.content[90..110]);
    let last = served.range("bytes=-5").await;
    assert_eq!(last.bytes, served.content[served.content.len() - 5..]);
    let past = served.range("bytes=99999999-").await;
    assert_eq!(past.outcome(), "416");
    assert_eq!(past.header("content-range"), format!("bytes */{}", served.content.len()));

    let known = served.ask(Method::GET, &[(header::IF_NONE_MATCH, &etag)]).await;
    assert_eq!((known.outcome().as_str(), known.bytes.len()), ("304", 0));
    let headers = [(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"other\"")];
    assert_eq!(served.ask(Method::GET, &headers).await.outcome(), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_held_is_a_gap_in_the_playlist_and_not_found_in_the_file() {
    // Piece 0 is the init segment, 1 and 2 the first segment, 3 and 4 the others.
    let served = served(0b1_0111).await;
    assert_eq!(served.range("bytes=0-99").await.outcome(), "206");
    assert_eq!(served.range("bytes=100-1500099").await.bytes.len(), 1_500_000);
    assert_eq!(served.range("bytes=1500100-1500299").await.outcome(), "404 not_found");
    assert_eq!(served.range("bytes=1500299-1500300").await.outcome(), "404 not_found");
    assert_eq!(served.range("bytes=1500300-").await.outcome(), "206");
    assert_eq!(served.ask(Method::GET, &[]).await.outcome(), "404 not_found");
    let playlist = served.hub.get(&format!("/media/{LESSON}/audio.m3u8"), &served.who).await;
    let text = String::from_utf8(playlist.bytes).unwrap();
    assert!(text.contains("#EXT-X-GAP\n#EXTINF:4.00000,\n#EXT-X-BYTERANGE:200@1500100"), "{text}");
    assert_eq!(text.matches("#EXT-X-GAP").count(), 1);
    let master = served.hub.get(&format!("/media/{LESSON}/master.m3u8"), &served.who).await;
    assert!(String::from_utf8(master.bytes).unwrap().ends_with("audio.m3u8\n"));
    let detail = served.hub.get(&format!("/api/v1/lessons/{LESSON}"), &served.who).await.json();
    assert_eq!(detail["tracks"][0]["is_complete"], false);
    assert_eq!(detail["readiness"]["reason"], "not_arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_without_a_login_or_under_a_wrong_name() {
    let served = served(0).await;
    let hub = &served.hub;
    let poster = format!("/media/{LESSON}/poster.jpg");
    assert_eq!(hub.get(&poster, "").await.outcome(), "401 not_logged_in");
    assert_eq!(hub.get(&poster, &served.who).await.bytes, [0xff, 0xd8, 7]);
    let none = BlobId([3; 32]);
    for path in [
        format!("/media/blob/{none}"),
        "/media/blob/x".to_owned(),
        format!("/media/{LESSON}/master.m3u8"),
        format!("/media/{LESSON}/video-360.m3u8"),
        format!("/media/{LESSON}/secret"),
        "/media/x/poster.jpg".to_owned(),
    ] {
        assert_eq!(hub.get(&path, &served.who).await.outcome(), "404 not_found", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_or_cut_is_not_found_and_its_lesson_is_not_ready() {
    let served = served(0x1f).await;
    let (hub, path) = (&served.hub, served.hub.app.sync.files().path(served.blob));
    let detail = async || hub.get(&format!("/api/v1/lessons/{LESSON}"), &served.who).await.json();
    assert_eq!(detail().await["readiness"]["state"], "ready");
    assert_eq!(served.range("bytes=0-99").await.outcome(), "206");

    // Cut while it is open: the end is gone, the beginning is served still.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1_500_100).unwrap();
    assert_eq!(served.range("bytes=1500100-1500299").await.outcome(), "404 not_found");
    assert_eq!(served.range("bytes=0-99").await.outcome(), "206");
    assert_eq!(served.ask(Method::GET, &[]).await.outcome(), "404 not_found");
    let cut = detail().await;
    assert_eq!(
        (&cut["status"], &cut["readiness"]["state"]),
        (&"receiving".into(), &"not_ready".into())
    );
    assert_eq!(cut["verified_bytes"], 1_500_100);

    // Removed while it is open.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(served.range("bytes=0-99").await.outcome(), "404 not_found");
    let gone = detail().await;
    assert_eq!(gone["readiness"]["reason"], "not_arrived");
    assert_eq!((&gone["status"], &gone["verified_bytes"]), (&"waiting".into(), &0.into()));
}

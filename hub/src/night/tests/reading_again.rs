//! Reading again: tomorrow's lessons tonight, everything each week, never while a class plays.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::*;

const HOUR_MS: i64 = 3_600_000;
const MIB: usize = 1 << 20;

impl School {
    /// Reads one batch at a moment; says whether it did.
    async fn read(&self, now_ms: i64, clock: Instant) -> bool {
        let app = self.hub.app.clone();
        let batch = move || scrub::batch(&app, now_ms, clock).unwrap();
        tokio::task::spawn_blocking(batch).await.unwrap()
    }

    /// Reads all that is due at a moment at which no class is on.
    async fn read_all(&self, now_ms: i64) {
        while self.read(now_ms, Instant::now()).await {}
    }

    /// When a blob was read as a whole, and where a check of it goes on.
    async fn checked(&self, blob: BlobId) -> (i64, u32) {
        const CHECKED: &str = "select checked_at_ms, next_piece from blob_checks where blob = ?1";
        let row = self.hub.app.db.read(move |db| {
            db.query_row(CHECKED, [blob.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        });
        let row: rusqlite::Result<(i64, u32)> = row.await;
        row.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_in_the_evening_is_read_again_before_school_and_waits_for_a_class_to_end() {
    let school = School::new().await;
    let (other, _) = add_blob(&school.hub, TrackKind::Video360, 2).await;
    let tomorrow = crate::timetable::day::date_at(now_ms(), 480).tomorrow().unwrap();
    let begin = crate::timetable::day::instant(tomorrow, 20 * 60, 480);
    school.read_all(begin).await;
    assert!(school.checked(other).await.0 > 0);
    assert!(!school.read(begin + 7 * HOUR_MS, Instant::now()).await, "that was this evening");
    let tonight = begin + 9 * HOUR_MS;
    let clock = Instant::now();
    assert!(school.read(tonight, clock).await);
    let after_one = [school.checked(school.audio).await.0, school.checked(school.slides).await.0];
    assert_eq!(after_one.iter().filter(|at| **at == tonight).count(), 1, "one batch, one track");
    // A class begins: a panel fetches a segment.
    school.hub.app.playing.note(clock);
    for seconds in [0, 30, 59] {
        assert!(!school.read(tonight, clock + Duration::from_secs(seconds)).await);
    }
    let paused = [school.checked(school.audio).await.0, school.checked(school.slides).await.0];
    assert_eq!(paused, after_one);
    let after_class = clock + Duration::from_secs(60);
    assert!(school.read(tonight, after_class).await, "it goes on by itself");
    for blob in [school.audio, school.slides] {
        assert_eq!(school.checked(blob).await, (tonight, 0));
    }
    assert!(!school.read(tonight, after_class).await);
    assert!(school.checked(other).await.0 <= begin, "what nobody needs soon has a week");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weekly_round_stops_inside_a_large_track_for_a_class_and_goes_on_where_it_was() {
    let school = School::new().await;
    let (large, _) = add_blob_of(&school.hub, TrackKind::Source, 10, MIB).await;
    let begin = now_ms();
    school.read_all(begin).await;
    let finished = |school: &School| {
        let sql = "select scrub_finished_at_ms from night_state";
        school.hub.app.db.read_blocking(|db| db.query_row(sql, [], |row| row.get::<_, i64>(0)))
    };
    assert!((1..=begin).contains(&finished(&school).unwrap()));
    let week = begin + 7 * 24 * HOUR_MS + 1;
    let clock = Instant::now();
    // The lessons of tomorrow come first; then one batch of the large track.
    while school.checked(large).await.1 == 0 {
        assert!(school.read(week, clock).await, "a week is over");
    }
    assert_eq!(school.checked(large).await.1, 8, "8 MiB a batch");
    school.hub.app.playing.note(clock);
    assert!(!school.read(week, clock + Duration::from_secs(1)).await);
    // What rots behind the place where it stopped is found when it goes on; what is before it is
    // not read twice.
    let file = school.file(large);
    file.write_all_at(b"rot", 9 * MIB as u64 + 5).unwrap();
    file.write_all_at(b"rot", 5).unwrap();
    let after_class = clock + Duration::from_secs(61);
    while school.read(week, after_class).await {}
    let found = school.hub.get("/api/v1/night/scrub", &school.admin).await.json();
    assert_eq!(found["damaged"][0]["pieces"], 1, "{found}");
    assert_eq!(finished(&school).unwrap(), week);
    while school.read(week + 8 * 24 * HOUR_MS, after_class).await {}
    let found = school.hub.get("/api/v1/night/scrub", &school.admin).await.json();
    assert_eq!(found["damaged"].as_array().unwrap().len(), 2, "the next round finds it: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_the_disk_does_not_give_keeps_nothing_else_from_being_read() {
    let school = School::new().await;
    let path = school.hub.app.sync.files().path(school.audio);
    std::fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    let later = now_ms() + 8 * 24 * HOUR_MS;
    school.read_all(later).await;
    assert_eq!(school.checked(school.slides).await, (later, 0));
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
    let alarms = school.hub.get("/api/v1/alarms", &school.admin).await.json();
    assert_eq!(alarms["items"][0]["text_code"], "disk_unreadable", "{alarms}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_class_plays_and_the_disk_does_not_give_is_not_shown_as_ready_any_more() {
    let school = School::new().await;
    let (audio, bytes) = add_blob_of(&school.hub, TrackKind::Audio, 1, PIECE).await;
    let tracks = [("audio", audio, bytes), ("slides", school.slides, 2 * PIECE as u64)];
    publish(&school.hub, school.lesson, "分数的意义", &tracks).await;
    school.read_all(now_ms()).await;
    assert_eq!(school.light().await.0, "ready");
    // A file that says that it has as many bytes as that, and gives fewer.
    let path = school.hub.app.sync.files().path(audio);
    std::fs::remove_file(&path).unwrap();
    symlink("/sys/devices/system/cpu/online", &path).unwrap();
    let played = school.hub.get(&format!("/media/blob/{audio}"), &school.admin).await;
    assert_eq!(played.outcome(), "404 not_found");
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_clock_that_was_ahead_has_asked_for_or_noted_is_not_read_without_end() {
    let school = School::new().await;
    let (large, _) = add_blob_of(&school.hub, TrackKind::Source, 10, MIB).await;
    let now = now_ms();
    let ahead = now + 3_650 * 24 * HOUR_MS;
    for (asked, checked, begun) in [(ahead, now, 0), (0, ahead, ahead), (ahead, ahead, ahead)] {
        let spoil = move |tx: &rusqlite::Transaction<'_>| {
            let sql = format!(
                "update night_state set scrub_asked_at_ms = {asked}; \
                 update blob_checks set checked_at_ms = {checked}, begun_at_ms = {begun}"
            );
            tx.execute_batch(&sql)
        };
        school.hub.app.db.write(spoil).await.unwrap();
        let mut batches = 0;
        while school.read(now, Instant::now()).await {
            batches += 1;
            assert!(batches <= 4, "two small tracks, and a large one of two batches");
        }
        assert_eq!(school.checked(large).await, (now, 0));
    }
    let shown = school.hub.get("/api/v1/night/scrub", &school.admin).await.json();
    assert_eq!(shown["checked_bytes"], shown["total_bytes"], "{shown}");
    assert!(shown["last_finished_at"].as_i64().unwrap() <= now_ms());
}

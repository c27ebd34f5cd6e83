//! Three real hubs on loopback, killed with `kill -9` while they work: nothing that one of them
//! has acknowledged is lost, and in the end all have the same.

// clippy.toml allows it in test functions only; these are what the story is told with.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use yingxue_scenarios::rng::Rng;
use yingxue_scenarios::seed;

#[path = "real_hubs/hub.rs"]
mod hub;

use hub::{Deadline, Hub, Place};

/// Requests that carry the upload; the cut is after one of them.
const PARTS: usize = 12;
/// Comments written, by turns of chance at the three hubs.
const COMMENTS: usize = 12;
/// A hub is killed at this part of the comments, in percent.
const KILLED_PERCENT: u64 = 25;
/// Of the lesson: sound, slides, thumbnails, the small picture and the original.
const TRACKS: usize = 5;
/// Looks at an import or at a lesson that arrives, before the kill.
const LOOKS_MAX: u64 = 8;

struct Story {
    hubs: Vec<Hub>,
    rng: Rng,
    deadline: Deadline,
}

#[test]
fn three_hubs_that_are_killed_at_any_moment_end_with_the_same() {
    seed::for_each("real_hubs::three_hubs_that_are_killed_at_any_moment", 1, run);
}

fn run(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let deadline = Deadline::begin();
    let start = |name| Hub::start_new(name, folder.path(), deadline, Place::on_loopback());
    let hubs = ["lead", "east", "west"].map(start).into();
    let mut story = Story { hubs, rng: Rng::new(seed), deadline };
    story.ally();
    let video = make_video(&folder.path().join("lesson.mp4"));
    let lesson = story.upload(&video);
    story.import(&lesson);
    story.fetch(&lesson);
    let comments = story.comment(&lesson);
    story.check_comments(&lesson, &comments);
    story.check_lesson(&lesson);
}

/// Eight seconds with sound, as small as a lesson can be that has several segments.
fn make_video(path: &Path) -> Vec<u8> {
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=15:d=8"])
        .args(["-f", "lavfi", "-i", "sine=d=8", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-c:a", "aac", "-f", "mp4"])
        .arg(path)
        .status();
    assert!(made.expect("ffmpeg is installed").success());
    std::fs::read(path).unwrap()
}

impl Story {
    /// Founds an alliance at the lead school; the others join.
    fn ally(&self) {
        let founded = self.hubs[0].post("/alliance", &json!({"name": "萤雪"})).unwrap();
        assert_eq!(founded.status, 201, "{}", founded.json());
        for hub in &self.hubs[1..] {
            let hours = json!({"valid_hours": 1});
            let made = self.hubs[0].post("/alliance/invitations", &hours).unwrap().json();
            let joined = hub.post("/alliance/join", &json!({"invitation": made["text"]})).unwrap();
            assert_eq!(joined.status, 200, "{}", joined.json());
        }
    }

    /// Uploads in parts; the lead is killed between two, or while it takes one.
    fn upload(&mut self, video: &[u8]) -> String {
        let length = video.len().to_string();
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", &length)];
        let begun = self.hubs[0].ask("POST", "/api/v1/uploads", &headers, &[]).unwrap();
        assert_eq!(begun.status, 201, "{}", begun.json());
        let path = begun.header("location").to_owned();
        let killed_after = self.rng.between(1, PARTS as u64 - 2) as usize;
        let (mut offset, mut lesson) = (0, None);
        for part in 0.. {
            if lesson.is_some() {
                break;
            }
            if part == killed_after {
                self.hubs[0].kill();
                self.hubs[0].start();
                let head = self.hubs[0].ask("HEAD", &path, &headers[..1], &[]).unwrap();
                let held: usize = head.header("upload-offset").parse().unwrap();
                assert!(held >= offset, "{held} of {offset} acknowledged bytes are left");
                offset = held;
            }
            let end = video.len().min(offset + video.len().div_ceil(PARTS));
            let at = offset.to_string();
            let headers = [
                ("tus-resumable", "1.0.0"),
                ("content-type", "application/offset+octet-stream"),
                ("upload-offset", &at),
            ];
            let answer = self.hubs[0].ask("PATCH", &path, &headers, &video[offset..end]).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.json());
            offset = answer.header("upload-offset").parse().unwrap();
            lesson = Some(answer.header("yingxue-lesson").to_owned()).filter(|id| !id.is_empty());
        }
        assert_eq!(offset, video.len());
        lesson.unwrap()
    }

    /// Kills the lead while it encodes, after some looks at how far it is, and waits for the end.
    fn import(&mut self, lesson: &str) {
        let looks = self.rng.between(1, LOOKS_MAX);
        let mut running = 0;
        let lead = &self.hubs[0];
        self.deadline.wait("the import runs", || {
            let job = job_of(lead, lesson)?;
            running += u64::from(job["state"] == "running");
            (running >= looks || job["state"] == "done").then_some(())
        });
        self.hubs[0].kill();
        self.hubs[0].start();
        let lead = &self.hubs[0];
        self.deadline.wait("the import is done", || {
            let job = job_of(lead, lesson)?;
            assert_ne!(job["state"], "failed", "{job}");
            (job["state"] == "done").then_some(())
        });
    }

    /// Kills one of the others while the lesson arrives there.
    fn fetch(&mut self, lesson: &str) {
        let killed = self.rng.between(1, 2) as usize;
        let looks = self.rng.below(LOOKS_MAX);
        let hub = &self.hubs[killed];
        let mut seen = 0;
        self.deadline.wait("the lesson is seen", || {
            let shown = hub.get(&format!("/lessons/{lesson}"))?;
            seen += 1;
            (seen > looks || shown["status"] == "ready").then_some(())
        });
        self.hubs[killed].kill();
        self.hubs[killed].start();
        for hub in &self.hubs {
            self.deadline.wait("the lesson is known", || hub.get(&format!("/lessons/{lesson}")));
        }
    }

    /// Comments at hubs by chance, which are killed while they take a comment or as soon as they
    /// have acknowledged it; one that is down comes back when it is its turn again.
    fn comment(&mut self, lesson: &str) -> BTreeMap<String, String> {
        let mut acknowledged = BTreeMap::new();
        for n in 0..COMMENTS {
            let at = self.rng.index(self.hubs.len());
            if !self.hubs[at].is_running() {
                self.hubs[at].start();
            }
            let op = format!("{n:032x}");
            let text = format!("{n} of {}", self.hubs[at].name);
            let comment = json!({"op_id": op, "text": text, "at_ms": null});
            let path = format!("/lessons/{lesson}/comments");
            let is_killed_meanwhile = self.rng.chance(KILLED_PERCENT);
            if is_killed_meanwhile {
                self.hubs[at].kill_soon();
            }
            let mut answer = self.hubs[at].post(&path, &comment);
            if is_killed_meanwhile || self.rng.chance(KILLED_PERCENT) {
                self.hubs[at].kill();
            }
            if answer.is_none() {
                assert!(is_killed_meanwhile, "{} gives no answer", self.hubs[at].name);
                self.hubs[at].start();
                answer = self.hubs[at].post(&path, &comment);
            }
            let answer = answer.unwrap();
            assert!(matches!(answer.status, 200 | 201), "{}", answer.json());
            acknowledged.insert(op, text);
        }
        for hub in self.hubs.iter_mut().filter(|hub| !hub.is_running()) {
            hub.start();
        }
        acknowledged
    }

    fn check_comments(&self, lesson: &str, acknowledged: &BTreeMap<String, String>) {
        for hub in &self.hubs {
            let what = format!("every comment is at {}", hub.name);
            self.deadline.wait(&what, || {
                let shown = hub.get(&format!("/lessons/{lesson}/comments"))?;
                let items = shown["items"].as_array()?.iter();
                let text = |key: &Value| key.as_str().unwrap_or_default().to_owned();
                let shown: BTreeMap<_, _> =
                    items.map(|item| (text(&item["id"]), text(&item["text"]))).collect();
                (shown == *acknowledged).then_some(())
            });
        }
    }

    fn check_lesson(&self, lesson: &str) {
        let mut copies = BTreeSet::new();
        for hub in &self.hubs {
            let what = format!("the lesson is ready at {}", hub.name);
            let shown = self.deadline.wait(&what, || {
                let shown = hub.get(&format!("/lessons/{lesson}"))?;
                // A lesson is published with its first tracks; the others are added to it.
                let is_whole = shown["tracks"].as_array()?.len() == TRACKS;
                (is_whole && shown["readiness"]["state"] == "ready").then_some(shown)
            });
            let tracks = shown["tracks"].as_array().unwrap();
            for track in tracks {
                let blob = track["blob_id"].as_str().unwrap();
                let answer = hub.ask("GET", &format!("/media/blob/{blob}"), &[], &[]).unwrap();
                assert_eq!(answer.status, 200, "{blob} of {}", hub.name);
                assert_eq!(answer.bytes.len() as u64, track["total_bytes"].as_u64().unwrap());
                copies.insert((blob.to_owned(), answer.bytes));
            }
        }
        assert_eq!(copies.len(), TRACKS, "the copies of a track are the same at each hub");
    }
}

fn job_of(hub: &Hub, lesson: &str) -> Option<Value> {
    let jobs = hub.get("/jobs")?;
    jobs["items"].as_array()?.iter().find(|job| job["lesson_id"] == lesson).cloned()
}

//! Two real hubs over links as schools have them, made by `yingxue-tools linkem`: a satellite,
//! weak radio, a night with cuts, and hubs that are killed meanwhile. What the lead publishes is
//! whole at the other school, and what is written at either is at both.
//!
//! They need root and a TUN device, so they run only when they are asked for (`tools/test` does,
//! where it can): `cargo test -p yingxue-scenarios --test emulated_links -- --ignored`.

// clippy.toml allows it in test functions only; these are what the story is told with.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use yingxue_scenarios::rng::Rng;
use yingxue_scenarios::seed;

#[allow(dead_code)] // the other story uses the rest of it
#[path = "real_hubs/hub.rs"]
mod hub;
#[path = "emulated_links/link.rs"]
mod link;

use hub::{Deadline, Hub};
use link::Link;

/// Of a story over a slow link on a busy machine; a quarter is usual.
const STORY_MAX: Duration = Duration::from_secs(400);
/// Kills of the last story.
const KILLS: usize = 6;
/// Looks at the lesson before a kill, at most.
const LOOKS_MAX: u64 = 40;
/// Times that the link of the night has to be cut while the lesson is on its way.
const CUTS_MIN: usize = 2;

struct Story {
    hubs: [Hub; 2],
    link: Link,
    deadline: Deadline,
    /// What was acknowledged: the comment's id and its text.
    comments: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
}

#[test]
#[ignore = "needs root and a TUN device"]
fn a_lesson_and_what_is_written_about_it_cross_a_satellite() {
    let mut story = Story::begin(&["--preset", "vsat"]);
    let lesson = story.publish();
    story.comment(&lesson);
    story.check(&lesson);
}

#[test]
#[ignore = "needs root and a TUN device"]
fn a_lesson_and_what_is_written_about_it_cross_weak_radio() {
    let mut story = Story::begin(&["--preset", "weak_4g", "--loss-burst", "4"]);
    let lesson = story.publish();
    story.comment(&lesson);
    story.check(&lesson);
}

/// The night's link of the presets, faster by 30: a cut of 2 s every 6 s, and so narrow that the
/// lesson needs several.
#[test]
#[ignore = "needs root and a TUN device"]
fn a_lesson_arrives_in_a_night_with_cuts() {
    let narrow = ["--preset", "night", "--rate", "0.4", "--cut-every", "6", "--cut-for", "2"];
    let mut story = Story::begin(&narrow);
    story.link.order("down");
    let lesson = story.publish_at_lead();
    story.link.order("shape");
    story.link.order("up");
    story.comment(&lesson);
    story.check(&lesson);
    let dropped = story.link.order("counters");
    let cut_packets = |way: usize| dropped[way]["dropped_cut"]["packets"].as_u64().unwrap();
    assert!(cut_packets(0) + cut_packets(1) >= CUTS_MIN as u64, "{dropped}");
}

#[test]
#[ignore = "needs root and a TUN device"]
fn either_hub_is_killed_at_any_moment_over_weak_radio() {
    seed::for_each("emulated_links::either_hub_is_killed_at_any_moment", 1, |seed| {
        let mut rng = Rng::new(seed);
        let mut story = Story::begin(&["--preset", "weak_4g", "--rate", "0.5"]);
        let lesson = story.publish_at_lead();
        for _ in 0..KILLS {
            let victim = rng.index(story.hubs.len());
            let (looks, mut seen) = (rng.below(LOOKS_MAX), 0);
            story.deadline.wait("the moment of a kill", || {
                seen += 1;
                let shown = story.hubs[1].get(&format!("/lessons/{lesson}"));
                let is_ready = shown.is_some_and(|shown| shown["status"] == "ready");
                (seen > looks || is_ready).then_some(())
            });
            story.hubs[victim].kill();
            story.hubs[victim].start();
            story.comment_at(&lesson, victim);
        }
        story.check(&lesson);
    });
}

impl Story {
    /// Two hubs of one alliance at the ends of a link, which is put on when both are members.
    fn begin(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deadline = Deadline::within(STORY_MAX);
        let mut link = Link::lay(words);
        let start = |name, n| Hub::start_new(name, folder.path(), deadline, link.place(n));
        let hubs = [start("lead", 0), start("rural", 1)];
        let founded = hubs[0].post("/alliance", &json!({"name": "萤雪"})).unwrap();
        assert_eq!(founded.status, 201, "{}", founded.json());
        let hours = json!({"valid_hours": 1});
        let made = hubs[0].post("/alliance/invitations", &hours).unwrap().json();
        let joined = hubs[1].post("/alliance/join", &json!({"invitation": made["text"]})).unwrap();
        assert_eq!(joined.status, 200, "{}", joined.json());
        link.order("shape");
        Self { hubs, link, deadline, comments: BTreeMap::new(), _folder: folder }
    }

    /// Has the lead import a lesson; gives its id when the other hub knows it.
    fn publish(&mut self) -> String {
        let lesson = self.publish_at_lead();
        let path = format!("/lessons/{lesson}");
        self.deadline.wait("the lesson is known", || self.hubs[1].get(&path));
        lesson
    }

    fn publish_at_lead(&self) -> String {
        let video = make_video(&self._folder.path().join("lesson.mp4"));
        let length = video.len().to_string();
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", &length)];
        let begun = self.hubs[0].ask("POST", "/api/v1/uploads", &headers, &[]).unwrap();
        assert_eq!(begun.status, 201, "{}", begun.json());
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
        ];
        let path = begun.header("location").to_owned();
        let answer = self.hubs[0].ask("PATCH", &path, &headers, &video).unwrap();
        assert_eq!(answer.status, 204, "{}", answer.json());
        let lesson = answer.header("yingxue-lesson").to_owned();
        self.deadline.wait("the import is done", || {
            let jobs = self.hubs[0].get("/jobs")?;
            let mut jobs = jobs["items"].as_array()?.iter();
            let job = jobs.find(|job| job["lesson_id"] == lesson.as_str())?;
            assert_ne!(job["state"], "failed", "{job}");
            (job["state"] == "done").then_some(())
        });
        lesson
    }

    /// Writes at both schools.
    fn comment(&mut self, lesson: &str) {
        self.comment_at(lesson, 0);
        let path = format!("/lessons/{lesson}");
        self.deadline.wait("the lesson is known", || self.hubs[1].get(&path));
        self.comment_at(lesson, 1);
    }

    /// Writes at one school, if the lesson is known there by now.
    fn comment_at(&mut self, lesson: &str, n: usize) {
        let hub = &self.hubs[n];
        if hub.get(&format!("/lessons/{lesson}")).is_none() {
            return;
        }
        let op = format!("{:032x}", self.comments.len());
        let text = format!("{} of {}", self.comments.len(), hub.name);
        let comment = json!({"op_id": op, "text": text, "at_ms": null});
        let answer = hub.post(&format!("/lessons/{lesson}/comments"), &comment).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.json());
        self.comments.insert(op, text);
    }

    /// Both hubs have every comment, and the same bytes of every track.
    fn check(&self, lesson: &str) {
        for hub in &self.hubs {
            self.deadline.wait(&format!("every comment is at {}", hub.name), || {
                let shown = hub.get(&format!("/lessons/{lesson}/comments"))?;
                let text = |key: &Value| key.as_str().unwrap_or_default().to_owned();
                let items = shown["items"].as_array()?.iter();
                let shown: BTreeMap<_, _> =
                    items.map(|item| (text(&item["id"]), text(&item["text"]))).collect();
                (shown == self.comments).then_some(())
            });
        }
        let copies = self.hubs.each_ref().map(|hub| self.copies(hub, lesson));
        assert!(!copies[0].is_empty());
        assert!(copies[0] == copies[1], "the two do not hold the same files");
    }

    /// The files of a lesson at a hub, by blob, once it is ready there.
    fn copies(&self, hub: &Hub, lesson: &str) -> BTreeSet<(String, Vec<u8>)> {
        let lead = &self.hubs[0];
        let shown = self.deadline.wait(&format!("the lesson is ready at {}", hub.name), || {
            let shown = hub.get(&format!("/lessons/{lesson}"))?;
            // Tracks are added to a lesson that is published already.
            let published = lead.get(&format!("/lessons/{lesson}"))?["tracks"].as_array()?.len();
            let is_whole = shown["tracks"].as_array()?.len() == published;
            (is_whole && shown["readiness"]["state"] == "ready").then_some(shown)
        });
        let tracks = shown["tracks"].as_array().unwrap().iter();
        let file = |track: &Value| {
            let blob = track["blob_id"].as_str().unwrap().to_owned();
            self.deadline.wait("a track is whole", || {
                let answer = hub.ask("GET", &format!("/media/blob/{blob}"), &[], &[])?;
                let bytes = answer.bytes.len() as u64;
                let is_whole = answer.status == 200 && Some(bytes) == track["total_bytes"].as_u64();
                is_whole.then(|| (blob.clone(), answer.bytes))
            })
        };
        tracks.map(file).collect()
    }
}

/// Four seconds with sound: about 400 kB that nothing compresses.
fn make_video(path: &Path) -> Vec<u8> {
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=15:d=4"])
        .args(["-f", "lavfi", "-i", "sine=d=4", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-b:v", "800k", "-c:a", "aac", "-f", "mp4"])
        .arg(path)
        .status();
    assert!(made.expect("ffmpeg is installed").success());
    std::fs::read(path).unwrap()
}

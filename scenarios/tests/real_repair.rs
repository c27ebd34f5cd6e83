//! Real hubs whose databases are damaged: zeroed pages after a `kill -9`, a power cut in the
//! middle of the repair, and a disk that has lost its database altogether.

// clippy.toml allows it in test functions only; these are what the story is told with.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use yingxue_scenarios::rng::Rng;
use yingxue_scenarios::seed;

#[path = "real_hubs/hub.rs"]
#[allow(dead_code)] // the other story uses the rest of it
mod hub;

use hub::{Deadline, Hub, Place, program};

const PAGE: usize = 4096;
/// Of the whole story on a busy machine; it takes about a quarter.
const STORY_MAX: Duration = Duration::from_secs(240);
/// Repairs that are cut off before one may end.
const CUTS: usize = 4;
/// The longest that a cut waits; a start with a repair takes about 300 ms.
const CUT_AFTER_MS: u64 = 400;

struct Story {
    folder: PathBuf,
    lead: Hub,
    east: Hub,
    lesson: String,
    written: BTreeSet<String>,
    rng: Rng,
    deadline: Deadline,
}

#[test]
fn a_hub_with_a_damaged_database_repairs_it_and_both_end_with_the_same() {
    seed::for_each("real_repair::a_hub_with_a_damaged_database", 1, run);
}

fn run(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let deadline = Deadline::within(STORY_MAX);
    let start = |name| Hub::start_new(name, folder.path(), deadline, Place::on_loopback());
    let (lead, east) = (start("lead"), start("east"));
    let lesson = String::new();
    let (rng, folder) = (Rng::new(seed), folder.path().to_owned());
    let written = BTreeSet::new();
    let mut story = Story { folder, lead, east, lesson, written, rng, deadline };
    story.ally();
    story.make_lesson();
    story.write_at_both("before the copy");
    story.take_copy();
    story.write_at_both("after the copy");
    story.converge();
    story.zero_pages();
    story.cut_repairs();
    story.east.start();
    let said = story.repair_of("repaired");
    assert_ne!(said["snapshot_at_ms"], Value::Null, "{said}");
    story.write_on("after the repair");
    story.lose_database();
    story.write_on("after the loss");
}

impl Story {
    fn ally(&self) {
        assert_eq!(self.lead.post("/alliance", &json!({"name": "萤雪"})).unwrap().status, 201);
        self.join();
    }

    fn join(&self) {
        let made = self.lead.post("/alliance/invitations", &json!({"valid_hours": 1})).unwrap();
        let invitation = json!({"invitation": made.json()["text"]});
        let joined = self.east.post("/alliance/join", &invitation).unwrap();
        assert_eq!(joined.status, 200, "{}", joined.json());
    }

    /// Four seconds with sound; ready at both.
    fn make_lesson(&mut self) {
        let path = self.folder.join("lesson.mp4");
        let made = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=15:d=4"])
            .args(["-f", "lavfi", "-i", "sine=d=4", "-c:v", "libx264", "-preset", "ultrafast"])
            .args(["-c:a", "aac", "-f", "mp4"])
            .arg(&path)
            .status();
        assert!(made.expect("ffmpeg is installed").success());
        let video = fs::read(path).unwrap();
        let length = video.len().to_string();
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", &length)];
        let begun = self.lead.ask("POST", "/api/v1/uploads", &headers, &[]).unwrap();
        let part = [
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
        ];
        let sent = self.lead.ask("PATCH", begun.header("location"), &part, &video).unwrap();
        assert_eq!(sent.status, 204, "{}", sent.json());
        sent.header("yingxue-lesson").clone_into(&mut self.lesson);
        self.ready(&self.lead);
        self.ready(&self.east);
    }

    fn ready(&self, hub: &Hub) {
        let path = format!("/lessons/{}", self.lesson);
        self.deadline.wait(&format!("the lesson is ready at {}", hub.name), || {
            let shown = hub.get(&path)?;
            let tracks = shown["tracks"].as_array()?.len();
            (tracks == 5 && shown["readiness"]["state"] == "ready").then_some(())
        });
    }

    fn write_at_both(&mut self, text: &str) {
        for n in 0..8 {
            let hub = if n % 2 == 0 { &self.lead } else { &self.east };
            let answer = comment(hub, &self.lesson, self.written.len(), text).unwrap();
            assert_eq!(answer, 201);
            self.written.insert(format!("{:032x}", self.written.len()));
        }
    }

    fn converge(&self) {
        for hub in [&self.lead, &self.east] {
            self.deadline.wait(&format!("every comment is at {}", hub.name), || {
                let shown = hub.get(&format!("/lessons/{}/comments", self.lesson))?;
                let items = shown["items"].as_array()?.iter();
                let ids: BTreeSet<String> =
                    items.map(|item| item["id"].as_str().unwrap_or_default().into()).collect();
                (ids == self.written).then_some(())
            });
        }
    }

    fn take_copy(&self) {
        let copies = || self.east.get("/snapshots")?["items"].as_array().map(Vec::len);
        // One is taken soon after the first start, this one when it is asked for.
        let before = self.deadline.wait("copies are listed", copies);
        assert_eq!(self.east.post("/snapshots", &json!({})).unwrap().status, 202);
        self.deadline.wait("a copy is verified", || copies().filter(|count| *count > before));
    }

    /// Every third page is gone, in the file and in its log, where the newest are; and the power.
    fn zero_pages(&mut self) {
        self.east.kill();
        let first = self.rng.index(3);
        for (name, header, page) in
            [("east/hub.sqlite", 0, PAGE), ("east/hub.sqlite-wal", 32, PAGE + 24)]
        {
            let path = self.folder.join(name);
            let mut bytes = fs::read(&path).unwrap();
            for page in bytes[header..].chunks_exact_mut(page).skip(first).step_by(3) {
                page.fill(0);
            }
            fs::write(path, bytes).unwrap();
        }
    }

    /// The power goes again and again while the hub repairs its database.
    fn cut_repairs(&mut self) {
        for _ in 0..CUTS {
            let data = self.folder.join("east");
            let mut child = Command::new(program())
                .args([Path::new("serve"), Path::new("--data"), &data, Path::new("--config")])
                .arg(data.with_extension("toml"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(self.rng.below(CUT_AFTER_MS)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits until the hub has said what it did.
    fn repair_of(&self, text_code: &str) -> Value {
        self.deadline.wait("an alarm says it", || {
            let shown = self.east.get("/alarms")?;
            shown["items"].as_array()?.iter().find(|it| it["text_code"] == text_code).cloned()
        });
        self.east.get("/snapshots").unwrap()["last_repair"].clone()
    }

    /// Writes at the repaired hub as soon as it may, and sees that both have all.
    fn write_on(&mut self, text: &str) {
        self.deadline.wait("others have given back what it wrote", || {
            let shown = self.east.get("/alarms")?;
            (shown["is_in_doubt"] == false).then_some(())
        });
        let n = self.written.len();
        self.deadline.wait("it writes again", || {
            comment(&self.east, &self.lesson, n, text).filter(|status| matches!(status, 200 | 201))
        });
        self.written.insert(format!("{n:032x}"));
        self.converge();
        self.ready(&self.east);
        self.deadline.wait("nothing is left to do", || {
            let left = self.east.get("/snapshots")?;
            (left["blobs_unread"] == 0 && left["entries_waiting"] == 0).then_some(())
        });
        let forks = |hub: &Hub| {
            let shown = hub.get("/alarms").unwrap();
            let items = shown["items"].as_array().unwrap().clone();
            items.into_iter().filter(|it| it["kind"] == "fork").count()
        };
        assert_eq!((forks(&self.lead), forks(&self.east)), (0, 0));
    }

    /// The database and its copies are gone, the key and the files of lessons are not.
    fn lose_database(&mut self) {
        self.east.kill();
        let data = self.folder.join("east");
        for name in ["hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm"] {
            drop(fs::remove_file(data.join(name)));
        }
        fs::remove_dir_all(data.join("snapshots")).unwrap();
        fs::remove_dir_all(data.join("damaged")).unwrap();
        self.east.start();
        let code = fs::read_to_string(data.join("setup-code")).unwrap();
        let school = json!({"code": code, "school": "east", "name": "east", "login": "admin",
            "password": "snow-light"});
        assert_eq!(self.east.post("/setup", &school).unwrap().status, 201);
        let said = self.repair_of("repaired_from_nothing");
        assert_eq!(said["files_unknown"], 5, "{said}");
        self.join();
        self.deadline
            .wait("it is known at east", || self.east.get(&format!("/lessons/{}", self.lesson)));
        self.ready(&self.east);
        let log = fs::read_to_string(data.with_extension("log")).unwrap();
        assert_eq!(log.matches("a file of a lesson was here already").count(), 5);
    }
}

fn comment(hub: &Hub, lesson: &str, n: usize, text: &str) -> Option<u16> {
    let comment = json!({"op_id": format!("{n:032x}"), "text": text, "at_ms": null});
    hub.post(&format!("/lessons/{lesson}/comments"), &comment).map(|answer| answer.status)
}

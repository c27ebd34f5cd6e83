//! Two real hubs whose link is never up: lessons go by stick, comments come back the same way.

// clippy.toml allows it in test functions only; these are what the story is told with.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

#[path = "real_hubs/hub.rs"]
#[allow(dead_code, reason = "each story uses its part")]
mod hub;

use hub::{Deadline, Hub, Place, program};

struct Story {
    folder: tempfile::TempDir,
    deadline: Deadline,
}

#[test]
fn a_lesson_goes_by_stick_and_a_comment_comes_back() {
    let story = Story { folder: tempfile::tempdir().unwrap(), deadline: Deadline::begin() };
    let mut lead = story.start("lead");
    let mut village = story.start("village");
    story.ally(&lead, &village);
    story.cut_off(&mut lead);
    story.cut_off(&mut village);
    let lesson = story.make_lesson(&lead);
    let stick = story.stick();
    let others = fs::read(stick.join("holiday.jpg")).unwrap();

    let said = story.courier("lead", &["export", path(&stick), "--for", "village"]);
    assert!(said.contains("On the stick: lesson"), "{said}");
    let said = story.courier("village", &["import", path(&stick)]);
    assert!(said.contains("New here: lesson"), "{said}");
    story.check_same(&lead, &village, &lesson);

    let op = "0f".repeat(16);
    let comment = json!({"op_id": op, "text": "看到了", "at_ms": null});
    let written = village.post(&format!("/lessons/{lesson}/comments"), &comment).unwrap();
    assert_eq!(written.status, 201, "{}", written.json());
    story.courier("village", &["export", path(&stick), "--all"]);
    let said = story.courier("lead", &["import", path(&stick)]);
    assert!(said.contains("0 lesson(s)"), "{said}");
    story.deadline.wait("the comment is at the lead", || {
        let shown = lead.get(&format!("/lessons/{lesson}/comments"))?;
        let is_it = |comment: &Value| comment["text"] == "看到了";
        shown["items"].as_array()?.iter().any(is_it).then_some(())
    });

    // Its receipt came back: nothing is written twice, and what was taken has gone.
    let before = bytes_in(&stick);
    story.courier("lead", &["export", path(&stick), "--for", "village"]);
    assert!(bytes_in(&stick) < before / 4, "{} of {before} bytes", bytes_in(&stick));
    let said = story.courier("village", &["import", path(&stick)]);
    assert!(said.contains("Nothing on it is new"), "{said}");
    assert_eq!(fs::read(stick.join("holiday.jpg")).unwrap(), others);
    for hub in [&lead, &village] {
        let contacts = hub.get("/contacts").unwrap();
        assert_eq!(contacts["hubs"][0]["state"], "trying", "the link was never up");
    }
}

#[test]
fn hubs_that_are_killed_while_a_stick_is_plugged_in_go_on() {
    let story = Story { folder: tempfile::tempdir().unwrap(), deadline: Deadline::begin() };
    let mut lead = story.start("lead");
    let mut village = story.start("village");
    story.ally(&lead, &village);
    story.cut_off(&mut lead);
    story.cut_off(&mut village);
    let lesson = story.make_lesson(&lead);
    let stick = story.stick();
    let to: Vec<Value> = lead.get("/courier/targets").unwrap()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["hub_id"].clone())
        .collect();

    lead.kill_soon();
    let asked = json!({"to": to, "folder": path(&stick)});
    let begun = lead.post("/courier/exports", &asked);
    lead.kill();
    lead.start();
    let export = match begun {
        Some(answer) if answer.status == 202 => answer.json()["id"].clone(),
        _ => lead.post("/courier/exports", &asked).unwrap().json()["id"].clone(),
    };
    story.ended(&lead, &format!("/courier/exports/{export}"));

    village.kill_soon();
    let asked = json!({"folder": path(&stick)});
    let begun = village.post("/courier/imports", &asked);
    village.kill();
    village.start();
    let import = match begun {
        Some(answer) if answer.status == 202 => answer.json()["id"].clone(),
        _ => village.post("/courier/imports", &asked).unwrap().json()["id"].clone(),
    };
    story.ended(&village, &format!("/courier/imports/{import}"));
    story.check_same(&lead, &village, &lesson);
}

impl Story {
    fn start(&self, name: &'static str) -> Hub {
        Hub::start_new(name, self.folder.path(), self.deadline, Place::on_loopback())
    }

    fn ally(&self, lead: &Hub, village: &Hub) {
        let founded = lead.post("/alliance", &json!({"name": "萤雪"})).unwrap();
        assert_eq!(founded.status, 201, "{}", founded.json());
        let made = lead.post("/alliance/invitations", &json!({"valid_hours": 1})).unwrap().json();
        let joined = village.post("/alliance/join", &json!({"invitation": made["text"]})).unwrap();
        assert_eq!(joined.status, 200, "{}", joined.json());
    }

    /// Restarts a hub that nobody can reach and that finds nobody.
    fn cut_off(&self, hub: &mut Hub) {
        hub.kill();
        let config = "[http]\nlisten = \"127.0.0.1:0\"\n[sync]\nlisten = []\nis_mdns = false\n";
        fs::write(self.folder.path().join(hub.name).with_extension("toml"), config).unwrap();
        hub.start();
    }

    /// A stick with other things on it.
    fn stick(&self) -> PathBuf {
        let stick = self.folder.path().join("stick");
        fs::create_dir(&stick).unwrap();
        fs::write(stick.join("holiday.jpg"), vec![7; 100_000]).unwrap();
        stick
    }

    fn make_lesson(&self, lead: &Hub) -> String {
        // A page is a lesson that is made at once.
        let file = self.folder.path().join("lesson.png");
        let made = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=640x360"])
            .args(["-frames:v", "1"])
            .arg(&file)
            .status();
        assert!(made.expect("ffmpeg is installed").success());
        let page = fs::read(file).unwrap();
        let length = page.len().to_string();
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", &length)];
        let begun = lead.ask("POST", "/api/v1/uploads", &headers, &[]).unwrap();
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
        ];
        let done = lead.ask("PATCH", begun.header("location"), &headers, &page).unwrap();
        assert_eq!(done.status, 204, "{}", done.json());
        let lesson = done.header("yingxue-lesson").to_owned();
        self.deadline.wait("the lesson is made", || {
            let jobs = lead.get("/jobs")?;
            let is_done = |job: &Value| job["lesson_id"] == lesson && job["state"] == "done";
            jobs["items"].as_array()?.iter().any(is_done).then_some(())
        });
        lesson
    }

    fn whole(&self, hub: &Hub, lesson: &str) -> Option<Value> {
        let shown = hub.get(&format!("/lessons/{lesson}"))?;
        (shown["readiness"]["state"] == "ready").then_some(shown)
    }

    /// Looks that both hubs have the same bytes of each track.
    fn check_same(&self, lead: &Hub, village: &Hub, lesson: &str) {
        let shown = self.deadline.wait("the lesson is ready", || self.whole(village, lesson));
        assert_eq!(shown["tracks"], lead.get(&format!("/lessons/{lesson}")).unwrap()["tracks"]);
        for track in shown["tracks"].as_array().unwrap() {
            let blob = format!("/media/blob/{}", track["blob_id"].as_str().unwrap());
            let [ours, theirs] =
                [lead, village].map(|hub| hub.ask("GET", &blob, &[], &[]).unwrap());
            assert_eq!((ours.status, theirs.status), (200, 200), "{blob}");
            assert_eq!(ours.bytes, theirs.bytes, "{blob}");
        }
    }

    /// Runs `yingxue courier`, which has to end well; gives what it printed.
    fn courier(&self, hub: &str, args: &[&str]) -> String {
        let data = self.folder.path().join(hub);
        let output = Command::new(program())
            .arg("courier")
            .args(args)
            .arg("--data")
            .arg(data)
            .output()
            .unwrap();
        let Output { status, stdout, stderr } = output;
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&stderr));
        said
    }

    fn ended(&self, hub: &Hub, path: &str) {
        let job = self.deadline.wait("the job has ended", || {
            let job = hub.get(path)?;
            let is_open = job["state"] == "queued" || job["state"] == "running";
            (!is_open).then_some(job)
        });
        assert_eq!((&job["state"], &job["refused"]), (&json!("done"), &json!([])), "{job}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Counts the bytes of the courier folder.
fn bytes_in(stick: &Path) -> u64 {
    let mut folders = vec![stick.join("yingxue-courier")];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    bytes
}

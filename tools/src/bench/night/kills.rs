//! Power cuts in the middle of everything: `kill_points_survived`.
//!
//! Two hubs over an emulated link: a library that the rural one fetches piece by piece, comments
//! written at both. At a moment of chance one of them, by turns of chance, is ended with SIGKILL
//! while a comment is being written there. Then its whole disk is checked while it is down
//! ([`proof`](super::proof)), it is started again, and everything that it had acknowledged has to
//! be there. At the end both must have the same.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::blobs::{Arrival, arrive};
use super::lab::Lab;
use super::pair::{Pair, Running, is_in_contact, start, wait};
use super::proof::{Holdings, check};
use crate::bench::api::Api;
use crate::bench::figures::{Figures, say};
use crate::bench::process::Hub;
use crate::bench::seed;
use crate::linkem::loss::Chance;

/// Kills, and in `--quick`.
const KILLS: [usize; 2] = [200, 20];
/// Lessons for each kill: at 4 Mbit/s three take a second and a half, which is more than the time
/// between two kills, so that there is always something on the way.
const LESSONS_PER_KILL: usize = 3;
/// Bytes of a lesson and of its pieces: small, so that many are written a second.
const LESSON_BYTES: (usize, usize) = (256 << 10, 32 << 10);
/// Mobile radio with loss, as the figures of goodput.
const LINK: [&str; 2] = ["--preset", "weak_4g"];
/// The kill comes so long after contact at most; in between the rural hub fetches a lesson.
const MOMENT_MS_MAX: f64 = 700.0;
/// Twice the longest pause between dials.
const MEET_MAX: Duration = Duration::from_secs(60);
/// What is left after the last kill, many times over.
const REST_MAX: Duration = Duration::from_secs(900);
/// Kills between two words on how it goes.
const SAY_EACH: usize = 10;

/// Both hubs, and what they have promised.
struct Story {
    pair: Pair,
    runs: [Option<Running>; 2],
    /// Where comments are written.
    lesson: String,
    /// Every comment that was acknowledged: its id and text.
    acknowledged: BTreeMap<String, String>,
    /// The key of each hub, as it stands in journals.
    keys: [Vec<u8>; 2],
    chance: Chance,
    written: usize,
}

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let kills = lab.pick(KILLS);
    let folder = lab.folder("kills")?;
    let pair = Pair::make(lab, &folder, &LINK)?;
    let count = kills * LESSONS_PER_KILL;
    let lessons = seed::tracks(&pair.lead.data, &pair.lead_addresses(), count, LESSON_BYTES)?;
    let mut story = Story::begin(pair, lessons[0].clone(), lab.seed)?;
    let begin = Instant::now();
    let mut survived = 0;
    for n in 0..kills {
        match story.kill_one() {
            Ok(()) => survived += 1,
            Err(error) => {
                say(&format!("kill {n} is not survived: {error:#}"));
                break;
            }
        }
        if (n + 1) % SAY_EACH == 0 {
            say(&format!("{survived} of {} kills survived", n + 1));
        }
    }
    if let Err(error) = story.converge(&lessons) {
        say(&format!("after the kills the hubs do not agree: {error:#}"));
        survived = survived.min(kills - 1);
    }
    figures.put("kill_points_survived", f64::from(u32::try_from(survived)?));
    figures.put("kill_points", f64::from(u32::try_from(kills)?));
    figures.put("kill_points_s", begin.elapsed().as_secs_f64());
    Ok(())
}

impl Story {
    fn begin(pair: Pair, lesson: String, seed: u64) -> Result<Self> {
        let [lead, rural] = pair.meet()?;
        wait("the rural hub knows the lesson", MEET_MAX, || {
            rural.api.get(&format!("/lessons/{lesson}")).ok()
        })?;
        let keys = [key_of(&lead.api)?, key_of(&rural.api)?];
        let runs = [Some(lead), Some(rural)];
        let chance = Chance::new(seed);
        Ok(Self { pair, runs, lesson, acknowledged: BTreeMap::new(), keys, chance, written: 0 })
    }

    const fn hub(&self, n: usize) -> &Hub {
        if n == 0 { &self.pair.lead } else { &self.pair.rural }
    }

    fn api(&self, n: usize) -> Result<&Api> {
        Ok(&self.runs[n].as_ref().context("this hub runs")?.api)
    }

    /// Kills one hub at a moment of chance, checks its disk and what it says afterwards.
    fn kill_one(&mut self) -> Result<()> {
        let api = self.api(1)?;
        wait("the hubs meet again", MEET_MAX, || is_in_contact(api).then_some(()))?;
        self.comment(0)?;
        self.comment(1)?;
        let victim = usize::from(self.chance.share() < 0.5);
        thread::sleep(Duration::from_secs_f64(self.chance.share() * MOMENT_MS_MAX / 1e3));
        let before = Holdings::read(&self.hub(victim).data)?;
        self.kill_while_commenting(victim)?;
        let data = self.hub(victim).data.clone();
        let here = check(&data).context("the disk of the hub that was killed")?;
        let there = Holdings::read(&self.hub(1 - victim).data)?;
        here.ensure_nothing_lost_since(&before)?;
        here.ensure_wrote_all_that_is_at(&there, &self.keys[victim])?;
        self.runs[victim] = Some(start(self.hub(victim))?);
        self.ensure_comments(victim)
    }

    /// Writes a comment at a hub that is to acknowledge it.
    fn comment(&mut self, n: usize) -> Result<()> {
        let (path, body) = self.next_comment(n);
        self.api(n)?.post(&path, &body)?;
        self.acknowledge(&body);
        Ok(())
    }

    fn next_comment(&mut self, n: usize) -> (String, Value) {
        self.written += 1;
        let text = format!("{} of hub {n}", self.written);
        let body =
            json!({ "op_id": format!("{:032x}", self.written), "text": text, "at_ms": null });
        (format!("/lessons/{}/comments", self.lesson), body)
    }

    fn acknowledge(&mut self, body: &Value) {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        self.acknowledged.insert(text("op_id"), text("text"));
    }

    /// Ends a hub while it takes a comment; only what it answers counts as acknowledged.
    fn kill_while_commenting(&mut self, victim: usize) -> Result<()> {
        let (path, body) = self.next_comment(victim);
        let Running { process, api } = self.runs[victim].take().context("this hub runs")?;
        let pause = Duration::from_secs_f64(self.chance.share() * 0.02);
        let (asks, is_asking) = mpsc::channel();
        let is_acknowledged = thread::scope(|scope| -> Result<bool> {
            let asked = scope.spawn(|| {
                let _ = asks.send(());
                api.post(&path, &body).is_ok()
            });
            is_asking.recv()?;
            thread::sleep(pause);
            process.kill()?;
            Ok(asked.join().unwrap_or(false))
        })?;
        if is_acknowledged {
            self.acknowledge(&body);
        }
        Ok(())
    }

    /// Checks that every comment that a hub has acknowledged itself is shown there.
    fn ensure_comments(&self, n: usize) -> Result<()> {
        let shown = self.comments_at(n)?;
        let own = format!(" of hub {n}");
        for (id, text) in self.acknowledged.iter().filter(|(_, text)| text.ends_with(&own)) {
            ensure!(
                shown.get(id) == Some(text),
                "the comment {text:?} was acknowledged and is gone"
            );
        }
        Ok(())
    }

    fn comments_at(&self, n: usize) -> Result<BTreeMap<String, String>> {
        let shown = self.api(n)?.get(&format!("/lessons/{}/comments", self.lesson))?;
        let items = shown["items"].as_array().context("a list of comments")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(items.iter().map(|item| (text(&item["id"]), text(&item["text"]))).collect())
    }

    /// Lets both finish, and compares them.
    fn converge(mut self, lessons: &[String]) -> Result<()> {
        for n in [0, 1] {
            if self.runs[n].is_none() {
                self.runs[n] = Some(start(self.hub(n))?);
            }
        }
        say("the rest arrives");
        self.pair.link.order("open")?;
        let bytes = (lessons.len() * LESSON_BYTES.0) as u64;
        arrive(self.api(1)?, lessons, bytes, REST_MAX, &Arrival { name: Some("kills") })?;
        wait("both show the same comments", MEET_MAX, || {
            let shown = [self.comments_at(0).ok()?, self.comments_at(1).ok()?];
            let is_there = |(id, text): (&String, &String)| shown[0].get(id) == Some(text);
            let is_same = shown[0] == shown[1] && self.acknowledged.iter().all(is_there);
            is_same.then_some(())
        })?;
        for run in self.runs.iter_mut().filter_map(Option::take) {
            run.process.stop()?;
        }
        let (lead, rural) = (check(&self.pair.lead.data)?, check(&self.pair.rural.data)?);
        ensure!(lead == rural, "the two do not hold the same");
        Ok(())
    }
}

/// Gives a hub's own key.
fn key_of(api: &Api) -> Result<Vec<u8>> {
    let state = api.get("/state")?;
    let hex = state["school"]["hub_id"].as_str().context("a hub says its own id")?;
    let byte = |n: usize| Ok(u8::from_str_radix(hex.get(n..n + 2).context("hex")?, 16)?);
    (0..hex.len()).step_by(2).map(byte).collect()
}

//! Runs one alliance through its school nights.

use yingxue_sync_core::event::Event;
use yingxue_sync_core::id::HubId;
use yingxue_sync_core::plan;

use super::draw::{Alliance, Receiver, access};
use super::policy::{self, Lesson};
use super::preset::{Preset, Tier};
use super::report::{HourOfReadiness, Part, SentBytes, Unhealed};
use crate::check;
use crate::link::{Access, AccessLanes};
use crate::world::{Action, HubIndex, Scrutiny, World};

mod luck;
mod slips;
mod sticks;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How often a hub looks what it wants; a real one does when something changes.
const TICK_MS: u64 = 2 * MINUTE_MS;
/// When the lessons of a day leave the simulated disks, after its 07:00.
const EVICTED_AFTER_MS: u64 = 11 * HOUR_MS;
/// When a school looks at its slip.
const SLIP_AT_MS: u64 = 7 * HOUR_MS;
/// When the lessons due next are read again, as hubs do: in the evening; in the morning, as soon
/// as there is power, so that there is time for mending; and when the slip is shown.
const EVENING_AT_MS: u64 = 20 * HOUR_MS;
const MORNING_AT_MS: u64 = 5 * HOUR_MS;
/// A reading of the evening is old in the morning.
const READING_MS_MAX: u64 = 8 * HOUR_MS;
/// How long everybody has, at the end, to get the edits of the others.
const HEALING_MS: u64 = 2 * HOUR_MS;

/// Runs an alliance, and tells of each hour that is done; the same arguments give the same result.
pub(super) fn run(
    preset: &Preset,
    lead: usize,
    alliance: &Alliance,
    nights: u64,
    hour_done: impl Fn(),
) -> Part {
    let mut run = Run::new(preset, alliance, nights);
    run.part.lead = lead;
    run.settle();
    run.draw_lessons();
    run.draw_bad_luck();
    run.draw_couriers();
    let end_ms = run.end_ms();
    let mut hours = 0;
    while run.world.now_ms() < end_ms {
        run.tick();
        while hours < run.world.now_ms() / HOUR_MS {
            hours += 1;
            hour_done();
        }
    }
    run.heal();
    run.part
}

/// Gives the hours that a run of so many nights has.
pub(super) fn hours(preset: &Preset, nights: u64) -> u64 {
    (seven(preset, nights - 1) + TICK_MS) / HOUR_MS
}

/// Gives the moment of 07:00 after a school night, in the world's milliseconds.
fn seven(preset: &Preset, night: u64) -> u64 {
    (night + 1) * DAY_MS + SLIP_AT_MS - preset.utc_offset_hours * HOUR_MS
}

struct Run<'a> {
    preset: &'a Preset,
    alliance: &'a Alliance,
    nights: u64,
    world: World,
    hubs: Vec<HubIndex>,
    lessons: Vec<Lesson>,
    couriers: Vec<sticks::Courier>,
    /// When each hub last read the lessons that are taught next.
    read_at_ms: Vec<u64>,
    part: Part,
}

impl<'a> Run<'a> {
    fn new(preset: &'a Preset, alliance: &'a Alliance, nights: u64) -> Self {
        let mut world = World::with_scrutiny(alliance.seed, Scrutiny::OnDemand);
        world.set_path_default(Access::LAN.up_bytes_per_s, 0);
        world.blob_scale = preset.bytes_scale;
        let part = Part {
            hours: vec![HourOfReadiness::default(); (nights * 24) as usize],
            ..Part::default()
        };
        Self {
            preset,
            alliance,
            nights,
            world,
            hubs: Vec::new(),
            lessons: Vec::new(),
            couriers: Vec::new(),
            read_at_ms: vec![0; alliance.receivers.len() + 1],
            part,
        }
    }

    /// Founds the alliance on good lines, as it is done in a training; then everybody goes home.
    fn settle(&mut self) {
        let lans = vec![Access::LAN; self.alliance.receivers.len()];
        self.hubs = self.world.add_alliance(Access::LAN, &lans);
        self.part.hubs = self.hubs.len();
        self.world.hubs.iter_mut().for_each(|hub| hub.wants_all = false);
        let mbps = self.alliance.lead_uplink_mbps;
        let lead = access(2.0 * mbps, mbps, 20, 1);
        self.world.hubs[0].access = AccessLanes::from(lead);
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            let link = &self.preset.links[receiver.link];
            let (down, up) = (link.down_mbps, link.up_mbps);
            let line = access(down, up, link.rtt_ms, receiver.alliances);
            self.world.hubs[hub].access = AccessLanes::from(line);
            if !self.has_line(receiver) {
                self.world.act(Action::SetLine { hub, is_up: false });
            }
            self.world.act(Action::SkewClock { hub, skew_ms: receiver.clock_skew_ms });
        }
    }

    fn has_line(&self, receiver: &Receiver) -> bool {
        self.preset.links[receiver.link].available_percent > 0
    }

    /// Gives the moment of 07:00 after a school night, in the world's milliseconds.
    fn seven(&self, night: u64) -> u64 {
        seven(self.preset, night)
    }

    /// Gives the moment at which the last slip was looked at.
    fn end_ms(&self) -> u64 {
        self.seven(self.nights - 1) + TICK_MS
    }

    /// Gives the local time of day in milliseconds.
    fn time_of_day(&self, at_ms: u64) -> u64 {
        (at_ms + self.preset.utc_offset_hours * HOUR_MS) % DAY_MS
    }

    fn tick(&mut self) {
        let now_ms = self.world.now_ms();
        self.publish_due(now_ms);
        self.evict_taught(now_ms);
        let time_ms = self.time_of_day(now_ms);
        let is_at = |at_ms: u64| (at_ms..at_ms + TICK_MS).contains(&time_ms);
        if is_at(EVENING_AT_MS) {
            self.reread(now_ms, 0);
        } else if (MORNING_AT_MS..SLIP_AT_MS).contains(&time_ms) {
            self.reread(now_ms, READING_MS_MAX);
        } else if is_at(SLIP_AT_MS) {
            self.reread(now_ms, 0);
            self.look_at_slips(now_ms);
        }
        if time_ms % HOUR_MS < TICK_MS {
            self.note_hour(now_ms);
        }
        self.set_wants(now_ms);
        self.send_couriers(now_ms);
        let until_ms = (now_ms / TICK_MS + 1) * TICK_MS;
        self.world.run_for(until_ms.saturating_sub(self.world.now_ms()));
    }

    fn publish_due(&mut self, now_ms: u64) {
        for at in 0..self.lessons.len() {
            let lesson = &self.lessons[at];
            // One that was taught has left the disks, and has no blobs any more.
            let is_due = (lesson.published_at_ms..lesson.taught_at_ms).contains(&now_ms);
            if !lesson.blobs.is_empty() || !is_due {
                continue;
            }
            let (doc, stage) = (lesson.doc, lesson.stage);
            let followers: Vec<&Receiver> =
                self.alliance.receivers.iter().filter(|it| lesson.is_for(it)).collect();
            let has_line = |receiver: &&&Receiver| self.has_line(receiver);
            let best = followers.iter().filter(has_line).map(|it| it.preferred).max();
            let tracks = self.tracks(stage, followers.iter().map(|it| it.preferred));
            if let Some(best) = best {
                let needed = tracks.iter().enumerate().filter(|(place, _)| match place {
                    0 | 1 => true,
                    2 => followers.iter().any(|it| it.preferred == Tier::T1 && self.has_line(it)),
                    _ => best == Tier::T2,
                });
                let bytes: u32 = needed.flat_map(|(_, pieces)| pieces).sum();
                self.part.published_bytes += u64::from(bytes);
            }
            self.lessons[at].blobs = self.world.publish(0, doc, &tracks);
        }
    }

    /// Gives the pieces of a lesson's tracks; the finest only if somebody wants it.
    fn tracks(&self, stage: usize, preferred: impl Iterator<Item = Tier>) -> Vec<Vec<u32>> {
        let kbps = &self.preset.tracks_kbps;
        let mut rates = vec![kbps.audio, kbps.slides, kbps.video_360];
        if preferred.max() == Some(Tier::T2) {
            rates.push(kbps.video_480);
        }
        let seconds = self.preset.stages[stage].lesson_minutes * 60;
        let scale = self.preset.bytes_scale;
        rates
            .iter()
            .map(|kbps| pieces(kbps * 125 * seconds / scale, self.preset.piece_bytes / scale))
            .collect()
    }

    fn evict_taught(&mut self, now_ms: u64) {
        for night in 0..self.nights {
            let due_ms = self.seven(night) + EVICTED_AFTER_MS;
            if (due_ms..due_ms + TICK_MS).contains(&now_ms) {
                self.evict(night);
            }
        }
    }

    fn evict(&mut self, night: u64) {
        for lesson in self.lessons.iter_mut().filter(|lesson| lesson.night == night) {
            for blob in lesson.blobs.drain(..) {
                // What came by stick took no link.
                let linked = (1..)
                    .zip(&self.alliance.receivers)
                    .filter(|(_, receiver)| self.preset.links[receiver.link].available_percent > 0);
                let held = linked
                    .filter_map(|(hub, _)| self.world.hubs[hub].store.durable().blobs.get(&blob));
                let bytes: usize =
                    held.flat_map(|file| file.pieces.values()).map(|p| p.len()).sum();
                self.part.useful_bytes += bytes as u64;
                self.world.evict(&blob);
            }
        }
    }

    fn set_wants(&mut self, now_ms: u64) {
        let now = self.now(now_ms);
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            let coming = self
                .lessons
                .iter()
                .filter(|lesson| lesson.taught_at_ms > now_ms && lesson.is_for(receiver));
            let disk = self.world.hubs[hub].store.durable();
            let wants = policy::wants(disk, receiver, coming, &now);
            self.world.set_wants(hub, wants);
        }
    }

    fn now(&self, now_ms: u64) -> policy::Now {
        let members: Vec<_> = self.world.hubs.iter().map(|hub| hub.id).collect();
        let link = |hub: &HubId| plan::Link {
            hub: *hub,
            history: plan::LinkHistory::default(),
            is_up: true,
            left_today_bytes: None,
        };
        policy::Now {
            wall_ms: self.world.wall_ms(),
            wall_ms_at_0: self.world.wall_ms() - now_ms,
            utc_offset_min: (self.preset.utc_offset_hours * 60) as i32,
            links: members.iter().map(link).collect(),
            members,
        }
    }

    /// Rereads what is taught next from every disk that has power and whose last reading is old.
    fn reread(&mut self, now_ms: u64, older_ms: u64) {
        let day = now_ms..now_ms + DAY_MS;
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            let is_old = now_ms.saturating_sub(self.read_at_ms[hub]) >= older_ms;
            if !self.world.hubs[hub].is_on() || !is_old {
                continue;
            }
            self.read_at_ms[hub] = now_ms;
            for lesson in &self.lessons {
                if day.contains(&lesson.taught_at_ms) && lesson.is_for(receiver) {
                    lesson.blobs.iter().for_each(|blob| self.world.reread(hub, blob));
                }
            }
        }
    }

    /// Mends all lines, and sees whether everything that was acknowledged is everywhere.
    fn heal(&mut self) {
        (0..self.nights).for_each(|night| self.evict(night));
        let mut linked = vec![0];
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            self.world.act(Action::GivePower { hub });
            if self.has_line(receiver) {
                self.world.act(Action::SetLine { hub, is_up: true });
                linked.push(hub);
            }
        }
        if !self.world.run_until(HEALING_MS, |world| check::converged(world, &linked)) {
            self.note_unhealed(&linked);
        }
        let world = &self.world;
        for written in world.ledger.acknowledged() {
            let is_at = |hub: HubIndex| check::holds_written(world, hub, written);
            let is_linked = linked.contains(&written.hub);
            let is_kept =
                is_at(written.hub) && (!is_linked || linked.iter().all(|hub| is_at(*hub)));
            self.part.acknowledged += 1;
            self.part.lost_acknowledged += u64::from(!is_kept);
        }
        let is_alarm = |(_, event): &&(u64, Event)| matches!(event, Event::Alarm { .. });
        let hubs = || world.hubs.iter();
        self.part.alarms = hubs().flat_map(|hub| &hub.events).filter(is_alarm).count() as u64;
        let all: u64 = hubs().flat_map(|hub| hub.sent_bytes.values()).sum();
        let blobs = hubs().map(|hub| hub.sent_blob_bytes).sum();
        self.part.sent_bytes = SentBytes { blobs, others: all - blobs };
        self.part.lead_sent_bytes = world.hubs[0].sent_blob_bytes;
    }

    /// Names the hubs that do not have what the lead has, though their lines are up again.
    fn note_unhealed(&mut self, linked: &[HubIndex]) {
        let disk = |hub: HubIndex| self.world.hubs[hub].store.durable();
        let differs = |hub: &&HubIndex| disk(**hub).fingerprints != disk(0).fingerprints;
        let unhealed = linked.iter().filter(differs).map(|hub| Unhealed {
            lead: self.part.lead,
            hub: *hub,
            link: self.alliance.receivers[*hub - 1].link,
            contacts: self.world.hubs[*hub].open_contacts().len(),
        });
        self.part.unhealed = unhealed.collect();
    }
}

/// Cuts a track into equal pieces of at most so many bytes.
fn pieces(bytes: u64, piece_bytes: u64) -> Vec<u32> {
    let count = bytes.div_ceil(piece_bytes).max(1);
    (0..count).map(|i| ((i + 1) * bytes / count - i * bytes / count) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::province::draw::alliances;

    #[test]
    fn a_lesson_that_was_taught_is_not_published_again() {
        let preset = Preset::named("changyi").unwrap();
        let alliance = &alliances(&preset)[0];
        let mut run = Run::new(&preset, alliance, 2);
        run.settle();
        run.draw_lessons();
        let count = run.lessons.iter().filter(|lesson| lesson.night == 0).count();
        assert!(count > 0);
        let evicted_ms = run.seven(0) + EVICTED_AFTER_MS;
        while run.world.now_ms() < evicted_ms {
            run.tick();
        }
        assert!(run.part.published_bytes > 0);
        while run.world.now_ms() < evicted_ms + 3 * TICK_MS {
            run.tick();
        }
        let is_gone = |lesson: &&Lesson| lesson.night == 0 && lesson.blobs.is_empty();
        assert_eq!(run.lessons.iter().filter(is_gone).count(), count);
    }
}

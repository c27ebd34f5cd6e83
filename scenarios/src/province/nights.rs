//! Runs one alliance through its school nights.

use yingxue_sync_core::event::Event;
use yingxue_sync_core::id::{DocId, HubId};
use yingxue_sync_core::plan;

use super::draw::{Alliance, Receiver, access, exponential_ms};
use super::policy::{self, Lesson};
use super::preset::{Preset, Tier};
use super::report::{HourOfReadiness, LessonCount, Part, SchoolNight, judged};
use crate::check;
use crate::link::{Access, AccessLanes};
use crate::store::SimStore;
use crate::world::{Action, HubIndex, Scrutiny, World};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How often a hub looks what it wants; a real one does when something changes.
const TICK_MS: u64 = 2 * MINUTE_MS;
/// First lesson after 07:00, and from one lesson to the next.
const FIRST_LESSON_MS: u64 = 90 * MINUTE_MS;
const PERIOD_MS: u64 = 50 * MINUTE_MS;
/// Lessons that one class can have in a day; more belong to other classes, side by side.
const PERIODS: usize = 8;
/// When the lessons of a day leave the simulated disks, after its 07:00.
const EVICTED_AFTER_MS: u64 = 11 * HOUR_MS;
/// Hours of a local day at which the lessons due next are read again: in the evening, so that
/// there is a night for mending, and before the slip is printed.
const REREAD_AT_MS: [u64; 2] = [20 * HOUR_MS, 6 * HOUR_MS + 50 * MINUTE_MS];
/// When a school looks at its slip.
const SLIP_AT_MS: u64 = 7 * HOUR_MS;
/// How long everybody has, at the end, to get the edits of the others.
const HEALING_MS: u64 = 2 * HOUR_MS;
/// Documents that edits go to; the others are lessons.
const EDITED_DOCS: u64 = 100;
/// Longest power cut.
const POWER_CUT_MS_MAX: u64 = HOUR_MS;

/// Runs an alliance; the same arguments give the same result.
pub(super) fn run(preset: &Preset, lead: usize, alliance: &Alliance, nights: u64) -> Part {
    let mut run = Run::new(preset, alliance, nights);
    run.part.lead = lead;
    run.settle();
    run.draw_lessons();
    run.draw_bad_luck();
    let end_ms = run.seven(nights - 1) + TICK_MS;
    while run.world.now_ms() < end_ms {
        run.tick();
    }
    run.heal();
    run.part
}

struct Run<'a> {
    preset: &'a Preset,
    alliance: &'a Alliance,
    nights: u64,
    world: World,
    hubs: Vec<HubIndex>,
    lessons: Vec<Lesson>,
    part: Part,
}

impl<'a> Run<'a> {
    fn new(preset: &'a Preset, alliance: &'a Alliance, nights: u64) -> Self {
        let mut world = World::with_scrutiny(alliance.seed, Scrutiny::OnDemand);
        world.set_path_default(Access::LAN.up_bytes_per_s, 0);
        let part = Part {
            hours: vec![HourOfReadiness::default(); (nights * 24) as usize],
            ..Part::default()
        };
        Self { preset, alliance, nights, world, hubs: Vec::new(), lessons: Vec::new(), part }
    }

    /// Founds the alliance on good lines, as it is done in a training; then everybody goes home.
    fn settle(&mut self) {
        let lans = vec![Access::LAN; self.alliance.receivers.len()];
        self.hubs = self.world.add_alliance(Access::LAN, &lans);
        self.part.hubs = self.hubs.len();
        self.world.hubs.iter_mut().for_each(|hub| hub.wants_all = false);
        let mbps = self.alliance.lead_uplink_mbps;
        let lead = access(self.preset, 2.0 * mbps, mbps, 20, 1);
        self.world.hubs[0].access = AccessLanes::from(lead);
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            let link = &self.preset.links[receiver.link];
            let (down, up) = (link.down_mbps, link.up_mbps);
            let line = access(self.preset, down, up, link.rtt_ms, receiver.alliances);
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
        (night + 1) * DAY_MS + SLIP_AT_MS - self.preset.utc_offset_hours * HOUR_MS
    }

    /// Gives the local time of day in milliseconds.
    fn time_of_day(&self, at_ms: u64) -> u64 {
        (at_ms + self.preset.utc_offset_hours * HOUR_MS) % DAY_MS
    }

    fn draw_lessons(&mut self) {
        for (stage, it) in self.preset.stages.iter().enumerate() {
            let is_followed = self.alliance.receivers.iter().any(|r| r.stage == stage);
            for night in (0..self.nights).filter(|_| is_followed) {
                for period in 0..it.lessons_per_day {
                    if !self.world.rng.chance(it.live_percent) {
                        self.draw_lesson(stage, night, period);
                    }
                }
            }
        }
        self.lessons.sort_by_key(|lesson| (lesson.taught_at_ms, lesson.period));
    }

    fn draw_lesson(&mut self, stage: usize, night: u64, period: usize) {
        let mut left = self.world.rng.below(100);
        let mut hours_before = self.preset.published[0].hours_before;
        for published in &self.preset.published {
            hours_before = published.hours_before;
            if left < published.percent {
                break;
            }
            left -= published.percent;
        }
        let [least, most] = hours_before.map(|hours| hours * HOUR_MS);
        let before_ms = self.world.rng.between(least, most);
        let seven_ms = self.seven(night);
        let taught_at_ms = seven_ms + FIRST_LESSON_MS + (period % PERIODS) as u64 * PERIOD_MS;
        self.lessons.push(Lesson {
            doc: DocId(self.world.rng.array()),
            stage,
            period,
            night,
            published_at_ms: seven_ms.saturating_sub(before_ms),
            taught_at_ms,
            blobs: Vec::new(),
        });
    }

    fn draw_bad_luck(&mut self) {
        let end_ms = self.seven(self.nights - 1);
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            self.draw_outages(hub, receiver, end_ms);
            let now_ms = self.world.now_ms();
            let span_ms = end_ms - now_ms;
            if receiver.has_power_cuts && self.world.rng.below(7 * DAY_MS) < span_ms {
                let for_ms = self.world.rng.between(MINUTE_MS, POWER_CUT_MS_MAX);
                let in_ms = self.world.rng.below(span_ms);
                self.world.plan(in_ms, Action::CutPower { hub, for_ms });
            }
            let flips = self.preset.bit_flips_per_hub_week * span_ms as f64 / (7 * DAY_MS) as f64;
            let flips =
                flips as u64 + u64::from(self.world.rng.below(1000) < (flips.fract() * 1e3) as u64);
            for _ in 0..flips {
                let in_ms = self.world.rng.below(span_ms);
                self.world.plan(in_ms, Action::RotSomething { hub });
            }
            for _ in 0..self.preset.edits_per_hub_day * self.nights {
                let (in_ms, doc) =
                    (self.world.rng.below(span_ms), self.world.rng.below(EDITED_DOCS));
                self.world.plan(in_ms, Action::Write { hub, doc: doc as u8 });
            }
            if receiver.is_off_at_night {
                self.plan_nights_off(hub);
            }
        }
    }

    fn draw_outages(&mut self, hub: HubIndex, receiver: &Receiver, end_ms: u64) {
        let link = &self.preset.links[receiver.link];
        if !(1..100).contains(&link.available_percent) {
            return;
        }
        let down_ms = (link.outage_minutes * MINUTE_MS) as f64;
        let up_ms = down_ms * link.available_percent as f64 / (100 - link.available_percent) as f64;
        let now_ms = self.world.now_ms();
        let mut is_up = self.world.rng.chance(link.available_percent);
        self.world.act(Action::SetLine { hub, is_up });
        let mut at_ms = now_ms;
        while at_ms < end_ms {
            at_ms += exponential_ms(if is_up { up_ms } else { down_ms }, &mut self.world.rng);
            is_up = !is_up;
            self.world.plan(at_ms - now_ms, Action::SetLine { hub, is_up });
        }
    }

    fn plan_nights_off(&mut self, hub: HubIndex) {
        let [from, until] =
            self.preset.power_off_hours.map(|hours| (hours * HOUR_MS as f64) as u64);
        let for_ms = (until + DAY_MS - from) % DAY_MS;
        for night in 0..self.nights {
            let off_ms = self.seven(night) - SLIP_AT_MS - (DAY_MS - from) % DAY_MS;
            let in_ms = off_ms.saturating_sub(self.world.now_ms());
            self.world.plan(in_ms, Action::CutPower { hub, for_ms });
        }
    }

    fn tick(&mut self) {
        let now_ms = self.world.now_ms();
        self.publish_due(now_ms);
        self.evict_taught(now_ms);
        let time_ms = self.time_of_day(now_ms);
        let is_at = |at_ms: u64| (at_ms..at_ms + TICK_MS).contains(&time_ms);
        if REREAD_AT_MS.into_iter().any(is_at) {
            self.reread(now_ms);
        }
        if is_at(SLIP_AT_MS) {
            self.look_at_slips(now_ms);
        }
        if time_ms % HOUR_MS < TICK_MS {
            self.note_hour(now_ms);
        }
        self.set_wants(now_ms);
        let until_ms = (now_ms / TICK_MS + 1) * TICK_MS;
        self.world.run_for(until_ms - now_ms);
    }

    fn publish_due(&mut self, now_ms: u64) {
        for at in 0..self.lessons.len() {
            let lesson = &self.lessons[at];
            if !lesson.blobs.is_empty() || lesson.published_at_ms > now_ms {
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
                let held = self.hubs[1..]
                    .iter()
                    .filter_map(|hub| self.world.hubs[*hub].store.durable().blobs.get(&blob));
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

    /// Rereads what is taught next from every disk that has power.
    fn reread(&mut self, now_ms: u64) {
        let day = now_ms..now_ms + DAY_MS;
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            if !self.world.hubs[hub].is_on() {
                continue;
            }
            let store: &mut SimStore = &mut self.world.hubs[hub].store;
            for lesson in &self.lessons {
                if day.contains(&lesson.taught_at_ms) && lesson.is_for(receiver) {
                    lesson.blobs.iter().for_each(|blob| {
                        store.reread(blob);
                    });
                }
            }
        }
    }

    /// Compares what each hub shows at 07:00 with what its disk holds, byte by byte.
    fn look_at_slips(&mut self, now_ms: u64) {
        let of_now = |night: &u64| self.seven(*night).abs_diff(now_ms) < TICK_MS;
        let nights: Vec<u64> = (0..self.nights).filter(of_now).collect();
        for night in nights {
            for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
                let today =
                    |it: &&Lesson| it.night == night && it.is_for(receiver) && !it.blobs.is_empty();
                let mut count = LessonCount::default();
                for lesson in self.lessons.iter().filter(today) {
                    let disk = self.world.hubs[hub].store.durable();
                    let tiers = judged(receiver.preferred);
                    let shown = tiers.map(|tier| lesson.is_ready(disk, tier));
                    let held = tiers.map(|tier| lesson.is_held(disk, tier));
                    count.add(LessonCount {
                        timetabled: 1,
                        at_floor: held[0].into(),
                        at_preferred: held[1].into(),
                        false_green: (0..2).filter(|i| shown[*i] && !held[*i]).count() as u64,
                    });
                }
                self.part.nights.push(SchoolNight {
                    lead: self.part.lead,
                    hub,
                    link: receiver.link,
                    night,
                    is_off_at_night: receiver.is_off_at_night,
                    lessons: count,
                });
            }
        }
    }

    fn note_hour(&mut self, now_ms: u64) {
        let local_ms = now_ms + self.preset.utc_offset_hours * HOUR_MS;
        let Some(hour) = (local_ms / HOUR_MS).checked_sub(12) else { return };
        let night = hour / 24;
        let Some(mut sum) = self.part.hours.get(hour as usize).copied() else { return };
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            if !self.has_line(receiver) {
                continue;
            }
            let disk = self.world.hubs[hub].store.durable();
            for lesson in self.lessons.iter().filter(|it| it.night == night && it.is_for(receiver))
            {
                let [floor, preferred] =
                    judged(receiver.preferred).map(|tier| lesson.is_ready(disk, tier));
                sum.timetabled += 1;
                sum.at_floor += u64::from(floor);
                sum.at_preferred += u64::from(preferred);
            }
        }
        self.part.hours[hour as usize] = sum;
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
        self.world.run_until(HEALING_MS, |world| check::converged(world, &linked));
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
        self.part.sent_bytes = hubs().flat_map(|hub| hub.sent_bytes.values()).sum();
        self.part.lead_sent_bytes = world.hubs[0].sent_blob_bytes;
    }
}

/// Cuts a track into equal pieces of at most so many bytes.
fn pieces(bytes: u64, piece_bytes: u64) -> Vec<u32> {
    let count = bytes.div_ceil(piece_bytes).max(1);
    (0..count).map(|i| ((i + 1) * bytes / count - i * bytes / count) as u32).collect()
}

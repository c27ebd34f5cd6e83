//! What is drawn before a run begins: which lessons there are, and what goes wrong when.

use yingxue_sync_core::id::DocId;

use super::{DAY_MS, HOUR_MS, MINUTE_MS, Run, SLIP_AT_MS};
use crate::province::draw::{Receiver, exponential_ms};
use crate::province::policy::Lesson;
use crate::world::{Action, HubIndex};

/// First lesson after 07:00, and from one lesson to the next.
const FIRST_LESSON_MS: u64 = 90 * MINUTE_MS;
const PERIOD_MS: u64 = 50 * MINUTE_MS;
/// Lessons that one class can have in a day; more belong to other classes, side by side.
const PERIODS: usize = 8;
/// Documents that edits go to; the others are lessons.
const EDITED_DOCS: u64 = 100;
/// Longest power cut.
const POWER_CUT_MS_MAX: u64 = HOUR_MS;

impl Run<'_> {
    pub(super) fn draw_lessons(&mut self) {
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

    pub(super) fn draw_bad_luck(&mut self) {
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
}

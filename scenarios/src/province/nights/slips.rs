//! What is looked at while a run goes on: slips at 07:00, and how much is ready at each hour.

use super::{HOUR_MS, Run, TICK_MS};
use crate::province::policy::Lesson;
use crate::province::report::{LessonCount, SchoolNight, judged};

impl Run<'_> {
    /// Compares what each hub shows at 07:00 with what its disk holds, byte by byte.
    pub(super) fn look_at_slips(&mut self, now_ms: u64) {
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

    pub(super) fn note_hour(&mut self, now_ms: u64) {
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
}

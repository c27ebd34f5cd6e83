//! Couriers of schools without a line: a stick from the lead every some days, and what was written
//! at the school, with its receipt, on the way back.

use std::collections::BTreeSet;

use yingxue_sync_core::courier::SignedReceipt;
use yingxue_sync_core::id::BlobId;

use super::{DAY_MS, HOUR_MS, Run};
use crate::province::policy::Lesson;
use crate::province::preset::Courier as Habits;
use crate::province::report::judged;
use crate::world::HubIndex;
use crate::world::stick::Stick;

/// Somebody who goes from the lead to one school and back.
pub(super) struct Courier {
    hub: HubIndex,
    habits: Habits,
    /// When the next stick is written or plugged in.
    due_ms: u64,
    place: Place,
    /// What the stick that was read last had whole.
    brought: BTreeSet<BlobId>,
    receipts: u64,
}

enum Place {
    /// On the way to the lead, with what the school gave along.
    ToLead { back: Option<(Stick, SignedReceipt)> },
    /// On the way to the school.
    ToSchool { stick: Stick },
}

impl Run<'_> {
    pub(super) fn draw_couriers(&mut self) {
        for (hub, receiver) in (1..).zip(&self.alliance.receivers) {
            let Some(habits) = self.preset.links[receiver.link].courier else { continue };
            // Where in his rounds he is when the run begins.
            let [_, most] = habits.days;
            let day = self.world.rng.below(most);
            let offset_ms = self.preset.utc_offset_hours * HOUR_MS;
            let due_ms = day * DAY_MS + hours_ms(habits.hours[0]);
            let due_ms = due_ms.saturating_sub(offset_ms);
            let place = Place::ToLead { back: None };
            let brought = BTreeSet::new();
            self.couriers.push(Courier { hub, habits, due_ms, place, brought, receipts: 0 });
        }
    }

    /// Lets couriers do what is due.
    pub(super) fn send_couriers(&mut self, now_ms: u64) {
        let mut couriers = std::mem::take(&mut self.couriers);
        for courier in couriers.iter_mut().filter(|courier| courier.due_ms <= now_ms) {
            let at_home = Place::ToLead { back: None };
            courier.place = match std::mem::replace(&mut courier.place, at_home) {
                Place::ToLead { back } => self.at_lead(courier, back, now_ms),
                Place::ToSchool { stick } => self.at_school(courier, stick, now_ms),
            };
        }
        self.couriers = couriers;
    }

    fn at_lead(
        &mut self,
        courier: &mut Courier,
        back: Option<(Stick, SignedReceipt)>,
        now_ms: u64,
    ) -> Place {
        if let Some((stick, _)) = &back {
            self.plug_in(0, stick);
        }
        let receipt = back.as_ref().map(|(_, signed)| &signed.receipt);
        let lacks = |blob: &BlobId| {
            let is_wanted = receipt.is_some_and(|receipt| receipt.want(blob).is_some());
            is_wanted || !courier.brought.contains(blob)
        };
        let blobs: Vec<BlobId> =
            self.list_for(courier.hub, now_ms).into_iter().filter(lacks).collect();
        let bytes_max = courier.habits.gigabytes * 1_000_000_000 / self.preset.bytes_scale;
        let stick = self.world.write_stick([0, courier.hub], &blobs, receipt, bytes_max);
        let Some(stick) = stick else { return Place::ToLead { back } };
        let [written, read] = courier.habits.hours;
        courier.due_ms += hours_ms(read - written);
        Place::ToSchool { stick }
    }

    fn at_school(&mut self, courier: &mut Courier, stick: Stick, now_ms: u64) -> Place {
        let hub = courier.hub;
        if !self.world.hubs[hub].is_on() {
            return Place::ToSchool { stick };
        }
        self.plug_in(hub, &stick);
        self.part.sticks += 1;
        self.part.stick_bytes += stick.bytes();
        courier.brought = stick.blobs;
        courier.receipts += 1;
        let receipt = self.world.write_receipt(hub, courier.receipts);
        let own = self.world.write_stick([hub, 0], &[], None, u64::MAX);
        let [least, most] = courier.habits.days;
        let [written, read] = courier.habits.hours;
        let in_days = self.world.rng.between(least, most);
        courier.due_ms = (courier.due_ms + in_days * DAY_MS - hours_ms(read - written)).max(now_ms);
        Place::ToLead { back: own.zip(receipt) }
    }

    /// Gives what a school's courier is to take: the floor of all coming lessons, then better.
    fn list_for(&self, hub: HubIndex, now_ms: u64) -> Vec<BlobId> {
        let receiver = &self.alliance.receivers[hub - 1];
        let is_coming = |it: &&Lesson| it.taught_at_ms > now_ms && it.is_for(receiver);
        let coming: Vec<&Lesson> = self.lessons.iter().filter(is_coming).collect();
        let mut blobs = Vec::new();
        for tier in judged(receiver.preferred) {
            for blob in coming.iter().flat_map(|lesson| lesson.needs(tier)) {
                if !blobs.contains(blob) {
                    blobs.push(*blob);
                }
            }
        }
        blobs
    }

    fn plug_in(&mut self, hub: HubIndex, stick: &Stick) {
        let taken = self.world.read_stick(hub, stick).expect("nobody touched the stick");
        self.part.stick_refusals.extend(taken.refused);
    }
}

fn hours_ms(hours: f64) -> u64 {
    (hours * HOUR_MS as f64) as u64
}

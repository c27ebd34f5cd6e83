use proptest::prelude::*;

use super::history::{HourStats, SeenHour, Today};
use super::*;
use crate::rng::Rng;

/// 2026-11-22 14:00 UTC: Sunday, 22:00 in China.
const NOW: u64 = 1_795_356_000_000;
const HOUR: u64 = 3_600_000;
const LEAD: HubId = HubId([1; 32]);
const NEIGHBOUR: HubId = HubId([2; 32]);

/// A link that carries the same in each hour, and always has.
fn steady(bytes_per_s: f64) -> LinkHistory {
    let stats = HourStats { seen: 8.0, mean: bytes_per_s, variance: 0.0 };
    LinkHistory::restore((0..168).map(|h| (h, stats)), stats, vec![1.0; 28], Today::default())
}

fn link(hub: HubId, history: LinkHistory) -> Link {
    Link { hub, history, is_up: true, left_today_bytes: None }
}

fn night(items: Vec<Item>, links: Vec<Link>) -> Night {
    Night {
        now_wall_ms: NOW,
        utc_offset_min: 480,
        items,
        links,
        line: None,
        window: Window::ALWAYS,
        budget: Budget::default(),
    }
}

fn missing(blob: u8, missing_bytes: u64, holders: &[HubId]) -> MissingBlob {
    let collection = CollectionId("lessons".into());
    MissingBlob { blob: BlobId([blob; 32]), collection, missing_bytes, holders: holders.to_vec() }
}

/// An item whose steps have these bytes; blobs are numbered `10 * id + step`.
fn item(id: u8, deadline_h: u64, weight: u32, bytes: &[u64]) -> Item {
    let step =
        |(step, bytes): (u8, &u64)| Step { blobs: vec![missing(10 * id + step, *bytes, &[LEAD])] };
    Item {
        id: u64::from(id),
        claim: Claim::Due,
        steps: (0..).zip(bytes).map(step).collect(),
        deadline_wall_ms: Some(NOW + deadline_h * HOUR),
        weight,
    }
}

fn order_of(plan: &Plan) -> Vec<u8> {
    plan.order.iter().map(|want| want.blob.0[0]).collect()
}

/// 10 MB an hour.
fn slow() -> Vec<Link> {
    vec![link(LEAD, steady(10_000_000.0 / 3_600.0))]
}

#[test]
fn floors_come_first_by_deadline_then_what_makes_better_then_pins_then_the_rest() {
    let mut pinned = item(4, 99, 1, &[1]);
    (pinned.claim, pinned.deadline_wall_ms) = (Claim::Pinned, None);
    let rest = Item { id: 5, claim: Claim::Rest, ..item(5, 99, 1, &[1]) };
    let items = vec![
        rest,
        pinned,
        item(1, 12, 30, &[1_000, 1_000]),
        item(2, 10, 30, &[1_000, 1_000]),
        item(3, 10, 50, &[1_000, 1_000]),
    ];
    let plan = make(&night(items, slow()));
    assert_eq!(order_of(&plan), [30, 20, 10, 31, 21, 11, 40, 50]);
    let urgencies: Vec<Urgency> =
        plan.order.iter().map(|want| Urgency::of(want.priority)).collect();
    assert!(urgencies.is_sorted());
    assert_eq!((urgencies[0], urgencies[7]), (Urgency::Floor, Urgency::Rest));
}

#[test]
fn what_somebody_needs_now_overtakes_everything() {
    let mut urgent = item(7, 11, 1, &[1_000, 1_000]);
    urgent.claim = Claim::Urgent;
    let plan = make(&night(vec![item(1, 2, 60, &[1_000, 1_000]), urgent], slow()));
    assert_eq!(order_of(&plan), [70, 10, 11, 71]);
    assert_eq!(Urgency::of(plan.order[0].priority), Urgency::Now);
}

#[test]
fn the_longest_is_put_off_when_not_all_can_be_in_time() {
    // 10 MB an hour: of 3 h until the lessons only two small ones fit beside nothing large.
    let large = item(1, 2, 60, &[25_000_000]);
    let items = vec![large, item(2, 2, 20, &[9_000_000]), item(3, 3, 20, &[9_000_000])];
    let plan = make(&night(items, slow()));
    assert_eq!(order_of(&plan), [20, 30, 10]);
    let late = plan.forecasts.iter().find(|f| f.item == 1).unwrap();
    assert_eq!(late.why, Why::TooMuch);
    assert!(late.probability < 0.1, "{late:?}");
    assert!(late.complete_at_wall_ms.unwrap() > NOW + 2 * HOUR);
    let early = plan.forecasts.iter().find(|f| f.item == 2).unwrap();
    assert!(early.probability > 0.9, "{early:?}");
    assert_eq!((early.why, early.from), (Why::Next, Some(LEAD)));
}

#[test]
fn a_blob_that_two_items_need_is_fetched_once_and_counted_once() {
    let items = vec![item(1, 3, 1, &[20_000_000]), item(1, 4, 1, &[20_000_000])];
    let plan = make(&night(items, slow()));
    assert_eq!(plan.order.len(), 1);
    assert!(plan.forecasts.iter().all(|f| f.complete_at_wall_ms <= Some(NOW + 2 * HOUR)));
}

#[test]
fn nothing_flows_before_the_window_opens_and_no_more_than_the_budget() {
    let mut it = night(vec![item(1, 12, 1, &[5_000_000])], slow());
    // 23:00 to 23:30 local; 5 MB is all that this carries.
    it.window = Window { from_min: 1_380, to_min: 1_410, outside_share: 0.0, ..Window::ALWAYS };
    let forecast = make(&it).forecasts[0];
    assert_eq!(forecast.why, Why::Window);
    let at = forecast.complete_at_wall_ms.unwrap();
    assert!((NOW + HOUR + 29 * 60_000..=NOW + 2 * HOUR).contains(&at), "{}", at - NOW);
    it.budget = Budget { day_bytes: Some(1_000_000), ..Budget::default() };
    let forecast = make(&it).forecasts[0];
    assert_eq!((forecast.why, forecast.complete_at_wall_ms), (Why::Budget, None));
    it.budget = Budget::default();
    it.window.closed_until_wall_ms = NOW + 100 * HOUR;
    assert_eq!(make(&it).forecasts[0].complete_at_wall_ms, None);
}

#[test]
fn nothing_is_promised_for_a_time_at_which_nothing_flows() {
    let mut it = night(vec![item(1, 12, 1, &[50_000])], slow());
    let at = |it: &Night| make(it).forecasts[0].complete_at_wall_ms.unwrap();
    for pause_ms in [1, 33 * 60_000 + 7, 2 * HOUR, 3 * HOUR - 1] {
        it.window.closed_until_wall_ms = NOW + pause_ms;
        let soon = pause_ms..pause_ms + HOUR / 10;
        assert!(soon.contains(&(at(&it) - NOW)), "a pause of {pause_ms} ms: {}", at(&it) - NOW);
    }
    // 23:40 to 23:50 local.
    it.window = Window { from_min: 1_420, to_min: 1_430, outside_share: 0.0, ..Window::ALWAYS };
    let open_ms = HOUR + 40 * 60_000..HOUR + 50 * 60_000;
    assert!(open_ms.contains(&(at(&it) - NOW)), "{}", at(&it) - NOW);
}

#[test]
fn a_hub_that_is_away_brings_nothing_within_the_hour() {
    let mut links = slow();
    let at = |links| make(&night(vec![item(1, 12, 1, &[50_000])], links)).forecasts[0];
    assert!(at(links.clone()).complete_at_wall_ms.unwrap() < NOW + HOUR / 10);
    links[0].is_up = false;
    let away = at(links);
    assert_eq!((away.why, away.from), (Why::NoContact, Some(LEAD)));
    assert!(away.complete_at_wall_ms.unwrap() >= NOW + HOUR && away.probability > 0.5);
}

#[test]
fn what_nobody_has_is_wanted_all_the_same_and_said() {
    let mut lost = item(1, 12, 1, &[5_000_000]);
    lost.steps[0].blobs[0].holders.clear();
    let plan = make(&night(vec![lost, item(2, 12, 1, &[5_000_000])], slow()));
    assert_eq!(order_of(&plan), [20, 10]);
    let lost = plan.forecasts.iter().find(|f| f.item == 1).unwrap();
    assert_eq!((lost.why, lost.probability, lost.from), (Why::NoHolder, 0.0, None));
}

#[test]
fn two_links_carry_side_by_side_and_the_hubs_own_line_bounds_them() {
    let mut both = item(1, 12, 1, &[20_000_000]);
    both.steps[0].blobs[0].holders = vec![LEAD, NEIGHBOUR];
    let links = vec![slow().remove(0), link(NEIGHBOUR, steady(10_000_000.0 / 3_600.0))];
    let mut it = night(vec![both], links);
    let at = |it: &Night| make(it).forecasts[0].complete_at_wall_ms.unwrap();
    assert!(at(&it).abs_diff(NOW + HOUR) < 60_000);
    it.line = Some(steady(5_000_000.0 / 3_600.0));
    assert!(at(&it).abs_diff(NOW + 4 * HOUR) < 60_000);
}

#[test]
fn a_clock_that_is_wrong_by_ten_years_changes_no_order() {
    let items = |shift: i64| -> Vec<Item> {
        let mut items =
            vec![item(1, 12, 1, &[1_000, 9_000]), item(2, 6, 1, &[1_000]), item(3, 8, 9, &[5_000])];
        for item in &mut items {
            item.deadline_wall_ms = item.deadline_wall_ms.map(|at| at.saturating_add_signed(shift));
        }
        items
    };
    let ten_years = 3_650 * 24 * HOUR as i64;
    let orders =
        [0, ten_years, -ten_years].map(|shift| order_of(&make(&night(items(shift), slow()))));
    let all = |order: &[u8]| {
        let mut order = order.to_vec();
        order.sort_unstable();
        order
    };
    assert!(orders.iter().all(|order| all(order) == [10, 11, 20, 30]), "{orders:?}");
    let mut it = night(items(0), slow());
    (it.now_wall_ms, it.utc_offset_min) = (u64::MAX - 5, i32::MAX);
    assert_eq!(all(&order_of(&make(&it))), [10, 11, 20, 30]);
    it.now_wall_ms = 0;
    assert_eq!(all(&order_of(&make(&it))), [10, 11, 20, 30]);
}

#[test]
fn sound_comes_before_pictures_and_tomorrow_before_some_day() {
    let want = |blob: u8, priority, deadline_wall_ms| Want {
        blob: BlobId([blob; 32]),
        collection: CollectionId("lessons".into()),
        priority,
        deadline_wall_ms,
    };
    let wants = vec![want(1, 1, None), want(2, 0, None), want(3, 0, Some(5)), want(2, 0, None)];
    let order: Vec<u8> = order(wants).iter().map(|want| want.blob.0[0]).collect();
    assert_eq!(order, [3, 2, 1]);
}

#[test]
fn hours_of_the_week_are_local_and_begin_on_monday() {
    // 1970-01-05 was a Monday.
    let monday = 4 * 24 * HOUR;
    assert_eq!(hour_of_week(monday, 0), 0);
    assert_eq!(hour_of_week(monday - 8 * HOUR, 480), 0);
    assert_eq!(hour_of_week(monday - 1, 0), 167);
    assert_eq!(hour_of_week(0, -60), 71);
    assert_eq!(hour_of_week(NOW, 480), 6 * 24 + 22);
}

mod optimum {
    //! The plan against every possible order.
    use super::*;
    use crate::plan::choice::Part;

    /// How many floors are in time, and what the better steps that are in time are worth.
    fn worth(night: &Night, parts: &[Part], order: &[usize]) -> (u32, u32) {
        let cells = cells::cells(night, parts);
        let expected = flow::Capacity::expected(night, &cells);
        let ordered: Vec<&Part> = order.iter().map(|place| &parts[*place]).collect();
        let flow = flow::run(night, &cells, &expected, &ordered);
        let mut worth = (0, 0);
        for (part, done) in ordered.iter().zip(flow.done_ms) {
            match done {
                Some(at) if at <= part.deadline_ms && part.step == 0 => worth.0 += 1,
                Some(at) if at <= part.deadline_ms => worth.1 += part.weight,
                _ => {}
            }
        }
        worth
    }

    /// Calls `look` with every order in which floors come before what makes better, and the
    /// steps of an item in turn.
    fn each_order(parts: &[Part], order: &mut Vec<usize>, look: &mut impl FnMut(&[usize])) {
        if order.len() == parts.len() {
            return look(order);
        }
        let are_floors_left = (0..parts.len()).any(|p| parts[p].step == 0 && !order.contains(&p));
        for place in 0..parts.len() {
            let is_next = if are_floors_left {
                parts[place].step == 0
            } else {
                parts[place].step == 1 || (place > 0 && order.contains(&(place - 1)))
            };
            if is_next && !order.contains(&place) {
                order.push(place);
                each_order(parts, order, look);
                order.pop();
            }
        }
    }

    fn best(night: &Night, parts: &[Part]) -> (u32, u32) {
        let mut best = (0, 0);
        each_order(parts, &mut Vec::new(), &mut |order| {
            best = best.max(worth(night, parts, order))
        });
        best
    }

    fn planned(night: &Night, parts: &[Part]) -> (u32, u32) {
        let cells = cells::cells(night, parts);
        let expected = flow::Capacity::expected(night, &cells);
        worth(night, parts, &choice::order(night, &cells, &expected, parts))
    }

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let one = (1u64..30, prop::collection::vec(1u64..20, 1..4), 10u32..60);
        prop::collection::vec(one, 1..7).prop_map(|drawn| {
            let mut steps_left = 6;
            let mut items = Vec::new();
            for (id, (deadline_h, mbytes, weight)) in (1..).zip(drawn) {
                let mut mbytes: Vec<u64> = mbytes.iter().map(|m| m * 3_000_000).collect();
                mbytes.truncate(steps_left);
                if mbytes.is_empty() {
                    break;
                }
                steps_left -= mbytes.len();
                items.push(item(id, deadline_h, weight, &mbytes));
            }
            items
        })
    }

    /// A link with hours of chance.
    fn uneven(seed: u64) -> LinkHistory {
        let mut rng = Rng::new([seed as u8; 32]);
        let hours: Vec<(u16, HourStats)> = (0..168)
            .map(|hour| {
                let mean = rng.below(6_000) as f64;
                (hour, HourStats { seen: 8.0, mean, variance: 0.0 })
            })
            .collect();
        let up = HourStats { seen: 8.0, mean: 3_000.0, variance: 0.0 };
        LinkHistory::restore(hours, up, vec![1.0; 28], Today::default())
    }

    proptest! {
        // 720 orders each.
        #[test]
        fn on_one_link_it_is_within_5_percent_of_the_best_order(
            items in items(), seed in 0u64..200, is_uneven: bool,
        ) {
            let history = if is_uneven { uneven(seed) } else { steady(2_800.0) };
            let night = night(items, vec![link(LEAD, history)]);
            let parts = choice::parts(&night);
            let (best, planned) = (best(&night, &parts), planned(&night, &parts));
            prop_assert_eq!(planned.0, best.0, "floors in time");
            prop_assert!(f64::from(planned.1) >= 0.95 * f64::from(best.1), "{planned:?} {best:?}");
        }
    }

    #[test]
    fn on_two_links_it_is_within_5_percent_of_the_best_order() {
        let mut rng = Rng::new([2; 32]);
        let (mut best_all, mut planned_all) = ((0, 0), (0, 0));
        for seed in 0..200 {
            let mut items = Vec::new();
            for id in 1..=1 + rng.below(5) as u8 {
                let bytes: Vec<u64> =
                    (0..=id % 2).map(|_| (1 + rng.below(19)) * 3_000_000).collect();
                let weight = 10 + rng.below(50) as u32;
                let mut it = item(id, 1 + rng.below(29), weight, &bytes);
                let both = [LEAD, NEIGHBOUR];
                let holders = [&both[..1], &both[1..], &both][rng.below(3) as usize];
                it.steps.iter_mut().for_each(|step| step.blobs[0].holders = holders.to_vec());
                items.push(it);
            }
            let links = vec![link(LEAD, uneven(seed)), link(NEIGHBOUR, uneven(seed + 7))];
            let night = night(items, links);
            let parts = choice::parts(&night);
            let (best, planned) = (best(&night, &parts), planned(&night, &parts));
            best_all = (best_all.0 + best.0, best_all.1 + best.1);
            planned_all = (planned_all.0 + planned.0, planned_all.1 + planned.1);
        }
        let of_best = |planned: u32, best: u32| f64::from(planned) / f64::from(best);
        let floors = of_best(planned_all.0, best_all.0);
        let upgrades = of_best(planned_all.1, best_all.1);
        println!("of the best: {floors:.4} of the floors, {upgrades:.4} of the rest");
        assert!(floors >= 0.95 && upgrades >= 0.95, "{planned_all:?} of {best_all:?}");
    }
}

mod calibration {
    //! What was said to be likely against what then happened, on links that are drawn by chance.
    use super::*;

    struct Weather {
        rng: Rng,
        night_bytes_per_s: f64,
        dead_percent: u64,
        day_spread: f64,
        hour_spread: f64,
    }

    impl Weather {
        fn draw(seed: u64) -> Self {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let mut rng = Rng::new(bytes);
            Self {
                night_bytes_per_s: 20_000.0 + rng.below(400_000) as f64,
                dead_percent: rng.below(25),
                day_spread: rng.below(60) as f64 / 100.0,
                hour_spread: rng.below(80) as f64 / 100.0,
                rng,
            }
        }

        /// Draws about a normal number, by the sum of twelve even ones.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.rng.below(10_000) as f64 / 10_000.0).sum::<f64>() - 6.0
        }

        /// Gives what each hour of one day from 20:00 on carries.
        fn day(&mut self) -> [f64; 24] {
            let is_dead = self.rng.below(100) < self.dead_percent;
            let of_day = (self.normal() * self.day_spread).exp();
            std::array::from_fn(|hour| {
                let by_day = if (2..10).contains(&hour) { 1.0 } else { 0.3 };
                let noise = (1.0 + self.normal() * self.hour_spread).max(0.0);
                if is_dead { 0.0 } else { self.night_bytes_per_s * by_day * of_day * noise }
            })
        }
    }

    /// 20:00 local of a day after the history begins, milliseconds since 1970.
    fn evening(day: u64) -> u64 {
        NOW - 2 * HOUR + day * 24 * HOUR
    }

    fn learn(weather: &mut Weather, days: u64) -> LinkHistory {
        let mut history = LinkHistory::default();
        for day in 0..days {
            for (hour, rate) in (0..).zip(weather.day()) {
                let at = hour_of_week(evening(day) + hour * HOUR, 480);
                let busy = Some(rate).filter(|rate| *rate > 0.0);
                let up_share = if busy.is_some() { 1.0 } else { 0.0 };
                history.observe(at, SeenHour { up_share, busy_bytes_per_s: busy, is_wanted: true });
            }
            history.end_day();
        }
        history
    }

    /// Says whether so many bytes are through until so many hours after 20:00.
    fn is_through(rates: &[f64; 24], bytes: u64, hours: u64) -> bool {
        let carried: f64 = rates.iter().take(hours as usize).map(|rate| rate * 3_600.0).sum();
        carried >= bytes as f64
    }

    /// Gives, for each tenth of probability: how often it was said, and how often it came true.
    fn bins(days: u64) -> [(u32, f64, u32); 10] {
        let mut bins = [(0, 0.0, 0); 10];
        for seed in 0..600 {
            let mut weather = Weather::draw(seed);
            let history = learn(&mut weather, days);
            let rates = weather.day();
            for _ in 0..4 {
                let hours = 3 + weather.rng.below(20);
                let usual = weather.night_bytes_per_s * 3_600.0 * hours as f64;
                let bytes = (usual * weather.rng.below(1_500) as f64 / 1_000.0) as u64 + 1;
                let mut it =
                    night(vec![item(1, 0, 1, &[bytes])], vec![link(LEAD, history.clone())]);
                it.now_wall_ms = evening(days);
                it.items[0].deadline_wall_ms = Some(it.now_wall_ms + hours * HOUR);
                let said = make(&it).forecasts[0].probability;
                let bin = &mut bins[((said * 10.0) as usize).min(9)];
                bin.0 += 1;
                bin.1 += said;
                bin.2 += u32::from(is_through(&rates, bytes, hours));
            }
        }
        bins
    }

    #[test]
    fn what_is_said_to_be_likely_comes_true_as_often() {
        for days in [10, 40] {
            let bins = bins(days);
            let mut error = 0.0;
            for (count, said, true_count) in bins {
                let mean = said / f64::from(count.max(1));
                let is = f64::from(true_count) / f64::from(count.max(1));
                println!("{days} days: said {mean:.2} of {count:4}, came true {is:.2}");
                error += (mean - is).abs() * f64::from(count) / 2_400.0;
                assert!(count < 60 || (mean - is).abs() < 0.15, "said {mean:.2}, was {is:.2}");
            }
            println!("{days} days: mean error {error:.3}");
            assert!(error < 0.06, "mean error {error:.3}");
        }
    }
}

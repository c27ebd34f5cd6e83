//! What came out: counts that add up over alliances, and the figures made of them.

use super::preset::{Preset, Tier};

/// Lessons that a school was to teach on a day, and what its hub had of them at 07:00.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LessonCount {
    /// All that were published to be fetched.
    pub timetabled: u64,
    /// Sound and slides whole, verified byte by byte.
    pub at_floor: u64,
    /// The preferred tier whole, verified byte by byte.
    pub at_preferred: u64,
    /// Shown as ready, at the floor or the preferred tier, and not whole.
    pub false_green: u64,
}

impl LessonCount {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.timetabled += other.timetabled;
        self.at_floor += other.at_floor;
        self.at_preferred += other.at_preferred;
        self.false_green += other.false_green;
    }
}

/// One school at 07:00 of one day.
#[derive(Debug, Clone)]
pub struct SchoolNight {
    /// Number of the lead.
    pub lead: usize,
    /// Number of the hub in its alliance.
    pub hub: usize,
    /// Place in the preset's links.
    pub link: usize,
    /// School night, 0 first.
    pub night: u64,
    /// Whether it is off while others sync.
    pub is_off_at_night: bool,
    /// What it has.
    pub lessons: LessonCount,
}

/// How much was ready at an hour of a night, over all schools with a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourOfReadiness {
    /// Lessons of the coming day.
    pub timetabled: u64,
    /// Shown as ready at the floor.
    pub at_floor: u64,
    /// Shown as ready at the preferred tier.
    pub at_preferred: u64,
}

/// Bytes that hubs sent: what grows with the size of lessons, and what does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentBytes {
    /// Frames with pieces and manifests.
    pub blobs: u64,
    /// All others: greetings, credit, envelopes, who wants and who has what.
    pub others: u64,
}

/// A hub that did not have everything some hours after the last line was mended.
#[derive(Debug, Clone)]
pub struct Unhealed {
    /// Number of the lead.
    pub lead: usize,
    /// Number of the hub in its alliance.
    pub hub: usize,
    /// Place in the preset's links.
    pub link: usize,
    /// Contacts that it had then.
    pub contacts: usize,
}

/// What one alliance adds.
#[derive(Debug, Default)]
pub struct Part {
    /// Number of the lead.
    pub lead: usize,
    /// Schools and days.
    pub nights: Vec<SchoolNight>,
    /// By night and hour since noon.
    pub hours: Vec<HourOfReadiness>,
    /// Bytes of pieces and manifests that the lead sent.
    pub lead_sent_bytes: u64,
    /// Bytes of lessons that somebody with a line follows, once each.
    pub published_bytes: u64,
    /// Bytes that all hubs sent.
    pub sent_bytes: SentBytes,
    /// Bytes of pieces that receivers with a line got and hold, once each.
    pub useful_bytes: u64,
    /// Bytes that sticks carried.
    pub stick_bytes: u64,
    /// Sticks that were read.
    pub sticks: u64,
    /// Why something on a stick was not taken.
    pub stick_refusals: Vec<String>,
    /// Hubs that did not have everything in the end.
    pub unhealed: Vec<Unhealed>,
    /// Edits acknowledged to somebody, and missing somewhere or where they were made.
    pub lost_acknowledged: u64,
    /// Edits acknowledged.
    pub acknowledged: u64,
    /// What hubs raised the alarm for.
    pub alarms: u64,
    /// Hubs.
    pub hubs: usize,
}

/// What came out of a province. Bytes of lessons are simulated ones times the scale.
#[derive(Debug)]
pub struct Report {
    /// Name of the preset.
    pub preset: String,
    /// Names of the kinds of lines.
    pub links: Vec<String>,
    /// Kinds of lines that are no lines.
    pub links_without_line: Vec<bool>,
    /// School nights that were run.
    pub night_count: u64,
    /// All schools and days.
    pub nights: Vec<SchoolNight>,
    /// By night and hour since noon.
    pub hours: Vec<HourOfReadiness>,
    /// By lead: bytes sent, and bytes of lessons once each.
    pub leads: Vec<(usize, u64, u64)>,
    /// See [`Part`].
    pub sent_bytes: SentBytes,
    /// See [`Part`].
    pub useful_bytes: u64,
    /// See [`Part`].
    pub stick_bytes: u64,
    /// See [`Part`].
    pub sticks: u64,
    /// See [`Part`].
    pub stick_refusals: Vec<String>,
    /// See [`Part`].
    pub unhealed: Vec<Unhealed>,
    /// See [`Part`].
    pub lost_acknowledged: u64,
    /// See [`Part`].
    pub acknowledged: u64,
    /// See [`Part`].
    pub alarms: u64,
    /// Nodes that ran.
    pub hubs: usize,
    scale: u64,
}

impl Report {
    pub(super) fn new(preset: &Preset, night_count: u64) -> Self {
        Self {
            preset: preset.name.clone(),
            links: preset.links.iter().map(|link| link.name.clone()).collect(),
            links_without_line: preset.links.iter().map(|l| l.available_percent == 0).collect(),
            night_count,
            nights: Vec::new(),
            hours: vec![HourOfReadiness::default(); (night_count * 24) as usize],
            leads: Vec::new(),
            sent_bytes: SentBytes::default(),
            useful_bytes: 0,
            stick_bytes: 0,
            sticks: 0,
            stick_refusals: Vec::new(),
            unhealed: Vec::new(),
            lost_acknowledged: 0,
            acknowledged: 0,
            alarms: 0,
            hubs: 0,
            scale: preset.bytes_scale,
        }
    }

    pub(super) fn add(&mut self, part: Part) {
        self.nights.extend(part.nights);
        for (sum, hour) in self.hours.iter_mut().zip(part.hours) {
            sum.timetabled += hour.timetabled;
            sum.at_floor += hour.at_floor;
            sum.at_preferred += hour.at_preferred;
        }
        let scale = self.scale;
        self.leads.push((part.lead, part.lead_sent_bytes * scale, part.published_bytes * scale));
        self.leads.sort_unstable();
        self.sent_bytes.blobs += part.sent_bytes.blobs * scale;
        self.sent_bytes.others += part.sent_bytes.others;
        self.useful_bytes += part.useful_bytes * scale;
        self.stick_bytes += part.stick_bytes * scale;
        self.sticks += part.sticks;
        self.stick_refusals.extend(part.stick_refusals);
        self.unhealed.extend(part.unhealed);
        self.lost_acknowledged += part.lost_acknowledged;
        self.acknowledged += part.acknowledged;
        self.alarms += part.alarms;
        self.hubs += part.hubs;
    }

    /// Says whether a school has any line.
    fn has_line(&self, school: &SchoolNight) -> bool {
        !self.links_without_line[school.link]
    }

    /// Counts the lessons of schools that a rule picks, of those with a line.
    pub fn count(&self, is_counted: impl Fn(&SchoolNight) -> bool) -> LessonCount {
        let mut sum = LessonCount::default();
        let counted = self.nights.iter().filter(|school| self.has_line(school));
        counted.filter(|school| is_counted(school)).for_each(|school| sum.add(school.lessons));
        sum
    }

    /// Counts what was shown as ready and was not, in all schools, with a line or without.
    pub fn false_green(&self) -> u64 {
        self.nights.iter().map(|school| school.lessons.false_green).sum()
    }

    /// Gives the copies of a lesson that leads sent, over all leads.
    pub fn lead_copies_per_lesson(&self) -> f64 {
        let sent: u64 = self.leads.iter().map(|(_, sent, _)| sent).sum();
        let published: u64 = self.leads.iter().map(|(_, _, published)| published).sum();
        sent as f64 / published.max(1) as f64
    }

    /// Gives all bytes sent over the least that any way of sending needs: pieces times the scale,
    /// with the heads of their frames, and all other messages as long as they are.
    pub fn bytes_over_lower_bound(&self) -> f64 {
        let SentBytes { blobs, others } = self.sent_bytes;
        (blobs + others) as f64 / self.useful_bytes.max(1) as f64
    }

    /// Lists the schools with a line that had the least at 07:00, the worst first.
    pub fn slowest(&self, count: usize) -> Vec<&SchoolNight> {
        let mut schools: Vec<_> = self.nights.iter().filter(|it| self.has_line(it)).collect();
        let missing = |school: &SchoolNight| {
            let it = school.lessons;
            (it.timetabled - it.at_floor, it.timetabled - it.at_preferred)
        };
        schools.sort_by_key(|school| std::cmp::Reverse(missing(school)));
        schools.truncate(count);
        schools
    }

    /// Gives the report as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        let of = |name: &str, it: LessonCount| {
            format!(
                "{name:<12} {:>7} lessons, {:.4} at the floor, {:.4} as preferred, {} false green",
                it.timetabled,
                share(it.at_floor, it.timetabled),
                share(it.at_preferred, it.timetabled),
                it.false_green
            )
        };
        let mut lines = vec![
            format!("{}: {} hubs, {} school nights", self.preset, self.hubs, self.night_count),
            of("07:00", self.count(|_| true)),
        ];
        for (link, name) in self.links.iter().enumerate() {
            let is_of_it = |school: &&SchoolNight| school.link == link;
            let mut count = LessonCount::default();
            self.nights.iter().filter(is_of_it).for_each(|school| count.add(school.lessons));
            lines.push(of(name, count));
        }
        lines.push(of("off at night", self.count(|school| school.is_off_at_night)));
        for night in 0..self.night_count {
            lines.push(of(&format!("night {}", night + 1), self.count(|it| it.night == night)));
        }
        lines.push(format!(
            "leads sent {:.2} copies of a lesson; {:.3} bytes sent for a byte of use, {:.3} of \
             them no pieces; {} of {} edits lost; {} alarms",
            self.lead_copies_per_lesson(),
            self.bytes_over_lower_bound(),
            self.sent_bytes.others as f64 / self.useful_bytes.max(1) as f64,
            self.lost_acknowledged,
            self.acknowledged,
            self.alarms
        ));
        if self.sticks > 0 {
            let gib = self.stick_bytes as f64 / f64::from(1 << 30);
            let refusals = self.stick_refusals.len();
            let first = self.stick_refusals.first().map_or("", String::as_str);
            let sticks = self.sticks;
            lines
                .push(format!("{sticks} sticks brought {gib:.1} GiB; {refusals} refusals {first}"));
        }
        lines.extend(self.unhealed.iter().map(|it| {
            let link = &self.links[it.link];
            let (hub, lead, contacts) = (it.hub, it.lead, it.contacts);
            format!("behind in the end: hub {hub} of lead {lead} ({link}), {contacts} contacts")
        }));
        for school in self
            .slowest(10)
            .into_iter()
            .filter(|it| it.lessons.at_preferred < it.lessons.timetabled)
        {
            lines.push(format!(
                "slow: hub {} of lead {} ({}{}), night {}: {} lessons, {} at the floor, {} as \
                 preferred",
                school.hub,
                school.lead,
                self.links[school.link],
                if school.is_off_at_night { ", off at night" } else { "" },
                school.night + 1,
                school.lessons.timetabled,
                school.lessons.at_floor,
                school.lessons.at_preferred,
            ));
        }
        lines
    }
}

/// Lists the tiers whose readiness is judged.
pub(super) const fn judged(preferred: Tier) -> [Tier; 2] {
    [Tier::T0, preferred]
}

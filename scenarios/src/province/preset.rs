//! What a province is made of: a file of parameters, checked when it is read.

use serde::Deserialize;

/// The presets that come with the project, by name.
const BUILT_IN: [(&str, &str); 5] = [
    ("sichuan-2023", include_str!("../../presets/sichuan-2023.toml")),
    ("quanzhou", include_str!("../../presets/quanzhou.toml")),
    ("qingdao-1to1", include_str!("../../presets/qingdao-1to1.toml")),
    ("huanggang", include_str!("../../presets/huanggang.toml")),
    ("changyi", include_str!("../../presets/changyi.toml")),
];

/// A province. Percentages are of hubs unless the name says something else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// For the report.
    pub name: String,
    /// Of everything random.
    pub seed: u64,
    /// Lead schools, each with an alliance.
    pub leads: usize,
    /// Receiving schools in all.
    pub receivers: usize,
    /// Fewest and most receivers of one lead.
    pub receivers_per_lead: [usize; 2],
    /// Receivers that take a part of their lessons from another lead.
    pub second_alliance_percent: u64,
    /// Fewest and most pupils of a class.
    pub class_pupils: [u32; 2],
    /// Uplinks of leads in Mbit/s: 10th percentile, median, 90th.
    pub lead_uplink_mbps: [f64; 3],
    /// Hubs that are switched off with the building.
    pub power_off_percent: u64,
    /// From and until when, hours of the local day.
    pub power_off_hours: [f64; 2],
    /// Hubs with a power cut a week.
    pub power_cut_percent: u64,
    /// Hubs whose clock is wrong by up to ten years.
    pub clock_wild_percent: u64,
    /// Bits that rot on a hub's disk in a week.
    pub bit_flips_per_hub_week: f64,
    /// Things that a hub's people write in a day.
    pub edits_per_hub_day: u64,
    /// Local time, hours before UTC.
    pub utc_offset_hours: u64,
    /// One simulated byte stands for so many.
    pub bytes_scale: u64,
    /// One simulated piece stands for so many bytes.
    pub piece_bytes: u64,
    /// Rates of the tracks.
    pub tracks_kbps: Tracks,
    /// When lessons are published.
    pub published: Vec<Published>,
    /// Kinds of schools.
    pub stages: Vec<Stage>,
    /// Kinds of lines.
    pub links: Vec<Link>,
}

/// Rates of the tracks in kbit/s.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracks {
    /// Sound.
    pub audio: u64,
    /// Slides.
    pub slides: u64,
    /// Pictures of tier `t1`.
    pub video_360: u64,
    /// Pictures of tier `t2`.
    pub video_480: u64,
}

/// When a share of the lessons is published.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Of the lessons.
    pub percent: u64,
    /// Hours before 07:00 of the day on which they are taught: least and most.
    pub hours_before: [u64; 2],
}

/// A kind of schools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// For the report.
    pub name: String,
    /// Of the receivers.
    pub percent: u64,
    /// Remote lessons a school day.
    pub lessons_per_day: usize,
    /// Minutes of a lesson.
    pub lesson_minutes: u64,
    /// Of the lessons; these cannot be fetched before.
    pub live_percent: u64,
}

/// A kind of lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// For the report.
    pub name: String,
    /// Of the receivers.
    pub percent: u64,
    /// Nominal Mbit/s towards the hub; 0 is no line at all.
    pub down_mbps: f64,
    /// Nominal Mbit/s from the hub.
    pub up_mbps: f64,
    /// Round trip in milliseconds.
    pub rtt_ms: u64,
    /// Of the time.
    pub available_percent: u64,
    /// Mean length of an outage in minutes.
    pub outage_minutes: u64,
    /// The tier that these schools prefer.
    pub preferred: Tier,
    /// How sticks come to these schools, if they do.
    #[serde(default)]
    pub courier: Option<Courier>,
}

/// How sticks come to a school.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Courier {
    /// Days from one stick to the next, least and most.
    pub days: [u64; 2],
    /// What fits on one.
    pub gigabytes: u64,
    /// Hours of the local day at which it is written at the lead, and plugged in at the school.
    pub hours: [f64; 2],
}

/// A tier above the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Sound and slides.
    T0,
    /// And small pictures.
    T1,
    /// And larger pictures.
    T2,
}

/// Why a preset cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// There is none of that name.
    #[error("there is no preset {0:?}; there are: {1}")]
    Unknown(String, String),
    /// It is no valid TOML, or has other fields.
    #[error("the preset cannot be read: {0}")]
    Malformed(#[from] toml::de::Error),
    /// A value makes no sense.
    #[error("{0}")]
    OutOfBounds(&'static str),
}

impl Preset {
    /// Lists the names of the presets that come with the project.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Reads one of the presets that come with the project.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn named(name: &str) -> Result<Self, PresetError> {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name);
        let names = || Self::names().collect::<Vec<_>>().join(", ");
        let (_, text) = found.ok_or_else(|| PresetError::Unknown(name.to_owned(), names()))?;
        Self::read(text)
    }

    /// Reads a preset.
    ///
    /// # Errors
    /// If it is malformed or makes no sense.
    pub fn read(text: &str) -> Result<Self, PresetError> {
        let preset: Self = toml::from_str(text)?;
        preset.check()?;
        Ok(preset)
    }

    fn check(&self) -> Result<(), PresetError> {
        let refuse = |what| Err(PresetError::OutOfBounds(what));
        let [fewest, most] = self.receivers_per_lead;
        if self.leads == 0 || fewest > most || most > 200 {
            return refuse("allowed are leads with up to 200 receivers each");
        }
        if self.receivers < self.leads * fewest || self.receivers > self.leads * most {
            return refuse("so many receivers do not fit the leads");
        }
        let sums = [
            self.stages.iter().map(|stage| stage.percent).sum::<u64>(),
            self.links.iter().map(|link| link.percent).sum(),
            self.published.iter().map(|published| published.percent).sum(),
        ];
        if sums != [100; 3] {
            return refuse("the percentages of stages, links and published each add up to 100");
        }
        let is_odd = |it: &Courier| {
            let ([least, most], [written, read]) = (it.days, it.hours);
            !(1..=most).contains(&least) || !(0.0..read).contains(&written) || read > 24.0
        };
        if self.links.iter().filter_map(|link| link.courier.as_ref()).any(is_odd) {
            return refuse("a courier comes every 1 or more days, and arrives on the same day");
        }
        if self.bytes_scale == 0 || !(self.bytes_scale..=1 << 20).contains(&self.piece_bytes) {
            return refuse("allowed is a scale of at least 1 and pieces of at most 1 MiB");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_that_comes_with_the_project_can_be_read() {
        for name in Preset::names() {
            assert_eq!(Preset::named(name).unwrap().name, name);
        }
    }

    #[test]
    fn a_preset_that_makes_no_sense_is_refused_with_the_reason() {
        let text = include_str!("../../presets/sichuan-2023.toml");
        let wrong = text.replace("percent = 52", "percent = 53");
        assert!(Preset::read(&wrong).unwrap_err().to_string().contains("add up to 100"));
        let wrong = text.replace("receivers = 1600", "receivers = 160000");
        assert!(Preset::read(&wrong).unwrap_err().to_string().contains("do not fit"));
        assert!(Preset::named("atlantis").unwrap_err().to_string().contains("quanzhou"));
    }
}

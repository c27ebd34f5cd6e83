//! Plots of a report as SVG: readiness by hour, bytes by lead, copies per lesson, slowest schools.

use std::fmt::Write;

use super::report::Report;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// Room for titles and scales.
const MARGIN: f64 = 60.0;
/// Blue for the floor, orange for what is preferred: told apart without colour sight as well.
const COLOURS: [&str; 2] = ["#1f5fa8", "#d9822b"];
/// Schools that are listed.
const SLOWEST: usize = 30;

/// Draws every plot: the name of its file, and its content.
pub fn all(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        ("readiness_by_hour.svg", readiness_by_hour(report)),
        ("bytes_by_lead.svg", bytes_by_lead(report)),
        ("copies_by_lead.svg", copies_by_lead(report)),
        ("slowest_schools.svg", slowest_schools(report)),
    ]
}

fn readiness_by_hour(report: &Report) -> String {
    let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    // The run ends in the last morning, and not at noon.
    let seen = report.hours.iter().rposition(|hour| hour.timetabled > 0).map_or(0, |at| at + 1);
    let hours = || report.hours[..seen].iter();
    let floor = hours().map(|hour| share(hour.at_floor, hour.timetabled));
    let preferred = hours().map(|hour| share(hour.at_preferred, hour.timetabled));
    let mut plot = Plot::new(
        "Lessons of the coming day that can be taught, by hour from noon on",
        1.0,
        &["sound and slides", "preferred"],
    );
    plot.line(0, &floor.collect::<Vec<_>>());
    plot.line(1, &preferred.collect::<Vec<_>>());
    plot.end()
}

fn bytes_by_lead(report: &Report) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let sent: Vec<f64> = report.leads.iter().map(|(_, sent, _)| gib(*sent)).collect();
    let published: Vec<f64> = report.leads.iter().map(|(.., bytes)| gib(*bytes)).collect();
    let title = "GiB by lead: sent, and its lessons once";
    let mut plot = Plot::new(title, most(&sent), &["sent", "lessons once"]);
    plot.bars(0, &sent, 0.9);
    plot.bars(1, &published, 0.5);
    plot.end()
}

fn copies_by_lead(report: &Report) -> String {
    let copies =
        |(_, sent, published): &(usize, u64, u64)| *sent as f64 / (*published).max(1) as f64;
    let copies: Vec<f64> = report.leads.iter().map(copies).collect();
    let mut plot = Plot::new("Copies of a lesson that each lead sent", most(&copies), &["copies"]);
    plot.bars(0, &copies, 0.8);
    plot.end()
}

fn slowest_schools(report: &Report) -> String {
    let schools = report.slowest(SLOWEST);
    let missing = |at: fn(&super::LessonCount) -> u64| {
        let lacks = |it: &&super::SchoolNight| (it.lessons.timetabled - at(&it.lessons)) as f64;
        schools.iter().map(lacks).collect::<Vec<f64>>()
    };
    let (floor, preferred) = (missing(|it| it.at_floor), missing(|it| it.at_preferred));
    let title = "Lessons missing at 07:00 in the slowest schools, a bar a school and day";
    let mut plot = Plot::new(title, most(&preferred), &["not taught at all", "not as preferred"]);
    plot.bars(1, &preferred, 0.9);
    plot.bars(0, &floor, 0.5);
    plot.end()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(1.0, f64::max)
}

struct Plot {
    svg: String,
    most: f64,
}

impl Plot {
    fn new(title: &str, most: f64, legend: &[&str]) -> Self {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{MARGIN}\" y=\"24\" font-size=\"16\">{title}</text>\n"
        );
        for (i, (name, colour)) in legend.iter().zip(COLOURS).enumerate() {
            let x = MARGIN + 200.0 * i as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"47\">{name}</text>",
                x + 18.0
            );
        }
        let mut plot = Self { svg, most };
        for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let y = plot.y(most * tenth);
            let _ = writeln!(
                plot.svg,
                "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ccc\"/>\
                 <text x=\"8\" y=\"{:.1}\">{:.2}</text>",
                WIDTH - 20.0,
                y + 4.0,
                most * tenth
            );
        }
        plot
    }

    fn y(&self, value: f64) -> f64 {
        let room = HEIGHT - 2.0 * MARGIN;
        HEIGHT - MARGIN / 2.0 - room * (value / self.most).clamp(0.0, 1.0)
    }

    fn x(place: f64, count: usize) -> f64 {
        MARGIN + (WIDTH - MARGIN - 20.0) * place / count.max(1) as f64
    }

    fn line(&mut self, colour: usize, values: &[f64]) {
        let point = |(i, value): (usize, &f64)| {
            format!("{:.1},{:.1}", Self::x(i as f64, values.len()), self.y(*value))
        };
        let points: Vec<String> = values.iter().enumerate().map(point).collect();
        let _ = writeln!(
            self.svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"{}\"/>",
            COLOURS[colour],
            points.join(" ")
        );
    }

    fn bars(&mut self, colour: usize, values: &[f64], share: f64) {
        for (i, value) in values.iter().enumerate() {
            let (left, right) =
                (Self::x(i as f64, values.len()), Self::x(i as f64 + 1.0, values.len()));
            let width = (right - left) * share;
            let (x, y) = (left + (right - left - width) / 2.0, self.y(*value));
            let _ = writeln!(
                self.svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                 fill=\"{}\"/>",
                self.y(0.0) - y,
                COLOURS[colour]
            );
        }
    }

    fn end(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::province::{HourOfReadiness, Preset};

    #[test]
    fn hours_after_the_last_look_are_not_drawn_as_hours_without_lessons() {
        let mut report = Report::new(&Preset::named("changyi").unwrap(), 1);
        let all = HourOfReadiness { timetabled: 2, at_floor: 2, at_preferred: 1 };
        report.hours[..19].fill(all);
        let drawn = readiness_by_hour(&report);
        report.hours.truncate(19);
        assert_eq!(drawn, readiness_by_hour(&report));
    }
}

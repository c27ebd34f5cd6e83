//! Imports a file and says how right `seconds_left` was: `eta <file> <work folder> [workers]`.
//!
//! Each report is kept with its time; at the end each is compared with the time that was really
//! left. Prints a line every half minute of the import, and the worst and the median error of the
//! reports after the first minute. Only a quiet machine gives figures that mean anything.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use yingxue_codec::import::{
    EncoderChoice, ImportRequest, Observer, Progress, Stage, Tiers, import,
};
use yingxue_codec::{Ffmpeg, Limits};

/// Before that nothing is promised.
const FIRST_MINUTE: Duration = Duration::from_secs(60);
/// Between two lines of the table.
const LINE_EVERY: Duration = Duration::from_secs(30);

struct Report {
    at: Duration,
    stage: Stage,
    percent: u8,
    left: Option<Duration>,
}

struct Log {
    begun: Instant,
    reports: Mutex<Vec<Report>>,
}

impl Observer for Log {
    fn progress(&self, progress: Progress) {
        let Progress { stage, percent, seconds_left } = progress;
        let left = seconds_left.map(Duration::from_secs);
        let report = Report { at: self.begun.elapsed(), stage, percent, left };
        self.reports.lock().expect("no thread panics with it").push(report);
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, work_dir, rest @ ..] = &arguments[..] else {
        return Err("usage: eta <file> <work folder> [workers]".into());
    };
    let request = ImportRequest {
        ffmpeg: &Ffmpeg::find()?,
        source: Path::new(source),
        work_dir: Path::new(work_dir),
        workers: rest.first().map_or(Ok(2), |workers| workers.parse())?,
        limits: Limits::default(),
        encoder: EncoderChoice::Auto,
        tiers: Tiers::FIRST,
    };
    let log = Log { begun: Instant::now(), reports: Mutex::default() };
    import(&request, &log)?;
    print(&log.reports.into_inner()?, log.begun.elapsed());
    Ok(())
}

/// How wrong a report was: the time that it gave, over the time that was left, less one.
fn error(report: &Report, whole: Duration) -> Option<f64> {
    let left = whole.saturating_sub(report.at).as_secs_f64();
    (left > 0.0).then(|| report.left.map(|said| said.as_secs_f64() / left - 1.0)).flatten()
}

fn print(reports: &[Report], whole: Duration) {
    println!("the import took {:.0} s", whole.as_secs_f64());
    println!(
        "{:>6}  {:<8}  {:>3}  {:>6}  {:>6}  {:>6}",
        "at", "stage", "%", "said", "left", "error"
    );
    let mut next = Duration::ZERO;
    for report in reports.iter().filter(|report| report.left.is_some()) {
        if report.at < next {
            continue;
        }
        next = report.at + LINE_EVERY;
        let left = whole.saturating_sub(report.at).as_secs_f64();
        println!(
            "{:>6.0}  {:<8}  {:>3}  {:>6}  {:>6.0}  {:>5.0}%",
            report.at.as_secs_f64(),
            format!("{:?}", report.stage),
            report.percent,
            report.left.unwrap_or_default().as_secs(),
            left,
            error(report, whole).unwrap_or(0.0) * 100.0
        );
    }
    let later = reports.iter().filter(|report| report.at >= FIRST_MINUTE);
    let mut errors: Vec<f64> = later.filter_map(|r| error(r, whole)).map(f64::abs).collect();
    errors.sort_by(f64::total_cmp);
    match errors.last() {
        Some(worst) => println!(
            "after the first minute: median {:.0} %, worst {:.0} % of {} reports",
            errors[errors.len() / 2] * 100.0,
            worst * 100.0,
            errors.len()
        ),
        None => println!("it ended before a minute had passed, or said nothing"),
    }
}

//! `yingxue add`: uploads the files of a lesson and follows its import to the end.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::client::HubClient;
use super::upload::{Lesson, upload};
use super::{DataDir, word};

/// Between two looks at the job; percents change about as often.
const LOOK_DELAY: Duration = Duration::from_millis(500);

/// What `yingxue add` takes.
#[derive(Args)]
pub(crate) struct AddArgs {
    /// The lesson's files: a video or a sound with its subtitles, a presentation, a PDF or
    /// pictures (in this order) with a sound; at most 100
    #[arg(required = true, num_args = 1..=100)]
    files: Vec<PathBuf>,
    /// The lesson's title
    #[arg(long)]
    title: String,
    /// chinese, math, english, physics, chemistry, biology, history, geography, politics,
    /// science, music, art, pe, labour, it, other
    #[arg(long, default_value = "other")]
    subject: String,
    /// k (kindergarten) or 1 to 12
    #[arg(long, default_value = "1")]
    grade: String,
    /// Who teaches
    #[arg(long, default_value = "")]
    teacher: String,
    #[command(flatten)]
    hub: DataDir,
}

/// Uploads, follows, and says where the lesson is.
pub(crate) fn run(args: &AddArgs) -> Result<()> {
    let hub = args.hub.client()?;
    let lesson = Lesson {
        files: &args.files,
        title: &args.title,
        subject: &args.subject,
        grade: &args.grade,
        teacher: &args.teacher,
    };
    let mut line = ProgressLine::default();
    let id = upload(&hub, &lesson, &mut |sent, all| {
        let percent = sent.saturating_mul(100).checked_div(all).unwrap_or(100);
        line.show(&format!("uploading {percent} % of {:.1} MB", all as f64 / 1e6));
    })?;
    follow(&hub, &id, &mut |text| line.show(text))?;
    line.end();
    println!("{}/lessons/{id}", hub.url());
    Ok(())
}

/// Waits until a lesson's import has ended; `say` hears each new step.
pub(crate) fn follow(hub: &HubClient, lesson: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
    loop {
        let seen = hub.get(&format!("/lessons/{lesson}"))?;
        let job = &seen["job"];
        match (word(&seen, "status"), word(job, "state")) {
            // What is still made then is a finer picture, which the class need not wait for.
            _ if word(job, "kind") == "import-480" => return Ok(()),
            ("ready", "") | (_, "done") => return Ok(()),
            ("failed", _) | (_, "failed") => bail!("{}", failure(job)),
            (_, "cancelled") => bail!("the import was cancelled"),
            _ if word(job, "paused") == "class" => say("waiting: a class is on"),
            (_, "queued") => say("waiting for the lesson before it"),
            _ => say(&format!("{} {} %", stage(word(job, "stage")), job["percent"])),
        }
        std::thread::sleep(LOOK_DELAY);
    }
}

fn failure(job: &Value) -> &str {
    job["error"]["detail"].as_str().unwrap_or("the import failed; the hub's log says why")
}

fn stage(stage: &str) -> &str {
    match stage {
        "probe" => "looking at the file",
        "source" => "preparing the original",
        "audio" => "encoding the sound",
        "video" => "encoding the picture",
        "video_480" => "encoding the finer picture",
        "store" => "storing",
        _ => "importing",
    }
}

/// One line that is written over on a terminal; elsewhere each new text is a line.
#[derive(Default)]
struct ProgressLine {
    last: String,
}

impl ProgressLine {
    fn show(&mut self, text: &str) {
        if text == self.last {
            return;
        }
        let mut out = std::io::stderr();
        // A terminal that is gone does not end an upload.
        let _ = if out.is_terminal() {
            write!(out, "\r\x1b[K{text}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{text}")
        };
        text.clone_into(&mut self.last);
    }

    fn end(&mut self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

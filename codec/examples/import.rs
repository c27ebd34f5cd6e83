//! Imports a file into a folder and prints its tracks and playlists.
//!
//! `cargo run --release -p yingxue-codec --example import -- [--rav1e] [--video-480] lesson.mp4
//! out`

use std::path::PathBuf;
use std::time::Instant;

use yingxue_codec::import::{EncoderChoice, ImportRequest, Observer, Progress, Tiers, import};
use yingxue_codec::{Ffmpeg, Limits, playlist};

struct Console;

impl Observer for Console {
    fn progress(&self, p: Progress) {
        let left = p.seconds_left.map_or(String::new(), |s| format!(", {s} s left"));
        eprintln!("{:?}: {} %{left}", p.stage, p.percent);
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, paths): (Vec<PathBuf>, Vec<PathBuf>) = std::env::args_os()
        .skip(1)
        .map(PathBuf::from)
        .partition(|argument| argument.to_string_lossy().starts_with("--"));
    let [source, work_dir] = &paths[..] else {
        return Err("usage: import [--rav1e] [--video-480] <file> <folder>".into());
    };
    let has = |flag: &str| flags.iter().any(|one| one.as_os_str() == flag);
    let encoder = if has("--rav1e") { EncoderChoice::Rav1e } else { EncoderChoice::Auto };
    let tiers = if has("--video-480") { Tiers::ALL } else { Tiers::FIRST };
    let ffmpeg = Ffmpeg::find()?;
    let workers = std::thread::available_parallelism()?.get();
    let limits = Limits::default();
    let started = Instant::now();
    let request =
        ImportRequest { ffmpeg: &ffmpeg, source, work_dir, workers, limits, encoder, tiers };
    let imported = import(&request, &Console)?;
    println!("{} ms in {:.1} s", imported.duration_ms, started.elapsed().as_secs_f64());
    for track in &imported.tracks {
        let info = &track.info;
        println!(
            "{}: {} {}x{} {} segments, {} bytes, {}/{} kbit/s, description {} bytes",
            info.kind,
            info.codecs,
            info.width.unwrap_or(0),
            info.height.unwrap_or(0),
            info.segments.len(),
            info.total_bytes(),
            info.bandwidth_avg_bits_per_s / 1000,
            info.bandwidth_peak_bits_per_s / 1000,
            info.encode().len(),
        );
        let text = playlist::media(info, &format!("{}.mp4", info.kind), |_| true);
        std::fs::write(work_dir.join(format!("{}.m3u8", info.kind)), text)?;
    }
    let tracks = imported.tracks.iter().map(|track| playlist::MasterTrack {
        info: &track.info,
        uri: format!("{}.m3u8", track.info.kind),
    });
    let master = playlist::master(&tracks.collect::<Vec<_>>());
    if let Some(master) = master {
        print!("{master}");
        std::fs::write(work_dir.join("master.m3u8"), master)?;
    }
    if let Some(poster) = imported.poster_jpeg {
        std::fs::write(work_dir.join("poster.jpg"), poster)?;
    }
    Ok(())
}

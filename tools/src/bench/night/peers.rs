//! Ours beside what a school could take instead: `vs_syncthing_vsat`, `vs_rsync_vsat`,
//! `vs_rsync_vsat_bbr`.
//!
//! The same 50 MB in 500 files over four satellites at once, one for each, all alike: the
//! transfers begin together and do not meet. Theirs with the kernel's usual cubic, because that
//! is what Debian's programs get on Debian; rsync once more with BBR. Each is timed from its
//! first contact until every file is whole on the other side. Ours are 500 lessons: their
//! documents are sent, checked and stored as well.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::blobs::{Arrival, arrive};
use super::lab::{Lab, need};
use super::pair::Pair;
use super::{rsync, syncthing};
use crate::bench::figures::{Figures, leave_out, say};
use crate::bench::seed;

/// Files, and in `--quick`.
const FILES: [usize; 2] = [500, 50];
/// 50 MB in all.
pub const FILE_BYTES: usize = 100_000;
/// An hour and a half: with cubic 1 % of loss leaves about 0.4 Mbit/s.
pub const TRANSFER_MAX: Duration = Duration::from_secs(5_400);
/// What the machine lets namespaces choose.
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";

/// One way to carry the files: gives the seconds that it took.
type Carry = fn(&Lab, usize) -> Result<f64>;

/// Measures all four at once.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    need("rsync", "rsync")?;
    need("syncthing", "syncthing")?;
    let files = lab.pick(FILES);
    say(&format!("{files} files over four satellites; this takes a long time"));
    let _allowed = Allowed::with("cubic")?;
    let carriers: [(&str, Carry); 4] = [
        ("ours", ours),
        ("rsync_bbr", |lab, files| rsync::seconds(lab, files, "bbr")),
        ("rsync", |lab, files| rsync::seconds(lab, files, "cubic")),
        ("syncthing", |lab, files| syncthing::seconds(lab, files, "cubic")),
    ];
    let seconds: Vec<Result<f64>> = thread::scope(|scope| {
        let threads = carriers.map(|(_, carry)| scope.spawn(move || carry(lab, files)));
        let end = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a measurement panicked")))
        };
        threads.into_iter().map(end).collect()
    });
    for ((name, _), seconds) in carriers.iter().zip(&seconds) {
        match seconds {
            Ok(seconds) => figures.put(&format!("files_vsat_{name}_s"), *seconds),
            Err(error) => leave_out(&format!("files_vsat_{name}_s"), error),
        }
    }
    let [Ok(ours), bbr, cubic, syncthing] = seconds.as_slice() else {
        return Err(anyhow!("ours did not arrive: there is nothing to compare with"));
    };
    let ratios =
        [("vs_syncthing_vsat", syncthing), ("vs_rsync_vsat", cubic), ("vs_rsync_vsat_bbr", bbr)];
    for (name, theirs) in ratios {
        if let Ok(theirs) = theirs {
            figures.put(name, theirs / ours);
        }
    }
    Ok(())
}

fn ours(lab: &Lab, files: usize) -> Result<f64> {
    let folder = lab.folder("files-ours")?;
    let pair = Pair::make(lab, &folder, &["--preset", "vsat"])?;
    let size = (FILE_BYTES, FILE_BYTES);
    let lessons = seed::tracks(&pair.lead.data, &pair.lead_addresses(), files, size)?;
    let [lead, rural] = pair.meet()?;
    let begin = Instant::now();
    let arrival = Arrival { name: Some("ours") };
    arrive(&rural.api, &lessons, (files * FILE_BYTES) as u64, TRANSFER_MAX, &arrival)?;
    let seconds = begin.elapsed().as_secs_f64();
    say(&format!("ours: {seconds:.1} s"));
    rural.process.stop()?;
    lead.process.stop()?;
    Ok(seconds)
}

/// Writes the files that others carry: as many, as long, and as little to be compressed.
pub fn write_files(folder: &Path, files: usize) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for n in 0..files {
        let noise = seed::noise_from(u64::MAX - n as u64, FILE_BYTES);
        std::fs::write(folder.join(format!("{n}.mp4")), noise).context("write a file")?;
    }
    Ok(())
}

/// Lets namespaces choose a congestion control, as long as it lives.
struct Allowed(String);

impl Allowed {
    fn with(name: &str) -> Result<Self> {
        let before = std::fs::read_to_string(ALLOWED).context(ALLOWED)?;
        let allowed = Self(before.trim().to_owned());
        if !allowed.0.split(' ').any(|one| one == name) {
            let both = format!("{} {name}", allowed.0);
            std::fs::write(ALLOWED, both).with_context(|| format!("{ALLOWED}: allow {name}"))?;
        }
        Ok(allowed)
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        let _ = std::fs::write(ALLOWED, &self.0);
    }
}

//! Real little files for the tests of imports, made by ffmpeg.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Makes a file in `folder` with ffmpeg; `arguments` are cut at spaces and end before the output.
pub fn make(folder: &TempDir, name: &str, arguments: &str) -> PathBuf {
    let path = folder.path().join(name);
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .status()
        .unwrap();
    assert!(done.success(), "ffmpeg could not make {name}");
    path
}

//! Presentations become PDF by LibreOffice, a child that opens a teacher's file: no macros, no
//! links, a profile of its own, and no network where the system lets us take it away.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{DocumentError, DocumentRequest, detect, empty_folder, last_words};
use crate::child::{Child, ChildError};
use crate::ffmpeg::Limits;
use crate::import::ImportError;

/// How long a conversion may take, in milliseconds: 300 pages of photos took half a minute.
const CONVERT_TIMEOUT_MS: u64 = 240_000;
/// Its CPU time, in seconds: what ends a conversion whose hub was killed.
const CONVERT_CPU_S: u64 = 300;
/// The largest file that it may write, in bytes: a PDF of 300 photos, and twice that.
const PDF_BYTES_MAX: u64 = 1 << 30;
/// What it prints: a line for the file.
const WORDS_BYTES_MAX: usize = 64 << 10;
/// The settings of its profile: macros never run, links are never followed, and whatever would go
/// out anyway goes to a proxy that is not there.
const SETTINGS: [(&str, &str, &str); 9] = [
    ("Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    ("Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("Office.Common/Security/Scripting", "DisableActiveContent", "true"),
    ("Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("Inet/Settings", "ooInetProxyType", "2"),
    ("Inet/Settings", "ooInetHTTPProxyName", "127.0.0.1"),
    ("Inet/Settings", "ooInetHTTPProxyPort", "9"),
    ("Inet/Settings", "ooInetHTTPSProxyName", "127.0.0.1"),
    ("Inet/Settings", "ooInetHTTPSProxyPort", "9"),
];

/// Converts the presentation, or finds what an earlier call converted.
pub(super) fn convert(
    request: &DocumentRequest,
    source: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<PathBuf, ImportError> {
    let pdf = request.work_dir.join("document.pdf");
    if pdf.is_file() {
        return Ok(pdf);
    }
    let ending = detect::check_presentation(source)?;
    let soffice = request.programs.soffice()?;
    // Asked for before the long part.
    request.programs.pdftoppm()?;
    let folder = empty_folder(request.work_dir.join("office"))?;
    let folder = fs::canonicalize(folder)?;
    // LibreOffice goes by the ending, and a name of our own is no option.
    let named = folder.join(format!("document.{ending}"));
    std::os::unix::fs::symlink(fs::canonicalize(source)?, &named)?;
    write_profile(&folder.join("profile/user"))?;
    let limits = Limits {
        stall_timeout_ms: CONVERT_TIMEOUT_MS,
        child_file_bytes: PDF_BYTES_MAX,
        child_cpu_s: Some(CONVERT_CPU_S),
        ..request.limits.clone()
    };
    let (program, arguments) = command(request, soffice, &folder, &named, is_cancelled);
    let child = Child::start(&program, &arguments, &limits);
    let said = child.and_then(|child| child.read_all(WORDS_BYTES_MAX, is_cancelled));
    let said = said.map_err(|error| match error {
        ChildError::Cancelled => ImportError::Cancelled,
        error => DocumentError::Convert(last_words(&error)).into(),
    })?;
    tracing::debug!(said = %String::from_utf8_lossy(&said), "LibreOffice");
    let made = folder.join("document.pdf");
    let is_made = fs::metadata(&made).is_ok_and(|made| made.len() > 0);
    if !is_made {
        let reason = "it is damaged, or opens with a password only";
        return Err(DocumentError::Convert(reason.into()).into());
    }
    fs::File::open(&made)?.sync_all()?;
    fs::rename(&made, &pdf)?;
    fs::remove_dir_all(&folder)?;
    Ok(pdf)
}

fn command(
    request: &DocumentRequest,
    soffice: &Path,
    folder: &Path,
    named: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> (PathBuf, Vec<OsString>) {
    let mut arguments: Vec<OsString> = vec![
        format!("-env:UserInstallation={}", file_url(&folder.join("profile"))).into(),
        "--headless".into(),
        "--norestore".into(),
        "--nolockcheck".into(),
        "--nodefault".into(),
        "--nologo".into(),
        "--convert-to".into(),
        "pdf".into(),
        "--outdir".into(),
        folder.into(),
        named.into(),
    ];
    let alone = ["--user", "--map-current-user", "--net", "--"].map(OsString::from);
    let Some(unshare) = &request.programs.unshare else { return (soffice.into(), arguments) };
    let trial = [&alone[..], &["true".into()]].concat();
    let child = Child::start(unshare, &trial, &request.limits);
    if let Err(error) = child.and_then(|child| child.read_all(WORDS_BYTES_MAX, is_cancelled)) {
        tracing::info!(%error, "LibreOffice runs with the network; its settings forbid its use");
        return (soffice.into(), arguments);
    }
    arguments.splice(0..0, alone.into_iter().chain([soffice.into()]));
    (unshare.into(), arguments)
}

fn write_profile(folder: &Path) -> std::io::Result<()> {
    let item = |(path, name, value): &(&str, &str, &str)| {
        format!(
            "<item oor:path=\"/org.openoffice.{path}\"><prop oor:name=\"{name}\" \
             oor:op=\"fuse\"><value>{value}</value></prop></item>\n"
        )
    };
    let items: String = SETTINGS.iter().map(item).collect();
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<oor:items \
         xmlns:oor=\"http://openoffice.org/2001/registry\">\n{items}</oor:items>\n"
    );
    fs::create_dir_all(folder)?;
    fs::write(folder.join("registrymodifications.xcu"), text)
}

/// RFC 8089, with everything escaped that is not plain.
fn file_url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            byte => url += &format!("%{byte:02X}"),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_urls() {
        assert_eq!(file_url(Path::new("/a b/课%")), "file:///a%20b/%E8%AF%BE%25");
    }
}

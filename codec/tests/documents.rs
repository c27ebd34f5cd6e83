//! Documents in, lessons out: by the real LibreOffice, poppler and ffmpeg, which `tools/test`
//! installs.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use yingxue_codec::document::{DocumentKind, DocumentRequest, Programs, detect, import};
use yingxue_codec::import::{FinishedTrack, ImportError, Imported, Observer, Progress};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits, decode, scan};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

#[derive(Default)]
struct Watcher {
    percents: Mutex<Vec<u8>>,
    told: Mutex<Vec<TrackKind>>,
    cancel_at: Option<u8>,
    is_cancelled: AtomicBool,
}

impl Observer for Watcher {
    fn progress(&self, progress: Progress) {
        self.percents.lock().unwrap().push(progress.percent);
        if self.cancel_at.is_some_and(|percent| progress.percent >= percent) {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    fn track_finished(&self, track: &FinishedTrack) {
        self.told.lock().unwrap().push(track.info.kind);
    }
}

struct Input<'a> {
    sources: Vec<&'a Path>,
    sound: Option<&'a Path>,
    programs: Programs,
}

impl<'a> Input<'a> {
    fn of(sources: &[&'a Path]) -> Self {
        Self { sources: sources.to_vec(), sound: None, programs: Programs::find() }
    }

    fn import(&self, folder: &TempDir, watcher: &Watcher) -> Result<Imported, ImportError> {
        let request = DocumentRequest {
            ffmpeg: &Ffmpeg::find().unwrap(),
            programs: &self.programs,
            sources: &self.sources,
            sound: self.sound,
            page_starts_ms: None,
            work_dir: &folder.path().join("work"),
            workers: 2,
            limits: Limits::default(),
        };
        import(&request, watcher)
    }

    fn lesson(&self, folder: &TempDir) -> Imported {
        self.import(folder, &Watcher::default()).unwrap()
    }

    fn refusal(&self, folder: &TempDir) -> (&'static str, String) {
        let error = self.import(folder, &Watcher::default()).unwrap_err();
        (error.code(), error.to_string())
    }
}

/// A PDF of pages with their number on it; low ones, which are encoded quickly.
fn pdf(folder: &TempDir, pages: usize) -> PathBuf {
    let kids: String = (0..pages).map(|n| format!("{} 0 R ", 4 + 2 * n)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {pages} >>"),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for n in 0..pages {
        let words = format!("BT /F1 14 Tf 20 4 Td ({}) Tj ET", n + 1);
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 320 18] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * n
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{words}\nendstream", words.len()));
    }
    let mut text = "%PDF-1.4\n".to_owned();
    let mut index = String::new();
    for (n, object) in objects.iter().enumerate() {
        index += &format!("{:010} 00000 n \n", text.len());
        text += &format!("{} 0 obj\n{object}\nendobj\n", n + 1);
    }
    let (start, count) = (text.len(), objects.len() + 1);
    text += &format!(
        "xref\n0 {count}\n0000000000 65535 f \n{index}trailer << /Size {count} /Root 1 0 R >>\n\
         startxref\n{start}\n%%EOF\n"
    );
    let path = folder.path().join(format!("{pages}.pdf"));
    fs::write(&path, text).unwrap();
    path
}

fn track(imported: &Imported, kind: TrackKind) -> &FinishedTrack {
    imported.tracks.iter().find(|track| track.info.kind == kind).unwrap()
}

fn durations(track: &FinishedTrack) -> Vec<u32> {
    track.info.segments.iter().map(|segment| segment.duration_ticks).collect()
}

/// The mean brightness of each slide's middle.
fn levels(track: &FinishedTrack) -> Vec<u8> {
    let bytes = fs::read(&track.path).unwrap();
    let pages = scan::samples(&bytes).unwrap();
    let middle = |sample: &&[u8]| {
        let page = decode::still(sample).unwrap();
        page.luma()[(page.height() / 2 * page.width() + page.width() / 2) as usize]
    };
    pages.iter().map(middle).collect()
}

#[test]
fn a_pdf_becomes_slides_that_are_spread_over_attached_sound() {
    let folder = tempfile::tempdir().unwrap();
    let source = pdf(&folder, 3);
    assert_eq!(detect(&source).unwrap(), Some(DocumentKind::Pdf));
    let sound = make(&folder, "sound.wav", "-f lavfi -i sine=440:d=6");
    let watcher = Watcher::default();
    let input = Input { sound: Some(&sound), ..Input::of(&[&source]) };
    let lesson = input.import(&folder, &watcher).unwrap();
    let audio_ms = track(&lesson, TrackKind::Audio).info.duration_ms();
    assert!(audio_ms.abs_diff(6000) <= 60 && lesson.duration_ms == audio_ms);
    let slides = track(&lesson, TrackKind::Slides);
    assert_eq!((slides.info.width, slides.info.height), (Some(1920), Some(108)));
    assert!(durations(slides).iter().all(|ms| ms.abs_diff(2000) <= 21), "{:?}", durations(slides));
    assert_eq!(durations(track(&lesson, TrackKind::Thumbs)), [audio_ms as u32]);
    assert!(lesson.poster_jpeg.as_ref().unwrap().starts_with(&[0xff, 0xd8]));
    assert!((6..=7).contains(&lesson.peaks.len()) && lesson.peaks[0] > 100, "{:?}", lesson.peaks);
    let told = watcher.told.lock().unwrap().clone();
    assert_eq!(told, [TrackKind::Audio, TrackKind::Slides, TrackKind::Thumbs]);
    let percents = watcher.percents.lock().unwrap();
    assert!(percents.is_sorted() && percents.last() == Some(&100), "{percents:?}");
    // A call after the end only reads.
    assert_eq!(input.lesson(&folder), lesson);
}

#[test]
fn an_import_that_was_cut_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let source = pdf(&folder, 4);
    let input = Input::of(&[&source]);
    let cut = Watcher { cancel_at: Some(30), ..Watcher::default() };
    assert_eq!(input.import(&folder, &cut).unwrap_err().code(), "cancelled");
    let segments = folder.path().join("work/slides.segments/00000");
    let made = fs::metadata(&segments).unwrap().modified().unwrap();
    let resumed = input.lesson(&folder);
    let other = tempfile::tempdir().unwrap();
    let whole = input.lesson(&other);
    assert_eq!(resumed.duration_ms, 40_000);
    for (a, b) in resumed.tracks.iter().zip(&whole.tracks) {
        assert_eq!(fs::read(&a.path).unwrap(), fs::read(&b.path).unwrap());
        assert!(made <= fs::metadata(&a.path).unwrap().modified().unwrap());
    }
}

#[test]
fn bad_pdf_files_are_refused_before_a_page_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = Input::of(&[&pdf(&folder, 2000)]).refusal(&folder);
    assert_eq!(code, "too_many_pages");
    assert!(text.contains("2000 pages") && text.contains("300"), "{text}");
    let path = folder.path().join("bad.pdf");
    fs::write(&path, "%PDF-1.4\nnothing").unwrap();
    assert_eq!(Input::of(&[&path]).refusal(&folder).0, "broken_pdf");
    let source = pdf(&folder, 1);
    let input = Input { programs: Programs::default(), ..Input::of(&[&source]) };
    let (code, text) = input.refusal(&folder);
    assert!(code == "no_poppler" && text.contains("poppler-utils"), "{text}");
    let wav = make(&folder, "mute.mp4", "-f lavfi -i color=s=64x48:d=1 -c:v mpeg4");
    let input = Input { sound: Some(&wav), ..Input::of(&[&source]) };
    assert_eq!(input.refusal(&folder).0, "no_sound");
}

#[test]
fn pictures_and_archives_of_pictures_become_slides_in_natural_order() {
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str, colour: &str, size: &str| {
        make(&folder, name, &format!("-f lavfi -i color={colour}:s={size} -frames:v 1"))
    };
    let pages = [
        page("page 10.png", "white", "64x48"),
        page("page 2.jpg", "gray", "48x64"),
        page("page 1.webp", "black", "61x31"),
    ];
    let archive = folder.path().join("pages.zip");
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "not a page").unwrap();
    let done = Command::new("zip").args(["-jq"]).arg(&archive).args(&pages).arg(&notes).status();
    assert!(done.expect("`tools/test` installs zip").success());
    assert_eq!(detect(&archive).unwrap(), Some(DocumentKind::PictureArchive));
    let lesson = Input::of(&[&archive]).lesson(&folder);
    let slides = track(&lesson, TrackKind::Slides);
    assert_eq!(durations(slides), [10_000; 3]);
    assert_eq!((slides.info.width, slides.info.height), (Some(64), Some(64)));
    let levels = levels(slides);
    assert!(levels[0] < 30 && levels[1].abs_diff(126) < 12 && levels[2] > 220, "{levels:?}");
    let codes: Vec<_> = lesson.notes.iter().map(|note| note.code).collect();
    assert_eq!(codes, ["pages_kept", "others_left_out"]);

    let sources: Vec<&Path> = pages.iter().map(PathBuf::as_path).collect();
    let lesson = Input::of(&sources).lesson(&folder);
    assert_eq!(track(&lesson, TrackKind::Slides).info.segments.len(), 3);
    assert_eq!(Input::of(&[&pages[0], &archive]).refusal(&folder).0, "mixed_files");
}

#[test]
fn bad_pictures_and_archives_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upload");
    let refused = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        Input::of(&[&path]).refusal(&folder)
    };
    assert_eq!(refused(b"PK\x03\x04 and then nothing").0, "broken_zip");
    let empty = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(refused(empty).0, "no_pages");
    let (code, text) = refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    assert!(code == "unsupported_document" && text.contains("JPEG"), "{text}");
    assert_eq!(refused(b"\xff\xd8\xff\xe0 no picture").0, "broken_page");
    // A PNG that claims 60000×60000.
    let png = make(&folder, "a.png", "-f lavfi -i color=red:s=64x64 -frames:v 1");
    let mut bytes = fs::read(png).unwrap();
    bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    assert_eq!(refused(&bytes).0, "broken_page");
}

/// Replaces a part of a presentation with the system's `zip`.
fn put(archive: &Path, folder: &Path, name: &str, content: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, content).unwrap();
    let done = Command::new("zip").current_dir(folder).arg("-q").arg(archive).arg(name).status();
    assert!(done.unwrap().success());
}

fn get(archive: &Path, name: &str) -> String {
    let output = Command::new("unzip").arg("-p").arg(archive).arg(name).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

const FLAT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:xlink="http://www.w3.org/1999/xlink"
 xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" office:version="1.2"
 office:mimetype="application/vnd.oasis.opendocument.presentation">
<office:body><office:presentation>
<draw:page draw:name="one"><draw:frame svg:width="20cm" svg:height="3cm" svg:x="2cm" svg:y="2cm">
<draw:text-box><text:p>第一课</text:p></draw:text-box></draw:frame></draw:page>
<draw:page draw:name="two"/>
</office:presentation></office:body></office:document>"#;

/// Lets LibreOffice itself make a presentation with two pages.
fn presentation(folder: &TempDir, soffice: &Path, format: &str) -> PathBuf {
    let flat = folder.path().join("lesson.fodp");
    fs::write(&flat, FLAT).unwrap();
    let profile = format!("-env:UserInstallation=file://{}/profile", folder.path().display());
    let done = Command::new(soffice)
        .args([&profile, "--headless", "--convert-to", format, "--outdir"])
        .arg(folder.path())
        .arg(&flat)
        .output()
        .unwrap();
    assert!(done.status.success());
    folder.path().join(format!("lesson.{format}"))
}

#[test]
fn presentations_become_slides_and_their_links_are_never_followed() {
    let programs = Programs::find();
    let soffice = programs.soffice.as_ref().expect("`tools/test` installs LibreOffice");
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/picture.png", listener.local_addr().unwrap());
    let pptx = presentation(&folder, soffice, "pptx");
    // The picture of the second page comes from elsewhere.
    let relations = "ppt/slides/_rels/slide2.xml.rels";
    let text = get(&pptx, relations).replace(
        "</Relationships>",
        &format!(
            "<Relationship Id=\"rIdX\" Type=\"http://schemas.openxmlformats.org/officeDocument/\
             2006/relationships/image\" Target=\"{url}\" TargetMode=\"External\"/></Relationships>"
        ),
    );
    put(&pptx, folder.path(), relations, &text);
    let slide = "ppt/slides/slide2.xml";
    let picture = "<p:pic><p:nvPicPr><p:cNvPr id=\"9\" name=\"x\"/><p:cNvPicPr/><p:nvPr/>\
                   </p:nvPicPr><p:blipFill><a:blip r:link=\"rIdX\"/><a:stretch><a:fillRect/>\
                   </a:stretch></p:blipFill><p:spPr><a:xfrm><a:off x=\"0\" y=\"0\"/>\
                   <a:ext cx=\"3000000\" cy=\"3000000\"/></a:xfrm><a:prstGeom prst=\"rect\">\
                   <a:avLst/></a:prstGeom></p:spPr></p:pic></p:spTree>";
    put(&pptx, folder.path(), slide, &get(&pptx, slide).replace("</p:spTree>", picture));
    assert_eq!(detect(&pptx).unwrap(), Some(DocumentKind::Presentation));
    let without_unshare = Programs { unshare: None, ..programs.clone() };
    let input = Input { programs: without_unshare, ..Input::of(&[&pptx]) };
    let lesson = input.lesson(&folder);
    assert_eq!(durations(track(&lesson, TrackKind::Slides)), [10_000; 2]);
    assert_eq!(lesson.notes[1].code, "presentation_flattened");
    let mut seen = Vec::new();
    if let Ok((mut stream, _)) = listener.accept() {
        let _ = stream.read_to_end(&mut seen);
        panic!("a link was followed: {}", String::from_utf8_lossy(&seen));
    }
    assert!(!folder.path().join("work/office").exists(), "nothing is left behind");
}

#[test]
fn presentations_without_libreoffice_with_a_password_and_damaged_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lesson.pptx");
    let mut content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    content.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    fs::write(&path, &content).unwrap();
    assert_eq!(Input::of(&[&path]).refusal(&folder).0, "encrypted");
    let mut content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    content.extend("PowerPoint Document".encode_utf16().flat_map(u16::to_le_bytes));
    fs::write(&path, &content).unwrap();
    let none = Programs { soffice: None, ..Programs::find() };
    let (code, text) = Input { programs: none, ..Input::of(&[&path]) }.refusal(&folder);
    assert!(code == "no_libreoffice" && text.contains("libreoffice-impress"), "{text}");
    // A LibreOffice that hangs is ended with all that it started, when the teacher cancels.
    let script = folder.path().join("soffice.sh");
    fs::write(
        &script,
        format!(
            "#!/bin/sh\necho $$ >{0}/pid\nsleep 600 & echo $! >{0}/pid2\nwait\n",
            folder.path().display()
        ),
    )
    .unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let hanging = Programs { soffice: Some(script), unshare: None, ..Programs::find() };
    let input = Input { programs: hanging, ..Input::of(&[&path]) };
    let second = folder.path().join("pid2");
    let watcher = Watcher::default();
    let outcome = std::thread::scope(|scope| {
        let running = scope.spawn(|| input.import(&folder, &watcher));
        while fs::read_to_string(&second).unwrap_or_default().is_empty() {
            assert!(!running.is_finished(), "it must hang");
            std::thread::yield_now();
        }
        watcher.is_cancelled.store(true, Ordering::Relaxed);
        running.join().unwrap()
    });
    assert_eq!(outcome.unwrap_err().code(), "cancelled");
    // It was killed, and is gone as soon as the system has swept it up.
    let pid = fs::read_to_string(&second).unwrap();
    let status = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(&status).is_ok_and(|status| !status.contains(") Z ")) {
        assert!(Instant::now() < deadline, "still running");
        std::thread::yield_now();
    }
}

//! What recorders, phones and PCs make: every kind of file goes through, bad ones are refused in
//! words, within bounds.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use yingxue_codec::check::{Severity, check};
use yingxue_codec::import::{
    EncoderChoice, ImportError, ImportRequest, Imported, Observer, Progress, Tiers, import,
};
use yingxue_codec::probe::probe;
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

struct Quiet;

impl Observer for Quiet {
    fn progress(&self, _: Progress) {}
    fn is_cancelled(&self) -> bool {
        false
    }
}

fn import_with(ffmpeg: &Ffmpeg, source: &Path, limits: Limits) -> Result<Imported, ImportError> {
    let work = source.with_extension("work");
    let request = ImportRequest {
        ffmpeg,
        source,
        work_dir: &work,
        workers: 2,
        limits,
        encoder: EncoderChoice::Rav1e,
        tiers: Tiers::FIRST,
    };
    import(&request, &Quiet)
}

fn imported(source: &Path) -> Imported {
    import_with(&Ffmpeg::find().unwrap(), source, Limits::default()).unwrap()
}

fn kinds(imported: &Imported) -> Vec<TrackKind> {
    imported.tracks.iter().map(|track| track.info.kind).collect()
}

fn codes(imported: &Imported) -> Vec<&'static str> {
    imported.notes.iter().map(|note| note.code).collect()
}

/// A second of moving picture and of sound.
const PICTURE: &str = "-f lavfi -i testsrc2=s=64x48:r=10:d=1";
const BOTH: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=440:d=1:r=48000";

#[test]
fn what_recorders_phones_and_computers_make_goes_through() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("h264-aac.mp4", "-c:v libx264 -preset ultrafast -c:a aac"),
        ("hevc-ac3.mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a ac3"),
        ("vp8-vorbis.webm", "-c:v libvpx -deadline realtime -c:a libvorbis"),
        ("vp9-opus.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
        ("av1-opus.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime -c:a libopus"),
        ("mpeg2-mp2.ts", "-c:v mpeg2video -c:a mp2"),
        ("mpeg2-ac3.mpg", "-c:v mpeg2video -c:a ac3"),
        ("mpeg4-mp3.avi", "-c:v mpeg4 -c:a libmp3lame"),
        ("flv1-mp3.flv", "-c:v flv -c:a libmp3lame -ar 44100"),
        ("mjpeg-pcm.mov", "-c:v mjpeg -c:a pcm_s16le"),
        ("interlaced.ts", "-c:v mpeg2video -flags +ilme+ildct -top 1 -c:a aac"),
    ];
    for (name, codecs) in cases {
        let source = make(&folder, name, &format!("{BOTH} {codecs}"));
        let lesson = imported(&source);
        let found = kinds(&lesson);
        let wanted = [TrackKind::Audio, TrackKind::Video360, TrackKind::Source];
        assert!(wanted.iter().all(|kind| found.contains(kind)), "{name}: {found:?}");
        assert!(lesson.duration_ms.abs_diff(1000) <= 200, "{name}: {}", lesson.duration_ms);
        // A sine of 440 Hz at an eighth of full scale: about -21 dB.
        assert!((140..=190).contains(&lesson.peaks[0]), "{name}: {:?}", lesson.peaks);
        let is_interlaced = codes(&lesson).contains(&"deinterlaced");
        assert_eq!(is_interlaced, name == "interlaced.ts", "{name}");
    }
}

/// As many packets of one recording after another's, with other times, as a recorder makes that
/// stood still or was switched off in between.
fn spliced(folder: &TempDir, name: &str, codecs: &str, offsets_s: [u32; 2]) -> PathBuf {
    let (_, extension) = name.split_once('.').unwrap();
    let input = "-f lavfi -i testsrc2=s=64x48:r=25:d=5 -f lavfi -i sine=440:d=5:r=48000";
    let parts = offsets_s.map(|offset_s| {
        let part = format!("part-{offset_s}.{extension}");
        let offset = format!("-output_ts_offset {offset_s}");
        std::fs::read(make(folder, &part, &format!("{input} {codecs} {offset}"))).unwrap()
    });
    let path = folder.path().join(name);
    std::fs::write(&path, parts.concat()).unwrap();
    path
}

#[test]
fn what_declares_no_length_or_a_wrong_one_is_as_long_as_it_plays() {
    let folder = tempfile::tempdir().unwrap();
    // Half of it is silence, which tells nothing about the size of the rest.
    let sound = "-f lavfi -i aevalsrc=if(lt(t\\,15)\\,0\\,random(0)-0.5):d=30:s=44100";
    let sounds = [
        ("vbr.mp3", "-c:a libmp3lame -q:a 2 -write_xing 0 -id3v2_version 0"),
        ("bare.aac", "-c:a aac -f adts"),
        ("bare.ac3", "-c:a ac3"),
        ("live.mkv", "-c:a libmp3lame -q:a 2 -f matroska -live 1"),
    ];
    let sounds =
        sounds.map(|(name, codec)| (make(&folder, name, &format!("{sound} {codec}")), 30_000));
    let (h264, mpeg2) =
        ("-c:v libx264 -preset ultrafast -g 25 -c:a aac", "-c:v mpeg2video -c:a mp2");
    let pictures = [
        spliced(&folder, "pause.ts", h264, [0, 600]),
        spliced(&folder, "again.ts", h264, [600, 0]),
        spliced(&folder, "pause.mpg", mpeg2, [0, 600]),
    ];
    let ffmpeg = Ffmpeg::find().unwrap();
    for (source, plays_ms) in sounds.into_iter().chain(pictures.map(|source| (source, 10_000))) {
        let found = probe(&ffmpeg, &source, &Limits::default()).unwrap().duration_ms;
        assert!(found.abs_diff(plays_ms) < 300, "{}: {found} ms", source.display());
        let lesson = imported(&source);
        assert!(lesson.duration_ms.abs_diff(plays_ms) < 300, "{}", source.display());
    }
}

#[test]
fn no_child_decodes_with_more_threads_than_it_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "a.avi", &format!("{BOTH} -c:v mpeg4 -c:a libmp3lame"));
    let real = Ffmpeg::find().unwrap();
    // Children may write no files, but make folders: one for each that was started without it.
    let without = folder.path().join("without");
    let look = format!(
        "case \"$*\" in *'-threads 1 -i file:'*) ;; *' -i file:'*) mkdir -p \
                        {}/$$;; esac",
        without.display()
    );
    let then = |program: &Path| format!("{look}\nexec {} \"$@\"", program.display());
    let ffmpeg = fake(&folder, &then(&real.ffprobe), &then(&real.ffmpeg));
    let limits = Limits { child_threads: 1, ..Limits::default() };
    import_with(&ffmpeg, &source, limits).unwrap();
    assert!(!without.exists());
}

#[test]
fn of_several_sounds_the_default_is_kept_and_a_cover_is_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(
        &folder,
        "two.mkv",
        "-f lavfi -i sine=440:d=1 -f lavfi -i anullsrc=d=1 -map 0 -map 1 -c:a ac3 -t 1 \
         -metadata:s:a:0 language=eng -metadata:s:a:1 language=chi \
         -disposition:a:0 0 -disposition:a:1 default",
    );
    let lesson = imported(&source);
    assert_eq!(lesson.notes[0].text, "2 sound streams; stream 1 (zh) is kept");
    assert!(lesson.peaks.iter().all(|peak| *peak == 0), "silence: {:?}", lesson.peaks);

    let cover = make(&folder, "cover.png", "-f lavfi -i color=red:s=64x64 -frames:v 1");
    let source = make(
        &folder,
        "cover.mp3",
        &format!("-f lavfi -i sine=440:d=2 -i {} -map 0 -map 1 -c:v copy", cover.display()),
    );
    let lesson = imported(&source);
    assert_eq!(kinds(&lesson), [TrackKind::Audio, TrackKind::Source]);
    assert_eq!(codes(&lesson), ["cover_left_out"]);
    assert!((2..=3).contains(&lesson.peaks.len()), "{:?}", lesson.peaks);
    // What is found again, found in the same folder, is the same.
    let again = imported(&source);
    assert_eq!((again.peaks, again.notes), (lesson.peaks, lesson.notes));
}

#[test]
fn subtitles_and_chapters_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let subrip = "1\n00:00:00,500 --> 00:00:01,500\n<b>同学们好</b> <script>x</script>& <3\n\n\
                  2\n00:00:01,600 --> 00:00:09,000\nsecond\n\n\
                  3\n00:00:07,000 --> 00:00:08,000\nbehind the end\n";
    let subtitles = folder.path().join("a.srt");
    std::fs::write(&subtitles, subrip).unwrap();
    let chapters = folder.path().join("chapters.txt");
    let text = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=导入\n\
                [CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\n";
    std::fs::write(&chapters, text).unwrap();
    for (name, codecs) in [
        ("a.mp4", "-c:s mov_text -c:v mpeg4"),
        ("a.mkv", "-c:s:0 subrip -c:s:1 ass -c:v mpeg4"),
        ("b.mkv", "-c:s webvtt -c:v mpeg4"),
    ] {
        let source = make(
            &folder,
            name,
            &format!(
                "-f lavfi -i testsrc2=s=64x48:r=10:d=2 -i {0} -i {0} -i {1} -map 0 -map 1 -map 2 \
                 -map_metadata 3 -map_chapters 3 {codecs} -t 2 -metadata:s:s:0 language=chi",
                subtitles.display(),
                chapters.display()
            ),
        );
        let lesson = imported(&source);
        let captions: Vec<_> = lesson
            .tracks
            .iter()
            .filter(|track| matches!(track.info.kind, TrackKind::Captions(_)))
            .collect();
        assert_eq!(captions.len(), 2, "{name}: {:?}", lesson.notes);
        let first = &captions[0];
        assert_eq!(first.info.language.as_deref(), Some("zh"), "{name}");
        assert_eq!(captions[1].info.language, None, "{name}");
        assert_eq!((first.info.codecs.as_str(), first.info.init_bytes), ("wvtt", 8));
        assert_eq!(first.info.duration_ms(), lesson.duration_ms);
        let text = std::fs::read_to_string(&first.path).unwrap();
        assert_eq!(text.len() as u64, first.info.total_bytes());
        assert!(text.starts_with("WEBVTT\n\n00:00:00.500 --> 00:00:01.500\n"), "{name}: {text}");
        assert!(text.contains("同学们好") && text.contains("second"), "{name}: {text}");
        assert!(!text.contains("<script") && !text.contains("behind"), "{name}: {text}");
        let chapters: Vec<_> = lesson.chapters.iter().map(|c| (c.at_ms, &c.title[..])).collect();
        assert_eq!(chapters, [(0, "导入"), (1000, "2")], "{name}");
    }
}

#[test]
fn subtitles_that_are_pictures_are_left_out_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let subrip = folder.path().join("a.srt");
    std::fs::write(&subrip, "1\n00:00:00,100 --> 00:00:00,900\nx\n").unwrap();
    // ffmpeg makes no pictures of text; a stream of DVD subtitles is made of a packet of its own.
    let source = make(
        &folder,
        "a.mkv",
        &format!("{PICTURE} -i {} -map 0 -map 1 -c:v mpeg4 -c:s subrip", subrip.display()),
    );
    let mut bytes = std::fs::read(&source).unwrap();
    let at = bytes.windows(11).position(|w| w == b"S_TEXT/UTF8").unwrap();
    bytes[at..at + 11].copy_from_slice(b"S_HDMV/PGS\0");
    std::fs::write(&source, bytes).unwrap();
    let lesson = imported(&source);
    assert_eq!(codes(&lesson), ["picture_subtitles_left_out"]);
}

/// An `ffmpeg` and `ffprobe` that run a script instead.
fn fake(folder: &TempDir, ffprobe: &str, ffmpeg: &str) -> Ffmpeg {
    let write = |name: &str, script: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    Ffmpeg { ffmpeg: write("ffmpeg.sh", ffmpeg), ffprobe: write("ffprobe.sh", ffprobe) }
}

#[test]
fn an_ffmpeg_that_is_gone_killed_hangs_or_floods_ends_an_import_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let real = Ffmpeg::find().unwrap();
    let source = make(&folder, "a.wav", "-f lavfi -i sine=440:d=1");
    let good = format!("exec {} \"$@\"", real.ffprobe.display());
    let refused_by = |ffprobe: &str, ffmpeg: &str, limits: Limits| {
        let fake = fake(&folder, ffprobe, ffmpeg);
        let error = import_with(&fake, &source, limits).unwrap_err();
        (error.code(), error.to_string())
    };
    let refused = |ffprobe: &str, ffmpeg: &str| refused_by(ffprobe, ffmpeg, Limits::default());
    let hangs = |ffprobe: &str, ffmpeg: &str| {
        let limits = Limits { stall_timeout_ms: 400, ..Limits::default() };
        refused_by(ffprobe, ffmpeg, limits)
    };
    let (code, text) = hangs("exec sleep 600", "");
    assert!(code == "ffmpeg_stopped" && text.contains("no progress for 400 ms"), "{text}");
    let (code, text) = refused("exec yes", "");
    assert_eq!(code, "too_many_streams", "{text}");
    let (code, text) = refused("kill -9 $$", "");
    assert!(code == "ffmpeg_stopped" && text.contains("signal 9"), "{text}");
    let (code, text) = hangs("exec yes no >&2", "");
    assert!(code == "ffmpeg_stopped" && text.contains("no progress"), "{text}");
    let (code, text) = refused("yes no | head -c 1000000 >&2; exit 1", "");
    assert_eq!(code, "not_media", "{text}");
    assert!(text.len() < 500, "{text}");
    let (code, text) = hangs(&good, "exec sleep 600");
    assert!(code == "ffmpeg_stopped" && text.contains("no progress"), "{text}");
    let (code, text) = refused(&good, "kill -9 $$");
    assert!(code == "ffmpeg_stopped" && text.contains("signal 9"), "{text}");
    let limits = Limits { duration_ms_max: 5000, ..Limits::default() };
    let (code, text) = refused_by(&good, "exec cat /dev/zero", limits);
    assert_eq!(code, "too_long", "{text}");
    let gone = Ffmpeg { ffprobe: folder.path().join("gone"), ..real };
    assert_eq!(import_with(&gone, &source, Limits::default()).unwrap_err().code(), "no_ffmpeg");
}

#[test]
fn sound_that_goes_on_beyond_the_longest_lesson_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "a.mp3", "-f lavfi -i sine=440:d=4");
    let real = Ffmpeg::find().unwrap();
    // It declares one second and goes on for ever.
    let probe = r#"echo '{"streams":[{"index":0,"codec_type":"audio","codec_name":"mp3",
        "channels":1,"sample_rate":"44100"}],"format":{"duration":"1"}}'"#;
    let endless = format!(
        "case \"$*\" in *s16le*) exec cat /dev/zero;; *) exec {} \"$@\";; esac",
        real.ffmpeg.display()
    );
    let limits = Limits { duration_ms_max: 5000, ..Limits::default() };
    let error = import_with(&fake(&folder, probe, &endless), &source, limits).unwrap_err();
    assert_eq!(error.code(), "too_long", "{error}");
}

#[test]
fn bombs_are_refused_before_anything_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = Ffmpeg::find().unwrap();
    let limits = Limits::default();
    let small = make(&folder, "a.mp4", &format!("{PICTURE} -c:v libx264 -preset ultrafast"));
    let bytes = std::fs::read(&small).unwrap();
    let path = folder.path().join("bomb.mp4");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = probe(&ffmpeg, &path, &limits).unwrap_err();
        (error.code(), error.to_string())
    };
    let find = |name: &[u8; 4]| bytes.windows(4).position(|window| window == name).unwrap();

    // As many tracks as fit into a megabyte.
    let (moov, trak) = (find(b"moov"), find(b"trak"));
    let length = |at: usize| u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    let track = &bytes[trak - 4..trak - 4 + length(trak)];
    let many = track.repeat((1 << 20) / track.len());
    let mut bomb = bytes[..trak - 4].to_vec();
    bomb[moov - 4..moov]
        .copy_from_slice(&((trak - 4 - moov + 4 + many.len()) as u32).to_be_bytes());
    bomb.extend(many);
    let (code, text) = refused(&bomb);
    assert_eq!(code, "too_many_streams", "{text}");

    // Boxes in boxes, and boxes of no length.
    let deep: Vec<u8> = (0..100_000u32)
        .flat_map(|n| [(800_000 - 8 * n).to_be_bytes(), *b"moov"].concat())
        .collect();
    assert_eq!(refused(&deep).0, "not_media");
    let empty: Vec<u8> = b"\0\0\0\x08free".repeat(200_000);
    assert!(["not_media", "truncated"].contains(&refused(&empty).0));

    // A picture of 60000×60000 that is nowhere.
    let at = find(b"avc1") + 28;
    let mut huge = bytes.clone();
    huge[at..at + 4].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    std::fs::write(&path, &huge).unwrap();
    // ffprobe believes the stream, which says 64×48, or refuses both.
    match probe(&ffmpeg, &path, &limits) {
        Ok(found) => assert_eq!(found.video.unwrap().width, 64),
        Err(error) => assert_eq!(error.code(), "too_large"),
    }
    let wide = make(&folder, "wide.mkv", "-f lavfi -i color=s=16384x64:r=1:d=1 -c:v ffv1");
    let error = probe(&ffmpeg, &wide, &limits).unwrap_err();
    assert!(error.code() == "too_large" && error.to_string().contains("16384×64"), "{error}");

    // Ten hours and a bit.
    let long = make(&folder, "long.mkv", "-f lavfi -i color=s=16x16:r=1/600:d=37800 -c:v ffv1");
    let error = probe(&ffmpeg, &long, &limits).unwrap_err();
    assert_eq!(error.code(), "too_long", "{error}");
}

#[test]
fn samples_without_length_do_not_stop_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "a.mp4", &format!("{PICTURE} -c:v libx264 -preset ultrafast -g 3"));
    let mut bytes = std::fs::read(&source).unwrap();
    // `stsz`: every second size becomes 0.
    let at = bytes.windows(4).position(|window| window == b"stsz").unwrap() + 16;
    for n in [3, 4, 6, 9] {
        bytes[at + 4 * n..at + 4 * n + 4].fill(0);
    }
    std::fs::write(&source, bytes).unwrap();
    let limits = Limits { stall_timeout_ms: 20_000, ..Limits::default() };
    match import_with(&Ffmpeg::find().unwrap(), &source, limits) {
        Ok(lesson) => assert!(lesson.duration_ms <= 1200, "{}", lesson.duration_ms),
        Err(error) => {
            let codes = ["truncated", "nothing_decoded", "ffmpeg_failed", "not_media"];
            assert!(codes.contains(&error.code()), "{error}");
        }
    }
}

/// 20 s with the index first, as files for the web have it.
fn long_mp4() -> String {
    "-f lavfi -i testsrc2=s=64x48:r=10:d=20 -c:v libx264 -preset ultrafast -movflags +faststart"
        .to_owned()
}

#[test]
fn a_check_says_what_is_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = Ffmpeg::find().unwrap();
    let look = |path: &Path| check(&ffmpeg, path, &Limits::default());
    let codes = |path: &Path| look(path).findings.iter().map(|f| f.code).collect::<Vec<_>>();
    let source = make(&folder, "a.avi", &format!("{BOTH} -c:v mpeg4 -c:a libmp3lame"));
    let report = look(&source);
    assert!(report.is_usable && report.duration_ms.is_some_and(|ms| ms.abs_diff(1000) < 100));
    assert_eq!(codes(&source), ["picture", "picture_encoded", "sound", "sound_encoded"]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][1]["severity"], "changed");

    let whole = make(&folder, "whole.mp4", &long_mp4());
    assert!(look(&whole).is_usable);
    // The last picture of a recording of a screen stays for long.
    let still = "-f lavfi -i testsrc2=s=64x48:r=1/10:d=40 -c:v libx264 -preset ultrafast";
    assert!(look(&make(&folder, "still.mp4", still)).is_usable);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let report = look(&cut);
    let last = report.findings.last().unwrap();
    assert!(!report.is_usable && last.severity == Severity::Wrong, "{report:?}");
    assert!(last.code == "truncated" && last.text.contains("of 20000 ms"), "{}", last.text);

    let bad = folder.path().join("bad.mp4");
    std::fs::write(&bad, "no video").unwrap();
    let report = look(&bad);
    assert!(!report.is_usable && report.findings[0].severity == Severity::Wrong);
    assert_eq!(report.findings[0].code, "not_media");
    assert_eq!(codes(&folder.path().join("gone.mp4")), ["unreadable"]);
    std::fs::write(&bad, "%PDF-1.4").unwrap();
    assert_eq!(codes(&bad), ["pages_kept"]);
}

//! Presentations as other programs write them, with macros and with passwords: each by the real
//! LibreOffice, which `tools/test` installs, and each with a clear result.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use yingxue_codec::document::{DocumentKind, DocumentRequest, Programs, detect, import};
use yingxue_codec::import::{ImportError, Imported, Observer, Progress};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits};

/// Two pages, and a macro that writes a file when the presentation is opened.
const FLAT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:xlink="http://www.w3.org/1999/xlink"
 xmlns:script="urn:oasis:names:tc:opendocument:xmlns:script:1.0"
 xmlns:ooo="http://openoffice.org/2004/office"
 xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" office:version="1.2"
 office:mimetype="application/vnd.oasis.opendocument.presentation">
<office:scripts>
<office:script script:language="ooo:Basic"><ooo:libraries><ooo:library-embedded
 ooo:name="Standard"><ooo:module ooo:name="Module1"><ooo:source-code>Sub Main
n = FreeFile
Open "FOLDER/ran" For Output As #n
Close #n
End Sub
</ooo:source-code></ooo:module></ooo:library-embedded></ooo:libraries></office:script>
<office:event-listeners><script:event-listener script:language="ooo:script"
 script:event-name="dom:load" xlink:type="simple"
 xlink:href="vnd.sun.star.script:Standard.Module1.Main?language=Basic&amp;location=document"/>
</office:event-listeners></office:scripts>
<office:body><office:presentation>
<draw:page draw:name="one"><draw:frame svg:width="20cm" svg:height="3cm" svg:x="2cm" svg:y="2cm">
<draw:text-box><text:p>第一课</text:p></draw:text-box></draw:frame></draw:page>
<draw:page draw:name="two"/>
</office:presentation></office:body></office:document>"#;

/// Saves a presentation with a password, which LibreOffice's command line cannot.
const SAVER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1"
 script:language="StarBasic">Sub Save(source, target, filter)
Dim hidden(0) As New com.sun.star.beans.PropertyValue
hidden(0).Name = "Hidden"
hidden(0).Value = True
doc = StarDesktop.loadComponentFromURL(source, "_blank", 0, hidden())
Dim key(1) As New com.sun.star.beans.NamedValue
key(0).Name = "OOXPassword"
key(0).Value = "secret"
key(1).Name = "CryptoType"
key(1).Value = "Standard"
Dim how(2) As New com.sun.star.beans.PropertyValue
how(0).Name = "FilterName"
how(0).Value = filter
how(1).Name = "Password"
how(1).Value = "secret"
how(2).Name = "EncryptionData"
how(2).Value = key()
doc.storeToURL(target, how())
doc.close(True)
End Sub
</script:module>
"#;
const LIBRARY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE library:library PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "library.dtd">
<library:library xmlns:library="http://openoffice.org/2000/library" library:name="Standard"
 library:readonly="false" library:passwordprotected="false">
<library:element library:name="Module1"/></library:library>
"#;

struct Quiet;

impl Observer for Quiet {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// LibreOffice with a profile of its own, as a teacher would have it.
struct Office<'a> {
    folder: &'a TempDir,
    soffice: PathBuf,
}

impl<'a> Office<'a> {
    fn start(folder: &'a TempDir) -> Self {
        let soffice = Programs::find().soffice.expect("`tools/test` installs LibreOffice");
        let here = folder.path().display().to_string();
        fs::write(folder.path().join("lesson.fodp"), FLAT.replace("FOLDER", &here)).unwrap();
        Self { folder, soffice }
    }

    fn run(&self, arguments: &[&str]) {
        let profile = format!("-env:UserInstallation=file://{}/own", self.folder.path().display());
        let done = Command::new(&self.soffice)
            .args([&profile, "--headless", "--norestore"])
            .args(arguments)
            .current_dir(self.folder)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// Saves the presentation in another format; `filter` as `--convert-to` wants it.
    fn save_as(&self, filter: &str) -> PathBuf {
        self.run(&["--convert-to", filter, "lesson.fodp"]);
        let ending = filter.split(':').next().unwrap();
        self.folder.path().join("lesson").with_extension(ending)
    }

    fn save_with_password(&self, name: &str, filter: &str) -> PathBuf {
        let library = self.folder.path().join("own/user/basic/Standard");
        fs::create_dir_all(&library).unwrap();
        fs::write(library.join("Module1.xba"), SAVER).unwrap();
        fs::write(library.join("script.xlb"), LIBRARY).unwrap();
        let url = |name: &str| format!("file://{}/{name}", self.folder.path().display());
        let (from, to) = (url("lesson.fodp"), url(name));
        let call = format!("macro:///Standard.Module1.Save(\"{from}\",\"{to}\",\"{filter}\")");
        self.run(&[&call]);
        let path = self.folder.path().join(name);
        assert!(path.is_file(), "LibreOffice did not write {name}");
        path
    }
}

fn import_one(source: &Path) -> Result<Imported, ImportError> {
    let work = tempfile::tempdir().unwrap();
    let request = DocumentRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        programs: &Programs::find(),
        sources: &[source],
        sound: None,
        page_starts_ms: None,
        work_dir: work.path(),
        workers: 2,
        limits: Limits::default(),
    };
    import(&request, &Quiet)
}

#[test]
fn presentations_of_other_programs_become_slides_and_their_macros_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::start(&folder);
    for filter in ["ppt", "odp", "pptm:Impress MS PowerPoint 2007 XML VBA"] {
        let source = office.save_as(filter);
        assert_eq!(detect(&source).unwrap(), Some(DocumentKind::Presentation), "{filter}");
        let lesson = import_one(&source).unwrap();
        let slides = lesson.tracks.iter().find(|track| track.info.kind == TrackKind::Slides);
        assert_eq!(slides.unwrap().info.segments.len(), 2, "{filter}");
        let told = lesson.notes.iter().any(|note| note.code == "presentation_flattened");
        assert!(told && !folder.path().join("ran").exists(), "{filter}");
    }
}

#[test]
fn what_opens_with_a_password_only_is_refused_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::start(&folder);
    let how = |key: &str, other: &str| {
        format!(
            "pdf:impress_pdf_Export:{{\"{key}\":{{\"type\":\"boolean\",\"value\":\"true\"}},\
             \"{other}\":{{\"type\":\"string\",\"value\":\"secret\"}}}}"
        )
    };
    // Who may print it does not matter: it opens.
    let open = office.save_as(&how("RestrictPermissions", "PermissionPassword"));
    assert!(import_one(&open).is_ok());
    let files = [
        office.save_as(&how("EncryptFile", "DocumentOpenPassword")),
        office.save_with_password("secret.pptx", "Impress MS PowerPoint 2007 XML"),
        office.save_with_password("secret.odp", "impress8"),
    ];
    for file in files {
        let error = import_one(&file).unwrap_err();
        assert_eq!(error.code(), "encrypted", "{}: {error}", file.display());
        assert!(error.to_string().contains("password"), "{error}");
    }
}

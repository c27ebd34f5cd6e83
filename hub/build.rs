//! Makes the folder of the web UI if it was not built, so that the hub builds without Node.

use std::path::Path;

const PLACEHOLDER: &str = "<!doctype html><meta charset=\"utf-8\"><title>Yingxue</title>\
    <p>The web UI was not built: run tools/run, or npm run build in web-ui.</p>\n";

fn main() {
    let folder = Path::new("../web-ui/build");
    println!("cargo:rerun-if-changed={}", folder.display());
    if !folder.join("index.html").exists() {
        std::fs::create_dir_all(folder).expect("web-ui/build can be made");
        std::fs::write(folder.join("index.html"), PLACEHOLDER).expect("web-ui/build is writable");
    }
}

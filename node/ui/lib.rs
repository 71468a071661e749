//! The web page, built by `build.rs` and embedded.

use include_dir::{Dir, include_dir};

static FILES: Dir<'static> = include_dir!("$OUT_DIR/dist");

/// A file of the built page by path (`index.html`, `stage.html`, `assets/…`).
pub fn file(path: &str) -> Option<&'static [u8]> {
    FILES.get_file(path).map(include_dir::File::contents)
}

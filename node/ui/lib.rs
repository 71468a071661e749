//! The web page, built by `build.rs` and embedded.

/// Files of the built page by path: `index.html`, `stage.html`, `assets/…`.
#[derive(rust_embed::Embed)]
#[folder = "$OUT_DIR/dist"]
pub struct Files;

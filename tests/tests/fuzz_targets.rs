//! The inputs that fuzzing found worth keeping, run once more by every fuzz target.

use std::path::Path;

#[test]
fn no_input_that_is_kept_harms_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let inputs = tests::fuzz_targets::replay(&corpus).expect("each target has a folder of inputs");
    assert!(inputs >= 50, "{inputs} inputs");
    // The frames among them are frames: what lies behind a form byte that none has would never be reached.
    let frames = std::fs::read_dir(corpus.join("frame")).expect("frames are kept");
    let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.expect("listed").path()).expect("read");
    let frames = frames.map(read).filter(|bytes| sync::wire::decode(bytes).is_ok()).count();
    assert!(frames >= 20, "{frames} frames decode");
}

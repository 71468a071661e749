//! The inputs that fuzzing found worth keeping, taken once more by every door.

use std::path::Path;

#[test]
fn no_input_that_is_kept_harms_its_door() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let inputs = tests::doors::replay(&corpus).expect("each door has a folder of inputs");
    assert!(inputs >= tests::doors::DOORS.len(), "{inputs} inputs");
}

//! The documentation of the error codes.

use std::collections::BTreeSet;
use std::path::Path;

use node::refusal::codes;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_explains_every_code_and_no_other() {
    let page = read("../docs/errors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let explained: BTreeSet<&str> = rows.collect();
    let http = read("src/http/errors.rs");
    // In the HTTP side's one file of errors, what is written in capitals is a code.
    let quoted = http.split('"').skip(1).step_by(2);
    let is_code =
        |text: &&str| text.contains('-') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let known: BTreeSet<&str> = codes::ALL.iter().map(|code| code.word).chain(quoted.filter(is_code)).collect();
    assert_eq!(explained, known, "an operator looks a code up where there is perhaps no network");
    for code in codes::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}`", code.word))).unwrap_or_default();
        assert!(
            row.contains(code.happened) && row.contains(code.todo),
            "{}: the page says what the program says",
            code.word
        );
    }
}

//! Project rules that the compiler does not check, checked over the source tree as text.
//!
//! In order: which crate may import what, who may read the clock, lints, unfinished code, the lock file of the UI,
//! links between documents, sizes and module docs of files. A violation is listed with its line and the reason of the
//! rule. That English and French have equal keys is tested in the UI; formatting, lints and licences are steps of
//! `cargo xtask test`.
//!
//! Rust files are read with comments and literals blanked (`code_only`), so that mentioning a name is not using it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the import table. A new row, or a new entry in one, is a decision with a page in `docs/decisions/`.
struct Row {
    name: &'static str,
    /// Crates of this workspace that it may depend on.
    own: &'static [&'static str],
    /// Crates that it must not use, and why.
    forbidden: &'static [(&'static str, &'static str)],
    /// Paths that it must not name outside tests, and why.
    paths: &'static [(&'static str, &'static str)],
}

const PURE: &str = "`schema` knows every rule and does nothing, so that two sites always get the same answer";
const ARGUMENT: &str =
    "time, randomness and the environment reach `schema` as arguments; it must answer the same anywhere";
const ENGINE: &str = "`sync` moves documents; it neither serves people nor shows anything";
const HIDDEN: &str = "`sync` hides the network and the store, so that either can change without a word in `node`";
const SHELL: &str = "the desktop window is a shell around `node`; a site runs without one";

const TABLE: &[Row] = &[
    Row {
        name: "schema",
        own: &[],
        forbidden: &[
            ("tokio", PURE),
            ("redb", PURE),
            ("rusqlite", PURE),
            ("iroh", PURE),
            ("axum", PURE),
            ("tauri", PURE),
            ("getrandom", ARGUMENT),
            ("rand", ARGUMENT),
            ("rand_core", ARGUMENT),
            ("rand_chacha", ARGUMENT),
        ],
        paths: &[
            ("std::time::SystemTime", ARGUMENT),
            ("std::time::Instant", ARGUMENT),
            ("std::env", ARGUMENT),
            ("std::fs", PURE),
            ("std::net", PURE),
        ],
    },
    Row {
        name: "sync",
        own: &["schema"],
        forbidden: &[("axum", ENGINE), ("rusqlite", ENGINE), ("tauri", SHELL)],
        paths: &[("schema::ticket", "`sync` moves every kind of document alike and never names a ticket")],
    },
    Row { name: "ui", own: &[], forbidden: &[("tauri", SHELL)], paths: &[] },
    Row {
        name: "node",
        own: &["schema", "sync", "ui"],
        forbidden: &[("iroh", HIDDEN), ("redb", HIDDEN), ("tauri", SHELL)],
        paths: &[],
    },
    Row { name: "app", own: &["node", "ui"], forbidden: &[("iroh", HIDDEN), ("redb", HIDDEN)], paths: &[] },
    Row {
        name: "relay",
        own: &["schema"],
        forbidden: &[("automerge", "a relay sees sealed packets and no document"), ("redb", "a relay keeps nothing")],
        paths: &[],
    },
    Row { name: "tests", own: &["schema", "sync", "node", "ui", "app", "relay"], forbidden: &[], paths: &[] },
    Row { name: "xtask", own: &[], forbidden: &[], paths: &[] },
];

/// Files that read the clock; everywhere else the time is an argument, so that a test can set it.
const CLOCK_READERS: &[(&str, &[&str])] = &[
    ("schema", &[]),
    // The mutation campaign is built for tests only, and reports how long scanning took.
    ("sync", &["sync/src/net.rs", "sync/src/net/", "sync/src/change/mutation.rs"]),
    ("node", &["node/src/clock.rs"]),
];

/// No Rust file has this many lines or more, unless it is listed in `LONG`.
const MAX_LINES: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn each_crate_depends_only_on_what_its_row_allows() {
    let crates = crates();
    let own: Vec<&str> = crates.iter().map(|krate| krate.name.as_str()).collect();
    let found = crates.iter().flat_map(|krate| dependency_faults(krate, &own)).collect();
    holds(found, "rules, store, service and window can change apart only while the arrows between them point one way");
}

#[test]
fn no_crate_names_what_it_must_not_use() {
    let mut found = Vec::new();
    for (krate, row) in crates().iter().filter_map(|krate| Some((krate, row_of(krate)?))) {
        for file in production_code(&krate.folder) {
            for (path, why) in row.forbidden.iter().chain(row.paths) {
                found.extend(lines_naming(&file.code, path).iter().map(|line| file.fault(*line, path, why)));
            }
        }
    }
    holds(found, "a crate that uses more than its row allows takes on a second responsibility");
}

#[test]
fn only_the_named_places_read_the_time() {
    let mut found = Vec::new();
    for (krate, readers) in CLOCK_READERS {
        let files = production_code(&root().join(krate));
        for file in files.iter().filter(|file| !readers.iter().any(|reader| file.path.starts_with(reader))) {
            for call in ["SystemTime::now", "Instant::now"] {
                let why = "take the time as an argument";
                found.extend(lines_naming(&file.code, call).iter().map(|line| file.fault(*line, call, why)));
            }
        }
    }
    holds(found, "code that reads the clock by itself cannot be replayed from a seed, nor tested with a virtual clock");
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let without = |krate: &Crate| krate.entries("lints").all(|(_, entry)| entry.replace(' ', "") != "workspace=true");
    let bare: Vec<Crate> = crates().into_iter().filter(without).collect();
    let fault =
        |krate: &Crate| format!("{}/Cargo.toml: add `[lints]` with `workspace = true`", relative(&krate.folder));
    holds(
        bare.iter().map(fault).collect(),
        "a crate without them could hold unsafe code and unwraps that nobody notices",
    );
}

#[test]
fn nothing_unfinished_is_left() {
    // Put together here, so that this file does not find itself.
    let marks = [concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for path in files(&["rs", "ts", "svelte"]) {
        let text = read(&path);
        let shown = relative(&path);
        for mark in marks {
            let lines = lines_with_word(&text, mark);
            found.extend(lines.iter().map(|line| format!("{shown}:{line}: {mark}: say it in an issue, or do it")));
        }
        if shown.ends_with(".rs") {
            let code = code_only(&text);
            for call in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"] {
                let lines = lines_holding(&code, call);
                found.extend(lines.iter().map(|line| format!("{shown}:{line}: `{call}`: finish it, or take it out")));
            }
        }
    }
    holds(found, "what is merged is what an operator runs; a test that is ignored guards nothing");
}

#[test]
fn the_lock_file_of_the_ui_names_no_download_address() {
    let path = root().join("node/ui/package-lock.json");
    let lines = lines_holding(&read(&path), "\"resolved\"");
    let fault = |line: &usize| format!("{}:{line}: take the `resolved` entry out; the hash stays", relative(&path));
    holds(
        lines.iter().map(fault).collect(),
        "each site builds from the registry that it reaches; the hash is what is trusted",
    );
}

#[test]
fn links_between_documents_resolve() {
    let mut found = Vec::new();
    for path in files(&["md"]) {
        let folder = path.parent().unwrap();
        let text = read(&path);
        let broken = links(&text).into_iter().filter(|(_, target)| !folder.join(target).exists());
        found.extend(broken.map(|(line, target)| format!("{}:{line}: nothing at {target}", relative(&path))));
    }
    holds(found, "documents are read without a network, years later: a broken link is a lost page");
}

#[test]
fn rust_files_stay_short() {
    let mut found = Vec::new();
    for path in files(&["rs"]) {
        let (shown, lines) = (relative(&path), read(&path).lines().count());
        if lines >= MAX_LINES && !LONG.iter().any(|(allowed, _)| *allowed == shown) {
            found.push(format!("{shown}: {lines} lines; when a file holds two ideas it becomes idea.rs and idea/"));
        }
    }
    holds(found, "a file should be short enough to be read and understood at once");
}

#[test]
fn every_rust_file_begins_with_module_docs() {
    let silent = files(&["rs"]).into_iter().filter(|path| !read(path).starts_with("//!"));
    let found = silent.map(|path| format!("{}:1: begin with `//!`", relative(&path))).collect();
    holds(found, "a reader who opens a file must learn there what it does and what it leaves to others");
}

#[test]
fn comments_and_literals_are_not_code() {
    let spoken = "// std::fs\n/* std::fs /* std::fs */ */ let a = (\"std::fs\", r#\"\" std::fs\"#, '\"', b'\\'');\n";
    assert!(lines_naming(&code_only(spoken), "std::fs").is_empty(), "comments and literals are no code");
    for real in ["std::fs::read(x)", "use std::fs;", "pub use std::{io, fs as files};", "use std::{fs::{self, File}};"]
    {
        assert_eq!(lines_naming(&code_only(&format!("'\"';\n{real}")), "std::fs"), [2], "{real} reads the disk");
    }
    for other in ["std::fsync()", "use std::{io, fmt};", "let fs = 1;"] {
        assert!(lines_naming(&code_only(other), "std::fs").is_empty(), "{other} does not");
    }
    assert!(lines_naming("let rand = 4;", "rand").is_empty(), "a variable is no crate");
    let tested = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\nfn b() { std::fs::read(x) }\n";
    assert_eq!(lines_naming(&without_tests(tested), "std::fs"), [6], "tests may read files, the code around may not");
}

fn holds(found: Vec<String>, because: &str) {
    assert!(found.is_empty(), "{because}:\n  {}\n", found.join("\n  "));
}

/// A member of the workspace.
struct Crate {
    name: String,
    folder: PathBuf,
    /// The lines of its Cargo.toml by section, each with its number.
    sections: BTreeMap<String, Vec<(usize, String)>>,
}

impl Crate {
    fn entries(&self, section: &str) -> impl Iterator<Item = &(usize, String)> {
        self.sections.get(section).into_iter().flatten()
    }
}

fn crates() -> Vec<Crate> {
    let text = read(&root().join("Cargo.toml"));
    let list = text.split("\nmembers = [").nth(1).and_then(|rest| rest.split(']').next());
    let list = list.expect("the workspace lists its members");
    let members = list.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty());
    members.map(krate).collect()
}

fn krate(member: &str) -> Crate {
    let folder = root().join(member);
    let mut sections: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    let mut section = String::new();
    for (line, text) in (1..).zip(read(&folder.join("Cargo.toml")).lines()) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.starts_with('[') {
            section = text.trim_matches(['[', ']']).to_owned();
            // `[dependencies.name]` is an entry of `[dependencies]`, and may have no line of its own.
            if let Some((table, name)) = section.rsplit_once("dependencies.") {
                sections.entry(format!("{table}dependencies")).or_default().push((line, format!("{name} = {{}}")));
            }
        } else if !text.is_empty() {
            sections.entry(section.clone()).or_default().push((line, text.to_owned()));
        }
    }
    let name = sections["package"].iter().find_map(|(_, text)| text.strip_prefix("name = "));
    let name = name.expect("every crate has a name");
    Crate { name: name.trim_matches('"').to_owned(), folder, sections }
}

fn row_of(krate: &Crate) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == krate.name)
}

fn dependency_faults(krate: &Crate, own: &[&str]) -> Vec<String> {
    let manifest = format!("{}/Cargo.toml", relative(&krate.folder));
    let Some(row) = row_of(krate) else {
        return vec![format!("{manifest}: `{}` has no row in the import table; a new crate is a decision", krate.name)];
    };
    let mut found = Vec::new();
    for (section, entries) in krate.sections.iter().filter(|(section, _)| section.ends_with("dependencies")) {
        for (line, entry) in entries {
            let why = names(entry).iter().find_map(|name| refusal(row, section, name, own));
            found.extend(why.map(|why| format!("{manifest}:{line}: `{entry}`: {why}")));
        }
    }
    found
}

/// The key of a dependency, and the crate it renames if it does.
fn names(entry: &str) -> Vec<String> {
    let key = entry.split(['=', '.', ' ']).next().unwrap_or_default();
    let renamed = entry.split("package = \"").nth(1).and_then(|rest| rest.split('"').next());
    [Some(key), renamed].into_iter().flatten().map(|name| name.trim_matches('"').replace('-', "_")).collect()
}

/// Why the crate of `row` may not depend on `name`; `None` if it may.
fn refusal(row: &Row, section: &str, name: &str, own: &[&str]) -> Option<String> {
    if row.name == "xtask" {
        return Some("the commands start where nothing else compiles, so they have no dependencies".to_owned());
    }
    // A crate's tests may ask for features of its own.
    if own.contains(&name) && !row.own.contains(&name) && name != row.name {
        let allowed = if row.own.is_empty() { "nothing".to_owned() } else { row.own.join(", ") };
        return Some(format!("of this workspace `{}` may import: {allowed}", row.name));
    }
    // Tests may use what the crate itself may not.
    let forbidden = row.forbidden.iter().filter(|_| !section.contains("dev-dependencies"));
    let mut reasons = forbidden.filter(|(crate_name, _)| *crate_name == name);
    reasons.next().map(|(_, why)| (*why).to_owned())
}

/// A Rust file as code: comments, literals and tests blanked, line numbers unchanged.
struct Code {
    path: String,
    code: String,
}

impl Code {
    fn fault(&self, line: usize, what: &str, why: &str) -> String {
        format!("{}:{line}: `{what}`: {why}", self.path)
    }
}

/// The code of the crate in `folder` that a release contains.
fn production_code(folder: &Path) -> Vec<Code> {
    let mut paths = Vec::new();
    walk(&folder.join("src"), &["rs"], &mut paths);
    let shown = paths.into_iter().map(|path| (relative(&path), path));
    let shipped = shown.filter(|(shown, _)| !shown.ends_with("/tests.rs") && !shown.contains("/tests/"));
    shipped.map(|(shown, path)| Code { path: shown, code: without_tests(&code_only(&read(&path))) }).collect()
}

/// Blanks each item under `#[cfg(test)]`, up to its closing brace or semicolon.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let end = start + MARK.len() + item_length(&rest[start + MARK.len()..]);
        out.push_str(&rest[..start]);
        out.extend(rest[start..end].chars().filter(|letter| *letter == '\n'));
        rest = &rest[end..];
    }
    out + rest
}

fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in code.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(letter, '}' | ';') {
            return at + 1;
        }
    }
    code.len()
}

/// `text` with comments and literals turned into blanks; lines keep their numbers.
fn code_only(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let in_word = at > 0 && is_word(letters[at - 1]);
        let skipped = not_code(&letters[at..], in_word);
        if skipped == 0 {
            out.push(letter);
        }
        out.extend(letters[at..at + skipped].iter().map(|hidden| if *hidden == '\n' { '\n' } else { ' ' }));
        at += skipped.max(1);
    }
    out
}

/// The length of the comment or literal at the start of `rest`; 0 if there is none.
fn not_code(rest: &[char], in_word: bool) -> usize {
    let length = match rest {
        ['/', '/', ..] => rest.iter().position(|letter| *letter == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest),
        ['r', '"' | '#', ..] if !in_word => raw(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !in_word => raw(rest, 2),
        // An escaped quote stands at 2, so the closing one is looked for after it; anything else is a lifetime.
        ['\'', '\\', ..] => rest.iter().skip(3).position(|letter| *letter == '\'').map_or(rest.len(), |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    };
    length.min(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while let Some(letter) = rest.get(at) {
        match letter {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// A raw string whose prefix has `prefix` letters; 0 if it is a raw identifier.
fn raw(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|letter| **letter == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    let closes =
        |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|l| **l == '#').count() == hashes;
    (open + 1..rest.len()).find(closes).map_or(rest.len(), |at| at + 1 + hashes)
}

/// Numbers of the lines where `code` names `path`, written out or put together by a `use`.
fn lines_naming(code: &str, path: &str) -> Vec<usize> {
    let is_crate = !path.contains("::");
    let written = code.match_indices(path).filter(|(at, _)| {
        let (before, after) = (&code[..*at], &code[at + path.len()..]);
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        whole && (!is_crate || after.starts_with("::"))
    });
    let imported = imports(code)
        .into_iter()
        .filter(|(_, import)| import.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")));
    let places = written.map(|(at, _)| at).chain(imported.map(|(at, _)| at));
    let mut lines: Vec<usize> = places.map(|at| line_at(code, at)).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// Every path that a `use` of `code` brings in, with the place of that `use`.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ").filter(|(at, _)| !code[..*at].ends_with(is_word)) {
        let tree = code[at + 4..].split(';').next().unwrap_or_default();
        let mut paths = Vec::new();
        expand("", tree, &mut paths);
        found.extend(paths.into_iter().map(|path| (at, path)));
    }
    found
}

/// Adds each path of `tree` under `prefix`: `a::{b, c}` is `a::b` and `a::c`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        paths.push(format!("{prefix}{path}"));
        return;
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], paths);
                start = (at + 1).min(inner.len());
            }
            _ => {}
        }
    }
}

/// The relative targets of the links in `text`, without their fragments, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        fenced ^= line.trim_start().starts_with("```");
        // Every second part between back-ticks is code.
        let prose: String = if fenced { String::new() } else { line.split('`').step_by(2).collect() };
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let defined = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
        let targets = inline.chain(defined).filter(|target| !target.contains(':') && !target.starts_with('#'));
        found.extend(targets.filter_map(|target| Some((number, target.split('#').next()?.to_owned()))));
    }
    found
}

fn lines_holding(text: &str, part: &str) -> Vec<usize> {
    (1..).zip(text.lines()).filter(|(_, line)| line.contains(part)).map(|(number, _)| number).collect()
}

fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let words = |line: &str| line.split(|letter| !is_word(letter)).any(|found| found == word);
    (1..).zip(text.lines()).filter(|(_, line)| words(line)).map(|(number, _)| number).collect()
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Every file of the tree with one of `endings`, in order of path; build output, fetched packages and tools are not
/// ours.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    assert!(!found.is_empty(), "a rule over no file at all would hold for the wrong reason");
    found
}

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let foreign = name.starts_with('.') || name == "node_modules" || path.join("CACHEDIR.TAG").exists();
            if !foreign {
                walk(&path, endings, found);
            }
        } else if name.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending)) {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate `tests` lies in the workspace").to_owned()
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

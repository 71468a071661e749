//! The rules of the log (`docs/rules.md`) and the tree agree: whatever is cited exists, and every rule names the tests
//! that hold it, or says what is not built.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Each rule's number and its line of tests.
fn rules() -> BTreeMap<u32, String> {
    let text = fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let mut rules = BTreeMap::new();
    let mut open: Option<u32> = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### R") {
            assert_eq!(open, None, "a rule ends with its line of tests");
            open = heading.split_whitespace().next().and_then(|number| number.parse().ok());
            assert!(open.is_some(), "{line}: a rule has a number");
        }
        if let (Some(tests), Some(number)) = (line.strip_prefix("Tests: "), open) {
            assert!(rules.insert(number, tests.to_owned()).is_none(), "R{number} stands once");
            open = None;
        }
    }
    assert_eq!(open, None, "the last rule ends with its line of tests");
    rules
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        match entry.is_dir() {
            true if !["target", "node_modules", ".git", "dist"].contains(&name.as_str()) => files(&entry, found),
            true => {}
            false if [".rs", ".md", ".ts", ".svelte"].iter().any(|end| name.ends_with(end)) => found.push(entry),
            false => {}
        }
    }
}

/// The numbers of rules that a text cites.
fn cited(text: &str) -> BTreeSet<u32> {
    let bytes = text.as_bytes();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('R') {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let digits: String = text[at + 1..].chars().take_while(char::is_ascii_digit).collect();
        let after = bytes.get(at + 1 + digits.len());
        let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !digits.is_empty() && digits.len() <= 2 && !word(before.as_ref()) && !word(after) {
            found.extend(digits.parse::<u32>());
        }
    }
    found
}

#[test]
fn every_rule_that_is_cited_exists() {
    let rules = rules();
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), (1..=36).collect::<Vec<_>>(), "numbers never change");
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    let mut faults = Vec::new();
    for path in paths {
        let unknown: Vec<u32> = cited(&fs::read_to_string(&path).unwrap())
            .into_iter()
            .filter(|number| !rules.contains_key(number))
            .collect();
        if !unknown.is_empty() {
            faults.push(format!("{}: R{unknown:?}", path.display()));
        }
    }
    assert!(faults.is_empty(), "a citation leads to a rule, or nobody can check it:\n  {}", faults.join("\n  "));
}

#[test]
fn every_rule_names_its_tests_or_says_what_is_not_built() {
    let mut faults = Vec::new();
    for (number, tests) in rules() {
        let (named, missing) = match tests.split_once("not built") {
            Some((named, missing)) => (named.trim_end_matches([';', ' ']).to_owned(), Some(missing)),
            None => (tests.clone(), None),
        };
        if named.is_empty() && missing.is_none() {
            faults.push(format!("R{number}: neither tests nor \"not built\""));
        }
        for test in named.split(", ").filter(|test| !test.is_empty()) {
            let found = test.split_once("::").is_some_and(|(path, name)| {
                let text = fs::read_to_string(root().join(path)).unwrap_or_default();
                text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"))
            });
            if !found {
                faults.push(format!("R{number}: there is no {test}"));
            }
        }
    }
    assert!(faults.is_empty(), "a rule without a test is a wish:\n  {}", faults.join("\n  "));
}

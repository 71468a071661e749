//! Commands with wrong arguments, or about things that do not exist.

use crate::site::{Node, TestFolder, assert_unchanged, command, files, founding, run, run_prepared};

#[test]
fn an_organisation_that_cannot_be_founded_leaves_nothing() {
    let temp = TestFolder::new("founding");
    let kit = temp.at("kit.txt");
    let good = founding(&kit);
    let changed = |option: &str, value: &str| {
        let mut arguments = good.clone();
        let at = arguments.iter().position(|argument| argument == option).expect("an option of init");
        arguments[at + 1] = value.to_owned();
        arguments
    };
    let long = "x".repeat(300);
    let cases: Vec<(&str, Vec<String>, &[u8], &str)> = vec![
        ("a code of small letters", changed("--code", "par"), b"long enough it is", "SITE-CODE"),
        ("a code too long", changed("--code", "PARIS1"), b"long enough it is", "SITE-CODE"),
        ("no name", changed("--name", " "), b"long enough it is", "NAME-FORM"),
        ("a name of 300 letters", changed("--organisation", &long), b"long enough it is", "NAME-FORM"),
        ("a structure without a name", changed("--structure", ""), b"long enough it is", "NAME-FORM"),
        ("a login of two words", changed("--login", "ana b"), b"long enough it is", "INIT-REFUSED"),
        ("a kit in no folder", changed("--kit", "/proc/nothing/kit"), b"long enough it is", "KIT-WRITE"),
        ("no password", good.clone(), b"", "PASSWORD-EMPTY"),
        ("an empty password", good.clone(), b"\n", "PASSWORD-EMPTY"),
        ("a short password", good.clone(), b"hunter2-x\n", "PASSWORD-SHORT"),
        ("a password of bytes", good.clone(), b"\xff\xfe\xfd and so on and on\n", "PASSWORD-FORM"),
        ("a password of 5000 letters", good.clone(), &[b'x'; 5000], "PASSWORD-FORM"),
    ];
    for (case, arguments, input, code) in &cases {
        let output = run(&temp.at("new"), arguments, input);
        output.refused(code, case);
        assert!(!output.err.contains("hunter2"), "{case}: a password is never printed");
        assert!(!temp.at("new").join("site.key").exists() && !kit.exists(), "{case}: neither a site nor a kit is left");
    }
    std::fs::write(&kit, b"another organisation's").unwrap();
    run(&temp.at("new"), &good, b"long enough it is").refused("KIT-EXISTS", "a kit is there already");
    assert_eq!(std::fs::read(&kit).unwrap(), b"another organisation's", "a kit exists once in the world");
    let paris = temp.founded("paris");
    let before = files(&paris);
    run(&paris, &founding(&temp.at("second.txt")), b"long enough it is").refused("FOLDER-USED", "twice in one folder");
    assert_unchanged(&paris, &before, "twice in one folder");
    assert!(!temp.at("second.txt").exists(), "no kit without its organisation");
}

#[test]
fn a_command_that_asks_for_nothing_there_changes_nothing() {
    let temp = TestFolder::new("commands");
    let paris = temp.founded("paris");
    let cases: &[(&str, &[&str], &[u8], &str)] = &[
        ("no command", &[], b"", "USAGE"),
        ("an unknown command", &["fly"], b"", "USAGE"),
        ("an unknown option", &["run", "--fast"], b"", "USAGE"),
        ("a missing option", &["token", "create"], b"", "USAGE"),
        ("an unknown login", &["token", "create", "--login", "bob"], b"", "LOGIN-UNKNOWN"),
        ("an empty login", &["token", "create", "--login", ""], b"", "LOGIN-UNKNOWN"),
        ("a login like a path", &["token", "create", "--login", "../structures?x=#"], b"", "LOGIN-UNKNOWN"),
        ("a login with an escape", &["password", "--login", "ana\u{1b}[2J"], b"long enough it is", "LOGIN-UNKNOWN"),
        ("a password of nobody", &["password", "--login", "bob"], b"long enough it is", "LOGIN-UNKNOWN"),
        ("an empty password", &["password", "--login", "ana"], b"\n", "PASSWORD-EMPTY"),
        ("a short password", &["password", "--login", "ana"], b"hunter2-x\n", "PASSWORD-SHORT"),
    ];
    let before = files(&paris);
    for (case, arguments, input, code) in cases {
        run(&paris, arguments, input).refused(code, case);
        assert!(files(&paris).keys().eq(before.keys()), "{case}: files came or went");
        let elsewhere = if *code == "USAGE" { code } else { "FOLDER-EMPTY" };
        run(&temp.at("nowhere"), arguments, input).refused(elsewhere, case);
    }
    assert!(!temp.at("nowhere").exists(), "a folder that was misspelt is not made");
    run(&paris, &["invite", "--code", "LYO", "--name", "Lyon"], b"").refused("NODE-STOPPED", "nobody serves");
    let node = Node::start(&paris);
    for (case, arguments, input, code) in cases {
        run(&paris, arguments, input).refused(code, &format!("{case}, while the node runs"));
    }
    let invite = |more: &[&str]| run(&paris, &[&["invite"], more].concat(), b"");
    invite(&["--code", "lyon", "--name", "Lyon"]).refused("SITE-CODE", "a code of small letters");
    invite(&["--code", "LYO", "--name", ""]).refused("NAME-FORM", "no name");
    invite(&["--code", "LYO", "--name", &"x".repeat(300)]).refused("NAME-FORM", "a name no statement holds");
    let unknown = invite(&["--code", "LYO", "--name", "Lyon", "--structure", "Nope"]);
    unknown.refused("STRUCTURE-UNKNOWN", "no such structure");
    assert!(unknown.err.contains("Nope"), "the structure is named: {}", unknown.err);
    drop(node);
    std::fs::write(paris.join("running.json"), format!("{{\"token\": \"{}", crate::site::PASSWORD)).unwrap();
    invite(&["--code", "LYO", "--name", "Lyon"])
        .refused("NODE-STOPPED", "half of a token's file, of which nothing is printed");
    assert_eq!(run(&paris, &["verify"], b"").code, Some(0), "and every record is as it was");
}

#[test]
fn environment_variables_are_checked_like_arguments() {
    let temp = TestFolder::new("environment");
    let paris = temp.founded("paris");
    let before = files(&paris);
    let mut bad = command(&paris, &["verify"]);
    bad.env("ARCHIPEL_LOG", "warn,node=loud=er");
    run_prepared(bad, b"").refused("LOG-FILTER", "a log filter that is none");
    assert_unchanged(&paris, &before, "a log filter that is none");
    let mut empty = std::process::Command::new(env!("CARGO_BIN_EXE_archipel"));
    empty.env("ARCHIPEL_DATA", "").arg("verify").current_dir(temp.at(""));
    run_prepared(empty, b"").refused("USAGE", "an empty folder name");
}

#[test]
fn a_site_is_founded_in_a_bare_folder_and_learns_its_address_later() {
    let temp = TestFolder::new("later");
    // A name without a folder before it, from where a person stands.
    let mut init = command(std::path::Path::new("fresh"), &founding(std::path::Path::new("kit.txt")));
    init.current_dir(temp.at("."));
    let output = run_prepared(init, b"long enough it is");
    assert_eq!(output.code, Some(0), "{}", output.err);
    let fresh = temp.at("fresh");
    let invite = ["invite", "--code", "LYO", "--name", "Lyon", "--structure", "IT"];
    std::fs::write(fresh.join("archipel.toml"), "http = \"127.0.0.1:0\"\nnet = \"0.0.0.0:0\"\n").unwrap();
    let node = Node::start(&fresh);
    run(&fresh, &invite, b"").refused("SITE-ADDRESS", "nobody can call it");
    drop(node);
    let config = "http = \"127.0.0.1:0\"\nnet = \"127.0.0.1:0\"\nadvertise = [\"127.0.0.1:4711\"]\n";
    std::fs::write(fresh.join("archipel.toml"), config).unwrap();
    let node = Node::start(&fresh);
    let output = run(&fresh, &invite, b"");
    assert!(output.out.contains("archipel1-"), "as the error said: {} {}", output.out, output.err);
    drop(node);
}

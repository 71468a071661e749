//! Bad invitation lines given to `join`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;

use schema::id::{OrgId, SiteId};
use schema::identity::Secret;
use schema::invitation::Invitation;
use schema::time::Timestamp;

use crate::site::{CommandOutput, Node, TestFolder, assert_unchanged, command, files, run};

/// A time long after every test, in milliseconds since 1970.
const FAR: Timestamp = Timestamp(4_000_000_000_000);

fn made_up() -> Invitation {
    Invitation {
        org: OrgId([1; 32]),
        inviter: Secret::from_bytes([2; 32]).public(),
        addresses: vec!["127.0.0.1:9".into()],
        token: [3; 16],
        code: "LYO".into(),
        expires: FAR,
    }
}

fn join(folder: &Path, line: impl AsRef<OsStr>) -> CommandOutput {
    run(folder, &[OsStr::new("join"), line.as_ref()], b"")
}

/// Asserts that the error does not repeat the part of the line that lets a site in.
fn keeps_secret(output: &CommandOutput, line: &str, case: &str) {
    let letters = line.trim_start_matches("archipel1-");
    let part = letters.get(60..100).unwrap_or("no such part");
    assert!(!output.err.contains(part) && !output.out.contains(part), "{case}: tells the line: {}", output.err);
}

#[test]
fn a_line_that_is_not_good_changes_nothing() {
    let temp = TestFolder::new("lines");
    let line = made_up().to_line();
    let old = Invitation { expires: Timestamp(1_700_000_000_000), ..made_up() }.to_line();
    let flipped = |at: usize| {
        let mut bytes = line.clone().into_bytes();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        String::from_utf8(bytes).expect("ascii")
    };
    let twice = format!("{line}{line}");
    let swapped = line.replacen("archipel1", "archipel2", 1);
    let bare = line.trim_start_matches("archipel1-").to_owned();
    let cases: Vec<(&str, OsString, &str)> = vec![
        ("empty", "".into(), "INVITE-FORM"),
        ("white space alone", " \n ".into(), "INVITE-FORM"),
        ("another text", "hello".into(), "INVITE-FORM"),
        ("the prefix alone is missing", bare.into(), "INVITE-FORM"),
        ("a link instead", "https://example.org/archipel1-abc".into(), "INVITE-FORM"),
        ("a later version", swapped.into(), "INVITE-VERSION"),
        ("the prefix alone", "archipel1-".into(), "INVITE-DAMAGED"),
        ("half of it", line[..line.len() / 2].into(), "INVITE-DAMAGED"),
        ("its last letter is missing", line[..line.len() - 1].into(), "INVITE-DAMAGED"),
        ("a changed letter at its beginning", flipped(12).into(), "INVITE-DAMAGED"),
        ("a changed letter in its middle", flipped(line.len() / 2).into(), "INVITE-DAMAGED"),
        ("a changed letter at its end", flipped(line.len() - 1).into(), "INVITE-DAMAGED"),
        ("pasted twice", twice.into(), "INVITE-DAMAGED"),
        ("100,000 letters", format!("archipel1-{}", "a".repeat(100_000)).into(), "INVITE-DAMAGED"),
        ("letters that no line has", "archipel1-àéî".into(), "INVITE-DAMAGED"),
        ("a terminal's escapes", "archipel1-\u{1b}[2J".into(), "INVITE-DAMAGED"),
        ("expired", old.into(), "INVITE-OLD"),
    ];
    for (case, given, code) in &cases {
        let folder = temp.at("new");
        let output = join(&folder, given);
        output.refused(code, case);
        keeps_secret(&output, &line, case);
        assert!(!folder.exists(), "{case}: no folder is left behind");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        join(&temp.at("new"), OsStr::from_bytes(b"archipel1-\xff\xfe")).refused("INVITE-DAMAGED", "not UTF-8");
    }
    run(&temp.at("new"), &["join"], b"").refused("USAGE", "no line at all");
}

#[test]
fn a_folder_that_cannot_take_a_site_is_left_as_it_is() {
    let temp = TestFolder::new("folders");
    let line = made_up().to_line();
    let used = temp.founded("used");
    let mut cases = vec![("a site lives there", used.clone(), "FOLDER-USED")];
    std::fs::write(temp.at("file"), b"mine").unwrap();
    cases.push(("a file instead of a folder", temp.at("file"), "FOLDER-WRITE"));
    cases.push(("a folder below a file", temp.at("file").join("below"), "FOLDER-WRITE"));
    if cfg!(target_os = "linux") {
        // Not even the system's own user may make a folder there.
        cases.push(("an unwritable folder", "/proc/archipel".into(), "FOLDER-WRITE"));
    }
    for kept in ["site.key", "sequencer.key", "archipel.redb", "local.sqlite"] {
        let folder = temp.at(&format!("only-{kept}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(used.join(kept), folder.join(kept)).unwrap();
        cases.push((kept, folder, "FOLDER-USED"));
    }
    for (case, folder, code) in &cases {
        let before = files(folder);
        let output = join(folder, &line);
        output.refused(code, case);
        keeps_secret(&output, &line, case);
        assert_unchanged(folder, &before, case);
    }
    assert_eq!(std::fs::read(temp.at("file")).unwrap(), b"mine", "a file in the way is somebody's");
}

#[test]
fn nobody_answers_at_the_addresses() {
    let temp = TestFolder::new("nobody");
    let folder = temp.at("new");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("archipel.toml"), "net = \"127.0.0.1:0\"\n").unwrap();
    let before = files(&folder);
    let output = join(&folder, made_up().to_line());
    output.refused("JOIN-UNREACHABLE", "nobody there");
    assert!(
        output.err.contains("127.0.0.1:9"),
        "the address is named, since a firewall is looked at next: {}",
        output.err
    );
    assert_unchanged(&folder, &before, "nobody there");
}

#[test]
fn the_inviting_site_says_no() {
    let temp = TestFolder::new("inviter");
    let paris = temp.founded("paris");
    let node = Node::start(&paris);
    let invite = |code: &str| -> String {
        let output = run(&paris, &["invite", "--code", code, "--name", "Lyon"], b"");
        assert_eq!(output.code, Some(0), "an invitation is made: {}", output.err);
        output.out.trim().to_owned()
    };
    let revoked = invite("LYO");
    let line = invite("LYO");
    let real = Invitation::from_line(&line).expect("just made");

    let folder = temp.at("lyon");
    let foreign = Invitation { org: OrgId([9; 32]), ..Invitation::from_line(&invite("OSL")).expect("just made") };
    let refused = [
        ("revoked by a newer one", revoked.clone(), "INVITE-SPENT"),
        ("a token nobody gave out", Invitation { token: [7; 16], ..real.clone() }.to_line(), "INVITE-SPENT"),
        ("another organisation's", foreign.to_line(), "JOIN-FOREIGN"),
        ("another site's key at this address", made_up_at(&real).to_line(), "JOIN-UNREACHABLE"),
    ];
    for (case, given, code) in &refused {
        let output = join(&folder, given);
        output.refused(code, case);
        keeps_secret(&output, given, case);
        assert!(!folder.exists(), "{case}: the folder takes the next invitation");
    }

    let (head, tail) = line.split_at(50);
    let pasted = run(&folder, &["join", &format!("\"{head}\r\n "), &format!("\u{a0}{tail}\" ")], b"");
    assert_eq!(pasted.code, Some(0), "white space, a line break and quotes around are harmless: {}", pasted.err);

    // The answer may have been lost on its way: until the site is heard of, the line lets another key take its place.
    let again = temp.configured("again");
    let output = join(&again, &line);
    assert_eq!(output.code, Some(0), "who lost the answer asks again: {}", output.err);
    let mut lyon = command(&again, &["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let is_there = || {
        let asked = ureq::get(format!("http://{}/api/v1/sync", node.address))
            .header("Authorization", &format!("Bearer {}", node.token))
            .call();
        asked.is_ok_and(|mut answer| answer.body_mut().read_to_string().unwrap().contains("\"connected\":true"))
    };
    let begun = std::time::Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "the site that joined is heard of");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    join(&temp.at("third"), &line).refused("INVITE-SPENT", "already used, by a site that is there");
    lyon.kill().and_then(|()| lyon.wait()).expect("it is stopped");
    let before = files(&folder);
    join(&folder, invite("BER")).refused("FOLDER-USED", "a second site in one folder");
    assert_unchanged(&folder, &before, "a second site in one folder");
}

/// The real site's addresses under a key that is not its own: whoever answers there cannot prove it.
fn made_up_at(real: &Invitation) -> Invitation {
    Invitation { inviter: SiteId(made_up().inviter.0), ..real.clone() }
}

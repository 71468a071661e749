//! People of running sites: enrolled, disabled, let in again, their passwords, and what a page of theirs hears.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Node, PASSWORD, TestFolder, ask, done, eventually, founded_with_dakar, log_in, log_in_with, run};
use serde_json::{Value, json};

/// How soon a disabled account is out (R16).
const OUT: Duration = Duration::from_secs(1);

fn is_in(node: &Node, cookie: &str) -> bool {
    ask(node, "GET", "/api/v1/session", Some(cookie), None).0 == 200
}

/// Waits until a session is refused, and says how long that took.
fn out_after(node: &Node, cookie: &str) -> Duration {
    let begun = Instant::now();
    while is_in(node, cookie) && begun.elapsed() < 10 * OUT {
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

/// What a page listens to.
struct Page(TcpStream);

impl Page {
    fn listening(node: &Node, cookie: &str) -> Self {
        let mut stream = TcpStream::connect(&node.address).unwrap();
        let lines = [
            "GET /api/v1/events HTTP/1.1",
            &format!("Host: {}", node.address),
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            &format!("Cookie: {cookie}"),
            "\r\n",
        ];
        stream.write_all(lines.join("\r\n").as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 101"));
        Self(stream)
    }

    /// Waits until nothing more is said, and says how long that took.
    fn closed_after(mut self) -> Duration {
        let begun = Instant::now();
        self.0.set_read_timeout(Some(10 * OUT)).unwrap();
        let _ = self.0.read_to_end(&mut Vec::new());
        begun.elapsed()
    }
}

#[test]
fn people_are_enrolled_disabled_and_let_in_again() {
    let temp = TestFolder::new("people");
    let paris = temp.founded("paris");
    let node = Node::start(&paris);
    let add = |more: &str, password: &str| {
        let arguments = format!("user add --login tom --name Tom {more}");
        run(&paris, &arguments.split(' ').collect::<Vec<_>>(), password.as_bytes())
    };
    add("--role technician", "hunter2-x").refused("PASSWORD-SHORT", "as `password` says it");
    let output = add("--role technician --site ZZZ", PASSWORD);
    output.refused("FIELD-INVALID", "no such site");
    assert!(output.err.contains("sites") && !output.err.contains('{'), "in words: {}", output.err);
    let output = add("--role king", PASSWORD);
    output.refused("USAGE", "no such role");
    assert!(output.err.contains("technician") && !output.err.contains('{'), "with those there are: {}", output.err);
    done(&paris, "user add --login tom --name Tom --role technician --structure IT", PASSWORD);
    let (status, session) = log_in(&node, "tom");
    assert_eq!(status, 201, "who was enrolled may log in at once");
    assert!(is_in(&node, &session));
    let page = Page::listening(&node, &session);

    assert_eq!(done(&paris, "user disable --login tom", ""), "tom may not log in any more.");
    let took = out_after(&node, &session);
    assert!(took < OUT, "a session ends within a second of the news: {took:?}");
    let took = page.closed_after();
    assert!(took < OUT, "and so does what a page listens to: {took:?}");
    let given = |password: &str| json!({ "login": "tom", "password": password });
    let answer = |password: &str| ask(&node, "POST", "/api/v1/sessions", None, Some(&given(password)));
    let (status, refused, _) = answer(PASSWORD);
    assert_eq!((status, &refused["code"]), (401, &json!("LOGIN-WRONG")), "and no new one begins");
    assert_eq!(answer("not-the-password").1, refused, "nothing tells that the password was right");

    done(&paris, "user enable --login tom", "");
    assert_eq!(log_in(&node, "tom").0, 201);
    assert!(!is_in(&node, &session), "what was open before stays ended");
    let (_, session) = log_in(&node, "tom");
    let page = Page::listening(&node, &session);
    ask(&node, "DELETE", "/api/v1/session", Some(&session), None);
    let took = page.closed_after();
    assert!(took < OUT, "a page of somebody who logged out hears no more: {took:?}");

    done(&paris, "user role --login tom --role admin", "");
    let (_, who, _) = ask(&node, "GET", "/api/v1/session", Some(&log_in(&node, "tom").1), None);
    assert_eq!(who["user"]["role"], "admin");
    run(&paris, &["user", "role", "--login", "tom", "--role", "king"], b"").refused("USAGE", "no such role");
    run(&paris, &["user", "disable", "--login", "nobody"], b"").refused("FIELD-INVALID", "nobody of this login");
    done(&paris, "user disable --login tom", "");
    run(&paris, &["user", "disable", "--login", "ana"], b"").refused("RULE-REFUSED", "the last admin stays");
}

#[test]
fn a_cut_site_disables_its_own_people_at_once_and_the_others_hear_of_it() {
    let temp = TestFolder::new("cut");
    let (paris, first, dakar) = founded_with_dakar(&temp);
    done(&dakar, "password --login ana", PASSWORD);
    let second = Node::start(&dakar);
    done(&dakar, "user add --login awa --name Awa --role technician --structure IT", PASSWORD);
    let known = || run(&paris, &["user", "enable", "--login", "awa"], b"").code == Some(0);
    let begun = Instant::now();
    while !known() && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(known(), "the first site took the enrolment over");

    drop(first);
    let (status, session) = log_in(&second, "awa");
    assert_eq!(status, 201);
    done(&dakar, "user disable --login awa", "");
    let took = out_after(&second, &session);
    assert!(took < OUT, "the cut site does not wait for the first one: {took:?}");
    run(&dakar, &["user", "sites", "--login", "awa", "--site", "*"], b"")
        .refused("NOT-SEQUENCER", "not its own to say");

    let first = Node::start(&paris);
    run(&paris, &["password", "--login", "awa"], PASSWORD.as_bytes()).refused("PASSWORD-ELSEWHERE", "Dakar's alone");
    done(&paris, "sequencer confirm", "");
    let is_out = || {
        let path = "/api/v1/users/awa";
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("http://{}{path}", first.address);
        let mut answer = agent.get(&url).header("authorization", &format!("Bearer {}", first.token)).call().unwrap();
        answer.body_mut().read_json::<Value>().unwrap()["active"] == false
    };
    let begun = Instant::now();
    while !is_out() && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(is_out(), "what the cut site said of its people holds everywhere");
}

#[test]
fn a_password_that_is_reset_at_a_cut_site_holds_there_at_once_and_everywhere_after_the_split() {
    const RESET: &str = "staple-correct-battery";
    let temp = TestFolder::new("reset");
    let (paris, first, dakar) = founded_with_dakar(&temp);
    drop(first);
    let (first, second) = (Node::start(&paris), Node::start(&dakar));
    eventually("what was set when the organisation was founded works at the site that joined", || {
        log_in(&second, "ana").0 == 201
    });
    done(&paris, "sequencer confirm", "");
    done(&paris, "user add --login tom --name Tom --role technician --structure IT --site PAR --site DAK", PASSWORD);
    assert_eq!(log_in(&first, "tom").0, 201);
    let known = |folder: &Path| run(folder, &["password", "--login", "tom"], b"").err.contains("PASSWORD-EMPTY");
    eventually("dakar hears of him", || known(&dakar));
    eventually("and lets him in with the password that was set at Paris", || log_in(&second, "tom").0 == 201);

    // The link is cut, and Tom has forgotten his password.
    drop(first);
    done(&dakar, "password --login tom", RESET);
    assert_eq!(log_in_with(&second, "tom", RESET).0, 201, "at once where it was reset");
    assert_eq!(log_in(&second, "tom").0, 401, "the old one is refused there");
    let first = Node::start(&paris);
    eventually("paris hears of it", || {
        std::thread::sleep(Duration::from_millis(300));
        log_in_with(&first, "tom", RESET).0 == 201
    });
    assert_eq!(log_in(&first, "tom").0, 401, "and refuses the old one");
    // It is in the records, so it is there after a rebuild and in no file in the clear.
    drop((first, second));
    done(&dakar, "rebuild", "");
    let second = Node::start(&dakar);
    assert_eq!(log_in_with(&second, "tom", RESET).0, 201);
    drop(second);
    for (path, bytes) in common::files(&dakar) {
        let shows = bytes.windows(9).any(|window| window == b"$argon2id");
        assert!(!shows, "{} tells a verifier", path.display());
    }
}

#[test]
fn who_is_enrolled_for_another_site_logs_in_there_with_the_password_they_were_given() {
    let temp = TestFolder::new("elsewhere");
    let (paris, first, dakar) = founded_with_dakar(&temp);
    drop(first);
    let (first, second) = (Node::start(&paris), Node::start(&dakar));
    done(&paris, "sequencer confirm", "");
    done(&paris, "user add --login tom --name Tom --role technician --structure IT --site DAK", PASSWORD);
    assert_eq!(log_in(&first, "tom").0, 401, "Paris is none of his sites");
    eventually("he logs in at Dakar", || {
        std::thread::sleep(Duration::from_millis(300));
        log_in(&second, "tom").0 == 201
    });
    // The node of Dakar need not run for a reset.
    drop(second);
    done(&dakar, "password --login tom", "another-long-password");
    let second = Node::start(&dakar);
    let (status, session) = log_in_with(&second, "tom", "another-long-password");
    assert_eq!(status, 201);
    let page = Page::listening(&second, &session);
    done(&paris, "user disable --login tom", "");
    eventually("the news is at Dakar", || log_in_with(&second, "tom", "another-long-password").0 == 401);
    let took = page.closed_after();
    assert!(took < OUT, "his page hears no more within a second of the news: {took:?}");
    assert!(!is_in(&second, &session));
    drop(first);
}

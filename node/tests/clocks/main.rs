//! A site whose clock is wrong, as people at both sites see it (R28).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

use std::path::PathBuf;

use common::{Node, PASSWORD, TestFolder, ask, done, eventually, founded_with_dakar, log_in, run_prepared};
use serde_json::{Value, json};

const YEAR_SECONDS: u64 = 365 * 24 * 3600;

/// What turns the clock of a process: built by the C compiler that the crates need as well.
fn clock_ahead(temp: &TestFolder) -> PathBuf {
    let built = temp.at("ahead.so");
    let mut compiler = std::process::Command::new("cc");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clocks/ahead.c");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&built).args([source, "-ldl"]);
    let output = run_prepared(compiler, b"");
    assert_eq!(output.code, Some(0), "{}", output.err);
    built
}

#[test]
fn of_a_reply_from_a_clock_a_year_ahead_the_doubt_is_shown_there_and_nothing_later_has_its_date() {
    let temp = TestFolder::new("clocks");
    let (_, first, dakar) = founded_with_dakar(&temp);
    done(&dakar, "password --login ana", PASSWORD);
    let (_, here) = log_in(&first, "ana");
    let say = |node: &Node, cookie: &str, method: &str, path: &str, body: Value| {
        let (status, made, _) = ask(node, method, &format!("/api/v1/tickets{path}"), Some(cookie), Some(&body));
        assert!((200..300).contains(&status), "{method} {path}: {made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let ticket = say(&first, &here, "POST", "", json!({ "title": "lampe" }));
    let path = format!("/{ticket}/comments");
    let seen = |node: &Node, cookie: &str| ask(node, "GET", &format!("/api/v1/tickets/{ticket}"), Some(cookie), None).1;
    let replies = |node: &Node, cookie: &str| seen(node, cookie)["comments"].as_array().map_or(0, Vec::len);
    let reply = |body: &str| json!({ "body": body, "visibility": "public" });

    let wrong = Node::start_with(&dakar, |command| {
        command.env("LD_PRELOAD", clock_ahead(&temp)).env("CLOCK_AHEAD", YEAR_SECONDS.to_string());
    });
    let (_, there) = log_in(&wrong, "ana");
    eventually("dakar hears of the ticket", || seen(&wrong, &there)["id"] == json!(ticket));
    say(&wrong, &there, "POST", &path, reply("d'une année à venir"));
    eventually("paris hears of the reply", || replies(&first, &here) == 1);
    drop(wrong);

    say(&first, &here, "POST", &path, reply("la réponse"));
    say(&first, &here, "POST", &path, reply("la suite"));
    // The clock of the machine was put right, and the node started again.
    let second = Node::start(&dakar);
    let (_, there) = log_in(&second, "ana");
    eventually("dakar hears of the answers", || replies(&second, &there) == 3);
    say(&second, &there, "POST", &path, reply("de Dakar, à l'heure"));
    let other = say(&second, &there, "POST", "", json!({ "title": "un autre" }));
    eventually("paris hears of the last", || {
        replies(&first, &here) == 4
            && ask(&first, "GET", &format!("/api/v1/tickets/{other}"), Some(&here), None).0 == 200
    });

    let soon = node::clock::rfc3339(schema::time::Timestamp(node::clock::now().0 + 3_600_000));
    for (node, cookie) in [(&first, &here), (&second, &there)] {
        let seen = seen(node, cookie);
        let told: Vec<(&str, bool, bool)> = seen["comments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|comment| {
                let is_late = comment["at"].as_str().unwrap() > soon.as_str();
                (comment["body"].as_str().unwrap(), is_late, comment["clock_in_doubt"].as_bool().unwrap())
            })
            .collect();
        let expected = [
            ("d'une année à venir", true, true),
            // The two contradict one another, and nobody else knows which clock was wrong.
            ("la réponse", false, true),
            ("la suite", false, false),
            ("de Dakar, à l'heure", false, false),
        ];
        assert_eq!(told, expected, "in the order in which they answer one another");
        assert!(seen["updated_at"].as_str().unwrap() < soon.as_str(), "the ticket goes on: {}", seen["updated_at"]);
        let (_, list, _) = ask(node, "GET", "/api/v1/tickets?sort=-updated", Some(cookie), None);
        assert_eq!(list["items"][0]["title"], "un autre", "it does not lead the lists for a year");
        let path = format!("/api/v1/tickets/{ticket}/history");
        let (_, history, _) = ask(node, "GET", &path, Some(cookie), None);
        let items = history["items"].as_array().unwrap();
        let doubted = items.iter().filter(|item| item["clock_in_doubt"] == json!(true));
        let mut doubted: Vec<&str> = doubted.filter_map(|item| item["after"].as_str()).collect();
        doubted.sort_unstable();
        assert_eq!(doubted, ["d'une année à venir", "la réponse"]);
    }
}

//! The first site, restored from a backup on another machine: at an address that nobody knows yet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::path::Path;

use common::{
    Node, PASSWORD, TestFolder, ask, copy, done, eventually, founded_with_dakar, log_in, open_under_one_number, run,
};
use serde_json::json;

fn open(node: &Node, cookie: &str, title: &str) -> String {
    let (status, made, _) = ask(node, "POST", "/api/v1/tickets", Some(cookie), Some(&json!({ "title": title })));
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn is_there(node: &Node, cookie: &str, ticket: &str) -> bool {
    ask(node, "GET", &format!("/api/v1/tickets/{ticket}"), Some(cookie), None).0 == 200
}

fn alarms(node: &Node, cookie: &str) -> Vec<String> {
    let (_, seen, _) = ask(node, "GET", "/api/v1/sync", Some(cookie), None);
    seen["alarms"].as_array().unwrap().iter().map(|alarm| alarm["code"].as_str().unwrap().to_owned()).collect()
}

fn statements(folder: &Path, node: Node) -> Vec<String> {
    drop(node);
    done(folder, "rules", "").lines().map(str::to_owned).collect()
}

#[test]
fn the_first_site_comes_back_from_a_backup_at_a_new_address_and_parts_nobody() {
    let temp = TestFolder::new("restored-first");
    let (paris, first, dakar) = founded_with_dakar(&temp);
    done(&dakar, "password --login ana", PASSWORD);
    let second = Node::start(&dakar);
    let (_, there) = log_in(&second, "ana");
    let before = open(&first, &log_in(&first, "ana").1, "avant la sauvegarde");
    eventually("dakar hears of it", || is_there(&second, &there, &before));
    drop(first);
    let backup = temp.at("backup");
    copy(&paris, &backup);

    // What the backup does not know: a ticket, and a statement of the rules.
    let first = Node::start(&paris);
    done(&paris, "sequencer confirm", "");
    done(&paris, "user add --login tom --name Tom --role technician --structure IT --site DAK", PASSWORD);
    let lost = open(&first, &log_in(&first, "ana").1, "après la sauvegarde");
    eventually("dakar hears of both", || is_there(&second, &there, &lost) && log_in(&second, "tom").0 == 201);
    drop(first);
    std::fs::remove_dir_all(&paris).unwrap();
    let begun = std::time::Instant::now();

    // Another machine: only the address of the configuration is its own.
    let elsewhere = temp.configured("elsewhere");
    let config = std::fs::read(elsewhere.join("archipel.toml")).unwrap();
    copy(&backup, &elsewhere);
    std::fs::write(elsewhere.join("archipel.toml"), config).unwrap();
    let first = Node::start(&elsewhere);
    let (_, here) = log_in(&first, "ana");
    let new = open(&first, &here, "aussitôt");
    eventually("what the backup lacked comes back", || is_there(&first, &here, &lost));
    eventually("and dakar hears of what is new", || is_there(&second, &there, &new));
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(60), "within a minute of meeting: {took:?}");
    eventually("it goes on with the rules, behind what it had said before", || {
        run(&elsewhere, &["user", "disable", "--login", "tom"], b"").code == Some(0)
    });
    eventually("dakar hears that", || log_in(&second, "tom").0 == 401);
    for (node, cookie) in [(&first, &here), (&second, &there)] {
        let told = alarms(node, cookie);
        let of_parting = ["AUTHORITY-FORKED", "LOG-FORKED", "CLONE-RUNNING", "PEER-REFUSED", "SET-BACK"];
        assert!(!told.iter().any(|code| of_parting.contains(&code.as_str())), "nobody is blamed: {told:?}");
    }
    assert!(alarms(&first, &here).contains(&"OWN-RECORDS-BACK".to_owned()), "it says what happened");

    let config = std::fs::read_to_string(elsewhere.join("archipel.toml")).unwrap();
    let port = config.rsplit(':').next().unwrap().trim_end_matches(['"', '\n']).to_owned();
    let is_told = |addresses: &[String]| addresses.iter().any(|address| address.ends_with(&port));
    eventually("it tells where it is now", || {
        let line = done(&elsewhere, "invite --code LYO --name Lyon", "");
        is_told(&schema::invitation::Invitation::from_line(&line).unwrap().addresses)
    });
    eventually("dakar hears where it is", || {
        let seen = ask(&second, "GET", "/api/v1/sync", Some(&there), None).1;
        seen["peers"][0]["connected"] == json!(true) && seen["peers"][0]["to_receive"] == json!(0)
    });
    assert_eq!(statements(&elsewhere, first), statements(&dakar, second), "one list of rules");
    let mut opened = node::site::open(&dakar).unwrap();
    let policy = opened.replica().policy().cloned().unwrap();
    assert!(policy.addresses.values().any(|addresses| is_told(addresses)), "{:?}", policy.addresses);
}

#[test]
fn two_tickets_of_one_number_are_told_apart_and_reachable_at_every_site() {
    let temp = TestFolder::new("one-number");
    let (paris, first, dakar) = founded_with_dakar(&temp);
    done(&dakar, "password --login ana", PASSWORD);
    drop(first);
    // What a machine does whose volume was rolled back whole, so that nothing tells it that it was.
    open_under_one_number(&paris, "PAR-7", &["l'aînée"]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    open_under_one_number(&paris, "PAR-7", &["la cadette"]);
    let (first, second) = (Node::start(&paris), Node::start(&dakar));
    let [here, there] = [&first, &second].map(|node| log_in(node, "ana").1);
    let by_number = |node: &Node, cookie: &str, number: &str| -> String {
        let (_, seen, _) = ask(node, "GET", &format!("/api/v1/tickets/{number}"), Some(cookie), None);
        seen["title"].as_str().unwrap_or("not known").to_owned()
    };
    let shown = |node: &Node, cookie: &str| -> Vec<(String, String)> {
        let (_, list, _) = ask(node, "GET", "/api/v1/tickets?sort=created", Some(cookie), None);
        let text = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap().to_owned();
        list["items"].as_array().unwrap().iter().map(|item| (text(item, "title"), text(item, "number"))).collect()
    };
    eventually("dakar hears of both", || shown(&second, &there).len() == 2);
    let at_paris = shown(&first, &here);
    assert_eq!(at_paris[0], ("l'aînée".into(), "PAR-7".into()), "who was there first keeps the number");
    let letters = at_paris[1].1.clone();
    assert!(letters.starts_with("PAR-7-") && at_paris[1].0 == "la cadette", "{at_paris:?}");
    assert_eq!(shown(&second, &there), at_paris, "the same everywhere");
    for (node, cookie) in [(&first, &here), (&second, &there)] {
        assert_eq!(by_number(node, cookie, "PAR-7"), "l'aînée");
        assert_eq!(by_number(node, cookie, &letters), "la cadette");
        // Numbers are compared once the rows are there, a moment after them.
        eventually("each site says so", || alarms(node, cookie).contains(&"NUMBER-TWICE".to_owned()));
        let (_, seen, _) = ask(node, "GET", "/api/v1/sync", Some(cookie), None);
        let told: Vec<&serde_json::Value> = seen["alarms"].as_array().unwrap().iter().collect();
        let twice = told.iter().find(|alarm| alarm["code"] == "NUMBER-TWICE").expect("as it was a moment ago");
        assert_eq!(twice["params"]["numbers"], json!(letters), "and names it");
        assert!(!told.iter().any(|alarm| alarm["code"] == "CLONE-RUNNING"), "there is no second copy: {told:?}");
    }
}

//! What the page and the command line say of changes that have no effect, and what becomes of those that are adopted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::path::PathBuf;

use common::{Node, PASSWORD, TestFolder, ask, done, eventually, founded_with_dakar, log_in, run};
use serde_json::{Value, json};

/// Paris, after it revoked Dakar as of a time after which Dakar wrote several things that Paris had heard of.
struct Revoked {
    paris: PathBuf,
    first: Node,
    cookie: String,
    /// A ticket of Paris whose title Dakar changed, before Paris raised its impact.
    built_on: String,
    /// A ticket of Dakar's, opened too late, whose urgency Paris raised.
    doubtful: String,
    temp: TestFolder,
}

impl Revoked {
    fn new(name: &str) -> Self {
        let temp = TestFolder::new(name);
        let (paris, first, dakar) = founded_with_dakar(&temp);
        done(&dakar, "password --login ana", PASSWORD);
        let second = Node::start(&dakar);
        let [(_, here), (_, there)] = [log_in(&first, "ana"), log_in(&second, "ana")];
        let say = |node: &Node, cookie: &str, method: &str, path: &str, body: Value| {
            let (status, made, _) = ask(node, method, &format!("/api/v1/tickets{path}"), Some(cookie), Some(&body));
            assert!((200..300).contains(&status), "{method} {path}: {made}");
            made["id"].as_str().unwrap().to_owned()
        };
        let built_on = say(&first, &here, "POST", "", json!({ "title": "lampe" }));
        let shows = |node: &Node, cookie: &str, id: &str| {
            ask(node, "GET", &format!("/api/v1/tickets/{id}"), Some(cookie), None)
        };
        eventually("dakar hears of the ticket", || shows(&second, &there, &built_on).0 == 200);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let until = node::clock::rfc3339(node::clock::now());

        std::thread::sleep(std::time::Duration::from_millis(1100));
        let say_there = |method: &str, path: &str, body: Value| say(&second, &there, method, path, body);
        let born = say_there("POST", "", json!({ "title": "née trop tard", "description": "Il fait noir." }));
        for (visibility, body) in [("internal", "une note"), ("internal", "une autre"), ("public", "une réponse")] {
            say_there("POST", &format!("/{born}/comments"), json!({ "body": body, "visibility": visibility }));
        }
        let doubtful = say_there("POST", "", json!({ "title": "écran", "description": "Il est noir." }));
        say_there("POST", &format!("/{doubtful}/comments"), json!({ "body": "sous clé", "visibility": "internal" }));
        say_there("PATCH", &format!("/{built_on}"), json!({ "title": "lampe volée" }));
        say_there("POST", &format!("/{built_on}/comments"), json!({ "body": "volée hier", "visibility": "public" }));
        eventually("paris hears of it", || {
            let seen = shows(&first, &here, &built_on).1;
            seen["comments"].as_array().is_some_and(|comments| comments.len() == 1)
        });
        say(&first, &here, "PATCH", &format!("/{built_on}"), json!({ "impact": "high" }));
        say(&first, &here, "PATCH", &format!("/{doubtful}"), json!({ "urgency": "high" }));
        let note = json!({ "body": "vu", "visibility": "internal" });
        say(&first, &here, "POST", &format!("/{doubtful}/comments"), note);
        done(&paris, "sequencer confirm", "");
        done(&paris, &format!("site revoke --yes --code DAK --until {until}"), "");
        eventually("what was born later is not there", || shows(&first, &here, &born).0 == 404);
        drop(second);
        Self { paris, first, cookie: here, built_on, doubtful, temp }
    }

    fn read(&self, path: &str) -> Value {
        let (status, seen, _) = ask(&self.first, "GET", &format!("/api/v1/{path}"), Some(&self.cookie), None);
        assert_eq!(status, 200, "{path}: {seen}");
        seen
    }
}

#[test]
fn a_note_is_adopted_with_its_ticket_or_not_at_all() {
    let story = Revoked::new("held-notes");
    let plain = story.read(&format!("tickets/{}", story.built_on));
    assert_eq!(plain["tainted"][0]["field"], "title", "what an edit of Paris builds on is not held");
    let held = story.read("quarantine");
    let ids: Vec<String> =
        held["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    let [ticket, note, other, reply] = &ids[..] else { panic!("four are held: {held}") };
    for early in [note, other, reply] {
        let refused = run(&story.paris, &["held", "adopt", early], b"");
        refused.refused("HELD-FIRST", "its ticket is held itself");
        assert!(refused.err.contains("DAK-1 (née trop tard)"), "and it is named: {}", refused.err);
    }
    let adopted = done(&story.paris, &format!("held adopt {ticket}"), "");
    for later in [note, other] {
        done(&story.paris, &format!("held adopt {later}"), "");
    }
    assert_eq!(done(&story.paris, &format!("held adopt {reply}"), ""), adopted, "a reply goes into the ticket");
    assert_eq!(adopted, "PAR-2 (née trop tard)", "which is named as people know it");
    let seen = story.read("tickets/PAR-2");
    let comments = seen["comments"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        comments.iter().map(|one| (one["visibility"].as_str().unwrap(), one["body"].as_str().unwrap())).collect();
    assert_eq!(told, [("internal", "une note"), ("internal", "une autre"), ("public", "une réponse")]);
    assert_eq!(done(&story.paris, "held list", ""), "No change is held.");
}

#[test]
fn what_is_held_is_listed_by_its_ticket_and_what_it_would_change() {
    let story = Revoked::new("held-list");
    let listed = done(&story.paris, "held list", "");
    let lines: Vec<&str> = listed.lines().map(|line| line.split_once(" | ").unwrap().1).collect();
    let born = "DAK-1 (née trop tard)";
    assert!(lines[0].starts_with(&format!("{born} | created: DAK-1; ")), "{listed}");
    for part in ["title: née trop tard", "description: Il fait noir.", "requester: Ana", "impact: medium"] {
        assert!(lines[0].contains(part), "{part}: {listed}");
    }
    assert_eq!(
        lines[1..],
        [
            format!("{born} | comment/internal: une note"),
            format!("{born} | comment/internal: une autre"),
            format!("{born} | comment: une réponse"),
        ]
    );
    let held = || story.read("quarantine")["items"].clone();
    let item = &held()[1];
    assert_eq!(item["ticket"], json!({ "id": null, "number": "DAK-1", "title": "née trop tard" }), "held itself");
    assert_eq!(item["changes"], json!([{ "field": "comment/internal", "value": "une note", "label": "une note" }]));

    let id = held()[0]["id"].as_str().unwrap().to_owned();
    done(&story.paris, &format!("held adopt {id}"), "");
    let ticket = &held()[0]["ticket"];
    assert_eq!(ticket["id"], story.read("tickets/PAR-2")["id"], "as it is here from then on");
    assert_eq!(ticket["number"], "PAR-2", "and as it is called");
}

#[test]
fn an_adopted_ticket_says_what_it_was_at_every_site() {
    let story = Revoked::new("held-adopted");
    let ask_for = |node: &Node, cookie: &str, name: &str| {
        let (status, seen, _) = ask(node, "GET", &format!("/api/v1/tickets/{name}"), Some(cookie), None);
        (status, seen)
    };
    let listed = story.read("quarantine")["items"][0]["id"].as_str().unwrap().to_owned();
    for name in ["DAK-1", "dak-1", &listed] {
        let (status, refused) = ask_for(&story.first, &story.cookie, name);
        assert_eq!((status, &refused["code"]), (404, &json!("TICKET-HELD")), "not unknown: {refused}");
        assert_eq!(refused["params"]["ticket"], "DAK-1 (née trop tard)");
    }
    done(&story.paris, "user add --login tom --name Tom --role user --structure IT", PASSWORD);
    let (_, tom) = log_in(&story.first, "tom");
    assert_eq!(ask_for(&story.first, &tom, "DAK-1").1["code"], "TICKET-UNKNOWN", "to whom it is not told");
    let state = |node: &Node, cookie: &str| ask(node, "GET", "/api/v1/sync", Some(cookie), None).1;
    assert_eq!((&state(&story.first, &tom)["held"], &state(&story.first, &tom)["in_doubt"]), (&json!(0), &json!(0)));
    let seen = state(&story.first, &story.cookie);
    assert_eq!((&seen["held"], &seen["in_doubt"]), (&json!(4), &json!(2)), "counted for who may see them");

    let held = story.read("quarantine")["items"].clone();
    let ids: Vec<&str> = held.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert!(held[0]["adoptable"] == true && held[0]["discardable"] == true, "as the page offers it");
    done(&story.paris, &format!("held adopt {}", ids[0]), "");
    let (status, seen) = ask_for(&story.first, &story.cookie, "DAK-1");
    assert_eq!((status, &seen["number"], &seen["adopted_from"]), (200, &json!("PAR-2"), &json!("DAK-1")));
    assert_eq!(story.read("tickets?q=DAK-1")["items"][0]["number"], "PAR-2", "a search finds it by what it was");
    let told = story.read("tickets/PAR-2/history");
    let adopted = told["items"].as_array().unwrap().iter().find(|step| step["field"] == "adopted").unwrap().clone();
    assert_eq!((&adopted["after"], &adopted["author"]["label"]), (&json!("DAK-1"), &json!("Ana")));

    // A site that comes later holds all of it, and lists what nobody has adopted.
    let line = done(&story.paris, "invite --code LYO --name Lyon --login ana", "");
    let lyon = story.temp.configured("lyon");
    done(&lyon, &format!("join {line}"), "");
    let third = Node::start(&lyon);
    eventually("ana's password comes", || log_in(&third, "ana").0 == 201);
    let (_, there) = log_in(&third, "ana");
    let listed = || ask(&third, "GET", "/api/v1/quarantine", Some(&there), None).1["items"].clone();
    eventually("what was held comes", || listed().as_array().is_some_and(|items| items.len() == 3));
    assert_eq!(state(&third, &there)["held"], 3);
    assert_eq!(listed()[2]["ticket"]["number"], "PAR-2", "and knows as what it goes on");
    assert_eq!(ask_for(&third, &there, "DAK-1").1["number"], "PAR-2", "the number answers here too");
    let note = listed()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(done(&lyon, &format!("held adopt {note}"), ""), "PAR-2 (née trop tard)");
    eventually("paris hears of it", || story.read("quarantine")["items"].as_array().unwrap().len() == 2);
    run(&story.paris, &["held", "adopt", ids[1]], b"").refused("HELD-ADOPTED", "it would be there twice");
    done(&lyon, &format!("held discard {}", listed()[0]["id"].as_str().unwrap()), "");
    assert_eq!(listed().as_array().unwrap().len(), 1);
    assert_eq!(story.read("quarantine")["items"].as_array().unwrap().len(), 2, "each site clears its own list");
}

#[test]
fn what_is_in_doubt_is_found_marked_and_told_once() {
    let story = Revoked::new("held-doubt");
    for title in ["chaise", "porte"] {
        let made = ask(&story.first, "POST", "/api/v1/tickets", Some(&story.cookie), Some(&json!({ "title": title })));
        assert_eq!(made.0, 201);
    }
    let listed = story.read("tickets?tainted=true&sort=number");
    let found: Vec<(&str, i64)> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["title"].as_str().unwrap(), item["taints"].as_i64().unwrap()))
        .collect();
    assert_eq!(found, [("écran", 2), ("lampe volée", 2)], "the opening and a note; a title and a reply");
    assert_eq!((&listed["total"], &story.read("tickets")["total"]), (&json!(2), &json!(4)), "of all there are");

    let seen = story.read(&format!("tickets/{}", story.doubtful));
    assert_eq!(
        seen["tainted"],
        json!([{ "field": "created", "before": null, "label": null }]),
        "once, not for each field"
    );
    let marks = |seen: &Value| -> Vec<(String, bool)> {
        let comments = seen["comments"].as_array().unwrap();
        comments.iter().map(|one| (one["body"].as_str().unwrap().to_owned(), one["tainted"] == true)).collect()
    };
    assert_eq!(marks(&seen), [("sous clé".to_owned(), true), ("vu".to_owned(), false)]);
    let seen = story.read(&format!("tickets/{}", story.built_on));
    assert_eq!(marks(&seen), [("volée hier".to_owned(), true)]);
    let history = story.read(&format!("tickets/{}/history", story.built_on));
    let doubtful: Vec<&str> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["tainted"] == true)
        .map(|step| step["field"].as_str().unwrap())
        .collect();
    assert_eq!(doubtful, ["title", "comment"]);

    // Whoever may not read notes is told nothing of one, and nobody but a technician ends a doubt.
    let path = format!("/api/v1/tickets/{}", story.doubtful);
    done(&story.paris, "user add --login tom --name Tom --role user --structure IT", PASSWORD);
    let (_, tom) = log_in(&story.first, "tom");
    let (_, people, _) = ask(&story.first, "GET", "/api/v1/people?q=Tom", Some(&story.cookie), None);
    let requester = json!({ "requester": people["items"][0]["id"], "title": "écran", "impact": "low" });
    assert_eq!(ask(&story.first, "PATCH", &path, Some(&story.cookie), Some(&requester)).0, 200);
    let (_, seen, _) = ask(&story.first, "GET", "/api/v1/tickets?tainted=true", Some(&tom), None);
    assert_eq!((&seen["total"], &seen["items"][0]["taints"]), (&json!(1), &json!(1)), "the opening alone: {seen}");
    let confirm = |cookie: &str, what: Value| {
        ask(&story.first, "POST", &format!("{path}/confirmations"), Some(cookie), Some(&what))
    };
    let opening = json!({ "field": "created" });
    assert_eq!(confirm(&tom, opening.clone()).0, 403);
    let (status, refused, _) = confirm(&story.cookie, json!({ "comment": "0000000000000000" }));
    assert_eq!((status, &refused["code"]), (422, &json!("FIELD-INVALID")), "no such reply");
    let (_, seen, _) = ask(&story.first, "GET", &path, Some(&story.cookie), None);
    for what in [opening, json!({ "comment": seen["comments"][0]["id"] })] {
        let (status, seen, _) = confirm(&story.cookie, what);
        assert_eq!(status, 201, "{seen}");
    }
    let (_, seen, _) = ask(&story.first, "GET", &path, Some(&story.cookie), None);
    assert_eq!((&seen["taints"], &seen["tainted"]), (&json!(0), &json!([])), "{seen}");
    assert_eq!((&seen["title"], &seen["description"]), (&json!("écran"), &json!("Il est noir.")));
    let told = story.read(&format!("tickets/{}/history", story.doubtful));
    let kept: Vec<_> = told["items"].as_array().unwrap().iter().filter(|step| step["field"] == "confirmed").collect();
    assert_eq!(kept[0]["after"], "sous clé", "with what was said");
    assert_eq!(kept[0]["author"]["label"], "Ana", "and by whom it was kept");
}

//! What an administrator does on the command line of a running site, and what people notice of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{
    HEARD, Node, PASSWORD, TestFolder, ask, done, eventually, founded_with_dakar, log_in, open_under_one_number, run,
};
use serde_json::{Value, json};

#[test]
fn structures_and_sites_come_and_go() {
    let temp = TestFolder::new("sites");
    let paris = temp.founded("paris");
    let node = Node::start(&paris);
    let id = done(&paris, "structure add --name RH --parent IT", "");
    let (_, session) = log_in(&node, "ana");
    let (_, known, _) = ask(&node, "GET", "/api/v1/structures", Some(&session), None);
    assert!(known["items"].as_array().unwrap().iter().any(|item| item["id"] == id && item["label"] == "RH"));
    run(&paris, &["structure", "add", "--name", "RH", "--parent", "XX"], b"").refused("STRUCTURE-UNKNOWN", "no parent");

    let line = done(&paris, "invite --code DAK --name Dakar --structure IT --login ana", "");
    let dakar = temp.configured("dakar");
    done(&paris, "structure add --name Avant", "");
    done(&dakar, &format!("join {line}"), "");
    done(&dakar, "password --login ana", PASSWORD);
    let second = Node::start(&dakar);
    let given = json!({ "title": "sans structure" });
    let (status, made, _) = ask(&second, "POST", "/api/v1/tickets", Some(&log_in(&second, "ana").1), Some(&given));
    assert_eq!(status, 201, "it goes to a structure that the site holds, whatever comes before it by name: {made}");
    drop(second);
    done(&paris, "site retire --yes --code DAK", "");

    done(&paris, "site rename --code PAR --name Lutece", "");
    let (_, sites, _) = ask(&node, "GET", "/api/v1/sites", Some(&session), None);
    assert_eq!(sites["items"][0]["name"], "Lutece");
    run(&paris, &["site", "retire", "--code", "PAR", "--yes"], b"").refused("RULE-REFUSED", "the only site");
    run(&paris, &["site", "retire", "--code", "ZZZ"], b"").refused("FIELD-INVALID", "no such site");
    done(&paris, "sequencer confirm", "");
}

#[test]
fn a_site_that_was_retired_while_it_was_away_hears_of_it_and_says_so() {
    let temp = TestFolder::new("retired");
    let (paris, first, dakar) = founded_with_dakar(&temp);
    drop(first);
    let (first, second) = (Node::start(&paris), Node::start(&dakar));
    eventually("they have met", || log_in(&second, "ana").0 == 201);
    let (_, cookie) = log_in(&second, "ana");
    let open = |title: &str| {
        let made = ask(&second, "POST", "/api/v1/tickets", Some(&cookie), Some(&json!({ "title": title })));
        made.1["id"].as_str().unwrap().to_owned()
    };
    let sent = open("lampe");
    eventually("paris has it, and said so", || {
        let path = format!("/api/v1/tickets/{sent}/replication");
        ask(&second, "GET", &path, Some(&cookie), None).1["sites"][0]["state"] == "has"
    });
    drop(first);
    open("porte");
    drop(second);
    let first = Node::start(&paris);
    done(&paris, "sequencer confirm", "");
    for answer in ["", "n\n", "DAK\n"] {
        let asked = run(&paris, &["site", "retire", "--code", "DAK"], answer.as_bytes());
        asked.refused("NOT-CONFIRMED", "nobody said yes");
        assert!(asked.err.contains("Give DAK (Dakar) up?"), "what is asked: {}", asked.err);
    }
    assert!(done(&paris, "site retire --code DAK", "y\n").starts_with("DAK (Dakar) is given up"));
    run(&paris, &["site", "retire", "--code", "DAK", "--yes"], b"").refused("SITE-ENDED", "it is already");
    let (_, here) = log_in(&first, "ana");
    let (_, sites, _) = ask(&first, "GET", "/api/v1/sites", Some(&here), None);
    assert_eq!((&sites["ended"][0]["code"], &sites["ended"][0]["why"]), (&json!("DAK"), &json!("retired")), "{sites}");
    let alone = ask(&first, "GET", "/api/v1/sync", Some(&here), None).1;
    assert_eq!(alone["alone_since"], Value::Null, "who is the only site is not alone since a time");

    let second = Node::start(&dakar);
    let alarms = || ask(&second, "GET", "/api/v1/sync", Some(&cookie), None).1;
    eventually("the page says so", || alarms()["ended"] == "retired");
    let seen = alarms();
    assert_eq!(seen["alarms"][0]["code"], "SITE-RETIRED", "with what to do: {seen}");
    assert!(!seen["alarms"][0]["at"].as_str().unwrap().starts_with("1970"), "since when: {seen}");
    let (_, unsent, _) = ask(&second, "GET", "/api/v1/unsent", Some(&cookie), None);
    let titles: Vec<&Value> = unsent["items"].as_array().unwrap().iter().map(|item| &item["ticket"]["title"]).collect();
    assert_eq!(titles, ["porte"], "and which of its work nobody else is known to have: {unsent}");
    let told = done(&dakar, "alarms", "");
    assert!(told.contains("Work at another site") && told.contains("[SITE-RETIRED]"), "{told}");
    let ticket = json!({ "title": "encore" });
    let (status, refused, _) = ask(&second, "POST", "/api/v1/tickets", Some(&cookie), Some(&ticket));
    assert_eq!((status, &refused["code"]), (409, &json!("SITE-RETIRED")), "{refused}");
    assert!(done(&paris, "alarms", "").contains("[KIT-UNCONFIRMED]"), "each site tells its own");

    // A machine that was given up may turn out to be in other hands.
    assert!(done(&paris, "site revoke --code DAK --yes", "").starts_with("The key of DAK (Dakar) is revoked"));
    run(&paris, &["site", "revoke", "--code", "DAK", "--yes"], b"").refused("SITE-ENDED", "it is already");

    // The trial's cable to it can still be mended: a stage mends all of them at once.
    drop(first);
    let config = std::fs::read_to_string(paris.join("archipel.toml")).unwrap();
    std::fs::write(paris.join("archipel.toml"), format!("{config}[demo]\n")).unwrap();
    let first = Node::start(&paris);
    let (status, refused, _) =
        ask(&first, "POST", "/api/v1/links/DAK", Some(&log_in(&first, "ana").1), Some(&json!({ "up": true })));
    assert_eq!(status, 204, "{refused}");
}

#[test]
fn the_first_machine_burns_and_another_site_takes_its_place() {
    let temp = TestFolder::new("recover");
    let paris = temp.founded("paris");
    let (passphrase, fingerprint) = temp.kit("paris");
    let kit = temp.at("paris-kit.txt").display().to_string();
    let first = Node::start(&paris);
    let dakar = temp.configured("dakar");
    let line = done(&paris, "invite --code DAK --name Dakar", "");
    done(&dakar, &format!("join {line}"), "");
    drop(first);
    std::fs::remove_dir_all(&paris).unwrap();
    let begun = Instant::now();

    let opened = done(&dakar, &format!("kit open --kit {kit}"), &passphrase.to_uppercase().replace('-', " "));
    assert!(opened.ends_with(&fingerprint), "as `init` said it: {opened}");
    let recover = |kit: &str, login: &str, passphrase: &str| {
        let arguments = format!("recover --kit {kit}{login}");
        run(&dakar, &arguments.split(' ').collect::<Vec<_>>(), passphrase.as_bytes())
    };
    recover(&kit, " --login ana", "aaaa-bbbb-cccc").refused("KIT-PASSPHRASE", "another passphrase");
    recover(&format!("{kit}.old"), " --login ana", &passphrase).refused("KIT-READ", "no such file");
    recover(&dakar.join("archipel.toml").display().to_string(), "", &passphrase).refused("KIT-DAMAGED", "no kit");
    recover(&kit, "", &passphrase).refused("ADMIN-ELSEWHERE", "nobody could invite or enrol here");
    recover(&kit, " --login tom", &passphrase).refused("ADMIN-UNKNOWN", "nobody of this login");
    temp.founded("other");
    let other = temp.at("other-kit.txt").display().to_string();
    recover(&other, " --login ana", &temp.kit("other").0).refused("KIT-FOREIGN", "another organisation's kit");
    recover(&kit, " --login ana --base 999", &passphrase).refused("RULE-UNKNOWN", "no such statement");
    assert!(done(&dakar, "rules", "").lines().next().unwrap().ends_with("founds the organisation"));
    let output = recover(&kit, " --login ana", &passphrase);
    assert_eq!(output.code, Some(0), "{}", output.err);

    done(&dakar, "password --login ana", PASSWORD);
    let second = Node::start(&dakar);
    assert_eq!(log_in(&second, "ana").0, 201, "the administrator goes on here");
    let line = {
        let begun = Instant::now();
        loop {
            let output = run(&dakar, &["invite", "--code", "PAR", "--name", "Paris", "--login", "ana"], b"");
            if output.code == Some(0) {
                break output.out.trim().to_owned();
            }
            assert!(begun.elapsed() < HEARD, "{}", output.err);
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let rebuilt = temp.configured("rebuilt");
    let output = run(&rebuilt, &["join", &line], b"");
    if output.code != Some(0) {
        output.refused("JOIN-LATER", "it has heard nobody, since nobody is left");
        done(&dakar, "sequencer confirm", "");
        done(&rebuilt, &format!("join {line}"), "");
    }
    done(&rebuilt, "password --login ana", PASSWORD);
    let third = Node::start(&rebuilt);
    assert_eq!(log_in(&third, "ana").0, 201, "a new machine stands in the place of the one that burnt");
    let (_, cookie) = log_in(&third, "ana");
    let (_, sites, _) = ask(&third, "GET", "/api/v1/sites", Some(&cookie), None);
    let codes: Vec<&str> = sites["items"].as_array().unwrap().iter().filter_map(|site| site["code"].as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "PAR").count(), 1, "a code is offered once: {codes:?}");
    assert_eq!(codes.len(), 2, "and the machine that burnt is not: {codes:?}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(300), "within five minutes: {took:?}");
}

#[test]
fn the_rules_move_to_another_site_while_both_run() {
    let temp = TestFolder::new("hand-over");
    let paris = temp.founded("paris");
    let (passphrase, _) = temp.kit("paris");
    let kit = temp.at("paris-kit.txt").display().to_string();
    let first = Node::start(&paris);
    let dakar = temp.configured("dakar");
    let line = done(&paris, "invite --code DAK --name Dakar --login ana", "");
    done(&dakar, &format!("join {line}"), "");
    done(&dakar, "password --login ana", PASSWORD);
    let second = Node::start(&dakar);
    let hand_over = |passphrase: &str| run(&dakar, &["sequencer", "hand-over", "--kit", &kit], passphrase.as_bytes());
    hand_over("aaaa-bbbb-cccc").refused("KIT-PASSPHRASE", "another passphrase");
    let begun = Instant::now();
    loop {
        let output = hand_over(&passphrase);
        if output.code == Some(0) {
            break;
        }
        assert!(begun.elapsed() < HEARD, "{}", output.err);
        output.refused("SEQUENCER-UNHEARD", "no link stands yet");
        std::thread::sleep(Duration::from_millis(100));
    }
    hand_over(&passphrase).refused("RULE-REFUSED", "it keeps them already");

    // What is said there holds at both, and what was the first site says no more.
    done(&dakar, "structure add --name Entrepôt", "");
    let (_, cookie) = log_in(&first, "ana");
    let structures = || ask(&first, "GET", "/api/v1/structures", Some(&cookie), None).1.to_string();
    eventually("paris hears of it", || structures().contains("Entrepôt"));
    run(&paris, &["structure", "add", "--name", "Vieux"], b"").refused("NOT-SEQUENCER", "the rules moved");
    for node in [&first, &second] {
        assert_eq!(log_in(node, "ana").0, 201, "nobody was stopped");
    }
    // It is still so after both start again.
    drop((first, second));
    let (_first, _second) = (Node::start(&paris), Node::start(&dakar));
    run(&paris, &["structure", "add", "--name", "Vieux"], b"").refused("NOT-SEQUENCER", "also after a start");
    eventually("dakar may say something after it heard paris", || {
        run(&dakar, &["structure", "add", "--name", "Neuf"], b"").code == Some(0)
    });
}

#[test]
fn a_revoked_site_has_no_say_any_more_and_what_it_said_can_be_adopted() {
    let temp = TestFolder::new("revoked");
    let paris = temp.founded("paris");
    let first = Node::start(&paris);
    let mut folders = Vec::new();
    for (code, name) in [("LYO", "lyon"), ("DAK", "dakar")] {
        let line = done(&paris, &format!("invite --code {code} --name {name} --login ana"), "");
        let folder = temp.configured(name);
        done(&folder, &format!("join {line}"), "");
        done(&folder, "password --login ana", PASSWORD);
        folders.push(folder);
    }
    let [lyon, dakar] = [&folders[0], &folders[1]];
    // One login at each site, which outlasts its restarts. Dakar's password may be beyond the cut: then nobody can log in
    // there later, which is right, but not what this test is about.
    let sessions = RefCell::new(BTreeMap::new());
    let as_ana = |node: &Node, method: &str, path: &str, body: Option<Value>| {
        let mut sessions = sessions.borrow_mut();
        let cookie = sessions.entry(node.folder.clone()).or_insert_with(|| {
            let (status, cookie) = log_in(node, "ana");
            assert_eq!(status, 201);
            cookie
        });
        ask(node, method, path, Some(cookie), body.as_ref())
    };
    let ticket = |title: &str| Some(json!({ "title": title, "description": "" }));
    let open = |node: &Node, title: &str| {
        let (status, made, _) = as_ana(node, "POST", "/api/v1/tickets", ticket(title));
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let shows = |node: &Node, id: &str| as_ana(node, "GET", &format!("/api/v1/tickets/{id}"), None);
    let (second, third) = (Node::start(lyon), Node::start(dakar));
    let plain = open(&first, "lampe");
    eventually("both hear of the ticket", || shows(&second, &plain).0 == 200 && shows(&third, &plain).0 == 200);
    drop(first);

    // Paris is cut off. Dakar writes, and Lyon builds on some of it.
    let change = json!({ "title": "lampe volee" });
    assert_eq!(as_ana(&third, "PATCH", &format!("/api/v1/tickets/{plain}"), Some(change)).0, 200);
    let born = open(&third, "ne trop tard");
    eventually("lyon hears of both", || {
        shows(&second, &plain).1["title"] == "lampe volee" && shows(&second, &born).0 == 200
    });
    let change = json!({ "impact": "high" });
    assert_eq!(as_ana(&second, "PATCH", &format!("/api/v1/tickets/{plain}"), Some(change)).0, 200);
    drop(third);
    drop(second);

    let first = Node::start(&paris);
    done(&paris, "sequencer confirm", "");
    let revoke = |more: &str| run(&paris, &format!("site revoke --yes {more}").split(' ').collect::<Vec<_>>(), b"");
    revoke("--code PAR").refused("RULE-REFUSED", "the site itself");
    let wrong = revoke("--code DAK --until 23:00");
    wrong.refused("FIELD-INVALID", "no time");
    assert!(wrong.err.contains("2026-11-20T14:02Z"), "what is expected: {}", wrong.err);
    let asked = run(&paris, &["site", "revoke", "--code", "DAK"], b"");
    asked.refused("NOT-CONFIRMED", "a key is revoked once");
    assert!(asked.err.contains("DAK (dakar) for good?"), "what is asked: {}", asked.err);
    assert!(done(&paris, "site revoke --code DAK --yes", "").starts_with("The key of DAK (dakar) is revoked"));
    let second = Node::start(lyon);
    eventually("paris hears what lyon holds", || shows(&first, &plain).1["impact"] == "high");
    eventually("lyon hears of the revocation", || shows(&second, &born).0 == 404);
    for node in [&first, &second] {
        let (_, seen, _) = shows(node, &plain);
        assert_eq!(seen["title"], "lampe volee", "what an honest edit builds on stays");
        assert_eq!(seen["tainted"], json!([{ "field": "title", "before": "lampe", "label": "lampe" }]));
        assert_eq!(shows(node, &born).0, 404, "a ticket that a revoked key opened later is not there");
    }
    let (_, sites, _) = as_ana(&first, "GET", "/api/v1/sites", None);
    let codes: Vec<&Value> = sites["items"].as_array().unwrap().iter().map(|site| &site["code"]).collect();
    assert_eq!(codes.len(), 2, "nobody chooses a site that is no more: {codes:?}");
    let ended = &sites["ended"][0];
    assert_eq!((&ended["code"], &ended["why"]), (&json!("DAK"), &json!("revoked")), "but it is named: {sites}");
    assert!(ended["since"].as_str().unwrap() > "2020", "with since when: {sites}");
    for command in ["revoke", "retire"] {
        let elsewhere = run(lyon, &["site", command, "--code", "PAR", "--yes"], b"");
        elsewhere.refused("NOT-SEQUENCER", "another site says so, of whomever");
    }
    let (status, of_dakar, _) = as_ana(&first, "GET", "/api/v1/tickets?site=DAK", None);
    assert_eq!((status, &of_dakar["total"]), (200, &json!(0)), "its code can still be asked for: {of_dakar}");
    let third = Node::start(dakar);
    eventually("dakar hears that its key is revoked", || shows(&third, &born).0 == 404);
    let (status, refused, _) = as_ana(&third, "POST", "/api/v1/tickets", ticket("encore"));
    assert_eq!((status, &refused["code"]), (409, &json!("SITE-REVOKED")), "it writes no more: {refused}");
    assert!(done(dakar, "held list", "").contains("beyond-cut"), "and names what was held");
    let (_, seen, _) = as_ana(&third, "GET", "/api/v1/sync", None);
    let codes: Vec<&Value> = seen["alarms"].as_array().unwrap().iter().map(|alarm| &alarm["code"]).collect();
    assert_eq!((codes, &seen["ended"]), (vec![&json!("SITE-REVOKED")], &json!("revoked")), "whoever works there hears");
    assert!(!seen["alarms"][0]["at"].as_str().unwrap().starts_with("1970"), "since when: {seen}");
    let mut metrics = ureq::get(format!("http://{}/metrics", third.address)).call().unwrap();
    let counted = metrics.body_mut().read_to_string().unwrap();
    assert!(counted.contains("archipel_alarms{code=\"SITE-REVOKED\"} 1"), "so does who watches: {counted}");

    let listed = done(&paris, "held list", "");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 1, "{listed}");
    assert!(lines[0].contains(" DAK ") && lines[0].contains(" beyond-cut "), "{listed}");
    let id = lines[0].split(' ').next().unwrap();
    run(&paris, &["held", "adopt", "00"], b"").refused("TICKET-UNKNOWN", "no such id");
    let adopted = done(&paris, &format!("held adopt {id}"), "");
    let (adopted, title) = adopted.split_once(' ').unwrap();
    assert_eq!(title, "(ne trop tard)", "the ticket is named");
    let (status, seen, _) = shows(&first, adopted);
    assert_eq!((status, &seen["title"]), (200, &json!("ne trop tard")), "said again by whoever adopted it");
    assert!(seen["number"].as_str().unwrap().starts_with("PAR-"), "under a number of theirs: {seen}");
    assert_eq!(done(&paris, "held list", ""), "No change is held.", "and no longer listed");
    eventually("lyon hears of it", || shows(&second, adopted).0 == 200);
    assert_eq!(done(lyon, "held list", ""), "No change is held.", "nor at another site");
}

#[test]
fn the_page_and_the_metrics_name_every_alarm() {
    let temp = TestFolder::new("alarms");
    let paris = temp.founded("paris");
    let seen = |node: &Node| {
        let (_, cookie) = log_in(node, "ana");
        let (status, seen, _) = ask(node, "GET", "/api/v1/sync", Some(&cookie), None);
        assert_eq!(status, 200, "{seen}");
        let codes: Vec<String> =
            seen["alarms"].as_array().unwrap().iter().map(|alarm| alarm["code"].to_string()).collect();
        (seen, codes)
    };
    let counted = |node: &Node| {
        let mut answer = ureq::get(format!("http://{}/metrics", node.address)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        text.lines().filter(|line| line.starts_with("archipel_alarms")).map(str::to_owned).collect::<Vec<_>>()
    };
    let node = Node::start(&paris);
    assert_eq!(seen(&node).1, ["\"KIT-UNCONFIRMED\""], "a site that was just founded");
    assert_eq!(counted(&node), ["archipel_alarms{code=\"KIT-UNCONFIRMED\"} 1"]);
    drop(node);

    open_under_one_number(&paris, "PAR-7", &["lampe", "chaise", "porte"]);
    let node = Node::start(&paris);
    let (all, codes) = seen(&node);
    assert_eq!(codes, ["\"NUMBER-TWICE\"", "\"KIT-UNCONFIRMED\""]);
    let numbers = all["alarms"][0]["params"]["numbers"].as_str().unwrap();
    let numbers: Vec<&str> = numbers.split(", ").collect();
    assert_eq!(numbers.len(), 2, "the two that carry letters: {numbers:?}");
    assert!(numbers.iter().all(|number| number.starts_with("PAR-7-")), "{numbers:?}");
    let by_code = ["archipel_alarms{code=\"KIT-UNCONFIRMED\"} 1", "archipel_alarms{code=\"NUMBER-TWICE\"} 1"];
    assert_eq!(counted(&node), by_code, "whoever watches the metrics alone hears of them too");

    // One that somebody has acknowledged stays, for everybody, and they are told again once it says something else.
    let (_, ana) = log_in(&node, "ana");
    let acknowledge = |id: &str| {
        let path = format!("/api/v1/alarms/{id}/acknowledgement");
        ask(&node, "POST", &path, Some(&ana), Some(&json!({}))).0
    };
    let acknowledged = |node: &Node, cookie: &str| -> Vec<(String, bool)> {
        let (_, seen, _) = ask(node, "GET", "/api/v1/sync", Some(cookie), None);
        let alarms = seen["alarms"].as_array().unwrap();
        let told = |alarm: &Value| (alarm["code"].as_str().unwrap().to_owned(), alarm["acknowledged"] == true);
        alarms.iter().map(told).collect()
    };
    let expected = |twice: bool, kit: bool| [("NUMBER-TWICE".to_owned(), twice), ("KIT-UNCONFIRMED".to_owned(), kit)];
    assert_eq!(acknowledge("00"), 404, "no such alarm");
    for alarm in all["alarms"].as_array().unwrap() {
        assert_eq!(acknowledge(alarm["id"].as_str().unwrap()), 204);
    }
    assert_eq!(acknowledged(&node, &ana), expected(true, true));
    done(&paris, "user add --login tom --name Tom --role admin", PASSWORD);
    assert_eq!(acknowledged(&node, &log_in(&node, "tom").1), expected(false, false), "each for themselves");
    assert_eq!(counted(&node), by_code, "whoever watches the metrics still hears of them");
    drop(node);
    open_under_one_number(&paris, "PAR-7", &["table"]);
    let node = Node::start(&paris);
    assert_eq!(acknowledged(&node, &ana), expected(false, true), "a third number is news, also after a start");

    let confirmed = done(&paris, &format!("kit confirm {}", temp.kit("paris").1), "");
    assert!(confirmed.contains("is confirmed"), "whoever typed it back reads so: {confirmed}");
    eventually("nobody is asked for it any more", || seen(&node).1 == ["\"NUMBER-TWICE\""]);
}

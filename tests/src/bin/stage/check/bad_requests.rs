//! What no client should send: each gets a clear answer, nothing is written, and the site goes on.

use serde_json::Value;
use tests::sites::api::{Answer, Api, text};
use tests::sites::report::Report;

use super::split::doors;
use super::world::World;

/// How deep the deep one is.
const DEEP: usize = 10_000;
/// Bytes of the large one.
const LARGE: usize = 2 * 1024 * 1024;

struct Bad {
    what: &'static str,
    method: &'static str,
    path: String,
    body: Option<Vec<u8>>,
}

/// Sends all of it to Dakar.
pub fn door(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let api = &doors(world)[1];
    let count =
        |api: &Api| -> anyhow::Result<u64> { Ok(api.get("/api/v1/tickets?limit=1")?["total"].as_u64().unwrap_or(0)) };
    let before = count(api)?;
    let ticket = text(&world.early[0], "id");
    let mut odd = Vec::new();
    let cases = cases(&ticket);
    for case in &cases {
        match api.apart().send(case.method, &case.path, case.body.as_deref()) {
            Ok(answer) if is_clear(&answer) => {}
            Ok(answer) => {
                odd.push(format!("{}: {} {} {}", case.what, answer.status, answer.kind, text(&answer.json(), "code")))
            }
            Err(error) => odd.push(format!("{}: {error:#}", case.what)),
        }
        if !api.is_well() {
            odd.push(format!("{}: the site does not answer afterwards", case.what));
        }
    }
    report.holds(odd.is_empty(), format!("{} bad requests, {} without a clear answer", cases.len(), odd.len()));
    odd.iter().for_each(|told| println!("          {told}"));
    let after = count(api)?;
    report.holds(before == after, format!("{before} tickets before, {after} after"));
    let nobody = api.with_token("").send("GET", "/api/v1/tickets", None)?;
    report.holds(nobody.status == 401 && is_clear(&nobody), "nobody reads without a login");
    Ok(())
}

/// 4xx, problem+json, and all its parts.
fn is_clear(answer: &Answer) -> bool {
    let body: Value = answer.json();
    let parts = ["code", "safe", "happened", "todo"]
        .iter()
        .all(|part| body[part].as_str().is_some_and(|text| !text.is_empty()));
    (400..500).contains(&answer.status) && answer.kind.starts_with("application/problem+json") && parts
}

fn cases(ticket: &str) -> Vec<Bad> {
    let tickets = "/api/v1/tickets";
    let one = format!("{tickets}/{ticket}");
    let bad = |what: &'static str, method: &'static str, path: &str, body: &str| Bad {
        what,
        method,
        path: path.to_owned(),
        body: (!body.is_empty()).then(|| body.as_bytes().to_vec()),
    };
    let deep = format!("{{\"title\":{}{}}}", "[".repeat(DEEP), "]".repeat(DEEP));
    let large = format!("{{\"title\":\"x\",\"description\":\"{}\"}}", "x".repeat(LARGE));
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(100_000));
    let mut cases = vec![
        bad("broken JSON", "POST", tickets, "{\"title\": \"half"),
        bad("no JSON", "POST", tickets, "title=x"),
        bad("an empty body", "POST", tickets, " "),
        bad("a list instead of fields", "POST", tickets, "[1,2,3]"),
        bad("10,000 levels", "POST", tickets, &deep),
        bad("10,000 levels in an edit", "PATCH", &one, &deep),
        bad("a number as title", "POST", tickets, "{\"title\": 7}"),
        bad("no title", "POST", tickets, "{\"description\": \"x\"}"),
        bad("an empty title", "POST", tickets, "{\"title\": \"  \"}"),
        bad("a title of 100,000 letters", "POST", tickets, &long),
        bad("a text as priority", "PATCH", &one, "{\"priority\": \"high\"}"),
        bad("priority 9", "PATCH", &one, "{\"priority\": 9}"),
        bad("an impact nobody knows", "PATCH", &one, "{\"impact\": \"enormous\"}"),
        bad("an unknown field", "POST", tickets, "{\"title\": \"x\", \"colour\": \"red\"}"),
        bad("an unknown field in an edit", "PATCH", &one, "{\"colour\": \"red\"}"),
        bad("2 MB", "POST", tickets, &large),
        bad("an unknown structure", "POST", tickets, "{\"title\": \"x\", \"structure\": \"00\"}"),
        bad("an assignee that is no id", "PATCH", &one, "{\"assignee\": \"ana\"}"),
        bad("an unknown ticket", "GET", "/api/v1/tickets/ffffffffffffffffffffffffffffffff", ""),
        bad("an unknown number", "PATCH", "/api/v1/tickets/NOPE-1", "{\"title\": \"x\"}"),
        bad("an unknown status", "POST", &format!("{one}/transitions"), "{\"to\": \"asleep\"}"),
        bad("an empty reply", "POST", &format!("{one}/comments"), "{\"body\": \"\", \"visibility\": \"public\"}"),
        bad(
            "an unknown visibility",
            "POST",
            &format!("{one}/comments"),
            "{\"body\": \"x\", \"visibility\": \"secret\"}",
        ),
        bad("an unknown address", "GET", "/api/v1/nothing", ""),
        bad("a wrong method", "PUT", tickets, "{\"title\": \"x\"}"),
        bad("another wrong method", "DELETE", &one, ""),
        bad("an unknown filter", "GET", "/api/v1/tickets?colour=red", ""),
        bad("a sort nobody knows", "GET", "/api/v1/tickets?sort=smell", ""),
        bad("a limit that is no number", "GET", "/api/v1/tickets?limit=many", ""),
        bad("a cable to nowhere", "POST", "/api/v1/links/NOPE", "{\"up\": false}"),
        bad("a damaged percent sign", "GET", "/api/v1/tickets/%ff%fe", ""),
    ];
    cases.push(Bad {
        what: "bytes that are no text",
        method: "POST",
        path: tickets.to_owned(),
        body: Some(b"{\"title\": \"\xff\xfe\"}".to_vec()),
    });
    cases
}

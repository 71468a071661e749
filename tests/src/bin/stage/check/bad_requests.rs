//! Requests that no client should send: each gets a clear error, nothing is written, and the site goes on.

use serde_json::Value;
use tests::sites::api::{Api, Response, text};
use tests::sites::report::Report;

use super::fixture::Fixture;
use super::split::admin_apis;

/// Nesting levels of the deeply nested body.
const NESTING: usize = 10_000;
/// Bytes of the large body.
const LARGE: usize = 2 * 1024 * 1024;

/// A bad request; `body`: `None` for a request without one.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    body: Option<Vec<u8>>,
}

/// Sends all of them to Dakar.
pub fn bad_requests(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let api = &admin_apis(fixture)[1];
    let count =
        |api: &Api| -> anyhow::Result<u64> { Ok(api.get("/api/v1/tickets?limit=1")?["total"].as_u64().unwrap_or(0)) };
    let before = count(api)?;
    let ticket = text(&fixture.existing[0], "id");
    let mut unclear = Vec::new();
    let cases = cases(&ticket);
    for case in &cases {
        match api.with_new_connections().send(case.method, &case.path, case.body.as_deref()) {
            Ok(response) if is_clear(&response) => {}
            Ok(response) => unclear.push(format!(
                "{}: {} {} {}",
                case.what,
                response.status,
                response.kind,
                text(&response.json(), "code")
            )),
            Err(error) => unclear.push(format!("{}: {error:#}", case.what)),
        }
        if !api.is_healthy() {
            unclear.push(format!("{}: the site does not answer afterwards", case.what));
        }
    }
    report.check(unclear.is_empty(), format!("{} bad requests, {} without a clear answer", cases.len(), unclear.len()));
    unclear.iter().for_each(|line| println!("          {line}"));
    let after = count(api)?;
    report.check(before == after, format!("{before} tickets before, {after} after"));
    let anonymous = api.with_token("").send("GET", "/api/v1/tickets", None)?;
    report.check(anonymous.status == 401 && is_clear(&anonymous), "nobody reads without a login");
    Ok(())
}

/// Whether a response is a 4xx with `problem+json` and all parts that explain it.
fn is_clear(response: &Response) -> bool {
    let body: Value = response.json();
    let parts = ["code", "safe", "happened", "todo"]
        .iter()
        .all(|part| body[part].as_str().is_some_and(|text| !text.is_empty()));
    (400..500).contains(&response.status) && response.kind.starts_with("application/problem+json") && parts
}

fn cases(ticket: &str) -> Vec<Case> {
    let tickets = "/api/v1/tickets";
    let one = format!("{tickets}/{ticket}");
    let bad = |what: &'static str, method: &'static str, path: &str, body: &str| Case {
        what,
        method,
        path: path.to_owned(),
        body: (!body.is_empty()).then(|| body.as_bytes().to_vec()),
    };
    let deep = format!("{{\"title\":{}{}}}", "[".repeat(NESTING), "]".repeat(NESTING));
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
        bad("an unknown impact", "PATCH", &one, "{\"impact\": \"enormous\"}"),
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
        bad("an unknown sort", "GET", "/api/v1/tickets?sort=smell", ""),
        bad("a limit that is no number", "GET", "/api/v1/tickets?limit=many", ""),
        bad("a link to nowhere", "POST", "/api/v1/links/NOPE", "{\"up\": false}"),
        bad("a damaged percent sign", "GET", "/api/v1/tickets/%ff%fe", ""),
    ];
    cases.push(Case {
        what: "bytes that are no text",
        method: "POST",
        path: tickets.to_owned(),
        body: Some(b"{\"title\": \"\xff\xfe\"}".to_vec()),
    });
    cases
}

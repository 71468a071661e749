//! What the command line asks the node that runs on the same folder.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use schema::authority::{AuthorityRef, Body, Signed};
use schema::codec::Canonical as _;
use schema::fold::fold;
use schema::id::{SiteId, UserId};
use schema::identity::{Secret, organisation};
use schema::time::Hlc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::now;
use crate::folder::{Folder, write_private};
use crate::http::MAX_IMPORT;
use crate::kit;
use crate::passwords;
use crate::refusal::{OrRefuse as _, Refusal, codes, shown};
use crate::site;

/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 << 20;
/// What `alarms` says where there is none.
const NO_ALARM: &str = "There is nothing to look at.";
/// What `held list` says of an empty list.
const NOTHING_HELD: &str = "No change is held.";

/// How the running node can be reached by its own command line: a file that its owner alone can read.
#[derive(Serialize, Deserialize)]
pub(super) struct Running {
    /// Where it listens.
    pub(super) url: String,
    /// Acts as an administrator.
    pub(super) token: String,
}

impl Running {
    /// Says in the folder how to reach the node.
    pub(super) fn keep(&self, folder: &Folder) -> anyhow::Result<()> {
        write_private(&folder.running(), &serde_json::to_vec(self)?).or_refuse(&codes::FOLDER_WRITE)?;
        Ok(())
    }

    /// How to reach the node of a folder. Errors: no site lives there, its node is not running.
    pub(super) fn read(folder: &Folder) -> Result<Self, Refusal> {
        folder.key()?;
        let text = std::fs::read_to_string(folder.running());
        let text = text.map_err(|_| Refusal::with(&codes::NODE_STOPPED, folder.path().display()))?;
        // The file holds a token, so nothing of it is quoted.
        serde_json::from_str(&text).map_err(|_| Refusal::with(&codes::NODE_STOPPED, folder.running().display()))
    }

    fn call(&self, method: &str, path: &str, body: Option<&[u8]>) -> anyhow::Result<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}{path}", self.url);
        let authorization = format!("Bearer {}", self.token);
        let answer = match method {
            "GET" => agent.get(&url).header("authorization", &authorization).call(),
            _ => {
                let request = if method == "PATCH" { agent.patch(&url) } else { agent.post(&url) };
                let request = request.header("authorization", &authorization);
                request.header("content-type", "application/json").send(body.unwrap_or(b"{}"))
            }
        };
        let mut answer = answer.or_refuse(&codes::NODE_STOPPED)?;
        let status = answer.status();
        if status == 204 {
            return Ok(Value::Null);
        }
        let read = answer.body_mut().with_config().limit(MAX_ANSWER).read_json();
        let value: Value = read.or_refuse(&codes::NODE_ANSWER)?;
        if status.is_success() {
            return Ok(value);
        }
        let answered: Answered = serde_json::from_value(value).or_refuse(&codes::NODE_ANSWER)?;
        Err(answered.into())
    }
}

/// A role, in structures by name or, if there is none, in all.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Roles {
    /// What they may do.
    #[arg(long, value_parser = ["user", "technician", "admin"])]
    pub(super) role: String,
    /// A structure in which they have it, by name; absent: in all.
    #[arg(long = "structure")]
    pub(super) structures: Vec<String>,
}

/// What is to be said of somebody.
pub(super) enum UserChange {
    /// Whether they may log in.
    Active(bool),
    /// All their roles.
    Roles(Roles),
    /// Codes of all their sites.
    Sites(Vec<String>),
}

/// What the node answered instead of doing it.
#[derive(Debug, Deserialize)]
pub(super) struct Answered {
    code: String,
    safe: String,
    happened: String,
    todo: String,
    #[serde(default)]
    params: Value,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown([&self.safe, &self.happened, &self.todo], &self.code, self.detail().as_deref()))
    }
}

impl Answered {
    /// What exactly is wrong, as people read it; `None` if the answer says no more than its words do.
    fn detail(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Value::String(field), Value::String(why)) = (&self.params["field"], &self.params["why"]) {
            return Some(misfit(field, why));
        }
        match (&self.params["detail"], self.params.as_object()) {
            (Value::String(detail), _) => Some(detail.clone()),
            (_, Some(params)) if !params.is_empty() => {
                let told = params.iter().map(|(name, value)| format!("{name}: {}", text(value)));
                Some(told.collect::<Vec<_>>().join("\n"))
            }
            (_, _) => None,
        }
    }
}

/// How a value does not fit its field, from the reason that the node gives in one word.
fn misfit(field: &str, why: &str) -> String {
    let limit = why.strip_prefix("TooLong(").and_then(|rest| rest.strip_suffix(')'));
    match (why, limit) {
        ("Time", _) => format!("What is given as {field} is not a date and a time in UTC such as 2026-11-20T14:02Z."),
        ("Unknown", _) => format!("What is given as {field} is not known here, or not written as it must be."),
        ("Empty", _) => format!("Nothing is given as {field}."),
        ("TooLong", _) => format!("What is given as {field} is too long."),
        (_, Some(limit)) => format!("What is given as {field} is longer than {limit} characters."),
        (_, None) => format!("What is given as {field} does not fit: {why}."),
    }
}

impl std::error::Error for Answered {}

/// A user by login, asked of the running node or, if there is none, read from the store.
pub(super) fn user_by_login(folder: &Folder, login: &str) -> anyhow::Result<UserId> {
    folder.key()?;
    let unknown = || Refusal::with(&codes::LOGIN_UNKNOWN, login);
    let wanted = fold(login);
    let is_one = !wanted.is_empty() && wanted.chars().all(|letter| !letter.is_control() && letter != ' ');
    if !is_one {
        return Err(unknown().into());
    }
    match asked(folder, |running| running.call("GET", &format!("/api/v1/users/{}", encoded(&wanted)), None)) {
        Ok(Some(found)) => Ok(found["id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(unknown)?),
        Ok(None) => Ok(stored_user(&mut site::open(folder.path())?, &wanted)?.ok_or_else(unknown)?),
        Err(error) if error.is::<Answered>() => Err(unknown().into()),
        Err(error) => Err(error),
    }
}

/// What the running node of a folder answers; `None` if it is not running.
fn asked<T>(folder: &Folder, call: impl FnOnce(&Running) -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    let answered = Running::read(folder).map_err(anyhow::Error::from).and_then(|running| call(&running));
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is::<Answered>() => Err(error),
        Err(error) => match Refusal::of(error) {
            refusal if refusal.code == &codes::NODE_STOPPED => Ok(None),
            refusal => Err(refusal.into()),
        },
    }
}

/// A user by folded login, as the store of a node that is not running has them.
fn stored_user(opened: &mut site::Opened, folded: &str) -> anyhow::Result<Option<UserId>> {
    let replica = opened.replica();
    let known = replica.policy().and_then(|policy| policy.logins.get(folded).copied());
    Ok(match known {
        Some(user) => Some(user),
        None => replica.enrolled_login(folded)?,
    })
}

/// Sets somebody's password, through the running node or, if there is none, in the store itself.
pub(super) fn set_password(folder: &Folder, login: &str, password: &str) -> anyhow::Result<()> {
    passwords::long_enough(password)?;
    let folded = fold(login);
    let path = format!("/api/v1/users/{}", encoded(&folded));
    let body = serde_json::to_vec(&json!({ "password": password }))?;
    if asked(folder, |running| running.call("PATCH", &path, Some(&body)))?.is_some() {
        return Ok(());
    }
    let secrets = passwords::hash(password)?;
    let mut opened = site::open(folder.path())?;
    let user = stored_user(&mut opened, &folded)?.ok_or_else(|| Refusal::with(&codes::LOGIN_UNKNOWN, login))?;
    let set = opened.replica().write(now(), |batch| batch.set_credential(&user, &secrets));
    set.map(drop).map_err(|error| match passwords::refused(&error) {
        Some(refusal) => refusal.into(),
        None => error.into(),
    })
}

/// A text as one part of an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Prints a line for a new site.
pub(super) fn invite(
    folder: &Folder,
    code: &str,
    name: &str,
    structures: &[String],
    logins: &[String],
) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let mut body = serde_json::json!({ "code": code, "name": name, "logins": logins });
    if !structures.is_empty() {
        body["structures"] = structures_by_name(&running, structures)?.into();
    }
    let made = running.call("POST", "/api/v1/invitations", Some(&serde_json::to_vec(&body)?))?;
    println!("{}", made["line"].as_str().unwrap_or_default());
    Ok(())
}

/// Ids of structures. Errors: a name that none has.
fn structures_by_name(running: &Running, names: &[String]) -> anyhow::Result<Vec<Value>> {
    let known = match names {
        [] => return Ok(Vec::new()),
        _ => running.call("GET", "/api/v1/structures", None)?,
    };
    let find = |wanted: &String| {
        let mut items = known["items"].as_array().into_iter().flatten();
        let found = items.find(|item| item["label"].as_str() == Some(wanted)).map(|item| item["id"].clone());
        found.ok_or_else(|| Refusal::with(&codes::STRUCTURE_UNKNOWN, wanted).into())
    };
    names.iter().map(find).collect()
}

/// Enrols somebody.
pub(super) fn add_user(
    folder: &Folder,
    [login, name, password]: [&str; 3],
    given: &Roles,
    sites: &[String],
) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let mut structures = structures_by_name(&running, &given.structures)?;
    if structures.len() > 1 {
        return Err(Refusal::with(&codes::USAGE, "one --structure; `archipel user role` gives more").into());
    }
    let body = json!({
        "login": login, "name": name, "password": password, "role": given.role, "structure": structures.pop(), "sites": sites,
    });
    let made = running.call("POST", "/api/v1/users", Some(&serde_json::to_vec(&body)?))?;
    println!("{} may log in.", made["login"].as_str().unwrap_or(login));
    Ok(())
}

/// Changes what is said of somebody.
pub(super) fn change_user(folder: &Folder, login: &str, change: &UserChange) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let body = match change {
        UserChange::Active(active) => json!({ "active": active }),
        UserChange::Sites(codes) => json!({ "sites": codes }),
        UserChange::Roles(given) => {
            let structures = structures_by_name(&running, &given.structures)?;
            let role = |structure: Option<Value>| json!({ "role": given.role, "structure": structure });
            match structures.is_empty() {
                true => json!({ "roles": [role(None)] }),
                false => json!({ "roles": structures.into_iter().map(|id| role(Some(id))).collect::<Vec<_>>() }),
            }
        }
    };
    let path = format!("/api/v1/users/{}", encoded(&fold(login)));
    let changed = running.call("PATCH", &path, Some(&serde_json::to_vec(&body)?))?;
    let login = changed["login"].as_str().unwrap_or(login);
    match change {
        UserChange::Active(true) => println!("{login} may log in again."),
        UserChange::Active(false) => println!("{login} may not log in any more."),
        UserChange::Roles(given) => println!("{login} has the role {} and no other.", given.role),
        UserChange::Sites(codes) => println!("{login} may log in at {}.", codes.join(", ")),
    }
    Ok(())
}

/// Renames a site.
pub(super) fn rename_site(folder: &Folder, code: &str, name: &str) -> anyhow::Result<()> {
    let (code, name) = change_site(folder, code, &json!({ "name": name }))?;
    println!("{code} is called {name} from now on.");
    Ok(())
}

/// Asks whether that is really to be done to a site; not about one that is not there, which the node refuses in its words.
fn ask_about(folder: &Folder, code: &str, question: impl Fn(&str) -> String) -> anyhow::Result<()> {
    let sites = Running::read(folder)?.call("GET", "/api/v1/sites", None)?;
    let mut known = [&sites["items"], &sites["ended"]].into_iter().filter_map(Value::as_array).flatten();
    let is_meant = |site: &&Value| site["code"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(code));
    match known.find(is_meant) {
        Some(site) => {
            let (code, name) = code_and_name(site);
            Ok(super::confirmed(&in_a_line(&question(&format!("{code} ({name})"))))?)
        }
        None => Ok(()),
    }
}

/// Gives a site up; without `yes` it asks first.
pub(super) fn retire_site(folder: &Folder, code: &str, yes: bool) -> anyhow::Result<()> {
    if !yes {
        ask_about(folder, code, |site| {
            format!("Give {site} up? It may write nothing any more; what it has not sent is lost to the others.")
        })?;
    }
    let (code, name) = change_site(folder, code, &json!({ "retired": true }))?;
    println!("{code} ({name}) is given up: it may write nothing any more, and its code is free.");
    Ok(())
}

fn change_site(folder: &Folder, code: &str, change: &Value) -> anyhow::Result<(String, String)> {
    let path = format!("/api/v1/sites/{}", encoded(code));
    let site = Running::read(folder)?.call("PATCH", &path, Some(&serde_json::to_vec(change)?))?;
    Ok(code_and_name(&site))
}

fn code_and_name(site: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    (text(&site["code"]), text(&site["name"]))
}

/// Ends a site's key; without `yes` it asks first.
pub(super) fn revoke_site(folder: &Folder, code: &str, until: Option<&str>, yes: bool) -> anyhow::Result<()> {
    if !yes {
        let stands = until
            .map_or_else(|| "what this site holds of it".to_owned(), |until| format!("what it wrote until {until}"));
        ask_about(folder, code, |site| {
            format!("Revoke the key of {site} for good? Of its work {stands} stands, and nothing else.")
        })?;
    }
    let body = serde_json::to_vec(&json!({ "until": until }))?;
    let path = format!("/api/v1/sites/{}/revocation", encoded(code));
    let (code, name) = code_and_name(&Running::read(folder)?.call("POST", &path, Some(&body))?);
    println!("The key of {code} ({name}) is revoked: what it wrote beyond the cut has no effect.");
    Ok(())
}

/// Prints every alarm: since when, what it means, what to do, its code; or that there is none.
pub(super) fn list_alarms(folder: &Folder) -> anyhow::Result<()> {
    let sync = Running::read(folder)?.call("GET", "/api/v1/sync", None)?;
    let alarms = sync["alarms"].as_array().map(Vec::as_slice).unwrap_or_default();
    if alarms.is_empty() {
        println!("{NO_ALARM}");
    }
    for alarm in alarms {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let named = alarm["params"].as_object().into_iter().flatten();
        let named: Vec<String> = named.map(|(name, value)| format!("{name}: {}", text(value))).collect();
        println!(
            "{}",
            shown([&text(&alarm["at"]), &text(&alarm["words"])], &text(&alarm["code"]), Some(&named.join("\n")))
        );
    }
    Ok(())
}

/// Prints every change without effect, a line each: id, site, time, reason, structure, then the ticket and what would change;
/// or that there is none.
pub(super) fn list_held(folder: &Folder) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let mut from = String::new();
    loop {
        let page = running.call("GET", &format!("/api/v1/quarantine{from}"), None)?;
        if from.is_empty() && page["items"].as_array().is_none_or(Vec::is_empty) {
            println!("{NOTHING_HELD}");
        }
        page["items"].as_array().into_iter().flatten().for_each(|item| println!("{}", held_line(item)));
        match page["next"].as_str() {
            Some(next) => from = format!("?from={next}"),
            None => return Ok(()),
        }
    }
}

/// One line of that list. It tells what another site wrote, so nothing in it may steer the terminal or break the line.
fn held_line(item: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (site, reason) = (text(&item["site"]["code"]), text(&item["reason"]));
    let mut line = format!("{} {site} {} {reason} {}", text(&item["id"]), text(&item["at"]), text(&item["label"]));
    let ticket = &item["ticket"];
    if ticket.is_object() {
        let _ = write!(line, " | {}", called(ticket));
    }
    let changes = item["changes"].as_array().into_iter().flatten();
    let changes: Vec<String> = changes.map(|one| format!("{}: {}", text(&one["field"]), text(&one["label"]))).collect();
    if !changes.is_empty() {
        let _ = write!(line, " | {}", changes.join("; "));
    }
    in_a_line(&line)
}

/// A ticket's number and title.
fn called(ticket: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!("{} ({})", text(&ticket["number"]), text(&ticket["title"]))
}

fn in_a_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Adopts a change without effect, and prints the tickets that it made or changed; of a change of anything else the ids of
/// the documents.
pub(super) fn adopt(folder: &Folder, id: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/quarantine/{}/adoption", encoded(id));
    let adopted = Running::read(folder)?.call("POST", &path, None)?;
    let tickets = adopted["tickets"].as_array().map(Vec::as_slice).unwrap_or_default();
    for ticket in tickets {
        println!("{}", in_a_line(&called(ticket)));
    }
    if !tickets.is_empty() {
        return Ok(());
    }
    for document in adopted["documents"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("{document}");
    }
    Ok(())
}

/// Takes a change without effect off the list.
pub(super) fn discard(folder: &Folder, id: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/quarantine/{}/discard", encoded(id));
    Running::read(folder)?.call("POST", &path, None).map(drop)
}

/// Adds a structure and prints its id.
pub(super) fn add_structure(folder: &Folder, name: &str, parent: Option<&String>) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let mut parent = structures_by_name(&running, parent.map(std::slice::from_ref).unwrap_or_default())?;
    let body = json!({ "name": name, "parent": parent.pop() });
    let made = running.call("POST", "/api/v1/structures", Some(&serde_json::to_vec(&body)?))?;
    println!("{}", made["id"].as_str().unwrap_or_default());
    Ok(())
}

/// Says that no other site holds a longer authority log.
pub(super) fn confirm_sequencer(folder: &Folder) -> anyhow::Result<()> {
    Running::read(folder)?.call("POST", "/api/v1/sequencer/confirmation", None).map(drop)
}

/// Says that the recovery kit with this fingerprint is in hand, to the running node or, if there is none, in the store.
pub(super) fn confirm_kit(folder: &Folder, fingerprint: &str) -> anyhow::Result<()> {
    let body = serde_json::to_vec(&json!({ "fingerprint": fingerprint }))?;
    if asked(folder, |running| running.call("POST", "/api/v1/kit/confirmation", Some(&body)))?.is_none() {
        kit::confirm(site::open(folder.path())?.replica(), fingerprint)?;
    }
    println!("The recovery kit is confirmed: nobody is asked for it any more.");
    Ok(())
}

/// Has the running site take the authority log over: the root key signs here, and goes nowhere.
/// Errors: another organisation's kit; the site keeps the log already, reaches nobody, or somebody said something meanwhile.
pub(super) fn hand_over(folder: &Folder, root: &Secret) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let candidate = running.call("POST", "/api/v1/sequencer/candidate", None)?;
    let bytes = |name: &str| -> Option<[u8; 32]> {
        let digits = candidate[name].as_str()?;
        HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
    };
    let org = organisation(&root.public());
    if bytes("organisation") != Some(org.0) {
        return Err(Refusal::new(&codes::KIT_FOREIGN).into());
    }
    let epoch = candidate["epoch"].as_u64().and_then(|epoch| u32::try_from(epoch).ok());
    let (Some(epoch), Some(position), Some(base_hash), Some(key)) =
        (epoch, candidate["position"].as_u64(), bytes("hash"), bytes("key"))
    else {
        anyhow::bail!("the site's answer cannot be understood");
    };
    let base = AuthorityRef { epoch, position };
    let at = AuthorityRef { epoch: epoch + 1, position: position + 1 };
    let body = Body::HandOver { base, base_hash, sequencer: SiteId(key) };
    let signed = Signed::new(org, at, base_hash, Hlc::at(now()), &body, root);
    let given = json!({ "statement": HEXLOWER.encode(&signed.to_bytes()) });
    running.call("POST", "/api/v1/sequencer/hand-over", Some(&serde_json::to_vec(&given)?))?;
    println!("This site keeps the organisation's rules from now on, after statement {epoch}.{position}.");
    Ok(())
}

/// Imports a file and prints what came of it.
pub(super) fn import(folder: &Folder, path: &Path, until: Option<u64>) -> anyhow::Result<()> {
    let running = Running::read(folder)?;
    let unread = |error| Refusal::with(&codes::IMPORT_READ, format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    file.take(MAX_IMPORT as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() > MAX_IMPORT {
        return Err(Refusal::new(&codes::IMPORT_LARGE).into());
    }
    let query = until.map(|until| format!("?until={until}")).unwrap_or_default();
    let report = running.call("POST", &format!("/api/v1/imports/incident-log{query}"), Some(&bytes))?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    let skipped = report["skipped_total"].as_u64().unwrap_or(0);
    if skipped > 0 {
        eprintln!("archipel: {skipped} rows were skipped; `skipped` in the report names them by line");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(params: Value) -> Option<String> {
        let (code, safe) = ("CODE".to_owned(), String::new());
        Answered { code, safe, happened: String::new(), todo: String::new(), params }.detail()
    }

    #[test]
    fn a_held_change_takes_one_line_whatever_its_site_wrote() {
        let item = json!({
            "id": "00", "site": { "code": "DAK" }, "at": "2026", "reason": "beyond-cut", "label": "IT",
            "ticket": { "number": "DAK-1", "title": "a\nb" }, "changes": [{ "field": "comment", "label": "\u{1b}[2J" }, { "field": "group" }],
        });
        assert_eq!(held_line(&item), "00 DAK 2026 beyond-cut IT | DAK-1 (a b) | comment:  [2J; group: -");
        assert_eq!(held_line(&json!({ "id": "00", "ticket": null, "changes": [] })), "00 - - - -");
    }

    #[test]
    fn what_is_wrong_is_told_in_words_and_never_as_json() {
        let field = |why: &str| told(json!({ "field": "sites", "why": why })).unwrap();
        for why in ["Unknown", "Time", "Empty", "TooLong", "TooLong(200)", "Odd"] {
            let sentence = field(why);
            assert!(sentence.contains("sites") && sentence.ends_with('.'), "{sentence}");
            assert!(!sentence.contains(['{', '"', '(']), "{sentence}");
        }
        assert!(field("TooLong(200)").contains("200 characters"));
        assert_eq!(told(json!({ "detail": "the last admin stays" })).unwrap(), "the last admin stays");
        assert_eq!(told(json!({ "seconds": 3, "rule": "role-may-not" })).unwrap(), "rule: role-may-not\nseconds: 3");
        assert_eq!((told(json!({})), told(Value::Null)), (None, None));
    }
}

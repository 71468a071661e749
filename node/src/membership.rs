//! Founding an organisation, inviting a site, joining one.
//!
//! `init` makes the root key, writes it into a recovery kit and forgets it; the first site keeps the
//! sequencer's key (R14). An invitation is one line; whoever shows its token gets a place in the authority
//! log under its own key, and the log itself.

use std::path::Path;

use anyhow::Context as _;
use schema::author::Author;
use schema::authority::{
    AuthorityRef, Body, Grant, MAX_NAME_BYTES, Role, ScopeSelector, Signed, SiteEntry, SiteSelector, Standing,
    UserEntry,
};
use schema::codec::Canonical as _;
use schema::fold::fold;
use schema::id::{OrgId, SiteId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::invitation::{Invitation, InvitationError};
use schema::join::{JoinAnswer, JoinQuestion};
use schema::policy::{AuthorityLog, Policy, is_admin};
use schema::sealing::SealingSecret;
use schema::time::{Hlc, Timestamp};
use serde::{Deserialize, Serialize};
use sync::net::{JoinError, JoinRequest, Net, NetConfig};
use sync::replica::Replica;

use crate::clock::{now, rfc3339};
use crate::commands::{self, TicketNumbers};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::folder::{Folder, random};
use crate::kit::{self, Written};
use crate::passwords;
use crate::refusal::{OrRefuse as _, Refusal, codes};
use crate::site::{self, Core};

/// How long an invitation is good.
const INVITATION_MS: u64 = 7 * 24 * 3600 * 1000;

/// What `init` needs to know.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The organisation's name.
    pub organisation: String,
    /// The first site's code.
    pub code: String,
    /// Its name.
    pub site: String,
    /// Structures, each with its own tickets.
    pub structures: Vec<String>,
    /// The first admin's login.
    pub login: String,
    /// Their name.
    pub person: String,
    /// Their password.
    pub password: String,
    /// Where the recovery kit goes.
    pub kit: std::path::PathBuf,
}

/// Founds an organisation in an empty folder.
/// Errors: what is given does not fit, the folder is used, the disk does not take it. The folder is as it was then.
pub fn init(path: &Path, config: &Config, founding: &Founding) -> anyhow::Result<Written> {
    let folder = Folder::new(path);
    is_site(&founding.code, &founding.site)?;
    let secrets = passwords::hash(&founding.password)?;
    let names = [&founding.organisation, &founding.person, &founding.login].into_iter().chain(&founding.structures);
    names.into_iter().try_for_each(|name| is_name(name))?;
    let (root, sequencer, key) =
        (Secret::from_bytes(random()?), Secret::from_bytes(random()?), Secret::from_bytes(random()?));
    let user = UserId(random()?);
    let bodies = founding_bodies(config, founding, [&root, &sequencer, &key], user)?;
    let signed = sign_all(organisation(&root.public()), &bodies, &root, &sequencer);
    let mut rehearsed = AuthorityLog::default();
    signed.iter().try_for_each(|statement| rehearsed.push(statement)).or_refuse(&codes::INIT_REFUSED)?;
    if founding.kit.exists() {
        return Err(Refusal::with(&codes::KIT_EXISTS, founding.kit.display()).into());
    }
    in_empty_folder(path, &folder)?;
    let made = || -> anyhow::Result<Written> {
        // First of all: a site whose root key is nowhere could never be given another sequencer.
        let written = kit::write(&founding.kit, &founding.organisation, &root)?;
        folder.keep_sequencer(&sequencer)?;
        folder.keep_key(&key)?;
        let mut opened = site::make(path)?;
        opened.replica().bootstrap(now(), signed)?;
        opened.replica().set_note(kit::UNCONFIRMED, Some(&now().0.to_be_bytes()))?;
        name_person(opened.replica(), &user, &founding.person)?;
        opened.replica().write(now(), |batch| batch.set_credential(&user, &secrets))?;
        Ok(written)
    };
    made().inspect_err(|_| {
        folder.unmake();
        // It was not there before, and is the kit of nothing.
        let _ = std::fs::remove_file(&founding.kit);
    })
}

/// The statements that found an organisation, its first site and its first admin.
fn founding_bodies(
    config: &Config,
    founding: &Founding,
    [root, sequencer, key]: [&Secret; 3],
    user: UserId,
) -> anyhow::Result<Vec<Body>> {
    let structures = founding.structures.iter().map(|name| Ok((StructureId(random()?), name.clone())));
    let structures = structures.collect::<anyhow::Result<Vec<_>>>()?;
    let mut bodies =
        vec![Body::Genesis { name: founding.organisation.clone(), root: root.public(), sequencer: sequencer.public() }];
    bodies.extend(structures.iter().map(|(structure, name)| Body::Structure {
        structure: *structure,
        name: name.clone(),
        parent: None,
    }));
    bodies.push(Body::Site(SiteEntry {
        site: key.public(),
        code: founding.code.clone(),
        name: founding.site.clone(),
        standing: Standing::Active,
        structure: None,
        holds: vec![ScopeSelector::All],
        enrols: vec![ScopeSelector::All],
        sealing: Some(SealingSecret::of(key).public()),
    }));
    bodies.extend(addresses_of(key.public(), config.addresses()));
    bodies.push(Body::User(UserEntry {
        user,
        login: founding.login.clone(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites: vec![SiteSelector::Site(key.public())],
        standing: Standing::Active,
    }));
    Ok(bodies)
}

/// What tells where a site is found; nothing, if it is found nowhere.
fn addresses_of(site: SiteId, addresses: Vec<String>) -> Option<Body> {
    (!addresses.is_empty()).then_some(Body::Addresses { site, addresses })
}

/// Errors unless these are a site's code and name.
fn is_site(code: &str, name: &str) -> Result<(), Refusal> {
    let fits = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
    if !(2..=5).contains(&code.len()) || !code.chars().all(fits) {
        return Err(Refusal::with(&codes::SITE_CODE, format!("{code:?}")));
    }
    is_name(name)
}

/// Errors unless it is a name: statements hold no longer one.
pub fn is_name(name: &str) -> Result<(), Refusal> {
    let fits = !name.trim().is_empty() && name.len() <= MAX_NAME_BYTES;
    if fits { Ok(()) } else { Err(Refusal::with(&codes::NAME_FORM, format!("{name:?}"))) }
}

/// Makes the folder of a new site.
fn in_empty_folder(path: &Path, folder: &Folder) -> anyhow::Result<()> {
    if folder.is_used() {
        return Err(Refusal::with(&codes::FOLDER_USED, path.display()).into());
    }
    folder.make()
}

fn sign_all(org: OrgId, bodies: &[Body], root: &Secret, sequencer: &Secret) -> Vec<Signed> {
    let mut previous = [0; 32];
    let mut hlc = Hlc::default();
    let signed = bodies.iter().enumerate().map(|(position, body)| {
        hlc = hlc.tick(now());
        let at = AuthorityRef { epoch: 1, position: position as u64 };
        let signer = if position == 0 { root } else { sequencer };
        let signed = Signed::new(org, at, previous, hlc, body, signer);
        previous = signed.statement.hash();
        signed
    });
    signed.collect()
}

/// Writes the person document of a user, in the site's own name.
pub fn name_person(replica: &mut Replica, user: &UserId, name: &str) -> anyhow::Result<()> {
    let policy = replica.policy().cloned().context("this site has not joined an organisation yet")?;
    let (me, mut numbers) = (replica.me(), TicketNumbers::new(0, None));
    replica.write(now(), |batch| {
        let context = commands::Context { policy, me, numbers: &mut numbers };
        commands::directory::person(batch, &context, Author::Site, user, name).map_err(|failure| match failure {
            commands::Failure::Write(error) => error,
            other => sync::replica::WriteError::Refused(other.to_string()),
        })
    })?;
    Ok(())
}

/// What `recover` did.
#[derive(Debug)]
pub struct Recovered {
    /// The last statement that stands; what other sites heard beyond it is void.
    pub base: AuthorityRef,
    /// Statements held here beyond it, which stand no more.
    pub dropped: u64,
    /// Documents made again.
    pub documents: usize,
}

/// Prints the statements that a site holds, a line each.
pub fn list_rules(path: &Path) -> anyhow::Result<()> {
    let mut opened = site::open(path)?;
    for signed in opened.replica().statements(0)? {
        let AuthorityRef { epoch, position } = signed.statement.at;
        let hash = data_encoding::HEXLOWER.encode(&signed.statement.hash()[..8]);
        let says = match Body::from_bytes(signed.statement.kind, &signed.body) {
            Ok(Some(body)) => body.word(),
            Ok(None) | Err(_) => "of a newer version",
        };
        println!("{epoch}.{position} {hash} {} {says}", rfc3339(signed.statement.hlc.timestamp()));
    }
    Ok(())
}

/// Gives the authority log to this site, by the root key (R14): where the site that kept it is lost, or its key was used
/// twice. Other sites take it over if they hold the statement `base`, the last that stands; of a fork it is the last that
/// both lists have. `login` names an administrator who may log in here from then on.
/// Errors: the key is another organisation's; no such administrator or statement; no administrator may log in here and
/// none is named.
pub fn recover(path: &Path, root: &Secret, login: Option<&str>, base: Option<u64>) -> anyhow::Result<Recovered> {
    let mut opened = site::open(path)?;
    let replica = opened.replica();
    let policy = replica.policy().cloned().or_refuse(&codes::STORE_FOREIGN)?;
    if organisation(&root.public()) != policy.org {
        return Err(Refusal::new(&codes::KIT_FOREIGN).into());
    }
    let me = replica.me();
    let admin = match login {
        Some(login) => {
            let known = policy.logins.get(&fold(login)).and_then(|user| policy.users.get(user));
            let admin = known.filter(|user| is_admin(user));
            Some(admin.ok_or_else(|| Refusal::with(&codes::ADMIN_UNKNOWN, login))?)
        }
        None => None,
    };
    let is_here = |user: &UserEntry| is_admin(user) && policy.speaks(&me, &user.sites);
    if admin.is_none() && !policy.users.values().any(|user| is_here(user)) {
        return Err(Refusal::new(&codes::ADMIN_ELSEWHERE).into());
    }
    let (head, _) = replica.authority().head().or_refuse(&codes::STORE_FOREIGN)?;
    let stands = replica.statements(base.unwrap_or(head.position))?.into_iter().next();
    let stands = stands.ok_or_else(|| Refusal::with(&codes::RULE_UNKNOWN, head.position))?.statement;
    let (base, base_hash) = (stands.at, stands.hash());
    // Before the statement that names it: run again, this makes another key and another statement.
    let sequencer = Secret::from_bytes(random()?);
    Folder::new(path).keep_sequencer(&sequencer)?;
    let at = AuthorityRef { epoch: head.epoch + 1, position: base.position + 1 };
    let body = Body::HandOver { base, base_hash, sequencer: sequencer.public() };
    let signed = Signed::new(policy.org, at, base_hash, Hlc::at(now()), &body, root);
    replica.bootstrap(now(), vec![signed])?;
    drop(opened);
    // Opened with the new key.
    let mut opened = site::open(path)?;
    if let Some(admin) = admin.filter(|admin| !is_here(admin)) {
        let mut entry = UserEntry::clone(admin);
        entry.sites.push(SiteSelector::Site(me));
        entry.sites.sort_unstable();
        let replica = opened.replica();
        // Nobody else can have said anything in the epoch that begins here.
        replica.trust_authority();
        replica.say(now(), &Body::User(entry))?;
    }
    let dropped = head.position - base.position;
    Ok(Recovered { base, dropped, documents: opened.rebuild()? })
}

/// What an invitation is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invited {
    /// The new site's code; of a site that exists, the new one takes its place.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The structures whose tickets it holds, besides the organisation's own scope; `None`: all, also later ones.
    pub structures: Option<Vec<StructureId>>,
    /// Folded logins of those for whom it may speak (R11).
    #[serde(default)]
    pub logins: Vec<String>,
}

/// Tells the organisation where the sequencer's site is now, if its configuration says otherwise than its authority
/// log. Other sites' addresses are told when they join. `false`: it may not say anything yet (R14); to be asked again.
pub fn tell_addresses(core: &mut Core, wanted: Vec<String>) -> anyhow::Result<bool> {
    let replica = core.replica();
    let me = replica.me();
    let told = replica.policy().and_then(|policy| policy.addresses.get(&me).cloned());
    let Some(body) = addresses_of(me, wanted.clone()).filter(|_| told.is_none_or(|told| *told != wanted)) else {
        return Ok(true);
    };
    if !replica.may_say() {
        return Ok(!replica.is_sequencer());
    }
    say(core, &body)?;
    Ok(true)
}

/// Makes an invitation, at the site that has the sequencer's key.
pub fn invite(policy: &Policy, me: &SiteId, credentials: &Credentials, invited: &Invited) -> anyhow::Result<String> {
    is_site(&invited.code, &invited.name)?;
    let addresses = policy.addresses.get(me).map(|known| Vec::clone(known)).unwrap_or_default();
    if addresses.is_empty() {
        return Err(Refusal::new(&codes::SITE_ADDRESS).into());
    }
    let expires = Timestamp(now().0 + INVITATION_MS);
    let token = random()?;
    credentials.keep_invitation(&token, &invited.code, &serde_json::to_string(invited)?, expires)?;
    let code = invited.code.clone();
    Ok(Invitation { org: policy.org, inviter: *me, addresses, token, code, expires }.to_line())
}

/// Answers somebody who shows an invitation's token. On the site's thread.
pub fn answer(core: &mut Core, request: JoinRequest) {
    let JoinRequest { site, question, answer } = request;
    let told = match admit(core, site, &question) {
        Ok(()) => JoinAnswer::Statements(core.replica().statements(0).unwrap_or_default()),
        Err(error) => {
            tracing::warn!(site = %site.short(), error = %error, "a join was refused");
            // A stranger learns the code, and nothing of what is inside.
            let code = error.downcast_ref::<Refusal>().map_or(&codes::JOIN_REFUSED, |refusal| refusal.code);
            JoinAnswer::Refused(code.word.to_owned())
        }
    };
    // The asker may have given up; its place in the log stays.
    let _ = answer.send(told.to_bytes());
}

fn admit(core: &mut Core, site: SiteId, question: &[u8]) -> anyhow::Result<()> {
    let question = JoinQuestion::from_bytes(question).context("the question is damaged")?;
    // A line is spent once the site that it let in is heard of, and by nothing else: the answer may be lost on its way.
    let content = core.credentials().invitation(&question.token, now())?.or_refuse(&codes::INVITE_SPENT)?;
    let invited: Invited = serde_json::from_str(&content)?;
    if !core.replica().may_say() {
        return Err(Refusal::new(&codes::JOIN_LATER).into());
    }
    let policy = core.replica().policy().cloned().context("this site has not joined an organisation yet")?;
    let named = invited.structures.as_deref();
    let mut enrols: Vec<ScopeSelector> = match named {
        None => vec![ScopeSelector::All],
        Some(structures) => structures.iter().copied().map(ScopeSelector::Structure).collect(),
    };
    enrols.sort_unstable();
    enrols.dedup();
    // Every site holds what the whole organisation shares.
    let holds = match named {
        None => enrols.clone(),
        Some(_) => [&[ScopeSelector::Organisation], enrols.as_slice()].concat(),
    };
    let structure = named.and_then(|structures| structures.first().copied());
    let replaced = policy.site_by_code(&invited.code).filter(|old| old.site != site).cloned();
    if let Some(old) = &replaced {
        let retired = SiteEntry { standing: Standing::Ended, ..SiteEntry::clone(old) };
        say(core, &Body::Site(retired))?;
    }
    say(
        core,
        &Body::Site(SiteEntry {
            site,
            code: invited.code,
            name: invited.name,
            standing: Standing::Active,
            structure,
            holds,
            enrols,
            sealing: Some(question.sealing),
        }),
    )?;
    if let Some(body) = addresses_of(site, question.addresses) {
        say(core, &body)?;
    }
    // It speaks for those whom the invitation names, and for whom the site spoke whose place it takes (R11).
    for user in policy.users.values() {
        let spoken = replaced.as_ref().is_some_and(|old| user.sites.contains(&SiteSelector::Site(old.site)));
        if spoken || invited.logins.contains(&fold(&user.login)) {
            let mut entry = UserEntry::clone(user);
            entry.sites.push(SiteSelector::Site(site));
            entry.sites.sort_unstable();
            entry.sites.dedup();
            say(core, &Body::User(entry))?;
        }
    }
    core.credentials().note_admitted(&site, &question.token)
}

/// Adds a statement; what others must hear of it is sent whatever comes after.
fn say(core: &mut Core, body: &Body) -> anyhow::Result<()> {
    let outputs = core.replica().say(now(), body)?;
    core.send(outputs);
    Ok(())
}

/// Joins the organisation that a line invites to, in an empty folder.
/// Errors: the line is not good, the folder is used, the inviting site does not let this one in. The folder is as it
/// was then, and takes the next invitation.
pub async fn join(path: &Path, config: &Config, line: &str) -> anyhow::Result<String> {
    let folder = Folder::new(path);
    let invitation = Invitation::from_line(line).map_err(|error| match error {
        InvitationError::Prefix => Refusal::new(&codes::INVITE_FORM),
        InvitationError::Version => Refusal::new(&codes::INVITE_VERSION),
        InvitationError::Damaged | InvitationError::Content(_) => Refusal::new(&codes::INVITE_DAMAGED),
    })?;
    if invitation.expires <= now() {
        return Err(Refusal::with(&codes::INVITE_OLD, rfc3339(invitation.expires)).into());
    }
    let is_new = !path.exists();
    in_empty_folder(path, &folder)?;
    let joined = ask_and_keep(path, config, &invitation).await;
    if joined.is_err() {
        folder.unmake();
        if is_new {
            // Nothing else is in it.
            let _ = std::fs::remove_dir(path);
        }
    }
    joined
}

async fn ask_and_keep(path: &Path, config: &Config, invitation: &Invitation) -> anyhow::Result<String> {
    let key = Secret::from_bytes(random()?);
    let sealing = SealingSecret::of(&key).public();
    let question = JoinQuestion { token: invitation.token, sealing, addresses: config.addresses() };
    let any = std::net::SocketAddr::new(config.net.ip(), 0);
    let net = NetConfig { bind: any, relays: config.relays.clone() };
    let answer = Net::join(&key, &net, invitation.inviter, &invitation.addresses, &question.to_bytes()).await;
    let answer = answer.map_err(|error| match error {
        JoinError::Unreachable => Refusal::with(&codes::JOIN_UNREACHABLE, invitation.addresses.join(", ")),
        JoinError::NoAnswer => Refusal::new(&codes::JOIN_SILENT),
    })?;
    let statements = read_answer(&answer)?;
    if statements.first().is_none_or(|first| first.statement.org != invitation.org) {
        return Err(Refusal::new(&codes::JOIN_FOREIGN).into());
    }
    Folder::new(path).keep_key(&key)?;
    let mut opened = site::make(path)?;
    let replica = opened.replica();
    replica.bootstrap(now(), statements).or_refuse(&codes::JOIN_ANSWER)?;
    if !replica.policy().is_some_and(|policy| policy.sites.contains_key(&key.public())) {
        return Err(Refusal::new(&codes::JOIN_NOT_ENROLLED).into());
    }
    // A site that takes over a code marks its numbers until it knows those that were given out under it.
    let taken_over = replica.policy().is_some_and(|policy| {
        policy.sites.values().any(|site| site.code == invitation.code && site.site != key.public())
    });
    if taken_over {
        replica.set_note("joining", Some(b"1"))?;
    }
    Ok(invitation.code.clone())
}

/// The authority log, or why there is none. The other site is believed no more than its words can be checked: of a
/// refusal only a known code is shown as it stands.
fn read_answer(answer: &[u8]) -> Result<Vec<Signed>, Refusal> {
    let told = match JoinAnswer::from_bytes(answer).or_refuse(&codes::JOIN_ANSWER)? {
        JoinAnswer::Statements(statements) => return Ok(statements),
        JoinAnswer::Refused(told) => told,
    };
    Err(match codes::ALL.iter().find(|code| code.word == told) {
        Some(code) => Refusal::new(code),
        None => Refusal::with(&codes::JOIN_REFUSED, told),
    })
}

//! Founding an organisation, inviting a site, joining one.
//!
//! `init` makes the root key, writes it into a recovery kit and forgets it; the first site keeps the
//! sequencer's key (R14). An invitation is one line; whoever shows its token gets a place in the authority
//! log under its own key, and the log itself.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use argon2::Argon2;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteEntry, Standing, UserEntry};
use schema::codec::{Canonical, Reader, Writer};
use schema::id::{OrgId, ScopeId, SiteId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::invitation::Invitation;
use schema::policy::Policy;
use schema::record::{Author, scope_of};
use schema::time::{Hlc, Timestamp};
use serde::{Deserialize, Serialize};
use sync::net::{JoinRequest, Net, NetConfig};
use sync::replica::{Output, Replica};

use crate::clock::now;
use crate::commands::{self, Numbers};
use crate::config::Config;
use crate::folder::{Folder, random, write_private};
use crate::local::LocalDb;
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
    /// Their password at this site.
    pub password: String,
    /// Where the recovery kit goes.
    pub kit: std::path::PathBuf,
}

/// What `init` made.
#[derive(Debug)]
pub struct Founded {
    /// Opens the kit; told once.
    pub passphrase: String,
    /// Names the root key.
    pub fingerprint: String,
}

/// Founds an organisation in an empty folder.
pub fn init(path: &Path, config: &Config, founding: &Founding) -> anyhow::Result<Founded> {
    let folder = Folder::new(path);
    ensure!(!folder.is_used(), "a site lives in {} already; nothing was changed [FOLDER-USED]", path.display());
    ensure!(!founding.structures.is_empty(), "an organisation has at least one structure [INIT-STRUCTURE]");
    folder.make()?;
    let root = Secret::from_bytes(random()?);
    let founded = write_kit(&founding.kit, &founding.organisation, &root)?;
    let sequencer = folder.new_sequencer()?;
    let key = folder.new_key()?;
    let org = organisation(&root.public());
    let user = UserId(random()?);
    let structures = founding.structures.iter().map(|name| Ok((StructureId(random()?), name.clone())));
    let structures = structures.collect::<anyhow::Result<Vec<_>>>()?;
    let mut bodies =
        vec![Body::Found { name: founding.organisation.clone(), root: root.public(), sequencer: sequencer.public() }];
    bodies.extend(structures.iter().map(|(structure, name)| Body::Structure {
        structure: *structure,
        name: name.clone(),
        parent: None,
    }));
    let mut scopes: Vec<ScopeId> = structures.iter().map(|(id, _)| scope_of(&org, Some(id))).collect();
    scopes.push(scope_of(&org, None));
    scopes.sort_unstable();
    let mut enrols: Vec<StructureId> = structures.iter().map(|(id, _)| *id).collect();
    enrols.sort_unstable();
    bodies.push(Body::Site(SiteEntry {
        site: key.public(),
        code: founding.code.clone(),
        name: founding.site.clone(),
        standing: Standing::Active,
        scopes,
        enrols,
        addresses: config.addresses(),
    }));
    bodies.push(Body::User(UserEntry {
        user,
        login: founding.login.clone(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites: vec![key.public()],
        standing: Standing::Active,
    }));
    let signed = sign_all(org, &bodies, &root, &sequencer);
    let mut opened = site::open(path)?;
    opened.replica().found(signed).context("the organisation could not be founded: check code and login")?;
    name_person(opened.replica(), &user, &founding.person)?;
    LocalDb::open(&folder.local())?.set_password(&user, &founding.password)?;
    Ok(founded)
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
    let (me, mut numbers) = (replica.me(), Numbers::new(0, None));
    replica.write(now(), |batch| {
        let context = commands::Context { policy, me, numbers: &mut numbers };
        commands::directory::person(batch, &context, Author::Site, user, name).map_err(|failure| match failure {
            commands::Failure::Write(error) => error,
            other => sync::replica::WriteError::Refused(other.to_string()),
        })
    })?;
    Ok(())
}

/// Encrypts the root key under a fresh passphrase (Argon2id, ChaCha20-Poly1305) and writes the kit.
fn write_kit(path: &Path, organisation: &str, root: &Secret) -> anyhow::Result<Founded> {
    ensure!(!path.exists(), "{} exists already; nothing was changed [KIT-EXISTS]", path.display());
    let letters = data_encoding::BASE32_NOPAD.encode(&random::<20>()?).to_lowercase();
    let groups: Vec<&str> = (0..8).map(|group| &letters[group * 4..group * 4 + 4]).collect();
    let passphrase = groups.join("-");
    let (salt, nonce) = (random::<16>()?, random::<12>()?);
    let mut key = [0; 32];
    Argon2::default()
        .hash_password_into(passphrase.as_bytes(), &salt, &mut key)
        .map_err(|error| anyhow::anyhow!("cannot derive a key: {error}"))?;
    let cipher = ChaCha20Poly1305::new(&Key::from(key));
    let sealed = cipher
        .encrypt(&Nonce::from(nonce), root.to_bytes().as_slice())
        .map_err(|_| anyhow::anyhow!("cannot seal the root key"))?;
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let fingerprint = schema::identity::organisation(&root.public()).short();
    let text = format!(
        "Archipel recovery kit\norganisation: {organisation}\nfingerprint:  {fingerprint}\n\
         salt:   {}\nnonce:  {}\nsealed: {}\n\n\
         This is the organisation's root key, sealed with the passphrase that was shown once.\n\
         It names a new sequencer when the site that has it is lost. Print it; keep the passphrase elsewhere.\n",
        hex(&salt),
        hex(&nonce),
        hex(&sealed)
    );
    write_private(path, text.as_bytes())?;
    Ok(Founded { passphrase, fingerprint })
}

/// What an invitation is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invited {
    /// The new site's code; of a site that exists, the new one takes its place.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The structures whose tickets it holds, besides the organisation's own scope.
    pub structures: Vec<StructureId>,
}

/// Makes an invitation, at the site that has the sequencer's key.
pub fn invite(policy: &Policy, me: &SiteId, local: &LocalDb, invited: &Invited) -> anyhow::Result<String> {
    let fits = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
    ensure!(
        (2..=5).contains(&invited.code.len()) && invited.code.chars().all(fits),
        "a site's code is 2 to 5 capital letters or digits [SITE-CODE]"
    );
    let addresses = policy.sites.get(me).map(|site| site.addresses.clone()).unwrap_or_default();
    ensure!(
        !addresses.is_empty(),
        "nothing was made; this site has no address to call: set `advertise` in archipel.toml [SITE-ADDRESS]"
    );
    let expires = Timestamp(now().0 + INVITATION_MS);
    let token = random()?;
    local.keep_invitation(&token, &serde_json::to_string(invited)?, expires)?;
    let code = invited.code.clone();
    Ok(Invitation { org: policy.org, inviter: *me, addresses, token, code, expires }.to_line())
}

/// What a joining site says.
struct Question {
    token: [u8; 16],
    addresses: Vec<String>,
}

impl Canonical for Question {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.token);
        out.list(&self.addresses, |out, address| out.text(address));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, schema::codec::CodecError> {
        let token = input.array("token")?;
        Ok(Self { token, addresses: input.list(64, "addresses", |input| input.text(256, "address"))? })
    }
}

/// Answers somebody who shows an invitation's token. On the site's thread.
pub fn answer(core: &mut Core, request: JoinRequest) -> Vec<Output> {
    let JoinRequest { site, question, answer } = request;
    match admit(core, site, &question) {
        Ok(outputs) => {
            let statements = core.replica().statements(0).unwrap_or_default();
            let mut out = Writer::default();
            out.u8(0);
            out.list(&statements, |out, signed| signed.write(out));
            // The asker may have given up; its place in the log stays.
            let _ = answer.send(out.0);
            outputs
        }
        Err(error) => {
            tracing::warn!(site = %site.short(), error = %error, "a join was refused");
            let mut out = Writer::default();
            out.u8(1);
            out.text(&format!("{error:#}"));
            let _ = answer.send(out.0);
            Vec::new()
        }
    }
}

fn admit(core: &mut Core, site: SiteId, question: &[u8]) -> anyhow::Result<Vec<Output>> {
    let question = Question::from_bytes(question).context("the question is damaged")?;
    let content = core.local().take_invitation(&question.token, now())?;
    let content =
        content.context("the invitation is used, expired or unknown here: ask for a new one [INVITE-SPENT]")?;
    let invited: Invited = serde_json::from_str(&content)?;
    let replica = core.replica();
    let policy = replica.policy().cloned().context("this site has not joined an organisation yet")?;
    let mut scopes: Vec<ScopeId> = invited.structures.iter().map(|id| scope_of(&policy.org, Some(id))).collect();
    scopes.push(policy.org_scope());
    scopes.sort_unstable();
    scopes.dedup();
    let mut enrols = invited.structures.clone();
    enrols.sort_unstable();
    enrols.dedup();
    let replaced = policy.site_by_code(&invited.code).filter(|old| old.site != site).cloned();
    let mut outputs = Vec::new();
    if let Some(old) = &replaced {
        let retired = SiteEntry { standing: Standing::Ended, ..SiteEntry::clone(old) };
        outputs.extend(replica.say(now(), &Body::Site(retired))?);
    }
    outputs.extend(replica.say(
        now(),
        &Body::Site(SiteEntry {
            site,
            code: invited.code,
            name: invited.name,
            standing: Standing::Active,
            scopes,
            enrols,
            addresses: question.addresses,
        }),
    )?);
    // Those for whom the old site spoke are spoken for by the new one; admins act everywhere.
    for user in policy.users.values() {
        let spoken = replaced.as_ref().is_some_and(|old| user.sites.binary_search(&old.site).is_ok());
        if spoken || schema::policy::is_admin(user) {
            let mut entry = UserEntry::clone(user);
            entry.sites.push(site);
            entry.sites.sort_unstable();
            entry.sites.dedup();
            outputs.extend(replica.say(now(), &Body::User(entry))?);
        }
    }
    Ok(outputs)
}

/// Joins the organisation that a line invites to, in an empty folder.
pub async fn join(path: &Path, config: &Config, line: &str) -> anyhow::Result<String> {
    let folder = Folder::new(path);
    ensure!(!folder.is_used(), "a site lives in {} already; nothing was changed [FOLDER-USED]", path.display());
    let invitation = Invitation::from_line(line).context("nothing was changed [INVITE-DAMAGED]")?;
    ensure!(
        invitation.expires > now(),
        "nothing was changed; the invitation has expired: ask for a new one [INVITE-OLD]"
    );
    folder.make()?;
    let key = folder.new_key()?;
    let joined = ask_and_keep(path, config, &invitation, &key).await;
    if joined.is_err() {
        // A folder without a member's key is empty again, so that the next invitation can be used here.
        for file in [path.join("site.key"), folder.store(), folder.views()] {
            let _ = std::fs::remove_file(file);
        }
    }
    joined
}

async fn ask_and_keep(path: &Path, config: &Config, invitation: &Invitation, key: &Secret) -> anyhow::Result<String> {
    let question = Question { token: invitation.token, addresses: config.addresses() };
    let any = std::net::SocketAddr::new(config.net.ip(), 0);
    let net = NetConfig { bind: any, relays: config.relays.clone() };
    let answer = Net::join(key, &net, invitation.inviter, &invitation.addresses, &question.to_bytes()).await;
    let answer = answer.with_context(|| {
        format!(
            "nothing was changed; is the inviting site running, and reachable at {}? [JOIN-UNREACHABLE]",
            invitation.addresses.join(", ")
        )
    })?;
    let mut input = Reader::new(&answer);
    if input.u8("answer")? == 1 {
        bail!("nothing was changed; the inviting site says: {}", input.text(4096, "refusal")?);
    }
    let statements: Vec<Signed> = input.list(1 << 20, "statements", Canonical::read)?;
    ensure!(
        statements.first().is_some_and(|first| first.statement.org == invitation.org),
        "nothing was changed; the site answered for another organisation [JOIN-FOREIGN]"
    );
    let mut opened = site::open(path)?;
    opened.replica().found(statements)?;
    let replica = opened.replica();
    ensure!(
        replica.policy().is_some_and(|policy| policy.sites.contains_key(&key.public())),
        "nothing was changed; the site did not enrol this one [JOIN-NOT-ENROLLED]"
    );
    // A site that takes over a code marks its numbers until it knows those that were given out under it.
    let taken_over = replica.policy().is_some_and(|policy| {
        policy.sites.values().any(|site| site.code == invitation.code && site.site != key.public())
    });
    if taken_over {
        replica.set_note("joining", Some(b"1"))?;
    }
    Ok(invitation.code.clone())
}

//! The command line. A command that fails prints a [`Refusal`] on standard error and ends with a non-zero exit code.

mod running;

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use schema::authority::AuthorityRef;

use crate::clock::now;
use crate::config::Config;
use crate::credentials::{Credentials, TokenKind};
use crate::folder::Folder;
use crate::http;
use crate::membership::{self, Founding};
use crate::refusal::{OrRefuse as _, Refusal, codes};
use crate::site::{self, Site};
use running::{Answered, Roles, Running, UserChange, change_user, import, invite, user_by_login};

/// Time until a site that may not tell its address yet asks again whether it may.
const TELL_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
/// Bytes of a secret on standard input.
const MAX_SECRET_BYTES: u64 = 1000;
/// The exit code of a command that is not written as it must be, as shells and clap have it.
const EXIT_USAGE: u8 = 2;

#[derive(Parser)]
#[command(name = "archipel", version, about = "An IT service desk for organisations spread over several sites")]
struct Cli {
    /// The site's folder.
    #[arg(long, global = true, default_value = "archipel-data", env = "ARCHIPEL_DATA")]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Found an organisation and its first site here.
    Init {
        /// The organisation's name.
        #[arg(long)]
        organisation: String,
        /// The site's code, the head of its ticket numbers.
        #[arg(long)]
        code: String,
        /// The site's name.
        #[arg(long)]
        name: String,
        /// A structure with its own tickets; may be given several times.
        #[arg(long = "structure", required = true)]
        structures: Vec<String>,
        /// The first administrator's login.
        #[arg(long)]
        login: String,
        /// Their name.
        #[arg(long)]
        person: String,
        /// Where the recovery kit goes (default: recovery-kit.txt beside the folder).
        #[arg(long)]
        kit: Option<PathBuf>,
    },
    /// Make a line that another site pastes into `join`. The node must be running.
    Invite {
        /// The new site's code; of an existing site: the new one takes its place.
        #[arg(long)]
        code: String,
        /// The new site's name.
        #[arg(long)]
        name: String,
        /// A structure whose tickets the site holds, by name; absent: all.
        #[arg(long = "structure")]
        structures: Vec<String>,
        /// Somebody who may log in at the new site; may be given several times. Nobody may until it is said.
        #[arg(long = "login")]
        logins: Vec<String>,
    },
    /// Join the organisation that a line invites to.
    Join {
        /// The line; pieces of it are put together again.
        #[arg(required = true)]
        line: Vec<OsString>,
    },
    /// Serve the site.
    Run,
    /// Give the organisation's rules to this site, with the recovery kit: the site that kept them is lost. The passphrase is read from standard input. The node must not be running.
    Recover {
        /// The kit's file.
        #[arg(long)]
        kit: PathBuf,
        /// An administrator who may log in here from then on.
        #[arg(long)]
        login: Option<String>,
        /// The last statement that stands, by its position; absent: the last one held here. Where two lists of rules
        /// exist, it is the last that both have (`archipel rules`).
        #[arg(long)]
        base: Option<u64>,
    },
    /// List the statements of the organisation's rules that this site holds: position, hash, what it says.
    Rules,
    /// List what somebody should look at, as the page does. The node must be running.
    Alarms,
    /// The recovery kit.
    #[command(subcommand)]
    Kit(Kit),
    /// People who may log in. The node must be running.
    #[command(subcommand)]
    User(User),
    /// Sites of the organisation. The node must be running, where the organisation's rules are kept.
    #[command(subcommand)]
    Site(SiteCommand),
    /// Changes that have no effect, or none yet. The node must be running.
    #[command(subcommand)]
    Held(HeldCommand),
    /// Structures, each with its own tickets. The node must be running, where the organisation's rules are kept.
    #[command(subcommand)]
    Structure(StructureCommand),
    /// The site that keeps the organisation's rules.
    #[command(subcommand)]
    Sequencer(Sequencer),
    /// Tokens for programs.
    #[command(subcommand)]
    Token(Token),
    /// Set somebody's password, at one of the sites where they may log in; it holds at all of them. It is read from standard input.
    Password {
        /// Whose.
        #[arg(long)]
        login: String,
    },
    /// Say that this site's folder is the only one left of its copies: numbers need no letters any more.
    /// The node must not be running.
    SettleCopy,
    /// Check every stored record: chains, hashes, signatures, documents. The node must not be running.
    Verify,
    /// Make documents and read model again from the records. The node must not be running.
    Rebuild,
    /// Import histories from elsewhere. The node must be running.
    #[command(subcommand)]
    Import(Import),
    /// Print the API's description.
    Openapi,
}

#[derive(Subcommand)]
enum User {
    /// Enrol somebody; the password is read from standard input.
    Add {
        /// One word.
        #[arg(long)]
        login: String,
        /// Their name.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        roles: Roles,
        /// Code of a site at which they may log in, `*` for all; may be given several times; absent: this one.
        #[arg(long = "site")]
        sites: Vec<String>,
    },
    /// Close somebody's account: what they have open ends within a second of the news at each site.
    Disable {
        /// Whose.
        #[arg(long)]
        login: String,
    },
    /// Open a closed account again.
    Enable {
        /// Whose.
        #[arg(long)]
        login: String,
    },
    /// Give somebody this role instead of all that they have.
    Role {
        /// Whose.
        #[arg(long)]
        login: String,
        #[command(flatten)]
        roles: Roles,
    },
    /// Name all the sites at which somebody may log in.
    Sites {
        /// Whose.
        #[arg(long)]
        login: String,
        /// A site's code, `*` for all; may be given several times.
        #[arg(long = "site", required = true)]
        sites: Vec<String>,
    },
}

#[derive(Subcommand)]
enum SiteCommand {
    /// Give a site another name.
    Rename {
        /// Its code.
        #[arg(long)]
        code: String,
        /// Its new name.
        #[arg(long)]
        name: String,
    },
    /// Give a site up: it may write nothing any more, and nobody waits for it. Its code is free again. Asks first.
    Retire {
        /// Its code.
        #[arg(long)]
        code: String,
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
    },
    /// End a site's key for good: its machine is in other hands. What it wrote beyond a cut has no effect, and nobody
    /// talks to it any more. Asks first.
    Revoke {
        /// Its code.
        #[arg(long)]
        code: String,
        /// What it wrote after this time does not stand, such as 2026-11-20T14:02Z; absent: what this site has not.
        #[arg(long)]
        until: Option<String>,
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
enum HeldCommand {
    /// List changes that have no effect, or none yet.
    List,
    /// Say again, in an administrator's name, what one of them says.
    Adopt {
        /// Its id, as listed.
        id: String,
    },
    /// Take one off this site's list.
    Discard {
        /// Its id, as listed.
        id: String,
    },
}

#[derive(Subcommand)]
enum StructureCommand {
    /// Add a structure.
    Add {
        /// Its name.
        #[arg(long)]
        name: String,
        /// The structure that it is part of, by name.
        #[arg(long)]
        parent: Option<String>,
    },
}

#[derive(Subcommand)]
enum Kit {
    /// Check that a kit opens, and say whose it is. The passphrase is read from standard input.
    Open {
        /// The kit's file.
        #[arg(long)]
        kit: PathBuf,
    },
    /// Say that the printed kit is in hand: until then the site asks for its fingerprint.
    Confirm {
        /// As it stands on the kit.
        fingerprint: String,
    },
}

#[derive(Subcommand)]
enum Sequencer {
    /// Say, after a restore, that no other site knows more of the organisation's rules than this one.
    Confirm,
    /// Take the organisation's rules over from the site that keeps them, with the recovery kit, while that one is there. The passphrase is read from standard input.
    HandOver {
        /// The recovery kit.
        #[arg(long)]
        kit: PathBuf,
    },
}

#[derive(Subcommand)]
enum Token {
    /// Make a token that acts as a user; it is printed once.
    Create {
        /// As whom.
        #[arg(long)]
        login: String,
    },
}

#[derive(Subcommand)]
enum Import {
    /// An incident event log as CSV. Only incidents at this site's locations are imported here.
    IncidentLog {
        /// The file.
        file: PathBuf,
        /// Only rows up to this line.
        #[arg(long)]
        until: Option<u64>,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("archipel: {}", Refusal::with(&codes::USAGE, error));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match log().and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast::<Answered>() {
                Ok(answered) => eprintln!("archipel: {answered}"),
                Err(error) => eprintln!("archipel: {}", Refusal::of(error)),
            }
            ExitCode::FAILURE
        }
    }
}

/// Starts the log, on standard error.
fn log() -> anyhow::Result<()> {
    const USUAL: &str = "warn,node=info,sync=info,iroh=error,noq=error";
    let wanted = std::env::var_os("ARCHIPEL_LOG").filter(|wanted| !wanted.is_empty());
    let wanted = wanted.map(|wanted| wanted.into_string().map_err(|_| Refusal::with(&codes::LOG_FILTER, "not UTF-8")));
    let wanted = wanted.transpose()?.unwrap_or_else(|| USUAL.to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(wanted).or_refuse(&codes::LOG_FILTER)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let folder = Folder::new(&cli.data);
    let config = || Config::read(&folder.config()).map_err(Refusal::from);
    match cli.command {
        Command::Init { organisation, code, name, structures, login, person, kit } => {
            let kit = kit.unwrap_or_else(|| beside(&cli.data, "recovery-kit.txt"));
            let config = config()?;
            let password = read_secret("Password for this login: ")?;
            let founding = Founding { organisation, code, site: name, structures, login, person, password, kit };
            let founded = membership::init(&cli.data, &config, &founding)?;
            println!("The recovery kit is {}. Print it and keep it away from this machine.", founding.kit.display());
            println!("Its passphrase, shown once: {}", founded.passphrase);
            println!("Its fingerprint: {}", founded.fingerprint);
            println!("Once it is printed, say so with `archipel kit confirm` and the fingerprint on it.");
            Ok(())
        }
        Command::Invite { code, name, structures, logins } => invite(&folder, &code, &name, &structures, &logins),
        Command::Join { line } => {
            let config = config()?;
            let line = line.iter().map(|piece| piece.to_str()).collect::<Option<String>>();
            let line = line.or_refuse(&codes::INVITE_DAMAGED)?;
            let code = runtime()?.block_on(membership::join(&cli.data, &config, &line))?;
            println!("This is now {code}. Start it with `archipel run`; it fills itself from the other sites.");
            Ok(())
        }
        Command::Run => runtime()?.block_on(serve(&cli.data, config()?)),
        Command::Alarms => running::list_alarms(&folder),
        Command::Rules => membership::list_rules(&cli.data),
        Command::Recover { kit, login, base } => {
            let root = crate::kit::open(&kit, &read_secret("Passphrase of the kit: ")?)?;
            let recovered = membership::recover(&cli.data, &root, login.as_deref(), base)?;
            let AuthorityRef { epoch, position } = recovered.base;
            println!("This site keeps the organisation's rules from now on, after statement {epoch}.{position}.");
            if recovered.dropped > 0 {
                println!("{} statements after it stand no more: say again what they said.", recovered.dropped);
            }
            println!("{} documents made again. Start it with `archipel run`.", recovered.documents);
            Ok(())
        }
        Command::Kit(Kit::Open { kit }) => {
            let root = crate::kit::open(&kit, &read_secret("Passphrase of the kit: ")?)?;
            println!("The kit opens. Fingerprint: {}", schema::identity::organisation(&root.public()).short());
            Ok(())
        }
        Command::Kit(Kit::Confirm { fingerprint }) => running::confirm_kit(&folder, &fingerprint),
        Command::User(User::Add { login, name, roles, sites }) => {
            let password = read_secret("Password for this login: ")?;
            running::add_user(&folder, [&login, &name, &password], &roles, &sites)
        }
        Command::User(User::Disable { login }) => change_user(&folder, &login, &UserChange::Active(false)),
        Command::User(User::Enable { login }) => change_user(&folder, &login, &UserChange::Active(true)),
        Command::User(User::Role { login, roles }) => change_user(&folder, &login, &UserChange::Roles(roles)),
        Command::User(User::Sites { login, sites }) => change_user(&folder, &login, &UserChange::Sites(sites)),
        Command::Site(SiteCommand::Rename { code, name }) => running::rename_site(&folder, &code, &name),
        Command::Site(SiteCommand::Retire { code, yes }) => running::retire_site(&folder, &code, yes),
        Command::Site(SiteCommand::Revoke { code, until, yes }) => {
            running::revoke_site(&folder, &code, until.as_deref(), yes)
        }
        Command::Held(HeldCommand::List) => running::list_held(&folder),
        Command::Held(HeldCommand::Adopt { id }) => running::adopt(&folder, &id),
        Command::Held(HeldCommand::Discard { id }) => running::discard(&folder, &id),
        Command::Structure(StructureCommand::Add { name, parent }) => {
            running::add_structure(&folder, &name, parent.as_ref())
        }
        Command::Sequencer(Sequencer::Confirm) => running::confirm_sequencer(&folder),
        Command::Sequencer(Sequencer::HandOver { kit }) => {
            let root = crate::kit::open(&kit, &read_secret("Passphrase of the kit: ")?)?;
            running::hand_over(&folder, &root)
        }
        Command::Token(Token::Create { login }) => {
            let user = user_by_login(&folder, &login)?;
            let credentials = Credentials::open(&folder.credentials()).or_refuse(&codes::LOCAL_DAMAGED)?;
            println!("{}", credentials.new_token(TokenKind::Api, &user, now())?);
            Ok(())
        }
        Command::Password { login } => {
            user_by_login(&folder, &login)?;
            running::set_password(&folder, &login, &read_secret("New password: ")?)
        }
        Command::SettleCopy => {
            site::open(&cli.data)?.replica().set_note("copied", None)?;
            println!("New tickets are numbered without letters from the next start on.");
            Ok(())
        }
        Command::Verify => verify(&cli.data),
        Command::Rebuild => {
            let mut opened = site::open(&cli.data)?;
            let documents = opened.rebuild()?;
            println!("{documents} documents made again");
            Ok(())
        }
        Command::Import(Import::IncidentLog { file, until }) => import(&folder, &file, until),
        Command::Openapi => {
            println!("{}", http::openapi().to_pretty_json()?);
            Ok(())
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn beside(path: &Path, name: &str) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).join(name)
}

/// Goes on if the question is answered with yes, in a line on standard input.
fn confirmed(question: &str) -> Result<(), Refusal> {
    // Whoever answers on a terminal ends the line.
    let end = if std::io::stdin().is_terminal() { "" } else { "\n" };
    eprint!("{question} [y/N] {end}");
    let mut line = Vec::new();
    // What cannot be read is no yes.
    let _ = std::io::stdin().lock().take(MAX_SECRET_BYTES).read_until(b'\n', &mut line);
    let answer = String::from_utf8_lossy(&line).trim().to_lowercase();
    let is_yes = ["y", "yes", "o", "oui"].contains(&answer.as_str());
    if is_yes { Ok(()) } else { Err(Refusal::new(&codes::NOT_CONFIRMED)) }
}

/// Reads a line that is not shown in a process list. On a terminal it is asked for.
fn read_secret(question: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("{question}");
    }
    let mut line = Vec::new();
    stdin.lock().take(MAX_SECRET_BYTES + 2).read_until(b'\n', &mut line)?;
    let line = String::from_utf8(line).map_err(|_| Refusal::new(&codes::PASSWORD_FORM))?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    match line.len() as u64 {
        0 => Err(Refusal::new(&codes::PASSWORD_EMPTY).into()),
        bytes if bytes > MAX_SECRET_BYTES => Err(Refusal::new(&codes::PASSWORD_FORM).into()),
        _ => Ok(line),
    }
}

async fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    let folder = Folder::new(path);
    let opened = site::open(path)?;
    let listener = tokio::net::TcpListener::bind(config.http).await;
    let listener = listener.map_err(|error| Refusal::with(&codes::HTTP_BIND, format!("{}: {error}", config.http)))?;
    let (site, net) = opened.start_with_net(&config).await?;
    if !tell_addresses(&site, config.addresses()).await? {
        let (site, addresses) = (site.clone(), config.addresses());
        tokio::spawn(async move {
            while let Ok(false) = tell_addresses(&site, addresses.clone()).await {
                tokio::time::sleep(TELL_AGAIN).await;
            }
        });
    }
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the page is served without encryption beyond this machine: put a TLS proxy in front");
    }
    let admin = site.status().policy.as_ref().and_then(|policy| {
        let here = |user: &&std::sync::Arc<schema::authority::UserEntry>| {
            schema::policy::is_admin(user) && policy.speaks(&site.status().me, &user.sites)
        };
        policy.users.values().find(here).map(|user| user.user)
    });
    if let Some(admin) = admin {
        let token = site.credentials.new_token(TokenKind::Api, &admin, now())?;
        Running { url: format!("http://{address}"), token }.keep(&folder)?;
    }
    println!("listening on http://{address}");
    let stop = async {
        let ctrl_c = tokio::signal::ctrl_c();
        #[cfg(unix)]
        {
            let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            if let Ok(mut terminate) = terminate {
                tokio::select! { _ = ctrl_c => {}, _ = terminate.recv() => {} }
                return;
            }
        }
        let _ = ctrl_c.await;
    };
    http::serve(listener, http::router(site.clone(), config), stop).await?;
    if let Ok(running) = Running::read(&folder) {
        site.credentials.end_token(&running.token)?;
    }
    let _ = std::fs::remove_file(folder.running());
    net.stop().await;
    site.stop();
    Ok(())
}

/// Tells where this site is found; `false`: it may not yet.
async fn tell_addresses(site: &Site, addresses: Vec<String>) -> anyhow::Result<bool> {
    let told = site.run(move |core| membership::tell_addresses(core, addresses)).await;
    told.map_err(anyhow::Error::new)?
}

fn verify(path: &Path) -> anyhow::Result<()> {
    let mut opened = site::open(path)?;
    let report = sync::verify::verify(&opened.replica().read()?, opened.replica().authority())?;
    println!(
        "{} records of {} logs, {} signatures, {} documents",
        report.records, report.logs, report.signatures, report.documents
    );
    for fault in &report.faults {
        println!("  {fault}");
    }
    match report.faults.len() {
        0 => {
            println!("everything verifies");
            Ok(())
        }
        count => Err(Refusal::with(&codes::VERIFY_FAULTS, format!("{count} faults")).into()),
    }
}

//! The command line.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use schema::fold::fold;
use serde::{Deserialize, Serialize};

use crate::clock::now;
use crate::config::Config;
use crate::folder::{Folder, write_private};
use crate::http;
use crate::local::{LocalDb, TokenKind};
use crate::membership::{self, Founding};
use crate::site;

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
    },
    /// Join the organisation that a line invites to.
    Join {
        /// The line.
        line: String,
    },
    /// Serve the site.
    Run,
    /// Tokens for programs.
    #[command(subcommand)]
    Token(Token),
    /// Set somebody's password at this site; it is read from standard input.
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

/// How the running node can be reached by its own command line: a file that its owner alone can read.
#[derive(Serialize, Deserialize)]
struct Running {
    url: String,
    token: String,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ARCHIPEL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,node=info,sync=info,iroh=error,noq=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("archipel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let folder = Folder::new(&cli.data);
    let config = || Config::read(&folder.config());
    match cli.command {
        Command::Init { organisation, code, name, structures, login, person, kit } => {
            let kit = kit.unwrap_or_else(|| beside(&cli.data, "recovery-kit.txt"));
            let password = read_secret("Password for this login at this site: ")?;
            let founding = Founding { organisation, code, site: name, structures, login, person, password, kit };
            let founded = membership::init(&cli.data, &config()?, &founding)?;
            println!("The recovery kit is {}. Print it and keep it away from this machine.", founding.kit.display());
            println!("Its passphrase, shown once: {}", founded.passphrase);
            println!("Its fingerprint: {}", founded.fingerprint);
            Ok(())
        }
        Command::Invite { code, name, structures } => invite(&folder, &code, &name, &structures),
        Command::Join { line } => {
            let config = config()?;
            let code = runtime()?.block_on(membership::join(&cli.data, &config, &line))?;
            println!("This is now {code}. Start it with `archipel run`; it fills itself from the other sites.");
            Ok(())
        }
        Command::Run => runtime()?.block_on(serve(&cli.data, config()?)),
        Command::Token(Token::Create { login }) => {
            let user = user_by_login(&folder, &login)?;
            println!("{}", LocalDb::open(&folder.local())?.new_token(TokenKind::Api, &user, now())?);
            Ok(())
        }
        Command::Password { login } => {
            let user = user_by_login(&folder, &login)?;
            LocalDb::open(&folder.local())?.set_password(&user, &read_secret("New password: ")?)
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
    path.parent().unwrap_or(Path::new(".")).join(name)
}

/// Reads a line that is not shown in a process list. On a terminal it is asked for.
fn read_secret(question: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("{question}");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    if line.is_empty() { bail!("nothing was changed; no password was given [PASSWORD-EMPTY]") } else { Ok(line) }
}

async fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    let folder = Folder::new(path);
    let (site, net) = site::open(path)?.start_with_net(&config).await?;
    let listener = tokio::net::TcpListener::bind(config.http)
        .await
        .with_context(|| format!("cannot listen on {} [HTTP-BIND]", config.http))?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the page is served without encryption beyond this machine: put a TLS proxy in front");
    }
    let admin = site
        .status()
        .policy
        .as_ref()
        .and_then(|policy| policy.users.values().find(|user| schema::policy::is_admin(user)).map(|user| user.user));
    if let Some(admin) = admin {
        let token = site.local.new_token(TokenKind::Api, &admin, now())?;
        let running = Running { url: format!("http://{address}"), token };
        write_private(&folder.running(), &serde_json::to_vec(&running)?)?;
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
    if let Ok(running) = read_running(&folder) {
        site.local.end_token(&running.token)?;
    }
    let _ = std::fs::remove_file(folder.running());
    net.stop().await;
    site.stop();
    Ok(())
}

fn read_running(folder: &Folder) -> anyhow::Result<Running> {
    let text = std::fs::read_to_string(folder.running())
        .context("nothing was changed; the node is not running here: start it with `archipel run` [NODE-STOPPED]")?;
    Ok(serde_json::from_str(&text)?)
}

/// A user by login, read from the running node or, if there is none, from the store.
fn user_by_login(folder: &Folder, login: &str) -> anyhow::Result<schema::id::UserId> {
    let wanted = fold(login);
    let unknown = || format!("nothing was changed; there is no user {login} [LOGIN-UNKNOWN]");
    if let Ok(running) = read_running(folder)
        && let Ok(found) = call(&running, "GET", &format!("/api/v1/users/{wanted}"), None)
    {
        let id = found["id"].as_str().and_then(|id| id.parse().ok());
        return id.with_context(unknown);
    }
    let mut opened = site::open(folder.path())?;
    let policy = opened.replica().policy().cloned();
    policy.and_then(|policy| policy.logins.get(&wanted).copied()).with_context(unknown)
}

/// Calls the running node.
fn call(running: &Running, method: &str, path: &str, body: Option<&[u8]>) -> anyhow::Result<serde_json::Value> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}{path}", running.url);
    let authorization = format!("Bearer {}", running.token);
    let mut answer = match (method, body) {
        ("GET", _) => agent.get(&url).header("authorization", &authorization).call()?,
        (_, body) => agent
            .post(&url)
            .header("authorization", &authorization)
            .header("content-type", "application/json")
            .send(body.unwrap_or(b"{}"))?,
    };
    let status = answer.status();
    let value: serde_json::Value = answer.body_mut().with_config().limit(64 << 20).read_json()?;
    if status.is_success() {
        return Ok(value);
    }
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let detail = value["params"]["detail"].as_str().map(|detail| format!(" {detail}")).unwrap_or_default();
    bail!("{} {}{detail} {} [{}]", text("safe"), text("happened"), text("todo"), text("code"))
}

fn invite(folder: &Folder, code: &str, name: &str, structures: &[String]) -> anyhow::Result<()> {
    let running = read_running(folder)?;
    let mut body = serde_json::json!({ "code": code, "name": name });
    if !structures.is_empty() {
        let known = call(&running, "GET", "/api/v1/structures", None)?;
        let find = |wanted: &String| {
            let mut items = known["items"].as_array().into_iter().flatten();
            items.find(|item| item["label"].as_str() == Some(wanted)).map(|item| item["id"].clone())
        };
        let ids: Option<Vec<_>> = structures.iter().map(find).collect();
        body["structures"] =
            ids.context("nothing was made; a structure of this name does not exist [STRUCTURE-UNKNOWN]")?.into();
    }
    let made = call(&running, "POST", "/api/v1/invitations", Some(&serde_json::to_vec(&body)?))?;
    println!("{}", made["line"].as_str().unwrap_or_default());
    Ok(())
}

fn import(folder: &Folder, file: &Path, until: Option<u64>) -> anyhow::Result<()> {
    let bytes = std::fs::read(file)
        .with_context(|| format!("nothing was imported; {} cannot be read [IMPORT-READ]", file.display()))?;
    let running = read_running(folder)?;
    let query = until.map(|until| format!("?until={until}")).unwrap_or_default();
    let report = call(&running, "POST", &format!("/api/v1/imports/incident-log{query}"), Some(&bytes))?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
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
        count => bail!("{count} faults; start the node, it fetches what is damaged from other sites [VERIFY-FAULTS]"),
    }
}

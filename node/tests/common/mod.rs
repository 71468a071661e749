//! Test folders, the program run on them, and its output.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use schema::author::Author;
use schema::doc::DocKind;
use schema::id::scope_of;
use schema::record::CommandName;
use schema::ticket::Field;
use schema::ticket::command::{NewTicket, create};
use serde_json::{Value, json};
use sync::replica::WriteError;

/// The first administrator's password; no error may repeat it.
pub const PASSWORD: &str = "correct-horse-battery";
/// How long a command may take: the longest waits for a site that does not answer.
const TIMEOUT: Duration = Duration::from_secs(40);

/// How long the sites of a test may take to hear of one another.
pub const HEARD: Duration = Duration::from_secs(30);

/// A temporary folder that is deleted when the test ends.
pub struct TestFolder(PathBuf);

impl TestFolder {
    /// An empty folder; `name` must be unique to the test.
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bad-input-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    /// A founded site, reachable by others on this machine.
    pub fn founded(&self, name: &str) -> PathBuf {
        let folder = self.configured(name);
        let output = run(&folder, &founding(&self.at(&format!("{name}-kit.txt"))), PASSWORD.as_bytes());
        assert_eq!(output.code, Some(0), "a site is founded: {}", output.err);
        std::fs::write(self.at(&format!("{name}-said.txt")), output.out).unwrap();
        folder
    }
    /// What `init` said once about the kit of a founded site: its passphrase and its fingerprint.
    pub fn kit(&self, name: &str) -> (String, String) {
        let said = std::fs::read_to_string(self.at(&format!("{name}-said.txt"))).unwrap();
        let after = |head: &str| said.lines().find_map(|line| line.strip_prefix(head)).expect("said").to_owned();
        (after("Its passphrase, shown once: "), after("Its fingerprint: "))
    }
    /// A folder for a site that others on this machine will reach.
    pub fn configured(&self, name: &str) -> PathBuf {
        let folder = self.at(name);
        std::fs::create_dir_all(&folder).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!("http = \"127.0.0.1:0\"\nnet = \"127.0.0.1:{port}\"\n");
        std::fs::write(folder.join("archipel.toml"), config).unwrap();
        folder
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The arguments of a valid `init`.
pub fn founding(kit: &Path) -> Vec<String> {
    let words = "init --organisation Exemple --code PAR --name Paris --structure IT --login ana --person Ana --kit";
    words.split(' ').map(str::to_owned).chain([kit.display().to_string()]).collect()
}

/// The output of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl CommandOutput {
    /// Asserts that the command failed with `code`, and that its error has all parts and no secret.
    pub fn refused(&self, code: &str, case: &str) {
        let Self { err, out, .. } = self;
        assert!(self.code.is_some_and(|code| (1..=2).contains(&code)), "{case}: ends with {:?}: {err}", self.code);
        let error = err.lines().find(|line| line.starts_with("archipel: ")).unwrap_or_default();
        assert!(error.ends_with(&format!("[{code}]")), "{case}: expected {code}, got {err:?} {out:?}");
        assert!(error.matches(". ").count() >= 2, "{case}: safe, happened, to do: {error}");
        for never in ["panicked", "RUST_BACKTRACE", PASSWORD, "\u{1b}"] {
            assert!(!err.contains(never) && !out.contains(never), "{case}: tells {never:?}: {err}");
        }
        assert!(err.len() < 8000, "{case}: an error is read by a person: {} bytes", err.len());
    }
}

/// A command on a folder, without the environment variables of a person's own site.
pub fn command(data: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_archipel"));
    command.env_remove("ARCHIPEL_DATA").env_remove("ARCHIPEL_LOG").arg("--data").arg(data).args(arguments);
    command
}

/// Runs a command to its end.
pub fn run(data: &Path, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> CommandOutput {
    run_prepared(command(data, arguments), input)
}

/// Runs a prepared command to its end.
pub fn run_prepared(mut command: Command, input: &[u8]) -> CommandOutput {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("archipel starts");
    // A command that reads nothing has ended already.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let reading = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reading(Box::new(child.stdout.take().expect("piped")));
    let err = reading(Box::new(child.stderr.take().expect("piped")));
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > TIMEOUT {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    CommandOutput { code: child.wait().unwrap().code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

/// A running node; it is killed when this value is dropped.
pub struct Node {
    child: Child,
    /// Its data.
    pub folder: PathBuf,
    /// `127.0.0.1:PORT` of its page.
    pub address: String,
    /// An administrator's token.
    pub token: String,
}

impl Node {
    /// Starts the node of a folder and waits until it listens.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, |_| {})
    }

    /// As [`Node::start`], of a program that is prepared first.
    pub fn start_with(folder: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(folder, &["run"]);
        prepare(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("archipel starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the node says where").to_owned();
        let running: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("running.json")).unwrap()).unwrap();
        let folder = folder.to_path_buf();
        Self { child, folder, address, token: running["token"].as_str().expect("a token").to_owned() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command prints that must succeed.
pub fn done(folder: &Path, arguments: &str, input: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = run(folder, &arguments, input.as_bytes());
    assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.err);
    output.out.trim().to_owned()
}

/// The status of a request, and its answer.
pub fn ask(node: &Node, method: &str, path: &str, cookie: Option<&str>, body: Option<&Value>) -> (u16, Value, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", node.address));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let bytes = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
    let request = request.header("content-type", "application/json").body(bytes).unwrap();
    let mut answer = agent.run(request).unwrap();
    let set = answer.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let cookie = set.split(';').next().unwrap_or_default().to_owned();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(Value::Null), cookie)
}

/// Logs somebody in with the usual password: the status, and the cookie.
pub fn log_in(node: &Node, login: &str) -> (u16, String) {
    log_in_with(node, login, PASSWORD)
}

/// As [`log_in`], with another password.
pub fn log_in_with(node: &Node, login: &str, password: &str) -> (u16, String) {
    let given = json!({ "login": login, "password": password });
    let (status, _, cookie) = ask(node, "POST", "/api/v1/sessions", None, Some(&given));
    (status, cookie)
}

/// Waits until something holds.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < HEARD, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The content of every file of a folder, so that "nothing was changed" can be checked.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap_or_default());
        }
    }
    found
}

/// Copies the files of a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in files(from).into_keys() {
        std::fs::copy(&path, to.join(path.file_name().expect("a file has a name"))).unwrap();
    }
}

/// Asserts that a folder holds what it held, byte by byte.
pub fn assert_unchanged(folder: &Path, before: &BTreeMap<PathBuf, Vec<u8>>, case: &str) {
    let after = files(folder);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(before), "{case}: files came or went");
    let changed: Vec<_> = after.keys().filter(|path| after[*path] != before[*path]).collect();
    assert!(changed.is_empty(), "{case}: {changed:?} changed");
}

/// Opens tickets under one number in a folder whose node is stopped, as a machine does that was set back without a trace.
pub fn open_under_one_number(folder: &Path, number: &str, titles: &[&str]) {
    let mut opened = node::site::open(folder).unwrap();
    let replica = opened.replica();
    let (policy, home) = (replica.policy().cloned().unwrap(), replica.me());
    let structure = *policy.structures.keys().next().unwrap();
    let (scope, ana) = (scope_of(&policy.org, Some(&structure)), *policy.logins.get("ana").unwrap());
    for title in titles {
        let fields = BTreeMap::from([(Field::Title, (*title).to_owned())]);
        let ticket = NewTicket { number: number.into(), structure, home, description: String::new(), fields };
        let edits = create(&ticket).unwrap();
        let (written, _) = replica
            .write(node::clock::now(), |batch| {
                Ok(batch.command::<WriteError>(Author::User(ana), CommandName::Place, scope, |command| {
                    command.create(DocKind::Ticket, None, &edits).map(drop)
                }))
            })
            .unwrap();
        written.unwrap();
    }
}

/// Paris, which runs, and Dakar, which has joined and does not; Ana may log in at both, at Dakar once her password came.
pub fn founded_with_dakar(temp: &TestFolder) -> (PathBuf, Node, PathBuf) {
    let paris = temp.founded("paris");
    let first = Node::start(&paris);
    let line = done(&paris, "invite --code DAK --name Dakar --login ana", "");
    let dakar = temp.configured("dakar");
    done(&dakar, &format!("join {line}"), "");
    (paris, first, dakar)
}

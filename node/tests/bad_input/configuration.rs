//! Bad configurations, and damaged files of a site's folder.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableDefinition};

use crate::site::{Node, TestFolder, assert_unchanged, copy, files, run};

#[test]
fn a_configuration_with_a_mistake_starts_nothing() {
    let temp = TestFolder::new("config");
    let paris = temp.founded("paris");
    let config = paris.join("archipel.toml");
    let (http, net) = ("http = \"127.0.0.1:0\"\n", "net = \"127.0.0.1:0\"\n");
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("not TOML", b"http: 8080".to_vec(), "CONFIG-FORM", "line 1"),
        ("a string without its end", b"\n\nhttp = \"127.0.0.1".to_vec(), "CONFIG-FORM", "line 3"),
        ("an unknown key", format!("{http}htpp = 3").into(), "CONFIG-FORM", "htpp"),
        ("a wrong type", b"http = 8080".to_vec(), "CONFIG-FORM", "integer `8080`"),
        ("a text instead of a list", b"relays = \"https://relay.example\"".to_vec(), "CONFIG-FORM", "sequence"),
        ("a port out of range", b"http = \"127.0.0.1:99999\"".to_vec(), "CONFIG-FORM", "address"),
        ("a name instead of an address", b"net = \"localhost:7440\"".to_vec(), "CONFIG-FORM", "address"),
        ("no port", b"http = \"127.0.0.1\"".to_vec(), "CONFIG-FORM", "address"),
        ("a key twice", format!("{http}{http}").into(), "CONFIG-FORM", "duplicate key"),
        ("an unknown key in a table", b"[demo]\ncolour = 1".to_vec(), "CONFIG-FORM", "colour"),
        ("Latin-1", b"# caf\xe9\n".to_vec(), "CONFIG-FORM", "line 1"),
        ("a zero byte", b"http\0 = 1".to_vec(), "CONFIG-FORM", "line 1"),
        ("10,000 levels", format!("hosts = {}", "[".repeat(10_000)).into(), "CONFIG-FORM", "line 1"),
        ("2 MB", vec![b'#'; 2 << 20], "CONFIG-READ", "larger"),
        ("an address without a port", b"advertise = [\"192.0.2.1\"]".to_vec(), "CONFIG-VALUE", "192.0.2.1"),
        ("an address that is everywhere", b"advertise = [\"0.0.0.0:1\"]".to_vec(), "CONFIG-VALUE", "0.0.0.0"),
        ("a relay that is no URL", b"relays = [\"relay.example\"]".to_vec(), "CONFIG-VALUE", "https://"),
        ("a URL as a host", b"hosts = [\"https://desk.example\"]".to_vec(), "CONFIG-VALUE", "host name"),
        ("a stage that adds a rule", b"[demo]\nstage = \"http://a; script-src *\"".to_vec(), "CONFIG-VALUE", "origin"),
        ("a stage that breaks a line", b"[demo]\nstage = \"http://a\\r\\nx\"".to_vec(), "CONFIG-VALUE", "origin"),
    ];
    let before = files(&paris);
    for (case, bytes, code, names) in &cases {
        std::fs::write(&config, bytes).unwrap();
        let output = run(&paris, &["run"], b"");
        output.refused(code, case);
        assert!(output.err.contains(names), "{case}: names {names}: {}", output.err);
    }
    std::fs::remove_file(&config).unwrap();
    std::fs::create_dir(&config).unwrap();
    run(&paris, &["run"], b"").refused("CONFIG-READ", "a folder instead of a file");
    std::fs::remove_dir(&config).unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("http = \"{}\"\n{net}", taken.local_addr().unwrap());
    std::fs::write(&config, busy).unwrap();
    run(&paris, &["run"], b"").refused("HTTP-BIND", "the page's address is in use");
    std::fs::write(&config, format!("http = \"192.0.2.1:1\"\n{net}")).unwrap();
    run(&paris, &["run"], b"").refused("HTTP-BIND", "an address of another machine");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    std::fs::write(&config, format!("{http}net = \"{}\"\n", taken.local_addr().unwrap())).unwrap();
    run(&paris, &["run"], b"").refused("NET-BIND", "the other sites' address is in use");

    let original = &before[&config];
    std::fs::write(&config, original).unwrap();
    let names = |files: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| files.into_keys().collect::<Vec<_>>();
    assert_eq!(names(files(&paris)), names(before), "no attempt left a file");
    let output = run(&paris, &["verify"], b"");
    assert!(output.out.contains("everything verifies"), "and no record is lost: {}", output.err);
}

#[test]
fn a_plain_configuration_is_taken_in_every_harmless_form() {
    let temp = TestFolder::new("plain");
    let folder = temp.at("new");
    std::fs::create_dir_all(&folder).unwrap();
    let good: [(&str, Option<&str>); 6] = [
        ("none", None),
        ("empty", Some("")),
        ("comments and Windows line ends", Some("# ours\r\nhttp = \"127.0.0.1:0\"\r\n")),
        ("a byte order mark", Some("\u{feff}http = \"127.0.0.1:0\"\n")),
        ("IPv6", Some("http = \"[::1]:0\"\nadvertise = [\"[2001:db8::1]:7440\"]\nhosts = [\"[::1]\"]\n")),
        ("names and relays", Some("relays = [\"https://relay.example\"]\nhosts = [\"desk.example\"]\n[demo]\n")),
    ];
    for (case, text) in good {
        if let Some(text) = text {
            std::fs::write(folder.join("archipel.toml"), text).unwrap();
        }
        // The configuration is read before the line is.
        run(&folder, &["join", "hello"], b"").refused("INVITE-FORM", case);
    }
}

type Damage = Box<dyn Fn(&Path)>;

#[test]
fn a_damaged_folder_is_named_and_never_written() {
    let temp = TestFolder::new("damaged");
    let paris = temp.founded("paris");
    let store = |folder: &Path| folder.join("archipel.redb");
    let cut = |file: &'static str, to: u64| -> Damage {
        Box::new(move |folder| {
            let file = std::fs::OpenOptions::new().write(true).open(folder.join(file)).unwrap();
            file.set_len(to).unwrap();
        })
    };
    let put = |file: &'static str, bytes: &'static [u8]| -> Damage {
        Box::new(move |folder| std::fs::write(folder.join(file), bytes).unwrap())
    };
    let gone =
        |file: &'static str| -> Damage { Box::new(move |folder| std::fs::remove_file(folder.join(file)).unwrap()) };
    let cases: Vec<(&str, Damage, &str)> = vec![
        ("a key cut short", cut("site.key", 40), "KEY-DAMAGED"),
        ("an empty key", cut("site.key", 0), "KEY-DAMAGED"),
        ("a key with a letter too many", put("site.key", &[b'a'; 65]), "KEY-DAMAGED"),
        ("a key of other letters", put("site.key", &[b'z'; 64]), "KEY-DAMAGED"),
        ("a key of bytes", put("site.key", b"\xff\x00\xfe"), "KEY-DAMAGED"),
        ("the sequencer's key cut short", cut("sequencer.key", 10), "KEY-DAMAGED"),
        ("no key", gone("site.key"), "KEY-MISSING"),
        ("no records", gone("archipel.redb"), "STORE-MISSING"),
        ("empty records", cut("archipel.redb", 0), "STORE-MISSING"),
        ("a byte of records", cut("archipel.redb", 1), "STORE-DAMAGED"),
        ("the first page of records", cut("archipel.redb", 4096), "STORE-DAMAGED"),
        ("half of the records", cut("archipel.redb", 60_000), "STORE-DAMAGED"),
        ("a photograph", put("archipel.redb", b"\x89PNG\r\n\x1a\nnot records at all, but somebody's"), "STORE-DAMAGED"),
        ("passwords that are no database", put("local.sqlite", &[b'x'; 5000]), "LOCAL-DAMAGED"),
    ];
    for (case, damage, code) in &cases {
        let folder = temp.at("copy");
        copy(&paris, &folder);
        damage(&folder);
        let before = files(&folder);
        for command in ["run", "verify", "rebuild"] {
            run(&folder, &[command], b"").refused(code, &format!("{case}, {command}"));
            assert_unchanged(&folder, &before, &format!("{case}, {command}"));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let folder = temp.at("foreign");
    copy(&paris, &folder);
    std::fs::copy(temp.founded("other").join("site.key"), folder.join("site.key")).unwrap();
    run(&folder, &["run"], b"").refused("KEY-FOREIGN", "another site's key");
    std::fs::copy(paris.join("site.key"), folder.join("site.key")).unwrap();
    assert_eq!(run(&folder, &["verify"], b"").code, Some(0), "with the right key every record is there");

    let folder = temp.at("later");
    copy(&paris, &folder);
    std::fs::remove_file(store(&folder)).unwrap();
    let later: TableDefinition<'_, &str, u64> = TableDefinition::new("records-9");
    let database = Database::create(store(&folder)).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(later).unwrap().insert("a", 7).unwrap();
    writing.commit().unwrap();
    drop(database);
    run(&folder, &["run"], b"").refused("STORE-FOREIGN", "another version's records");
    let database = Database::open(store(&folder)).unwrap();
    let kept = database.begin_read().unwrap().open_table(later).unwrap().get("a").unwrap().map(|found| found.value());
    assert_eq!(kept, Some(7), "the version that wrote them still finds them");
}

#[test]
fn one_folder_is_one_process() {
    let temp = TestFolder::new("busy");
    let paris = temp.founded("paris");
    let node = Node::start(&paris);
    for command in ["run", "verify", "rebuild", "settle-copy"] {
        run(&paris, &[command], b"").refused("FOLDER-BUSY", command);
    }
    let output = run(&paris, &["token", "create", "--login", "ana"], b"");
    assert_eq!(output.code, Some(0), "the node still answers: {}", output.err);
    drop(node);
    assert_eq!(run(&paris, &["verify"], b"").code, Some(0), "a killed process leaves no lock");
}

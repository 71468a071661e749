//! Bodies that are larger than a site takes: a plain client hears why, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::site::{Node, TestFolder};

/// Three times the largest body, and less than what is thrown away.
const LARGE: usize = 3 << 20;

/// A request's head; `more` are its other headers.
fn head(node: &Node, line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{more}\r\n", node.address)
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(&node.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends all of it before it reads, as plain clients do. Errors: the site hung up first.
fn send(node: &Node, head: &str, body: &[u8]) -> std::io::Result<String> {
    let mut stream = connect(node);
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

fn is_well(node: &Node) -> bool {
    let head = head(node, "GET /health", "");
    send(node, &head, b"").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[test]
fn a_body_that_is_too_large_gets_an_answer_and_disturbs_nobody() {
    let temp = TestFolder::new("bodies");
    let node = Node::start(&temp.founded("paris"));
    let token = format!("authorization: Bearer {}\r\n", node.token);
    let length = format!("content-length: {LARGE}\r\n");
    let body = vec![b'x'; LARGE];
    let cases = [
        ("a ticket of 3 MB", "POST /api/v1/tickets", token.as_str(), "413", "BODY-TOO-LARGE"),
        ("3 MB from nobody", "POST /api/v1/tickets", "", "401", "SESSION-NONE"),
        ("a login of 3 MB", "POST /api/v1/sessions", "", "413", "BODY-TOO-LARGE"),
        ("3 MB to nowhere", "POST /api/v1/nothing", token.as_str(), "404", "ADDRESS-UNKNOWN"),
        ("3 MB in a wrong way", "PUT /api/v1/tickets", token.as_str(), "405", "METHOD-UNKNOWN"),
        ("3 MB of an import by nobody", "POST /api/v1/imports/incident-log", "", "401", "SESSION-NONE"),
    ];
    for (case, line, authorization, status, code) in cases {
        for round in 0..3 {
            let answer = send(&node, &head(&node, line, &format!("{authorization}{length}")), &body);
            let answer = answer.unwrap_or_else(|error| panic!("{case}, round {round}: the client sees {error}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code), "{case}: {answer}");
        }
        assert!(is_well(&node), "{case}: the site goes on");
    }
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let chunked = head(&node, "POST /api/v1/tickets", &format!("{token}transfer-encoding: chunked\r\n"));
    let answer = send(&node, &chunked, &[chunk.repeat(3), b"0\r\n\r\n".to_vec()].concat()).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413"), "3 MB whose length was not said: {answer}");
}

#[test]
fn who_asks_first_is_told_before_sending_and_who_sends_without_end_is_hung_up_on() {
    let temp = TestFolder::new("ends");
    let node = Node::start(&temp.founded("paris"));
    let token = format!("authorization: Bearer {}\r\n", node.token);
    let asking = format!("{token}content-length: {LARGE}\r\nexpect: 100-continue\r\n");
    let answer = send(&node, &head(&node, "POST /api/v1/tickets", &asking), b"").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413"), "not `100 Continue`, since the length is known: {answer}");

    let mut endless = connect(&node);
    let start = head(&node, "POST /api/v1/tickets", &format!("{token}transfer-encoding: chunked\r\n"));
    endless.write_all(start.as_bytes()).unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let sent = (0..64).take_while(|_| endless.write_all(&chunk).is_ok()).count();
    assert!(sent < 64, "a body without end is not read for ever");
    let _ = endless.shutdown(Shutdown::Both);

    // Ten uploads that stand still hold up nobody.
    let slow: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = connect(&node);
            let head = head(&node, "POST /api/v1/tickets", &format!("{token}content-length: {LARGE}\r\n"));
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert!(is_well(&node), "others are served while {} uploads stand still", slow.len());
}

//! Files given to `import incident-log`.

use std::path::Path;

use serde_json::Value;

use crate::site::{CommandOutput, Node, TestFolder, assert_unchanged, files, run};

const HEADER: &str = "number,incident_state,caller_id,opened_at,sys_updated_by,sys_updated_at,location,category,\
    subcategory,u_symptom,impact,urgency,priority,assignment_group,assigned_to";

/// A good row of an incident.
fn row(number: &str) -> String {
    format!(
        "{number},New,Caller 1,29-2-2016 01:16,Updated by 1,29-2-2016 01:23,Location 1,Category 2,Subcategory 3,\
         Symptom 4,2 - Medium,2 - Medium,3 - Moderate,Group 5,Resolver 6"
    )
}

/// The row with one of its parts replaced.
fn with(from: &str, to: &str) -> String {
    let good = row("INC9");
    assert!(good.contains(from), "{from} is in the row");
    good.replacen(from, to, 1)
}

fn import(folder: &Path, file: &Path, more: &[&str]) -> CommandOutput {
    let file = file.to_str().expect("a plain path");
    run(folder, &[&["import", "incident-log", file], more].concat(), b"")
}

fn report(output: &CommandOutput, case: &str) -> Value {
    assert_eq!(output.code, Some(0), "{case}: {}", output.err);
    serde_json::from_str(&output.out).expect("the report is JSON")
}

#[test]
fn a_file_that_is_no_incident_log_is_refused_whole() {
    let temp = TestFolder::new("logs");
    let paris = temp.founded("paris");
    let good = row("INC1");
    let table = |header: String| format!("{header}\n{good}\n").into_bytes();
    let latin: Vec<u8> = [HEADER.as_bytes(), b",caf\xe9\n", good.as_bytes(), b",x\n"].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "IMPORT-EMPTY"),
        ("line ends alone", b"\n\r\n\n".to_vec(), "IMPORT-EMPTY"),
        ("a byte order mark alone", "\u{feff}".into(), "IMPORT-EMPTY"),
        ("no header", format!("{good}\n{good}\n").into_bytes(), "IMPORT-COLUMN"),
        ("a missing column", table(HEADER.replace(",urgency", "")), "IMPORT-COLUMN"),
        ("a renamed column", table(HEADER.replace("caller_id", "Caller ID")), "IMPORT-COLUMN"),
        ("a column twice", table(format!("{HEADER},urgency")), "IMPORT-COLUMN"),
        ("semicolons", table(HEADER.replace(',', ";")), "IMPORT-COLUMN"),
        ("a header in Latin-1", latin, "IMPORT-FORM"),
        ("UTF-16", HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect(), "IMPORT-FORM"),
        ("a program", b"\x7fELF\x02\x01\x01\x00\x00\x00".to_vec(), "IMPORT-FORM"),
        ("a header that opens a quote", table(format!("\"{HEADER}")), "IMPORT-FORM"),
        ("a line of 2 MB", vec![b'x'; 2 << 20], "IMPORT-FORM"),
    ];
    let file = temp.at("log.csv");
    std::fs::write(&file, table(HEADER.into())).unwrap();
    import(&paris, &file, &[]).refused("NODE-STOPPED", "the node does not run");
    import(&temp.at("empty"), &file, &[]).refused("FOLDER-EMPTY", "no site there");
    assert!(!temp.at("empty").exists(), "a wrong folder is not made");

    let node = Node::start(&paris);
    import(&paris, &temp.at("nothing.csv"), &[]).refused("IMPORT-READ", "no such file");
    import(&paris, &temp.at(""), &[]).refused("IMPORT-READ", "a folder");
    import(&paris, &file, &["--until", "many"]).refused("USAGE", "a line that is no number");
    for (case, bytes, code) in &cases {
        std::fs::write(&file, bytes).unwrap();
        let output = import(&paris, &file, &[]);
        output.refused(code, case);
        assert!(output.err.contains("Nothing was imported."), "{case}: {}", output.err);
        assert_eq!(&std::fs::read(&file).unwrap(), bytes, "{case}: the file is only read");
    }
    std::fs::write(&file, table(HEADER.replace("caller_id", "Caller ID"))).unwrap();
    let output = import(&paris, &file, &[]);
    assert!(output.err.contains("caller_id is missing; is it \"Caller ID\"?"), "the column is named: {}", output.err);
    std::fs::write(&file, table(HEADER.into())).unwrap();
    let done = report(&import(&paris, &file, &["--until", "1"]), "until the header");
    assert_eq!(done["rows"], 0, "nothing of all this came in before");

    drop(node);
    let before = files(&paris);
    import(&paris, &file, &[]).refused("NODE-STOPPED", "the node was killed and could not say so");
    assert_unchanged(&paris, &before, "the node was killed");
}

#[test]
fn a_bad_row_is_named_by_line_and_the_rest_goes_in() {
    let temp = TestFolder::new("rows");
    let paris = temp.founded("paris");
    let _node = Node::start(&paris);
    let bad: Vec<(&str, Vec<u8>, &str)> = vec![
        ("too few fields", b"INC9,New".to_vec(), "ROW-FIELDS"),
        ("too many fields", format!("{},more", row("INC9")).into(), "ROW-FIELDS"),
        ("Latin-1", [row("INC9").as_bytes(), b"\xe9"].concat(), "ROW-TEXT"),
        ("a zero byte", with("Caller", "Cal\0ler").into(), "ROW-TEXT"),
        ("a quote without its end", with("Symptom 4", "\"Symptom 4").into(), "ROW-QUOTES"),
        ("no number", with("INC9", "").into(), "ROW-NUMBER"),
        ("an unknown state", with("New", "Asleep").into(), "ROW-STATE"),
        ("the state -100", with("New", "-100").into(), "ROW-STATE"),
        ("no time", with("29-2-2016 01:16", "").into(), "ROW-TIME"),
        ("a day that never was", with("29-2-2016 01:16", "30-2-2016 01:16").into(), "ROW-TIME"),
        ("another form of time", with("29-2-2016 01:16", "2016-02-29T01:16").into(), "ROW-TIME"),
        ("an hour 25", with("01:16", "25:16").into(), "ROW-TIME"),
        ("the year 3", with("29-2-2016 01:23", "1-3-0003 01:23").into(), "ROW-TIME"),
        ("the year 9999", with("29-2-2016 01:23", "1-3-9999 01:23").into(), "ROW-TIME"),
        ("the year 4,294,967,295", with("29-2-2016 01:23", "1-3-4294967295 01:23").into(), "ROW-TIME"),
        ("a year of 40 digits", with("-2016 01:23", &format!("-{} 01:23", "9".repeat(40))).into(), "ROW-TIME"),
        ("impact 9", with("2 - Medium", "9 - Enormous").into(), "ROW-LEVEL"),
        ("priority 0", with("3 - Moderate", "0 - None").into(), "ROW-LEVEL"),
        ("a priority in words", with("3 - Moderate", "high").into(), "ROW-LEVEL"),
        ("a field of 10,000 letters", with("Symptom 4", &"x".repeat(10_000)).into(), "ROW-LONG"),
        ("a row of 1 MB", with("Symptom 4", &"x".repeat(1 << 20)).into(), "ROW-LONG"),
        ("escapes", with("New", "\u{1b}[2J").into(), "ROW-STATE"),
    ];
    let mut file = format!("\u{feff}{HEADER}\r\n{}\r\n", row("INC1")).into_bytes();
    for (_, line, _) in &bad {
        file.extend(line);
        file.extend(b"\r\n");
    }
    let quoted = row("INC2").replace("Symptom 4", "\"Screen, \"\"black\"\"\"");
    // The last row is there twice, and ends without a line end.
    file.extend(format!("{quoted}\n\n{}\n{}", row("INC3"), row("INC3")).into_bytes());
    let path = temp.at("log.csv");
    std::fs::write(&path, &file).unwrap();

    let output = import(&paris, &path, &[]);
    let done = report(&output, "bad rows among good ones");
    let named: Vec<(u64, String)> = done["skipped"].as_array().expect("a list").iter().map(named).collect();
    let expected = (3..).zip(&bad).map(|(line, (_, _, code))| (line, (*code).to_owned()));
    for (found, (expected, (case, _, _))) in named.iter().zip(expected.zip(&bad)) {
        assert_eq!(found, &expected, "{case}");
    }
    let count = bad.len() as u64;
    let numbers = ["rows", "skipped_total", "edits", "without_change"].map(|name| done[name].as_u64().unwrap());
    assert_eq!(numbers, [count + 4, count, 3, 1], "three incidents came in, the doubled row changes nothing: {done}");
    assert!(output.err.contains(&format!("{count} rows were skipped")), "who looks only at the screen is told too");
    assert!(output.out.len() < 100 * bad.len() * 4, "an enormous field is not repeated");

    let again = report(&import(&paris, &path, &[]), "again");
    let numbers = ["skipped_total", "edits", "known"].map(|name| again[name].as_u64().unwrap());
    assert_eq!(numbers, [count, 0, 3], "running it again adds nothing: {again}");
    assert_eq!(std::fs::read(&path).unwrap(), file, "the file is only read");
}

fn named(skipped: &Value) -> (u64, String) {
    (skipped["line"].as_u64().expect("a line"), skipped["code"].as_str().expect("a code").to_owned())
}

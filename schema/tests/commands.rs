//! What people ask of a ticket: which input is taken, with what it writes, and which is refused, with the reason.

#[path = "common/history.rs"]
mod history;

use std::collections::BTreeMap;

use history::History;
use schema::doc::{Edits, Value};
use schema::id::{DocId, SiteId, StructureId};
use schema::ticket::command::{
    CommandError, DESCRIPTION, NewTicket, comment, create, create_notes, fact, imported, patch, transition,
};
use schema::ticket::field::{
    Field, Kind, Level, MAX_COMMENT_CHARS, MAX_DESCRIPTION_CHARS, MAX_SHORT_CHARS, MAX_TITLE_CHARS, Misfit,
};
use schema::ticket::status::Status;

use Field::{
    Assignee, Category, External, Group, Impact, Kind as KindField, Location, Priority, Requester, Title, Urgency,
};

/// The id of what a command makes.
const ID: &str = "0123456789abcdef";

fn text(text: &str) -> Option<Value> {
    Some(Value::Text(text.into()))
}

fn misfit(field: Field, misfit: Misfit) -> CommandError {
    CommandError::Field { field: field.word(), misfit }
}

/// So many characters, each of several bytes: limits count characters.
fn long(chars: usize) -> String {
    "é".repeat(chars)
}

fn id() -> String {
    DocId([0xab; 32]).to_string()
}

/// What a person gives for a field, and what is to be written or why it does not fit.
fn values() -> Vec<(Field, String, Result<Value, Misfit>)> {
    let mut rows: Vec<(Field, String, Result<Value, Misfit>)> = vec![
        (Title, "badge".into(), Ok(Value::Text("badge".into()))),
        (Title, "  badge\n".into(), Ok(Value::Text("badge".into()))),
        (Title, String::new(), Err(Misfit::Empty)),
        (Title, " \t\n".into(), Err(Misfit::Empty)),
        (Title, long(MAX_TITLE_CHARS), Ok(Value::Text(long(MAX_TITLE_CHARS)))),
        (Title, format!("  {}  ", long(MAX_TITLE_CHARS)), Ok(Value::Text(long(MAX_TITLE_CHARS)))),
        (Title, long(MAX_TITLE_CHARS + 1), Err(Misfit::TooLong(MAX_TITLE_CHARS))),
        (External, "OTRS 17".into(), Ok(Value::Text("OTRS 17".into()))),
        (External, String::new(), Err(Misfit::Empty)),
        (External, long(MAX_SHORT_CHARS), Ok(Value::Text(long(MAX_SHORT_CHARS)))),
        (External, long(MAX_SHORT_CHARS + 1), Err(Misfit::TooLong(MAX_SHORT_CHARS))),
    ];
    for kind in Kind::ALL {
        rows.push((KindField, kind.word().into(), Ok(Value::Text(kind.word().into()))));
    }
    for field in [Impact, Urgency] {
        for level in Level::ALL {
            rows.push((field, level.word().into(), Ok(Value::Text(level.word().into()))));
        }
        rows.extend(["", "High", "highest", "1"].map(|given| (field, given.into(), Err(Misfit::Unknown))));
    }
    rows.extend(
        ["", "Incident", "change", "incident,problem"].map(|given| (KindField, given.into(), Err(Misfit::Unknown))),
    );
    for priority in 1..=5 {
        rows.push((Priority, priority.to_string(), Ok(Value::Int(priority))));
    }
    rows.extend(
        ["", "0", "6", "-1", "1.0", "high", "99999999999999999999"]
            .map(|given| (Priority, given.into(), Err(Misfit::Unknown))),
    );
    for field in [Category, Requester, Assignee, Group, Location] {
        rows.push((field, id(), Ok(Value::Text(id()))));
        rows.push((field, format!(" {} ", id()), Ok(Value::Text(id()))));
        let bad =
            [String::new(), "ana".into(), id()[1..].into(), format!("{}0", id()), id().to_uppercase(), "g".repeat(64)];
        rows.extend(bad.map(|given| (field, given, Err(Misfit::Unknown))));
    }
    rows
}

#[test]
fn every_field_takes_what_fits_it_and_says_what_does_not() {
    for (field, given, expected) in values() {
        let shown: String = given.chars().take(30).collect();
        let taken = field.value(Some(&given));
        assert_eq!(taken, expected.clone().map(Some), "{field:?}: {shown:?}");
        // The same of a new ticket and of an edit.
        let new = create(&ticket(&[(field, &given)])).map(|edits| edits.puts[field.word()].clone());
        let view = History::default().view();
        let edited = patch(&view, &BTreeMap::from([(field, Some(given))]), None);
        let edited = edited.map(|edits| edits.puts.get(field.word()).cloned().flatten());
        let expected = expected.map(Some).map_err(|reason| misfit(field, reason));
        assert_eq!((new, edited), (expected.clone(), expected), "{field:?}: {shown:?}");
    }
    for field in Field::ALL {
        assert!(values().iter().any(|(row, ..)| row == field), "{field:?} stands in the table");
    }
}

#[test]
fn what_a_ticket_needs_cannot_be_cleared() {
    let needed = [Title, KindField, Impact, Urgency];
    for field in Field::ALL.iter().copied() {
        let mut history = History::default();
        history.puts(field.word(), Value::Text("before".into()), &[]);
        let cleared = patch(&history.view(), &BTreeMap::from([(field, None)]), None);
        match needed.contains(&field) {
            true => assert_eq!(cleared, Err(misfit(field, Misfit::Empty)), "{field:?}"),
            false => {
                let puts = BTreeMap::from([(field.word().to_owned(), None)]);
                assert_eq!(cleared, Ok(Edits { puts, ..Edits::default() }), "{field:?}");
            }
        }
    }
}

fn ticket(fields: &[(Field, &str)]) -> NewTicket {
    let mut given: BTreeMap<Field, String> = BTreeMap::from([(Title, "badge".to_owned())]);
    given.extend(fields.iter().map(|(field, value)| (*field, (*value).to_owned())));
    NewTicket {
        number: "PAR-2027-000001".into(),
        structure: StructureId([1; 16]),
        home: SiteId([2; 32]),
        description: "Il fait noir.".into(),
        fields: given,
    }
}

#[test]
fn a_new_ticket_has_what_was_given_and_defaults_for_the_rest() {
    let home = SiteId([2; 32]).to_string();
    let structure = StructureId([1; 16]).to_string();
    let always = [
        ("number", text("PAR-2027-000001")),
        ("structure", text(&structure)),
        ("home", text(&home)),
        ("title", text("badge")),
        ("kind", text("incident")),
        ("impact", text("medium")),
        ("urgency", text("medium")),
    ];
    let all_of = |other: &[(&str, Option<Value>)]| {
        let both = always.iter().chain(other);
        both.map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    let person = id();
    let cases = [
        ("a title alone", vec![], all_of(&[])),
        (
            "everything",
            vec![
                (KindField, "problem"),
                (Impact, "high"),
                (Urgency, "low"),
                (Priority, "5"),
                (Requester, person.as_str()),
                (External, "OTRS 17"),
            ],
            all_of(&[
                ("kind", text("problem")),
                ("impact", text("high")),
                ("urgency", text("low")),
                ("priority", Some(Value::Int(5))),
                ("requester", text(&person)),
                ("external", text("OTRS 17")),
            ]),
        ),
    ];
    for (case, fields, puts) in cases {
        let edits = create(&ticket(&fields)).expect("it fits");
        assert_eq!(edits.puts, puts, "{case}");
        assert_eq!(edits.texts, BTreeMap::from([(DESCRIPTION.to_owned(), "Il fait noir.".to_owned())]), "{case}");
    }
    let mut nameless = ticket(&[]);
    nameless.fields.clear();
    assert_eq!(create(&nameless), Err(misfit(Title, Misfit::Empty)), "a ticket has a title");
}

#[test]
fn long_texts_are_taken_up_to_their_limit() {
    let view = History::default().view();
    let described = |text: &str| create(&NewTicket { description: text.into(), ..ticket(&[]) }).map(drop);
    let edited = |text: &str| patch(&view, &BTreeMap::new(), Some(text)).map(drop);
    let replied = |text: &str| comment(ID, text).map(drop);
    let moved = |text: &str| transition(&view, ID, Status::Pending, Some(text)).map(drop);
    let stated = |text: &str| fact(ID, Status::Closed, Status::New, Some(text)).map(drop);
    type Ask<'a> = &'a dyn Fn(&str) -> Result<(), CommandError>;
    let cases: [(&str, Ask<'_>, usize, bool); 5] = [
        ("description", &described, MAX_DESCRIPTION_CHARS, true),
        ("description", &edited, MAX_DESCRIPTION_CHARS, true),
        ("body", &replied, MAX_COMMENT_CHARS, false),
        ("reason", &moved, MAX_SHORT_CHARS, true),
        ("reason", &stated, MAX_SHORT_CHARS, true),
    ];
    for (field, ask, limit, may_be_empty) in cases {
        assert_eq!(ask(&long(limit)), Ok(()), "{field} of {limit} characters");
        let misfit = Misfit::TooLong(limit);
        assert_eq!(ask(&long(limit + 1)), Err(CommandError::Field { field, misfit }), "{field}: one more");
        let empty = if may_be_empty { Ok(()) } else { Err(CommandError::Field { field, misfit: Misfit::Empty }) };
        assert_eq!(ask(""), empty, "{field}: nothing");
        assert_eq!(ask(" \n"), empty, "{field}: nothing that is seen");
    }
}

#[test]
fn an_edit_writes_only_what_changes() {
    let mut history = History::default();
    history.puts("title", Value::Text("badge".into()), &[]);
    history.puts("priority", Value::Int(2), &[0]);
    history.puts("urgency", Value::Text("low".into()), &[1]);
    history.puts("urgency", Value::Text("high".into()), &[1]);
    history.puts("impact", Value::Text("low".into()), &[1]);
    history.puts("impact", Value::Text("low".into()), &[1]);
    history.text(DESCRIPTION, "Il fait noir.");
    let view = history.view();
    let priority = Some(Value::Int(2));
    /// What is given for a field, and what is written under its key if anything is.
    type Edited<'a> = (&'a str, Field, Option<&'a str>, Option<Option<Value>>);
    let cases: [Edited<'_>; 10] = [
        ("the same", Title, Some("badge"), None),
        ("the same with spaces around", Title, Some(" badge "), None),
        ("another", Title, Some("lampe"), Some(text("lampe"))),
        ("the same number", Priority, Some("2"), None),
        ("another number", Priority, Some("3"), Some(Some(Value::Int(3)))),
        ("no number any more", Priority, None, Some(None)),
        ("nothing where nothing was", Category, None, None),
        ("a conflict settled by one of its values", Urgency, Some("high"), Some(text("high"))),
        ("and by the other", Urgency, Some("low"), Some(text("low"))),
        ("what two wrote alike", Impact, Some("low"), None),
    ];
    for (case, field, given, expected) in cases {
        let edits = patch(&view, &BTreeMap::from([(field, given.map(str::to_owned))]), None).expect("it fits");
        let puts = expected.map(|value| (field.word().to_owned(), value)).into_iter().collect();
        assert_eq!(edits, Edits { puts, ..Edits::default() }, "{case}");
    }
    // A text where there was a number is another value.
    let mut odd = History::default();
    odd.puts("priority", Value::Text("2".into()), &[]);
    let edits = patch(&odd.view(), &BTreeMap::from([(Priority, Some("2".to_owned()))]), None).expect("it fits");
    assert_eq!(edits.puts, BTreeMap::from([("priority".to_owned(), priority)]));

    for (given, is_written) in [("Il fait noir.", false), ("Il fait noir. ", true), ("", true)] {
        let edits = patch(&view, &BTreeMap::new(), Some(given)).expect("it fits");
        assert_eq!(edits.is_empty(), !is_written, "description {given:?}");
        assert_eq!(edits.texts.get(DESCRIPTION).map(String::as_str), is_written.then_some(given));
    }
    assert!(patch(&view, &BTreeMap::new(), None).expect("it fits").is_empty(), "nothing asked, nothing written");
}

#[test]
fn one_value_that_does_not_fit_writes_none_of_the_others() {
    let view = History::default().view();
    let fields = BTreeMap::from([(Title, Some("lampe".to_owned())), (Urgency, Some("soon".to_owned()))]);
    assert_eq!(patch(&view, &fields, Some("neu")), Err(misfit(Urgency, Misfit::Unknown)));
    let title = BTreeMap::from([(Title, Some("lampe".to_owned()))]);
    let too_long = long(MAX_DESCRIPTION_CHARS + 1);
    let error = CommandError::Field { field: DESCRIPTION, misfit: Misfit::TooLong(MAX_DESCRIPTION_CHARS) };
    assert_eq!(patch(&view, &title, Some(&too_long)), Err(error));
}

#[test]
fn a_move_is_taken_where_the_table_of_moves_leads() {
    for from in Status::ALL {
        let mut history = History::default();
        if from != Status::New {
            history.moves("before", Status::New, from, &[]);
        }
        for to in Status::ALL {
            let asked = transition(&history.view(), ID, to, None);
            let key = format!("transition/{ID}");
            let expected = match from.next().contains(&to) {
                true => Ok(Edits { puts: BTreeMap::from([(key, text(&format!("{from}>{to}")))]), ..Edits::default() }),
                false => Err(CommandError::Transition { from, to }),
            };
            assert_eq!(asked, expected, "{from} to {to}");
            // For an import the source's table counts, not this one.
            assert!(fact(ID, from, to, None).is_ok_and(|edits| edits.puts.len() == 1), "{from} to {to}, imported");
        }
    }
}

#[test]
fn a_conflict_is_settled_by_any_move_that_one_of_its_sides_allows() {
    use Status::{Cancelled, Closed, InProgress, New, Pending, Resolved};
    let cases: [(&[Status], &[Status]); 3] = [
        // The working status is the last.
        (&[Pending, Resolved], &[InProgress, Pending, Resolved, Closed, Cancelled]),
        (&[Closed, Cancelled], &[InProgress, Pending, Closed, Cancelled]),
        (&[Cancelled, Resolved, Closed], &[InProgress, Pending, Resolved, Closed, Cancelled]),
    ];
    for (sides, legal) in cases {
        let mut history = History::default();
        for (number, side) in sides.iter().enumerate() {
            history.moves(&number.to_string(), New, *side, &[]);
        }
        let from = sides.last().copied().expect("a conflict has sides");
        for to in Status::ALL {
            let asked =
                transition(&history.view(), ID, to, None).map(|edits| edits.puts.into_values().next().flatten());
            let expected = match legal.contains(&to) {
                true => Ok(text(&format!("{from}>{to}"))),
                false => Err(CommandError::Transition { from, to }),
            };
            assert_eq!(asked, expected, "{sides:?} to {to}");
        }
    }
}

#[test]
fn what_commands_write_beside_fields() {
    let puts = |edits: Edits| {
        assert!(edits.texts.is_empty(), "no text of the birth is touched");
        edits.puts.into_iter().map(|(key, value)| (key, value.and_then(|value| value.shown()))).collect::<Vec<_>>()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let reply = comment(ID, " Vu. \n").expect("it fits");
    assert_eq!(puts(reply), [pair("comment/0123456789abcdef/body", " Vu. \n")], "kept as it was written");
    let view = History::default().view();
    let moved = transition(&view, ID, Status::Pending, Some("pièce")).expect("it is legal");
    assert_eq!(
        puts(moved),
        [pair("transition/0123456789abcdef", "new>pending"), pair("transition/0123456789abcdef/reason", "pièce")]
    );
    let parent = DocId([0xab; 32]);
    assert_eq!(puts(create_notes(&parent)), [pair("ticket", &parent.to_string())]);
    let mut edits = create_notes(&parent);
    imported(&mut edits, ID, u64::MAX, "Marie, directrice");
    let source = "18446744073709551615 Marie, directrice";
    assert_eq!(puts(edits), [pair("imported/0123456789abcdef", source), pair("ticket", &parent.to_string())]);
}

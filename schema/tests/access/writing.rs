//! [`schema::access::may`]: by author and act, by site and scope, by key.

use std::collections::BTreeSet;

use schema::access::{Refusal, Write, may};
use schema::author::Author;
use schema::doc::{DocKind, GenesisFacts};
use schema::id::DocId;

use super::organisation::{Organisation, site};
use super::{rows, word};

/// The id of the record's items.
const ITEM: &str = "0123456789abcdef";

/// What an act writes, and where.
struct Act<'a> {
    scope: &'a str,
    kind: DocKind,
    genesis: bool,
    /// Whether the document's requester is the author's own person.
    own: bool,
    keys: &'a [&'a str],
}

const REPLY: &[&str] = &["comment/0123456789abcdef/body"];
const MOVE: &[&str] = &["transition/0123456789abcdef", "transition/0123456789abcdef/reason"];
const SOURCE: &[&str] = &["comment/0123456789abcdef/body", "imported/0123456789abcdef"];
const BIRTH: &[&str] = &["number", "title", "description", "requester"];

/// The acts of the columns of [`BY_AUTHOR`]; where a column has several, the answer to each is the same.
fn acts(column: &str) -> Vec<Act<'static>> {
    let ticket = |genesis, own, keys| Act { scope: "IT", kind: DocKind::Ticket, genesis, own, keys };
    let notes = |genesis, keys| Act { scope: "IT", kind: DocKind::TicketNotes, genesis, own: false, keys };
    let shared = |kind| {
        [true, false]
            .map(|genesis| Act { scope: "the organisation", kind, genesis, own: false, keys: &["name"] })
            .into()
    };
    match column {
        "open own" => vec![ticket(true, true, BIRTH)],
        "open other" => vec![ticket(true, false, BIRTH)],
        "talk own" => vec![ticket(false, true, REPLY), ticket(false, true, MOVE)],
        "talk other" => vec![ticket(false, false, REPLY), ticket(false, false, MOVE)],
        "field own" => vec![ticket(false, true, &["title"]), ticket(false, true, &["description"])],
        "field other" => vec![ticket(false, false, &["title"]), ticket(false, false, &["requester"])],
        "import" => vec![ticket(true, true, &["title", "imported/0123456789abcdef"]), ticket(false, true, SOURCE)],
        "notes" => vec![notes(true, &["ticket"]), notes(false, REPLY)],
        "person" => shared(DocKind::Person),
        "directory" => [DocKind::Group, DocKind::Category, DocKind::Location].into_iter().flat_map(shared).collect(),
        other => panic!("{other} is no column of the table"),
    }
}

/// In the scope of IT (persons and the directory: of the organisation), at Paris. "Own" is a ticket that the author's
/// person requested.
pub const BY_AUTHOR: &str = "
    who                               | open own | open other | talk own | talk other | field own | field other | import   | notes    | person   | directory
    user                              | ok       | role       | ok       | role       | role      | role        | role     | role     | role     | role
    technician                        | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | role
    admin                             | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    user of the structure above       | ok       | role       | ok       | role       | role      | role        | role     | role     | role     | role
    technician of the structure above | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | role
    admin of the structure above      | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    user of the structure below       | role     | role       | role     | role       | role      | role        | role     | role     | role     | role
    technician of the structure below | role     | role       | role     | role       | role      | role        | role     | role     | ok       | role
    admin of the structure below      | role     | role       | role     | role       | role      | role        | role     | role     | ok       | ok
    user elsewhere                    | role     | role       | role     | role       | role      | role        | role     | role     | role     | role
    technician elsewhere              | role     | role       | role     | role       | role      | role        | role     | role     | ok       | role
    admin elsewhere                   | role     | role       | role     | role       | role      | role        | role     | role     | ok       | ok
    user everywhere                   | ok       | role       | ok       | role       | role      | role        | role     | role     | role     | role
    technician everywhere             | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | role
    admin everywhere                  | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    user here, admin elsewhere        | ok       | role       | ok       | role       | role      | role        | role     | role     | ok       | ok
    user here, technician above       | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | role
    nobody's                          | role     | role       | role     | role       | role      | role        | role     | role     | role     | role
    disabled user                     | disabled | disabled   | disabled | disabled   | disabled  | disabled    | disabled | disabled | disabled | disabled
    disabled admin                    | disabled | disabled   | disabled | disabled   | disabled  | disabled    | disabled | disabled | disabled | disabled
    of every site                     | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    of sites in IT                    | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    of sites in the seat              | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    of Dakar or sites in IT           | ok       | ok         | ok       | ok         | ok        | ok          | role     | ok       | ok       | ok
    of sites in the laboratory        | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    of sites in the shop              | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    of Dakar                          | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    of no site                        | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    disabled, of Dakar                | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    somebody unknown                  | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    somebody of a newer version       | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    service, technician everywhere    | ok       | ok         | ok       | ok         | ok        | ok          | ok       | ok       | ok       | role
    service, admin                    | ok       | ok         | ok       | ok         | ok        | ok          | ok       | ok       | ok       | ok
    service, user                     | role     | role       | role     | role       | role      | role        | role     | role     | role     | role
    service, technician elsewhere     | role     | role       | role     | role       | role      | role        | role     | role     | ok       | role
    service without a right           | role     | role       | role     | role       | role      | role        | role     | role     | role     | role
    service ended                     | disabled | disabled   | disabled | disabled   | disabled  | disabled    | disabled | disabled | disabled | disabled
    service of Dakar                  | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    service unknown                   | speaker  | speaker    | speaker  | speaker    | speaker   | speaker     | speaker  | speaker  | speaker  | speaker
    the site itself                   | ok       | ok         | ok       | ok         | ok        | ok          | ok       | ok       | ok       | ok
";

/// Asks about a change at a site, in somebody's name.
fn ask(here: &Organisation, at: &str, who: &str, act: &Act<'_>, replaced: &[&str]) -> Result<(), Refusal> {
    let author = here.author(who);
    let own = match &author {
        Author::User(user) => here.policy.person_of(user),
        Author::Site | Author::Service(_) | Author::Other(_) => DocId([0; 32]),
    };
    let facts = GenesisFacts { requester: Some(if act.own { own } else { DocId([0xee; 32]) }) };
    let set = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
    let (keys, replaced) = (set(act.keys), set(replaced));
    let write = Write {
        site: site(at),
        author,
        user: here.user(who),
        scope: here.scope(act.scope),
        kind: act.kind,
        genesis: act.genesis,
        facts: &facts,
        number: None,
        keys: &keys,
        replaced: &replaced,
        item: ITEM,
    };
    may(&here.policy, &write)
}

#[test]
fn who_may_do_what_in_a_structure() {
    let here = Organisation::new();
    let mut table = rows(BY_AUTHOR);
    let (_, columns) = table.next().expect("the table has a head");
    for (who, cells) in table {
        assert_eq!(cells.len(), columns.len(), "{who} has an answer in every column");
        for (column, expected) in columns.iter().zip(cells) {
            for act in acts(column) {
                let answer = word(ask(&here, "paris", who, &act, &[]));
                assert_eq!(answer, expected, "{who}: {column} ({:?}, birth: {})", act.kind, act.genesis);
            }
        }
    }
}

#[test]
fn a_ticket_without_a_requester_is_nobodys_own() {
    let here = Organisation::new();
    let keys = BTreeSet::from(["title".to_owned()]);
    let none = BTreeSet::new();
    let facts = GenesisFacts { requester: None };
    for (who, expected) in [("user", Err(Refusal::Role)), ("technician", Ok(()))] {
        let write = Write {
            site: site("paris"),
            author: here.author(who),
            user: here.user(who),
            scope: here.scope("IT"),
            kind: DocKind::Ticket,
            genesis: true,
            facts: &facts,
            number: None,
            keys: &keys,
            replaced: &none,
            item: ITEM,
        };
        assert_eq!(may(&here.policy, &write), expected, "{who}");
        let other = Write { user: here.user("admin"), ..write };
        assert_eq!(may(&here.policy, &other), Err(Refusal::Speaker), "{who} with an entry of somebody else");
    }
}

/// In the name of an admin for whom every site speaks; the site itself gets the same answers, but that it may write
/// kinds of a newer version, which nobody shows.
pub const BY_SITE: &str = "
    what                         | paris | dakar | lille | retired | revoked | stranger
    ticket in IT                 | ok    | site  | ok    | site    | site    | site
    ticket in the laboratory     | ok    | site  | ok    | site    | site    | site
    notes in the shop            | ok    | ok    | site  | site    | site    | site
    ticket in nowhere            | site  | site  | site  | site    | site    | site
    person in the organisation   | ok    | site  | ok    | site    | site    | site
    category in the organisation | ok    | site  | ok    | site    | site    | site
    ticket in the organisation   | scope | site  | scope | site    | site    | site
    notes in the organisation    | scope | site  | scope | site    | site    | site
    person in IT                 | scope | site  | scope | site    | site    | site
    newer in IT                  | role  | site  | role  | site    | site    | site
    newer in the organisation    | scope | site  | scope | site    | site    | site
";

#[test]
fn which_site_may_write_where() {
    let here = Organisation::new();
    let mut table = rows(BY_SITE);
    let (_, sites) = table.next().expect("the table has a head");
    for (what, cells) in table {
        assert_eq!(cells.len(), sites.len(), "{what} has an answer for every site");
        let (kind, scope) = what.split_once(" in ").expect("a kind and a scope");
        let kind = match kind {
            "ticket" => DocKind::Ticket,
            "notes" => DocKind::TicketNotes,
            "person" => DocKind::Person,
            "category" => DocKind::Category,
            "newer" => DocKind::Other(99),
            other => panic!("{other} is no kind of the table"),
        };
        for (at, expected) in sites.iter().zip(cells) {
            for genesis in [true, false] {
                let act = Act { scope, kind, genesis, own: false, keys: &["title"] };
                assert_eq!(word(ask(&here, at, "of every site", &act, &[])), expected, "{at}: {what}");
                let itself = if (kind, expected) == (DocKind::Other(99), "role") { "ok" } else { expected };
                assert_eq!(word(ask(&here, at, "the site itself", &act, &[])), itself, "{at} itself: {what}");
            }
        }
    }
}

/// Of a record whose items have the id `0123456789abcdef`, in a ticket of IT at Paris. "Replaced": the key had a value.
pub const BY_KEY: &str = "
    keys                                            | technician | the same, replaced | service, technician everywhere | the site itself
    title                                           | ok         | ok                 | ok                             | ok
    comment/0123456789abcdef/body                   | ok         | item               | ok                             | ok
    comment/0123456789abcdef                        | ok         | item               | ok                             | ok
    comment/0123456789abcdef/body/deeper            | ok         | item               | ok                             | ok
    comment/fedcba9876543210/body                   | item       | item               | item                           | item
    comment/0123456789abcde/body                    | item       | item               | item                           | item
    comment/0123456789abcdef0/body                  | item       | item               | item                           | item
    comment/                                        | item       | item               | item                           | item
    comment//0123456789abcdef                       | item       | item               | item                           | item
    Comment/fedcba9876543210/body                   | ok         | ok                 | ok                             | ok
    comments/fedcba9876543210                       | ok         | ok                 | ok                             | ok
    transition/0123456789abcdef                     | ok         | item               | ok                             | ok
    transition/0123456789abcdef/reason              | ok         | item               | ok                             | ok
    transition/fedcba9876543210                     | item       | item               | item                           | item
    transition/fedcba9876543210/reason              | item       | item               | item                           | item
    imported/0123456789abcdef                       | role       | item               | ok                             | ok
    imported/fedcba9876543210                       | item       | item               | item                           | item
    title, comment/0123456789abcdef/body            | ok         | item               | ok                             | ok
    title, comment/fedcba9876543210/body            | item       | item               | item                           | item
    title, imported/0123456789abcdef                | role       | item               | ok                             | ok
";

#[test]
fn which_keys_a_record_may_write() {
    let here = Organisation::new();
    for (row, cells) in rows(BY_KEY).skip(1) {
        let keys: Vec<&str> = row.split(", ").collect();
        let cases = [
            ("technician", false),
            ("technician", true),
            ("service, technician everywhere", false),
            ("the site itself", false),
        ];
        assert_eq!(cells.len(), cases.len(), "{row}");
        for ((who, is_replaced), expected) in cases.into_iter().zip(cells) {
            // An item is an item in every kind of document, from its birth on.
            for (kind, genesis) in [(DocKind::Ticket, false), (DocKind::Ticket, true), (DocKind::TicketNotes, false)] {
                let act = Act { scope: "IT", kind, genesis, own: false, keys: &keys };
                let replaced = if is_replaced { keys.as_slice() } else { &[] };
                assert_eq!(word(ask(&here, "paris", who, &act, replaced)), expected, "{who}: {row} of a {kind:?}");
            }
        }
    }
}

/// A ticket opened at Paris under a number.
pub const BY_NUMBER: &str = "
    PAR-1    | ok
    PAR-KD-1 | ok
    DAK-1    | number
    PARI-1   | number
    PA-1     | number
    PAR1     | number
    PAR      | number
    par-1    | number
    -1       | number
";

/// Else a ticket that is backdated at one site would take the number that another site's ticket is known by.
#[test]
fn a_site_gives_numbers_with_its_own_code_alone() {
    let here = Organisation::new();
    let facts = GenesisFacts { requester: None };
    let (keys, none) = (BTreeSet::from(["number".to_owned()]), BTreeSet::new());
    let numbers = rows(BY_NUMBER).map(|(number, cells)| (Some(number), cells[0]));
    for (number, expected) in numbers.chain([(Some(""), "number"), (None, "ok")]) {
        for who in ["technician", "the site itself"] {
            let write = Write {
                site: site("paris"),
                author: here.author(who),
                user: here.user(who),
                scope: here.scope("IT"),
                kind: DocKind::Ticket,
                genesis: true,
                facts: &facts,
                number,
                keys: &keys,
                replaced: &none,
                item: ITEM,
            };
            assert_eq!(word(may(&here.policy, &write)), expected, "{number:?} by {who}");
        }
    }
}

/// One change that breaks several rules is refused for the first of them everywhere, so that all sites show one reason.
#[test]
fn of_several_reasons_the_same_one_is_said_everywhere() {
    let here = Organisation::new();
    const FOREIGN: &[&str] = &["comment/fedcba9876543210/body", "imported/fedcba9876543210"];
    let act = |scope, kind, keys| Act { scope, kind, genesis: false, own: false, keys };
    let cases = [
        ("stranger", act("the organisation", DocKind::Ticket, FOREIGN), "somebody unknown", Refusal::Site),
        ("paris", act("the organisation", DocKind::Ticket, FOREIGN), "somebody unknown", Refusal::Scope),
        ("paris", act("IT", DocKind::Ticket, FOREIGN), "somebody unknown", Refusal::Item),
        ("paris", act("IT", DocKind::Ticket, SOURCE), "disabled, of Dakar", Refusal::Speaker),
        ("paris", act("IT", DocKind::Ticket, SOURCE), "disabled admin", Refusal::Disabled),
        ("paris", act("IT", DocKind::Ticket, SOURCE), "admin everywhere", Refusal::Role),
    ];
    for (at, act, who, expected) in cases {
        assert_eq!(ask(&here, at, who, &act, &[]), Err(expected), "{who} at {at}");
    }
}

//! [`schema::access::may_enrol`] and [`schema::access::may_restate`]: what a site may say of people in its own log (R15).

use schema::access::{may_enrol, may_restate};
use schema::authority::{Grant, Role, SiteSelector, Standing, UserEntry};
use schema::id::UserId;

use super::organisation::{IT, LAB, NOWHERE, Organisation, SEAT, SHOP, grant, site};
use super::{rows, word};

fn grants(name: &str) -> Vec<Grant> {
    use Role::{Admin, Technician, User};
    match name {
        "user of IT" => vec![grant(User, IT)],
        "technician of IT" => vec![grant(Technician, IT)],
        "technician of the laboratory" => vec![grant(Technician, LAB)],
        "user of IT, technician of the laboratory" => vec![grant(User, IT), grant(Technician, LAB)],
        "user of the shop" => vec![grant(User, SHOP)],
        "user of the seat" => vec![grant(User, SEAT)],
        "user of IT and of the shop" => vec![grant(User, IT), grant(User, SHOP)],
        "user of a structure unknown" => vec![grant(User, NOWHERE)],
        "user everywhere" => vec![Grant { structure: None, role: User }],
        "admin of IT" => vec![grant(Admin, IT)],
        "user and admin of IT" => vec![grant(User, IT), grant(Admin, IT)],
        "nothing" => vec![],
        other => panic!("{other} is no row of the table"),
    }
}

/// By the site itself, in the organisation's scope; Nancy enrols for all structures, Paris for IT and below, Dakar does
/// not hold the organisation's scope, Lille enrols for nobody.
pub const BY_GRANTS: &str = "
    what is given                            | nancy | paris | dakar | lille | retired | revoked | stranger
    user of IT                               | ok    | ok    | site  | role  | site    | site    | site
    technician of IT                         | ok    | ok    | site  | role  | site    | site    | site
    technician of the laboratory             | ok    | ok    | site  | role  | site    | site    | site
    user of IT, technician of the laboratory | ok    | ok    | site  | role  | site    | site    | site
    user of the shop                         | ok    | role  | site  | role  | site    | site    | site
    user of the seat                         | ok    | role  | site  | role  | site    | site    | site
    user of IT and of the shop               | ok    | role  | site  | role  | site    | site    | site
    user of a structure unknown              | role  | role  | site  | role  | site    | site    | site
    user everywhere                          | role  | role  | site  | role  | site    | site    | site
    admin of IT                              | role  | role  | site  | role  | site    | site    | site
    user and admin of IT                     | role  | role  | site  | role  | site    | site    | site
    nothing                                  | role  | role  | site  | role  | site    | site    | site
";

#[test]
fn what_a_site_may_give_to_its_people() {
    let here = Organisation::new();
    let mut table = rows(BY_GRANTS);
    let (_, sites) = table.next().expect("the table has a head");
    for (given, cells) in table {
        assert_eq!(cells.len(), sites.len(), "{given}");
        for (at, expected) in sites.iter().zip(cells) {
            let author = here.author("the site itself");
            let enrols = |scope| may_enrol(&here.policy, &site(at), &here.scope(scope), &author, &grants(given));
            assert_eq!(word(enrols("the organisation")), expected, "{given} at {at}");
            // In another scope the site has to hold that one; then it is the wrong one, whatever is given.
            let elsewhere = match *at {
                "paris" | "nancy" => ["scope", "scope", "site"],
                "dakar" => ["site", "scope", "site"],
                "lille" => ["scope", "site", "site"],
                _ => ["site"; 3],
            };
            let scopes = ["IT", "the shop", "nowhere"];
            assert_eq!(scopes.map(|scope| word(enrols(scope))), elsewhere, "{given} at {at}, in another scope");
        }
    }
}

/// At Paris, in the organisation's scope.
pub const BY_AUTHOR: &str = "
    who                            | user of IT | technician of the laboratory | user of IT, technician of the laboratory | user of the shop | admin of IT
    the site itself                | ok         | ok                           | ok                                       | role             | role
    user                           | role       | role                         | role                                     | role             | role
    technician                     | role       | role                         | role                                     | role             | role
    technician everywhere          | role       | role                         | role                                     | role             | role
    admin                          | ok         | ok                           | ok                                       | role             | role
    admin of the structure above   | ok         | ok                           | ok                                       | role             | role
    admin of the structure below   | role       | ok                           | role                                     | role             | role
    admin elsewhere                | role       | role                         | role                                     | role             | role
    user here, admin elsewhere     | role       | role                         | role                                     | role             | role
    admin everywhere               | ok         | ok                           | ok                                       | role             | role
    nobody's                       | role       | role                         | role                                     | role             | role
    disabled admin                 | disabled   | disabled                     | disabled                                 | role             | role
    of Dakar                       | speaker    | speaker                      | speaker                                  | role             | role
    disabled, of Dakar             | speaker    | speaker                      | speaker                                  | role             | role
    somebody unknown               | speaker    | speaker                      | speaker                                  | role             | role
    somebody of a newer version    | speaker    | speaker                      | speaker                                  | role             | role
    service, admin                 | ok         | ok                           | ok                                       | role             | role
    service, technician everywhere | role       | role                         | role                                     | role             | role
    service ended                  | disabled   | disabled                     | disabled                                 | role             | role
    service of Dakar               | speaker    | speaker                      | speaker                                  | role             | role
    service unknown                | speaker    | speaker                      | speaker                                  | role             | role
";

#[test]
fn in_whose_name_somebody_may_be_enrolled() {
    let here = Organisation::new();
    let mut table = rows(BY_AUTHOR);
    let (_, given) = table.next().expect("the table has a head");
    for (who, cells) in table {
        assert_eq!(cells.len(), given.len(), "{who}");
        for (given, expected) in given.iter().zip(cells) {
            let scope = here.scope("the organisation");
            let answer = may_enrol(&here.policy, &site("paris"), &scope, &here.author(who), &grants(given));
            assert_eq!(word(answer), expected, "{who} gives: {given}");
        }
    }
}

/// Somebody whom the authority log knows is said anew only by a site that speaks for them, and that may give both what
/// they have and what they get.
#[test]
fn of_whom_a_site_may_say_something_new() {
    let here = Organisation::new();
    let (paris, dakar) = (SiteSelector::Site(site("paris")), SiteSelector::Site(site("dakar")));
    let cases = [
        ("user of IT", paris, "technician of IT", "the site itself", "ok"),
        ("user of IT", paris, "user of IT", "admin", "ok"),
        ("user of IT", SiteSelector::All, "user of IT", "admin", "ok"),
        ("user of IT", SiteSelector::Below(IT), "user of IT", "the site itself", "ok"),
        ("user of IT", SiteSelector::Below(LAB), "user of IT", "the site itself", "speaker"),
        ("user of IT", dakar, "user of IT", "the site itself", "speaker"),
        // An admin of somewhere else can neither be disabled nor made less by this site.
        ("admin of IT", paris, "user of IT", "the site itself", "role"),
        ("user of the shop", paris, "user of IT", "the site itself", "role"),
        ("user of IT and of the shop", paris, "user of IT", "the site itself", "role"),
        ("user everywhere", paris, "user of IT", "admin everywhere", "role"),
        ("nothing", paris, "user of IT", "the site itself", "role"),
        ("user of IT", paris, "admin of IT", "admin everywhere", "role"),
        ("user of IT", paris, "nothing", "admin everywhere", "role"),
        ("user of IT", paris, "technician of the laboratory", "admin of the structure below", "role"),
        ("technician of the laboratory", paris, "user of IT", "admin of the structure below", "role"),
        ("user of IT", paris, "user of IT", "technician", "role"),
        ("user of IT", paris, "user of IT", "disabled admin", "disabled"),
        ("user of IT", paris, "user of IT", "of Dakar", "speaker"),
    ];
    for (has, spoken_for, gets, who, expected) in cases {
        for standing in [Standing::Active, Standing::Ended] {
            let known = UserEntry {
                user: UserId([0xcc; 16]),
                login: "eva".into(),
                grants: grants(has),
                sites: vec![spoken_for],
                standing,
            };
            let scope = here.scope("the organisation");
            let answer = may_restate(&here.policy, &site("paris"), &scope, &here.author(who), &known, &grants(gets));
            assert_eq!(word(answer), expected, "{who}: from {has} to {gets}, {standing:?}");
        }
    }
}

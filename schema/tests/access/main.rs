//! Who may write, enrol, govern and read what (R10, R11, R15, R36): tables of [`schema::access`] over one organisation.

mod enrolling;
mod organisation;
mod reading;
mod writing;

use std::collections::BTreeSet;

use schema::access::Refusal;

/// One answer as the tables write it: `ok`, or the refusal's name in small letters.
fn word(answer: Result<(), Refusal>) -> String {
    match answer {
        Ok(()) => "ok".into(),
        Err(refusal) => format!("{refusal:?}").to_lowercase(),
    }
}

/// The rows of a table: what stands before the first bar, and the cells behind it.
fn rows(table: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    table.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut cells = line.split('|').map(str::trim);
        (cells.next().unwrap_or_default(), cells.collect())
    })
}

/// Every way to be refused stands in a table: one that is never tried is not known to work.
#[test]
fn every_refusal_occurs_in_a_table() {
    let writing = [writing::BY_AUTHOR, writing::BY_SITE, writing::BY_KEY, writing::BY_NUMBER];
    let tables = writing.into_iter().chain([enrolling::BY_GRANTS, enrolling::BY_AUTHOR]);
    let said: BTreeSet<&str> = tables.flat_map(rows).flat_map(|(_, cells)| cells).collect();
    for refusal in Refusal::ALL {
        assert!(said.contains(word(Err(refusal)).as_str()), "no row is refused for {refusal:?}");
    }
}

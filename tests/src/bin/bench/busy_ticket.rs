//! One field of one ticket, edited again and again from two sites that are connected: whether the last edit is as fast as
//! the first ones.

use std::time::Instant;

use schema::ticket::{Field, Level};

use super::figures::{Times, ms, ratio, row};
use super::pair::Pair;

/// The first edits are left out: the caches of the store fill.
const BEFORE: usize = 5;
/// The number of edits that are compared, at the beginning and at the end.
const COMPARED: usize = 10;

/// Edits a ticket of its own `edits` times, at each site in turn.
pub fn measure(pair: &mut Pair, edits: usize) -> anyhow::Result<()> {
    pair.open(0, 1)?;
    let Some(doc) = pair.docs.pop() else {
        anyhow::bail!("no ticket was opened");
    };
    pair.connect()?;
    pair.show(0)?;
    pair.show(1)?;
    let (mut written, mut shown) = (Vec::new(), Vec::new());
    for edit in 0..edits {
        let (here, level) = (edit % 2, Level::ALL[edit % Level::ALL.len()]);
        let begun = Instant::now();
        let outputs = pair.set(here, doc, Field::Urgency, level.word())?;
        pair.show(here)?;
        written.push(begun.elapsed());
        pair.send(here, outputs)?;
        let begun = Instant::now();
        pair.show(1 - here)?;
        shown.push(begun.elapsed());
    }
    pair.idle_and_disconnect(0)?;
    anyhow::ensure!(pair.agree()?, "the two sites differ: {} {}", pair.records(0), pair.records(1));
    for (what, times) in [("written and shown here", written), ("applied and shown there", shown)] {
        let of = |from: usize| {
            let mut compared = Times::default();
            times.iter().skip(from).take(COMPARED).for_each(|time| compared.push(*time));
            compared.at(50)
        };
        let (first, last) = (of(BEFORE), of(times.len().saturating_sub(COMPARED)));
        let last_ones = format!("{} = {:.2} of the tenth, {}", ms(last), ratio(last, first), ms(first));
        row(&format!("one field, edit {edits} from two sites: {what}"), last_ones);
    }
    Ok(())
}

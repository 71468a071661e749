//! One site by itself, and two that have nothing new: writes, queries, filling, reconnecting. In this process, no HTTP.

use std::time::Instant;

use node::read_model::{ReadModel, query};
use schema::access::Reach;
use schema::ticket::Status;

use super::figures::{Times, ms, rate, row};
use super::floors;
use super::pair::{IT, Pair};

/// The number of tickets of one group commit.
const GROUP: usize = 100;
/// The number of tickets opened one at a time: the last ones, when the store has nearly its full size.
const SINGLE: usize = 500;
/// How often each query is run.
const QUERIES: usize = 200;

/// Opens `tickets` tickets at the first site: most in groups, the last ones each by itself.
pub fn writes(pair: &mut Pair, tickets: usize) -> anyhow::Result<()> {
    let single = SINGLE.min(tickets);
    let grouped = (tickets - single) / GROUP * GROUP;
    let mut groups = Times::default();
    for _ in 0..grouped / GROUP {
        groups.take(|| pair.open(0, GROUP))?;
        pair.show(0)?;
    }
    let (mut durable, mut shown) = (Times::default(), Times::default());
    for _ in 0..tickets - grouped {
        let begun = Instant::now();
        durable.take(|| pair.open(0, 1))?;
        pair.show(0)?;
        shown.push(begun.elapsed());
    }
    row("local write, durable, one at a time", durable.summary(&[50, 99]));
    row("local write, durable and in the read model", shown.summary(&[50, 99]));
    row(&format!("local writes, durable, groups of {GROUP}"), rate(grouped, groups.sum()));
    Ok(())
}

/// Fills the second site from the first.
pub fn first_fill(pair: &mut Pair) -> anyhow::Result<()> {
    let compressed = floors::compressed(&pair.missing_at_other(0)?)?;
    let begun = Instant::now();
    let bytes = pair.connect()?.bytes;
    let durable = begun.elapsed();
    let shown = pair.show(1)?;
    pair.idle_and_disconnect(0)?;
    let share = bytes as f64 / compressed as f64;
    row("first fill: bytes", format!("{} records, {bytes} = {share:.2} of zstd-3", pair.records(1)));
    let (documents, rows) = (ms(shown.documents), ms(shown.rows));
    row("first fill: time", format!("durable {}, documents {documents}, rows {rows}", ms(durable)));
    Ok(())
}

/// The read model from nothing, and its queries.
pub fn reads(pair: &Pair) -> anyhow::Result<()> {
    let mut views = ReadModel::open(&pair.folder.join("views-again.sqlite"))?;
    let begun = Instant::now();
    views.catch_up(&pair.sites[0].read()?, pair.sites[0].store().log_index())?;
    row("read model made from nothing", ms(begun.elapsed()));
    let (conn, reach) = (views.conn(), Reach { structures: [IT].into(), person: schema::id::DocId([0; 32]) });
    let list = |words: Option<&str>, statuses: Vec<Status>| {
        let filter = query::Filter { words: words.map(str::to_owned), statuses, ..query::Filter::default() };
        query::list(conn, &reach, &filter, query::Sort::Updated, true, 50, None).map(|page| page.total as usize)
    };
    query_row("list, newest 50", |_| list(None, Vec::new()))?;
    query_row("list, one status", |_| list(None, vec![Status::New]))?;
    query_row("search, one word", |_| list(Some("imprimante"), Vec::new()))?;
    query_row("search, two beginnings", |_| list(Some("impr ser"), Vec::new()))?;
    query_row("open by number", |round| {
        let number = format!("S0-{}", 1 + round * pair.docs.len() / QUERIES);
        query::find(conn, &reach, &number).map(|found| usize::from(found.is_some()))
    })
}

fn query_row(what: &str, work: impl Fn(usize) -> rusqlite::Result<usize>) -> anyhow::Result<()> {
    let (mut times, mut found) = (Times::default(), 0);
    for round in 0..QUERIES {
        found = times.take(|| work(round))?;
    }
    row(&format!("{what}, in process"), format!("{} ({found} found)", times.summary(&[50, 95])));
    Ok(())
}

/// Two sites that hold the same connect again.
pub fn reconnect(pair: &mut Pair) -> anyhow::Result<()> {
    let begun = Instant::now();
    let traffic = pair.connect()?;
    let time = ms(begun.elapsed());
    pair.idle_and_disconnect(0)?;
    let (bytes, turns) = (traffic.bytes, traffic.turns);
    row("reconnect with nothing new, 2 scopes", format!("{bytes} bytes both ways, {turns} turns, {time}"));
    Ok(())
}

//! What is still to be exchanged with a site: counted when something changed, remembered otherwise.

use std::cell::RefCell;
use std::collections::BTreeMap;

use schema::id::{ScopeId, SiteId};

use super::Replica;
use crate::engine::ScopeSync;
use crate::frontiers;
use crate::store::{PeerLogs, StoreError};

/// Records that two sites lack of one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exchange {
    /// Held here and, as far as known, not there.
    pub to_send: u64,
    /// Said to be held there, and not here.
    pub to_receive: u64,
}

/// What was counted last, by site and scope.
#[derive(Debug, Default)]
pub(super) struct Counted(RefCell<BTreeMap<(SiteId, ScopeId), Count>>);

/// A count, and the arrivals here and the announcement there that it is of.
#[derive(Debug, Clone, Copy)]
struct Count {
    of: (u64, u64),
    exchange: Exchange,
}

impl Replica {
    /// What is to be exchanged with a site in a scope. Costs nothing while neither side changes; otherwise linear in
    /// the open logs of the scope, and in what is lacking.
    pub fn exchange(&self, site: &SiteId, scope: &ScopeId) -> Result<Exchange, StoreError> {
        let index = self.store.log_index();
        let arrivals = index.scope(scope).arrivals;
        let newest = self.frontiers.get(site, scope).map_or(0, |newest| newest.number);
        let (of, place) = ((arrivals, newest), (*site, *scope));
        let known = self.counted.0.borrow().get(&place).filter(|count| count.of == of).map(|count| count.exchange);
        let mut exchange = match known {
            Some(exchange) => exchange,
            None => {
                let reading = self.store.read()?;
                let lines = frontiers::lines(&reading, site, scope)?;
                let peer = PeerLogs::new(index, &reading, *scope, &lines);
                let exchange = Exchange { to_send: peer.lacking()?, to_receive: peer.missing_here()? };
                self.counted.0.borrow_mut().insert(place, Count { of, exchange });
                exchange
            }
        };
        // A session knows at once what an announcement tells only seconds later.
        let mut sessions = self.engine.sessions().values().filter(|session| session.peer == *site);
        if sessions.any(|session| session.scope(scope).is_some_and(|sync: &ScopeSync| sync.has_all(arrivals))) {
            exchange.to_send = 0;
        }
        Ok(exchange)
    }
}

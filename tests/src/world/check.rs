//! The invariants that must hold once all faults are repaired.

use std::collections::{BTreeMap, BTreeSet};

use node::read_model::{query, tables};
use schema::access::Reach;
use schema::codec::Canonical as _;
use schema::doc::{DocKind, View};
use schema::id::{ScopeId, StructureId};
use schema::ticket::status;
use sync::docs::credentials::newest;
use sync::docs::registers::is_consistent;
use sync::docs::view::{view, whole};
use sync::replica::Replica;
use sync::store::log_index::vector_digest;
use sync::store::rows::{DocRow, Verdict};
use sync::store::{Source as _, Table};

use super::holdings::Holdings;
use super::site::contains;
use super::standing::StandingModel;
use super::{ADMIN, CANARY, HR, World, holds, requester, structures, technician};

impl World {
    /// Whether all instances that hold a scope hold the same of it, and have applied everything they received.
    pub(super) fn has_converged(&self) -> bool {
        let all = self.sites.iter().all(|site| site.replica().is_some_and(|replica| replica.backlog() == 0));
        // Two copies hear of one another by announcements, which come seconds apart.
        let told = self.counters.contains_key("alarm:CLONE-RUNNING") || self.clones().next().is_none();
        let equal = self.all_scopes().iter().all(|scope| self.digests(scope).len() <= 1);
        // Until then nothing that sites said of their people is copied.
        let speaks = self.sequencer().and_then(|at| self.sites[at].replica()).is_some_and(Replica::may_say);
        all && told && equal && speaks && self.one_authority()
    }

    /// Second copies that others talk to.
    fn clones(&self) -> impl Iterator<Item = &super::SimSite> {
        self.sites.iter().filter(|site| site.is_clone && !self.revoked.contains(&site.place))
    }

    fn all_scopes(&self) -> Vec<ScopeId> {
        let of = |structure: Option<StructureId>| schema::id::scope_of(&self.org, structure.as_ref());
        std::iter::once(of(None)).chain(structures(&self.options).map(|structure| of(Some(structure)))).collect()
    }

    fn digests(&self, scope: &ScopeId) -> BTreeSet<([u8; 32], [u8; 32])> {
        let of = |at: &usize| {
            let local = self.sites[*at].replica()?.store().log_index();
            Some((vector_digest(&local.vector(scope)), local.scope(scope).digest))
        };
        self.holders(scope).iter().filter_map(of).collect()
    }

    /// Whether all who may hear it hold one authority log: a revoked key hears that it is, and nothing later.
    pub(super) fn one_authority(&self) -> bool {
        let members = self.sites.iter().filter(|site| !self.revoked.contains(&site.place));
        let heads: BTreeSet<_> = members.filter_map(|site| site.replica()?.authority().head()).collect();
        heads.len() == 1
    }

    pub(super) fn check(&mut self) {
        let mut violations = Vec::new();
        self.check_convergence(&mut violations);
        if violations.is_empty() {
            self.check_durability(&mut violations);
            self.leave_out_what_does_not_stand(&mut violations);
            self.check_model(&mut violations);
            self.check_uniqueness(&mut violations);
            self.check_views(&mut violations);
            self.check_isolation(&mut violations);
            self.check_alarms(&mut violations);
            self.check_cuts(&mut violations);
            self.check_rebuild(&mut violations);
            self.check_credentials(&mut violations);
        }
        for site in &self.sites {
            for (code, times) in site.replica().map(|replica| replica.verdicts.clone()).unwrap_or_default() {
                *self.counters.entry(format!("judged:{code}")).or_default() += times;
            }
        }
        self.failures.extend(violations);
    }

    /// I1: equal records and equal documents wherever a scope is held.
    fn check_convergence(&self, violations: &mut Vec<String>) {
        for scope in self.all_scopes() {
            if self.digests(&scope).len() > 1 {
                let vectors: BTreeSet<_> = self.digests(&scope).iter().map(|(vector, _)| *vector).collect();
                let what = if vectors.len() > 1 { "records" } else { "documents of equal records" };
                violations.push(format!("I1: instances disagree on {what} of scope {}", scope.short()));
                violations.extend(self.lines_that_differ(&scope));
                violations.extend(self.documents_that_differ(&scope));
            }
        }
        if !self.one_authority() {
            violations.push("I1: instances disagree on the authority log".into());
        }
        if self.sites.iter().any(|site| site.replica().is_none_or(|replica| replica.backlog() > 0)) {
            violations.push("I1: something is received and not shown".into());
        }
    }

    /// What the holders of a scope hold of the logs that not all hold alike.
    fn lines_that_differ(&self, scope: &ScopeId) -> Vec<String> {
        let mut held: BTreeMap<_, Vec<(usize, u64)>> = BTreeMap::new();
        let holders = self.holders(scope);
        for at in &holders {
            let local = self.sites[*at].replica().map(|replica| replica.store().log_index().vector(scope));
            for (site, generation, seq, _) in local.unwrap_or_default() {
                held.entry((site.short(), generation.short())).or_default().push((*at, seq));
            }
        }
        let differs =
            |held: &Vec<(usize, u64)>| held.len() < holders.len() || held.iter().any(|one| one.1 != held[0].1);
        held.retain(|_, held| differs(held));
        held.into_iter().map(|(log, held)| format!("    {log:?}: {held:?}")).collect()
    }

    /// The documents of a scope whose heads the holders do not see alike, and the records that only some of them leave
    /// without effect.
    fn documents_that_differ(&self, scope: &ScopeId) -> Vec<String> {
        let mut heads: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
        let mut left_out: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
        let holders = self.holders(scope);
        for at in &holders {
            let Some(store) = self.sites[*at].replica().map(|replica| replica.store()) else {
                continue;
            };
            let rows = store.read().and_then(|reading| reading.prefixed(Table::Docs, &[])).unwrap_or_default();
            for (doc, bytes) in rows {
                if let Some(row) = DocRow::from_bytes(&bytes).ok().filter(|row| row.scope == *scope) {
                    let short: Vec<String> = row.heads.iter().map(|head| head.short()).collect();
                    heads.entry(data_encoding::HEXLOWER.encode(&doc[..4])).or_default().push((*at, short.join(" ")));
                }
            }
            for (record, verdict) in Holdings::of(store).left_out(scope) {
                left_out.entry(record).or_default().push((*at, format!("{verdict:?}")));
            }
        }
        let differs =
            |held: &Vec<(usize, String)>| held.len() < holders.len() || held.iter().any(|one| one.1 != held[0].1);
        let heads =
            heads.into_iter().filter(|(_, held)| differs(held)).map(|(doc, held)| format!("    {doc}: {held:?}"));
        let records = left_out.into_iter().filter(|(_, held)| differs(held));
        heads.chain(records.map(|(record, held)| format!("    {record}: {held:?}"))).take(20).collect()
    }

    /// I2: whatever was acknowledged is at every holder.
    fn check_durability(&self, violations: &mut Vec<String>) {
        let holdings: Vec<Option<Holdings>> =
            self.sites.iter().map(|site| site.replica().map(|replica| Holdings::of(replica.store()))).collect();
        let has = |at: usize, record| holdings[at].as_ref().is_some_and(|held| held.place_of(record).is_some());
        for (no, acknowledged) in &self.acknowledged {
            let record = &acknowledged.record;
            // What only a revoked site holds stays there: its own, or what another lost that was set back.
            let holders = self.holders(&record.log.scope);
            if !self.revoked.is_empty() && !holders.iter().any(|at| has(*at, record)) {
                continue;
            }
            for at in holders {
                if !has(at, record) {
                    violations
                        .push(format!("I2: command {no} acknowledged at {} is not at instance {at}", acknowledged.at));
                    return;
                }
            }
        }
    }

    /// Commands that do not stand, and that nobody built on: their records are held and listed. What built on one that
    /// could not be applied waits and is listed too. Only after a fork or a revocation may there be any.
    fn leave_out_what_does_not_stand(&mut self, violations: &mut Vec<String>) {
        let Some(held) = self.sites[0].replica().map(|replica| Holdings::of(replica.store())) else {
            return;
        };
        let verdicts = held.quarantined();
        let mut left = Vec::new();
        for (no, acknowledged) in &self.acknowledged {
            let place = held.place_of(&acknowledged.record);
            match place.map(|place| verdicts.get(&place)) {
                Some(None) => {}
                _ if held.is_issued_again(&acknowledged.record) => {}
                Some(Some(Verdict::Beyond(_) | Verdict::Stranded | Verdict::Waiting(_))) | None => left.push(*no),
                // The statement that let its author do it stands no more.
                Some(Some(Verdict::Void(_))) if self.statements_dropped => left.push(*no),
                Some(Some(Verdict::Void(code))) => {
                    violations.push(format!("I3: acknowledged command {no} is void: {code}"));
                }
            }
        }
        let excused = !self.set_back.is_empty() || !self.revoked.is_empty() || self.statements_dropped;
        if !left.is_empty() && !excused {
            violations.push(format!("I3: acknowledged commands {left:?} have no effect, and nothing forked"));
        }
        for no in left {
            self.count("listed-as-without-effect");
            self.model.forget(no);
        }
    }

    fn view_at(&self, at: usize, doc: &schema::id::DocId) -> Option<View> {
        view(&self.sites[at].replica()?.read().ok()?, doc).ok().flatten()
    }

    /// I3 and I12: documents show what the model says, so nothing refused had an effect.
    fn check_model(&self, violations: &mut Vec<String>) {
        let Some(first) = self.sites.first().map(|_| 0) else {
            return;
        };
        for doc in self.model.docs() {
            let expected = self.model.expected(&doc);
            let Some(view) = self.view_at(first, &doc) else {
                violations.push(format!("I12: document {} is missing", doc.short()));
                return;
            };
            if !self.shows_its_history(first, &doc, &view) {
                violations.push(format!("R30: what stands of {} is not what its history says", doc.short()));
                return;
            }
            for (key, values) in &expected.values {
                let held: BTreeSet<String> = view.distinct(key).iter().filter_map(|held| held.value.shown()).collect();
                if !self.is_as_expected(&held, values) {
                    violations.push(format!("I12: {key} of {} is {held:?}, the model says {values:?}", doc.short()));
                    violations.extend(self.steps_of(first, &doc, key));
                    return;
                }
            }
            let comments: BTreeMap<String, String> = schema::ticket::view::comments_of(&view)
                .into_iter()
                .map(|comment| (comment.id, comment.body))
                .collect();
            if comments != expected.comments {
                violations.push(format!("I12: comments of {} differ from the model", doc.short()));
                violations.push(format!("    shown {comments:?}"));
                violations.push(format!("    the model says {:?}", expected.comments));
                return;
            }
            if view.kind == DocKind::Ticket {
                let state = status::derive(&view);
                let open: BTreeSet<String> = state.conflict.iter().map(|one| one.to.word().to_owned()).collect();
                let held = if open.is_empty() && state.last.is_some() {
                    BTreeSet::from([state.status.word().to_owned()])
                } else {
                    open
                };
                if !self.is_as_expected(&held, &expected.statuses) {
                    let (held, model) = (held, &expected.statuses);
                    violations.push(format!("I12: status of {} is {held:?}, the model says {model:?}", doc.short()));
                    return;
                }
            }
            let text = view.values.values().flatten().any(|held| held.value.as_text() == Some("gehackt"));
            if text {
                violations.push(format!("I3: a hostile edit of {} has an effect", doc.short()));
                return;
            }
        }
    }

    /// R30: what is kept of a document as its changes come is what Automerge makes of all of them.
    fn shows_its_history(&self, at: usize, doc: &schema::id::DocId, view: &View) -> bool {
        let read = || {
            let reading = self.sites[at].replica()?.read().ok()?;
            let is_consistent = is_consistent(&reading, doc).ok()?;
            let whole = whole(&reading, doc).ok().flatten()?;
            let tickets = (schema::ticket::view::ticket(view), schema::ticket::view::ticket(&whole));
            Some(
                is_consistent && tickets.0 == tickets.1 && status::derive(view).status == status::derive(&whole).status,
            )
        };
        read() == Some(true)
    }

    /// Who wrote a key, when, and whether it stands: to find out why a document shows something else.
    fn steps_of(&self, at: usize, doc: &schema::id::DocId, key: &str) -> Vec<String> {
        let read = || {
            let reading = self.sites[at].replica()?.read().ok()?;
            let view = whole(&reading, doc).ok().flatten()?;
            Some((sync::docs::history::steps(&reading, &view).ok()?, view))
        };
        let Some((steps, view)) = read() else {
            return Vec::new();
        };
        let shown = steps.into_iter().filter(|step| step.key == key).map(|step| {
            let by = &view.changes[step.by];
            let (site, actor) = (by.site.short(), by.actor.short());
            let after: Vec<usize> = by.dependencies.clone();
            format!(
                "    {} by {site} {actor} at {} tainted {}: {:?} -> {:?}, after {after:?}",
                step.by,
                by.at.timestamp().0 - super::EPOCH,
                by.tainted,
                step.before,
                step.after
            )
        });
        shown.collect()
    }

    /// What a machine that was set back says again may stand beside what others made of it meanwhile, for people to
    /// settle: then there may be more to choose from, never less. The same where a statement stands no more, and with it
    /// what had overwritten a value.
    fn is_as_expected(&self, held: &BTreeSet<String>, expected: &BTreeSet<String>) -> bool {
        match self.set_back.is_empty() && !self.statements_dropped {
            true => held == expected,
            false => held.is_superset(expected),
        }
    }

    /// I5 and I6: numbers and logins are unique, everybody enrolled is known, and there is an admin.
    fn check_uniqueness(&self, violations: &mut Vec<String>) {
        let mut numbers = BTreeMap::new();
        for (no, acknowledged) in &self.acknowledged {
            // A machine that is set back gives its numbers again.
            let is_set_back = self.set_back.contains(&self.sites[acknowledged.at].place);
            if let Some(number) = acknowledged.number.as_ref().filter(|_| !is_set_back)
                && let Some((other, at)) = numbers.insert(number.clone(), (no, acknowledged.at))
            {
                // Two copies draw the same two letters once in 676 times; then they are told apart as they are shown.
                let has_letters = number.matches('-').count() == 2;
                if at != acknowledged.at && has_letters {
                    continue;
                }
                violations.push(format!("I5: number {number} was given out by commands {other} and {no}"));
                return;
            }
        }
        for (at, site) in self.sites.iter().enumerate() {
            let Some(views) = site.views() else {
                continue;
            };
            let twice = "SELECT count(*) - count(DISTINCT number) FROM tickets WHERE number <> ''";
            match views.conn().query_row(twice, [], |row| row.get::<_, i64>(0)) {
                Ok(0) => {}
                found => violations.push(format!("I5: instance {at} shows numbers twice: {found:?}")),
            }
        }
        let sequencer = self.sequencer().unwrap_or_default();
        let Some(policy) = self.sites[sequencer].replica().and_then(|replica| replica.policy().cloned()) else {
            return;
        };
        let first = self.sites[sequencer].replica().map(|replica| Holdings::of(replica.store()));
        let without_effect = first.as_ref().map(Holdings::without_effect).unwrap_or_default();
        for acknowledged in self.acknowledged.values() {
            // What only a revoked site said is copied by nobody.
            let is_revoked = self.revoked.contains(&self.sites[acknowledged.at].place);
            let place = first.as_ref().and_then(|held| held.place_of(&acknowledged.record));
            // A site whose own statement stands no more may have enrolled nobody.
            let is_here = place.is_some_and(|place| !self.statements_dropped || !without_effect.contains(&place));
            if let Some((user, login)) = acknowledged.enrolled.as_ref().filter(|_| is_here && !is_revoked) {
                match policy.users.get(user) {
                    None => violations.push(format!("I5: {login} was enrolled and is not known")),
                    Some(entry) if !entry.login.starts_with(login.as_str()) => {
                        violations.push(format!("I5: {login} became {}", entry.login));
                    }
                    Some(_) => {}
                }
            }
        }
        if policy.logins.size() != policy.users.size() {
            violations.push("I5: two users have one login".into());
        }
        if !policy.users.values().any(|user| schema::policy::is_admin(user)) {
            violations.push("I6: there is no admin".into());
        }
    }

    /// I1 of the read model: equal tables and equal answers where the same scopes are held.
    fn check_views(&self, violations: &mut Vec<String>) {
        let mut hashes: BTreeMap<Vec<ScopeId>, BTreeSet<[u8; 32]>> = BTreeMap::new();
        let mut answers: BTreeMap<Vec<ScopeId>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for site in self.sites.iter().filter(|site| !self.revoked.contains(&site.place)) {
            let (Some(replica), Some(views)) = (site.replica(), site.views()) else {
                continue;
            };
            let Some(policy) = replica.policy() else {
                continue;
            };
            let scopes: Vec<ScopeId> =
                self.all_scopes().into_iter().filter(|scope| policy.holds(&replica.me(), scope)).collect();
            match tables::hash(views.conn()) {
                Ok(hash) => drop(hashes.entry(scopes.clone()).or_default().insert(hash)),
                Err(error) => violations.push(format!("the read model cannot be hashed: {error}")),
            }
            let reach = Reach { structures: structures(&self.options).collect(), person: schema::id::DocId([0; 32]) };
            let filter = query::Filter { words: Some("resea".into()), ..query::Filter::default() };
            let page = query::list(views.conn(), &reach, &filter, query::Sort::Number, false, 200, None);
            let found = page.map(|page| page.rows.into_iter().map(|row| row.number).collect()).unwrap_or_default();
            answers.entry(scopes).or_default().insert(found);
        }
        if hashes.values().any(|hashes| hashes.len() > 1) {
            violations.push("I1: read models differ".into());
        }
        if answers.values().any(|answers| answers.len() > 1) {
            violations.push("I1: searches answer differently".into());
        }
    }

    /// I8: no byte of a scope on the disk of a site that lacks it.
    fn check_isolation(&self, violations: &mut Vec<String>) {
        for (at, site) in self.sites.iter().enumerate() {
            let lacks = !holds(&self.options, site.place, HR);
            if lacks && contains(&site.disk.content(), CANARY) {
                violations.push(format!("I8: the disk of instance {at} holds content of a scope that it lacks"));
            }
        }
    }

    /// R1: a second copy that wrote is detected by one of the two. R22: no site reports that documents of equal
    /// records differ, unless a frame was corrupted: here nothing protects a digest on its way, as QUIC does.
    fn check_alarms(&self, violations: &mut Vec<String>) {
        if self.counters.contains_key("alarm:DOCS-DIVERGED") && !self.counters.contains_key("fault:corrupt") {
            violations.push("R22: a false alarm about documents".into());
        }
        for clone in self.clones() {
            // Alarms end with the process: the counter of the scenario remembers them.
            let alarmed = self.counters.contains_key("alarm:CLONE-RUNNING");
            if !alarmed {
                violations.push(format!("R1: two copies of place {} run and none says so", clone.place));
            }
        }
    }

    /// R18 to R20: what does not stand by the rules has no effect, and what does is not taken for what does not. One
    /// instance is asked: all others hold the same documents of the same records.
    fn check_cuts(&self, violations: &mut Vec<String>) {
        let Some(replica) = self.sites[0].replica() else {
            return;
        };
        let (Some(policy), Ok(reading)) = (replica.policy(), replica.read()) else {
            return;
        };
        let model = StandingModel::of(&reading, policy);
        match model.and_then(|model| model.first_contradiction()) {
            Ok(found) => violations.extend(found),
            Err(error) => violations.push(format!("R18: what stands cannot be read: {error}")),
        }
    }

    /// R16: everybody's newest credential is the same everywhere, one that was made again too, and opens alike at every
    /// site that speaks for them.
    fn check_credentials(&mut self, violations: &mut Vec<String>) {
        let holders = self.holders(&schema::id::scope_of(&self.org, None));
        let users = (0..self.options.sites).flat_map(|place| [technician(place), requester(place)]).chain([ADMIN]);
        for user in users {
            let (mut ranks, mut opened) = (BTreeSet::new(), BTreeSet::new());
            for replica in holders.iter().filter_map(|at| self.sites[*at].replica()) {
                let policy = replica.policy().cloned().unwrap_or_else(|| unreachable!("every site has joined"));
                let newest = replica.read().and_then(|reading| newest(&reading, &policy, &user)).ok().flatten();
                ranks.insert(newest.as_ref().map(|newest| newest.rank));
                let entry = replica.policy().and_then(|policy| Some((policy, policy.users.get(&user)?)));
                if entry.is_some_and(|(policy, entry)| policy.speaks(&replica.me(), &entry.sites)) && newest.is_some() {
                    opened.insert(replica.login_secrets(&user).ok().flatten().map(|secrets| secrets.verifier));
                }
            }
            if ranks.len() > 1 {
                violations.push(format!("R16: instances disagree on which credential of {user} counts: {ranks:?}"));
            }
            if opened.len() > 1 || opened.contains(&None) {
                violations.push(format!("R16: not every site of {user} lets them in with one password"));
            }
        }
    }

    /// I11: documents and read model made again are the same.
    fn check_rebuild(&mut self, violations: &mut Vec<String>) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let now = self.clock(at);
        let Some((replica, views)) = self.sites[at].replica_and_views() else {
            return;
        };
        let scopes = |replica: &sync::replica::Replica| -> Vec<_> {
            replica.store().log_index().scopes().map(|(scope, state)| (*scope, state.clone())).collect()
        };
        let before = (scopes(replica), tables::hash(views.conn()).ok());
        let rebuilt = (|| -> anyhow::Result<()> {
            replica.rebuild(now)?;
            replica.take_changed();
            views.rebuild(&replica.read()?, replica.store().log_index())?;
            Ok(())
        })();
        if let Err(error) = rebuilt {
            violations.push(format!("I11: instance {at} cannot be rebuilt: {error:#}"));
            return;
        }
        let after = (scopes(replica), tables::hash(views.conn()).ok());
        if before.0 != after.0 {
            violations.push(format!("I11: documents of instance {at} differ after a rebuild"));
        }
        if before.1 != after.1 {
            violations.push(format!("I11: the read model of instance {at} differs after a rebuild"));
        }
    }
}

//! The thread that owns a site's replica and read model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use schema::authority::{Body, Standing};
use schema::doc::{Adopted, DocKind, NOTES_OF, View};
use schema::id::DocId;
use schema::time::Timestamp;
use sync::docs::DocChanged;
use sync::net::{Gate, Net, NetEvent};
use sync::replica::{Output, Replica, ReplicaError, WriteError};

use super::{CoreReply, Event, Input, Reply, Site, WriteWork, peers_of};
use crate::clock::now;
use crate::commands::{Context, TicketNumbers};
use crate::credentials::Credentials;
use crate::read_model::{ReadModel, ViewError, query};
use crate::status::Status;

/// How often time passes for the engine.
const TICK: Duration = Duration::from_millis(250);
/// Commands in one group commit: bounds how long the first of them waits.
const MAX_GROUP: usize = 128;
/// Inputs taken before documents catch up a portion.
const MAX_TURN: usize = 256;
/// Network events waiting in front of the thread; the network's own queue comes before.
pub(super) const NET_INPUTS: usize = 64;

/// A site's replica, read model and numbers.
pub struct Core {
    replica: Replica,
    views: ReadModel,
    numbers: TicketNumbers,
    copied: bool,
    alone_since: Option<Timestamp>,
    outputs: Vec<Output>,
    credentials: Credentials,
    /// Documents that the read model has taken, and might lose in a power cut.
    applied: BTreeSet<DocId>,
    /// The position up to which the authority log's statements were looked at for people who are out.
    heard: u64,
}

impl Core {
    pub(super) fn new(
        replica: Replica,
        views: ReadModel,
        numbers: TicketNumbers,
        copied: bool,
        credentials: Credentials,
    ) -> Self {
        let heard = replica.authority().head().map_or(0, |(at, _)| at.position + 1);
        Self {
            replica,
            views,
            numbers,
            copied,
            alone_since: Some(now()),
            outputs: Vec::new(),
            credentials,
            applied: BTreeSet::new(),
            heard,
        }
    }

    /// The site's own database.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The replica.
    pub fn replica(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// The read model.
    pub fn views(&mut self) -> &mut ReadModel {
        &mut self.views
    }

    /// Throws away everything that can be made again, and makes it again; answers with the documents.
    pub fn rebuild(&mut self) -> anyhow::Result<usize> {
        self.replica.rebuild(now())?;
        self.replica.take_changed();
        let documents = self.views.rebuild(&self.replica.read()?, self.replica.store().log_index())?;
        self.replica.projected_all()?;
        Ok(documents)
    }

    /// Keeps what the replica wants sent, until the end of the turn.
    pub fn send(&mut self, outputs: Vec<Output>) {
        self.outputs.extend(outputs);
    }

    pub(super) fn status(&self, gate: &Gate) -> Status {
        let twice = query::last_doubled(self.views.conn());
        let twice = twice.inspect_err(|error| tracing::warn!(%error, "numbers given twice cannot be looked up"));
        Status::of(&self.replica, gate, self.alone_since, twice.ok().flatten())
    }

    /// Runs until told to stop, or until the disk fails: then the process ends, since nothing it says would
    /// be true any more.
    pub(super) fn run(mut self, site: &Site, inputs: &Receiver<Input>, net: Option<(Net, Receiver<()>)>) {
        let net = net.as_ref();
        site.gate.allow(peers_of(&self.replica), self.replica.ended());
        let mut last_tick = now();
        loop {
            let mut turn = Vec::new();
            let wait = if self.replica.backlog() > 0 { Duration::ZERO } else { TICK };
            match inputs.recv_timeout(wait) {
                Ok(input) => turn.push(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            turn.extend(inputs.try_iter().take(MAX_TURN));
            let stop = turn.iter().any(|input| matches!(input, Input::Stop));
            if let Err(error) = self.turn(site, net, turn, &mut last_tick) {
                tracing::error!(error = &error as &dyn std::error::Error, "the site cannot go on");
                std::process::exit(70);
            }
            if stop {
                return;
            }
        }
    }

    fn turn(
        &mut self,
        site: &Site,
        net: Option<&(Net, Receiver<()>)>,
        turn: Vec<Input>,
        last_tick: &mut Timestamp,
    ) -> Result<(), TurnError> {
        let (mut writes, mut answers) = (Vec::new(), Vec::new());
        for input in turn {
            match input {
                Input::Write(work) if writes.len() < MAX_GROUP => writes.push(work),
                Input::Write(work) => {
                    self.write(site, std::mem::replace(&mut writes, vec![work]))?;
                }
                other => {
                    self.write(site, std::mem::take(&mut writes))?;
                    answers.extend(self.other(net, other)?);
                }
            }
        }
        self.write(site, writes)?;
        let mut news = self.flush(site, net)?;
        self.replica.catch_up(now())?;
        self.show(site)?;
        let ticked = now().since(*last_tick) >= TICK || now() < *last_tick;
        if ticked {
            *last_tick = now();
            let outputs = self.replica.tick(now())?;
            self.send(outputs);
            self.settle_numbers()?;
            self.settle_views()?;
        }
        news |= self.flush(site, net)?;
        if news || ticked {
            self.publish(site);
        }
        // Whoever asked reads what they did.
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }

    /// One group commit; everybody is answered after it is durable and shown.
    fn write(&mut self, site: &Site, works: Vec<WriteWork>) -> Result<(), TurnError> {
        if works.is_empty() {
            return Ok(());
        }
        let Some(policy) = self.replica.policy().cloned() else {
            return Ok(());
        };
        let (me, numbers) = (self.replica.me(), &mut self.numbers);
        let mut context = Context { policy, me, numbers };
        let written = self
            .replica
            .write(now(), |batch| Ok(works.into_iter().map(|work| work(batch, &mut context)).collect::<Vec<Reply>>()));
        match written {
            Ok((replies, outputs)) => {
                self.send(outputs);
                self.show(site)?;
                replies.into_iter().for_each(|reply| reply(true));
                Ok(())
            }
            Err(WriteError::Store(error)) => Err(TurnError::Replica(error.into())),
            Err(error) => {
                tracing::error!(%error, "a group of commands could not be written");
                Ok(())
            }
        }
    }

    /// What is no command; the answer is given at the end of the turn.
    fn other(&mut self, net: Option<&(Net, Receiver<()>)>, input: Input) -> Result<Option<CoreReply>, TurnError> {
        let outputs = match input {
            Input::Core(work) => return Ok(Some(work(self))),
            Input::Net(event) => {
                if let Some((_, permits)) = net {
                    let _ = permits.try_recv();
                }
                match event {
                    NetEvent::Connected(session, peer) => {
                        self.credentials.end_invitation_of(&peer)?;
                        self.replica.connected(now(), session, peer)?
                    }
                    NetEvent::Frame(session, frame) => self.replica.received(now(), session, &frame)?,
                    NetEvent::Closed(session) => self.replica.closed(now(), session)?,
                    NetEvent::Join(request) => {
                        crate::membership::answer(self, request);
                        Vec::new()
                    }
                }
            }
            Input::Write(_) | Input::Stop => Vec::new(),
        };
        self.send(outputs);
        Ok(None)
    }

    /// Brings the read model up to the documents and tells the pages.
    fn show(&mut self, site: &Site) -> Result<(), TurnError> {
        let changed = self.replica.take_changed();
        if changed.is_empty() {
            return Ok(());
        }
        let reading = self.replica.read().map_err(ReplicaError::from)?;
        self.views.apply(&reading, &changed, self.replica.store().log_index())?;
        self.applied.extend(changed.iter().map(|changed| changed.doc));
        for changed in changed {
            self.tell(site, &reading, changed);
        }
        Ok(())
    }

    fn tell(&mut self, site: &Site, reading: &sync::store::Reading, changed: DocChanged) {
        let Some(kind) = changed.kind.word() else {
            return;
        };
        let view: Option<View> = match changed.kind {
            DocKind::Ticket | DocKind::TicketNotes => sync::docs::view::view(reading, &changed.doc).ok().flatten(),
            DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location | DocKind::Other(_) => None,
        };
        if let (DocKind::Ticket, Some(view)) = (changed.kind, &view) {
            let code =
                self.replica.policy().and_then(|policy| Some(policy.sites.get(&self.replica.me())?.code.clone()));
            // Also those that it answers to because it was adopted.
            let before = Adopted::of(view).into_iter().filter_map(|(adopted, _)| adopted.number);
            for number in view.text("number").map(str::to_owned).into_iter().chain(before) {
                self.numbers.seen(code.as_deref().unwrap_or_default(), &number);
            }
        }
        let notes_of =
            view.as_ref().filter(|view| view.kind == DocKind::TicketNotes).and_then(|view| view.text(NOTES_OF));
        let internal = changed.kind == DocKind::TicketNotes;
        let (kind, id) = match notes_of {
            Some(ticket) => ("ticket", ticket.to_owned()),
            None => (kind, changed.doc.to_string()),
        };
        // Nobody listening is normal.
        let _ = site.events.send(Event::Changed { kind, id, scope: changed.scope, internal });
    }

    /// Sends what is to be sent. `true` if something happened that the panel shows.
    fn flush(&mut self, site: &Site, net: Option<&(Net, Receiver<()>)>) -> Result<bool, TurnError> {
        let any = !self.outputs.is_empty();
        for output in std::mem::take(&mut self.outputs) {
            match (output, net) {
                (Output::Send(session, frame), Some((net, _))) => net.send(session, frame),
                (Output::Close(session, _), Some((net, _))) => net.close(session),
                (Output::Send(..) | Output::Close(..), None) | (Output::Alarm(_), _) => {}
                (Output::Authority, _) => {
                    site.gate.allow(peers_of(&self.replica), self.replica.ended());
                    self.end_what_is_open()?;
                }
            }
        }
        Ok(any)
    }

    /// Ends sessions and tokens of people whom a new statement disables: an account that is opened again begins
    /// anew. Linear in the new statements.
    fn end_what_is_open(&mut self) -> Result<(), TurnError> {
        let next = self.replica.authority().head().map_or(0, |(at, _)| at.position + 1);
        // A hand-over may go back.
        for signed in self.replica.statements(self.heard.min(next.saturating_sub(1)))? {
            let said = Body::from_bytes(signed.statement.kind, &signed.body);
            if let Ok(Some(Body::User(user) | Body::Copied { user, .. })) = said
                && user.standing == Standing::Ended
            {
                self.credentials.end_all(&user.user)?;
            }
        }
        self.heard = next;
        Ok(())
    }

    /// Crosses off the documents that the read model has taken for good: one that is crossed off before that would
    /// stay old after a power cut. Linear in what was applied since the last time.
    fn settle_views(&mut self) -> Result<(), TurnError> {
        if !self.applied.is_empty() && self.views.settle()? {
            self.replica.projected(std::mem::take(&mut self.applied));
        }
        Ok(())
    }

    /// A site that took over a code stops marking its numbers once it has caught up with somebody.
    fn settle_numbers(&mut self) -> Result<(), TurnError> {
        if self.copied || !self.numbers.is_marked() || self.replica.backlog() > 0 {
            return Ok(());
        }
        let caught_up = self.replica.engine().sessions().values().any(|session| session.is_in_step());
        if caught_up {
            self.replica.set_note("joining", None).map_err(ReplicaError::from)?;
            let code =
                self.replica.policy().and_then(|policy| Some(policy.sites.get(&self.replica.me())?.code.clone()));
            let highest = query::highest_number(self.views.conn(), &code.unwrap_or_default());
            self.numbers = TicketNumbers::new(highest.map_err(ViewError::from)?, None);
        }
        Ok(())
    }

    fn publish(&mut self, site: &Site) {
        let connected = !self.replica.engine().sessions().is_empty();
        self.alone_since = match (connected, self.alone_since) {
            (true, _) => None,
            (false, Some(since)) => Some(since),
            (false, None) => Some(now()),
        };
        let status = Arc::new(self.status(&site.gate));
        let mut shared = site.status.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let news = shared.sync != status.sync;
        *shared = status;
        drop(shared);
        if news {
            let _ = site.events.send(Event::Sync);
        }
    }
}

/// Why a turn could not be finished.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("the file of sessions and tokens failed: {0}")]
    Local(#[from] anyhow::Error),
    #[error(transparent)]
    Store(#[from] sync::store::StoreError),
}

//! One running site: the thread that writes, and the handle that everybody else uses.
//!
//! All writing happens on one thread: commands, frames from peers, catching up, time passing. Commands that
//! wait together are written in one group commit and answered when it is durable and their rows are in the
//! read model (R26). The handle is cheap to clone and never waits for the disk.

mod thread;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, RwLock};

use schema::id::{GenerationId, StoreId};
use sync::net::{Gate, Net, NetConfig, NetError, NetEvent};
use sync::replica::{Batch, Replica, Start};
use sync::store::{Reader, Store};
use tokio::sync::{broadcast, oneshot};

use crate::clock::now;
use crate::clone_detection::{self, Traces};
use crate::commands::{Context, TicketNumbers};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::folder::{Folder, random};
use crate::passwords::Passwords;
use crate::read_model::{Pool, ReadModel, query};
use crate::refusal::{OrRefuse as _, Refusal, codes};
use crate::status::Status;

/// Commands waiting for the site's thread before new ones are told to come back.
const MAX_WAITING: usize = 4096;

/// What the page hears of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A document changed.
    Changed {
        /// Its kind's word.
        kind: &'static str,
        /// Its id; a ticket's for its notes.
        id: String,
        /// The scope it stands in, for the reader's reach; not sent.
        #[serde(skip)]
        scope: schema::id::ScopeId,
        /// Whether only the internal notes changed; not sent.
        #[serde(skip)]
        internal: bool,
    },
    /// Something about the links changed.
    Sync,
}

type Reply = Box<dyn FnOnce(bool) + Send>;
type WriteWork = Box<dyn for<'b, 't, 'c> FnOnce(&mut Batch<'b, 't>, &mut Context<'c>) -> Reply + Send>;
type CoreReply = Box<dyn FnOnce() + Send>;
type CoreWork = Box<dyn FnOnce(&mut thread::Core) -> CoreReply + Send>;

/// What the site's thread is given to do.
enum Input {
    Write(WriteWork),
    Core(CoreWork),
    Net(NetEvent),
    Stop,
}

/// The site cannot take more work now, or is stopping. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Too much is waiting.
    #[error("the site is busy")]
    Busy,
    /// The disk did not take it.
    #[error("the disk did not take it")]
    Disk,
    /// The site's thread has ended.
    #[error("the site is stopping")]
    Stopping,
}

/// A running site.
#[derive(Clone)]
pub struct Site {
    inputs: mpsc::Sender<Input>,
    waiting: Arc<std::sync::atomic::AtomicUsize>,
    /// What everybody may read without asking the thread.
    pub status: Arc<RwLock<Arc<Status>>>,
    /// What changes, as it does.
    pub events: broadcast::Sender<Event>,
    /// The read model.
    pub views: Pool,
    /// The store, for histories.
    pub reader: Reader,
    /// Who may connect; the demo's cables.
    pub gate: Arc<Gate>,
    /// Sessions, tokens.
    pub credentials: Credentials,
    /// Passwords.
    pub passwords: Passwords,
    /// Where it lives.
    pub folder: Folder,
}

/// A site's replica and what is around it, opened but not running.
pub struct Opened {
    core: thread::Core,
    reader: Reader,
    folder: Folder,
}

/// Opens the site that lives in a folder.
/// Errors: no site there, another process has it open, a file is damaged, missing, or another site's. Files stay
/// as they are then.
pub fn open(path: &Path) -> anyhow::Result<Opened> {
    let folder = Folder::new(path);
    let me = folder.key()?.public();
    folder.holds_records()?;
    let mut opened = make(path)?;
    let policy = opened.replica().policy().or_refuse(&codes::STORE_FOREIGN)?;
    if !policy.sites.contains_key(&me) {
        return Err(Refusal::with(&codes::KEY_FOREIGN, path.display()).into());
    }
    Ok(opened)
}

/// Opens a folder that has a key and perhaps no records yet: for founding and joining.
pub fn make(path: &Path) -> anyhow::Result<Opened> {
    let folder = Folder::new(path);
    let key = folder.key()?;
    let sequencer = folder.sequencer()?;
    let credentials = Credentials::open(&folder.credentials()).or_refuse(&codes::LOCAL_DAMAGED)?;
    let store = Store::open(&folder.store());
    let store = match store {
        Err(_) if folder.is_busy() => return Err(Refusal::with(&codes::FOLDER_BUSY, path.display()).into()),
        other => other.or_refuse(&codes::STORE_DAMAGED)?,
    };
    let mut start = Start {
        key,
        sequencer,
        draw: Box::new(|| random().ok().map(GenerationId::drawn)),
        store_id: StoreId(random()?),
        copied: false,
        now: now(),
    };
    start.copied = Traces::read(&folder, &store)?.is_copy();
    let copied = start.copied;
    let mut replica = Replica::open(store, start).or_refuse(&codes::STORE_DAMAGED)?;
    if copied {
        replica.set_note("copied", Some(b"1"))?;
    }
    clone_detection::mark(&folder, &mut replica).or_refuse(&codes::FOLDER_WRITE)?;
    let copied = replica.note("copied")?.is_some();
    let mut views = ReadModel::open(&folder.views())?;
    // What arrived and is not judged yet is shown while people work already, however much it is.
    let shown = views.catch_up(&replica.read()?, replica.store().log_index())?;
    if !shown.is_empty() && views.settle()? {
        replica.projected(shown);
    }
    let code = replica.policy().and_then(|policy| policy.sites.get(&replica.me())).map(|site| site.code.clone());
    let highest = query::highest_number(views.conn(), &code.unwrap_or_default())?;
    let behind = replica.note("joining")?.is_some();
    let numbers = TicketNumbers::new(highest, (copied || behind).then_some(replica.generation()));
    let reader = replica.reader();
    Ok(Opened { core: thread::Core::new(replica, views, numbers, copied, credentials), reader, folder })
}

impl Opened {
    /// The replica, for commands that run without a network.
    pub fn replica(&mut self) -> &mut Replica {
        self.core.replica()
    }

    /// Makes documents and read model again; answers with how many documents there are.
    pub fn rebuild(&mut self) -> anyhow::Result<usize> {
        self.core.rebuild()
    }

    /// Starts the site's thread and its network.
    pub async fn start_with_net(self, config: &Config) -> anyhow::Result<(Site, Net)> {
        let gate = Arc::new(Gate::default());
        let key = self.folder.key()?;
        let net_config = NetConfig { bind: config.net, relays: config.relays.clone() };
        let started = Net::start(&key, &net_config, gate.clone()).await;
        let (net, mut events) = started.map_err(|error| match error {
            NetError::Bind { .. } => Refusal::with(&codes::NET_BIND, format!("{:#}", anyhow::Error::from(error))),
            NetError::Relay(_) => Refusal::with(&codes::CONFIG_VALUE, format!("relays: {error}")),
        })?;
        let (site, receiver) = self.handle(gate)?;
        let inputs = site.inputs.clone();
        // Back-pressure: this thread waits for the site's, the network's queue fills, reading stops.
        let (permit, permits) = mpsc::sync_channel::<()>(thread::NET_INPUTS);
        std::thread::Builder::new().name("net-events".into()).spawn(move || {
            while let Some(event) = events.blocking_recv() {
                if permit.send(()).is_err() || inputs.send(Input::Net(event)).is_err() {
                    return;
                }
            }
        })?;
        let Self { core, .. } = self;
        site.spawn(core, receiver, Some((net.clone(), permits)))?;
        Ok((site, net))
    }

    fn handle(&self, gate: Arc<Gate>) -> anyhow::Result<(Site, mpsc::Receiver<Input>)> {
        let (inputs, receiver) = mpsc::channel();
        let status = self.core.status(&gate);
        let site = Site {
            inputs,
            waiting: Arc::default(),
            status: Arc::new(RwLock::new(Arc::new(status))),
            events: broadcast::Sender::new(1024),
            views: Pool::new(self.folder.views()),
            reader: self.reader.clone(),
            gate,
            credentials: self.core.credentials().clone(),
            passwords: Passwords::new(self.reader.clone(), &self.folder.key()?),
            folder: self.folder.clone(),
        };
        Ok((site, receiver))
    }
}

impl Site {
    fn spawn(
        &self,
        core: thread::Core,
        receiver: mpsc::Receiver<Input>,
        net: Option<(Net, mpsc::Receiver<()>)>,
    ) -> anyhow::Result<()> {
        let site = self.clone();
        std::thread::Builder::new().name("site".into()).spawn(move || core.run(&site, &receiver, net))?;
        Ok(())
    }

    /// The state that everybody may read.
    pub fn status(&self) -> Arc<Status> {
        self.status.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Runs a command in the next group commit; the answer comes when it is durable and shown.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl for<'b, 't, 'c> FnOnce(&mut Batch<'b, 't>, &mut Context<'c>) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        use std::sync::atomic::Ordering;
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Unavailable::Busy);
        }
        let (answer, answered) = oneshot::channel();
        let work: WriteWork = Box::new(move |batch, context| {
            let value = work(batch, context);
            Box::new(move |durable| {
                // Whoever asked may have gone; what was written stays written.
                let _ = answer.send(durable.then_some(value));
            })
        });
        let sent = self.inputs.send(Input::Write(work));
        let answered = answered.await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        sent.map_err(|_| Unavailable::Stopping)?;
        answered.map_err(|_| Unavailable::Stopping)?.ok_or(Unavailable::Disk)
    }

    /// Runs something on the site's thread that is no command: membership, rebuilding. It is answered when the status
    /// shows what it did.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut thread::Core) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let work: CoreWork = Box::new(move |core| {
            let value = work(core);
            Box::new(move || drop(answer.send(value)))
        });
        self.inputs.send(Input::Core(work)).map_err(|_| Unavailable::Stopping)?;
        answered.await.map_err(|_| Unavailable::Stopping)
    }

    /// Ends the site's thread after what is waiting.
    pub fn stop(&self) {
        let _ = self.inputs.send(Input::Stop);
    }
}

/// Peers' addresses as the authority log and the site's own configuration know them.
pub fn peers_of(replica: &Replica) -> BTreeMap<schema::id::SiteId, Vec<String>> {
    let known = |site: &schema::id::SiteId| {
        let addresses = replica.policy().and_then(|policy| policy.addresses.get(site).cloned());
        addresses.map(|addresses| Vec::clone(&addresses)).unwrap_or_default()
    };
    replica.peers().iter().map(|entry| (entry.site, known(&entry.site))).collect()
}

pub use thread::Core;

//! The mappings of a running server: what is stored, what listens, and what should but cannot.
//!
//! A port is bound before its row is written, because only the system knows whether it is free; a row is deleted before
//! its listener closes. So what was acknowledged is on disk, and what was removed never returns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::accounts::Accounts;
use super::audit::{Action, Author};
use super::config::MappingPorts;
use super::forward::{Draining, Forwarder, OwnPorts, Pace};
use super::ledger::{ClientName, Ledger, Totals};
use super::policy::{Access, Host, TargetPolicy};
use super::refusal::Refusal;
use super::request::{self, Changed, Changes, TCP, Wanted};
use super::rules::Rules;
use super::sessions::{Running, Sessions};
use super::store::{NewMapping, Store, StoredMapping};
use super::yard::YardQueue;
use crate::model::Port;
use crate::words::tunnel::TunnelWords;
use crate::words::{Lang, Say};

mod opening;
mod sharing;

/// How long visitors of a removed mapping may finish.
const REMOVAL_GRACE: Duration = Duration::from_secs(5);

/// The first and the longest wait before a listener that could not be opened is tried again; with the jitter a port
/// that becomes free is served within 5 s.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// The part by which a wait is shortened or lengthened at random, so that retries do not march in step.
const RETRY_JITTER: f64 = 0.2;

/// The most mappings; each holds a listener, and the range bounds them anyway.
const MAPPINGS_MAX: usize = 10_000;

/// The mappings of a server. Clones share them.
#[derive(Clone)]
pub(crate) struct Mappings(Arc<Inner>);

struct Inner {
    ports: MappingPorts,
    policy: Arc<TargetPolicy>,
    own: Arc<OwnPorts>,
    accepts: Arc<Pace>,
    store: Store,
    accounts: Arc<Accounts>,
    /// The way to the sessions; absent where the tunnel is switched off.
    tunnel: Option<Tunnel>,
    /// Held while a mapping is made, removed or retried, so that each sees the others whole.
    changes: tokio::sync::Mutex<Stage>,
    live: Mutex<BTreeMap<Port, Live>>,
    tasks: Mutex<JoinSet<()>>,
}

/// What mappings need of the tunnel.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub(crate) queue: YardQueue,
    pub(crate) sessions: Arc<Sessions>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closing,
}

struct Live {
    stored: StoredMapping,
    rules: Arc<Rules>,
    state: State,
    /// How often it failed; only the last failure is tried again.
    failures: u64,
}

enum State {
    /// Served; a port of TCP is one of [`OwnPorts`].
    Active(Forwarder),
    Failed(Refusal),
}

/// A mapping as `list` and `create` show it.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    id: i64,
    name: String,
    protocol: String,
    proxy_protocol: String,
    client: String,
    source_port: Port,
    /// The target where it is an address; `null` for a name.
    target_ip: Option<String>,
    target_host: String,
    target_port: Port,
    use_tunnel: bool,
    bandwidth_limit: u64,
    access_rule: String,
    access_ips: Value,
    created_at: String,
    state: &'static str,
    error: Option<String>,
    /// Visitors that are there.
    connections: usize,
}

/// A mapping with where its traffic is counted.
pub(crate) struct Counted {
    pub(crate) mapping: NewMapping,
    pub(crate) ledger: Arc<Ledger>,
    /// What other servers on the same database have counted, by client.
    pub(crate) elsewhere: BTreeMap<ClientName, Totals>,
}

impl Counted {
    /// Returns what all servers have carried, by client.
    pub(crate) fn by_client(&self) -> BTreeMap<ClientName, Totals> {
        let mut sums = self.ledger.by_client();
        for (client, totals) in &self.elsewhere {
            *sums.entry(Arc::clone(client)).or_default() += *totals;
        }
        sums
    }
}

/// How many mappings are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct States {
    pub(crate) active: usize,
    pub(crate) waiting: usize,
    pub(crate) failed: usize,
}

impl Mappings {
    pub(crate) fn new(
        ports: MappingPorts,
        policy: TargetPolicy,
        store: Store,
        accounts: Arc<Accounts>,
        tunnel: Option<Tunnel>,
    ) -> Self {
        Self(Arc::new(Inner {
            ports,
            policy: Arc::new(policy),
            own: Arc::default(),
            accepts: Arc::default(),
            store,
            accounts,
            tunnel,
            changes: tokio::sync::Mutex::new(Stage::Open),
            live: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// The ports of this server, to which its other listeners are added.
    pub(crate) fn own(&self) -> &OwnPorts {
        &self.0.own
    }

    /// What happened to accepts; the API's listener notes its own there.
    pub(crate) fn accepts(&self) -> &Arc<Pace> {
        &self.0.accepts
    }

    /// Opens a listener for every stored row. One that cannot be opened is `failed` with its reason and is tried again
    /// while the reason may pass; the others are served.
    pub(crate) async fn restore(&self, rows: Vec<StoredMapping>) {
        for stored in rows {
            self.take_up(stored).await;
        }
    }

    /// Serves a row of the database.
    async fn take_up(&self, stored: StoredMapping) {
        let port = stored.mapping.source_port;
        let ledger = self.0.accounts.restore(stored.id, port);
        let rules = Rules::new(self.access_of(&stored.mapping), stored.mapping.bandwidth_limit, ledger);
        let live = Live { stored, rules: Arc::new(rules), state: State::Failed(Refusal::reloading()), failures: 0 };
        self.0.live().insert(port, live);
        if let Err(refusal) = self.begin(port).await {
            let reason = refusal.words.say(Lang::En);
            tracing::error!(%port, code = refusal.code, reason, "cannot restore a mapping");
        }
    }

    /// A list that cannot be read lets nobody in; such a mapping is not served anyway.
    fn access_of(&self, row: &NewMapping) -> Access {
        let wanted = request::restored(row.clone(), &self.0.ports);
        wanted.map_or(Access::Only(Vec::new()), |wanted| wanted.access)
    }

    /// Opens a mapping that is not served, and has it tried again when that may help.
    async fn begin(&self, port: Port) -> Result<(), Refusal> {
        let outcome = self.0.begin(port).await;
        if let Err(refusal) = &outcome
            && passing(refusal)
            && let Some(Live { stored, failures, .. }) = self.0.live().get(&port)
        {
            self.spawn(retry(Arc::clone(&self.0), stored.id, port, *failures));
        }
        outcome
    }

    /// Makes a mapping: bind, store, serve, in this order.
    pub(crate) async fn create(&self, wanted: Wanted, author: Author) -> Result<StoredMapping, Refusal> {
        let port = wanted.row.source_port;
        let change = self.0.changes.lock().await;
        check_open(*change)?;
        let count = {
            let live = self.0.live();
            if let Some(Live { stored, .. }) = live.get(&port) {
                let protocol = &stored.mapping.protocol;
                let same = *protocol == wanted.row.protocol;
                return Err(if same { Refusal::exists(port) } else { Refusal::exists_as(port, protocol.clone()) });
            }
            live.len()
        };
        if count >= MAPPINGS_MAX {
            return Err(Refusal::new(409, "too_many_mappings", TunnelWords::TooManyMappings { limit: MAPPINGS_MAX }));
        }
        let rules = Arc::new(Rules::new(wanted.access.clone(), wanted.row.bandwidth_limit, Arc::default()));
        let opened = self.0.open(&wanted, &rules).await?;
        let stored = self.0.store.insert(wanted.row, author).await.map_err(|fault| Refusal::store(fault, port))?;
        self.0.accounts.open(stored.id, port, rules.ledger());
        let state = State::Active(self.0.serve(opened).await?);
        self.0.live().insert(port, Live { stored: stored.clone(), rules, state, failures: 0 });
        let NewMapping { target_host, target_port, .. } = &stored.mapping;
        tracing::info!(%port, target_host, %target_port, "mapping created");
        Ok(stored)
    }

    /// Changes what a request names and leaves the rest: on disk first, then at once for visitors who come, and the limit
    /// also for those who are there. Nobody is cut off for that; where visitors are to be led elsewhere, those who are
    /// there have five seconds to finish. A mapping that is not served is tried again.
    pub(crate) async fn update(&self, port: Port, changes: Changes, author: Author) -> Result<(), Refusal> {
        let change = self.0.changes.lock().await;
        check_open(*change)?;
        let (former, rules) = {
            let live = self.0.live();
            let found = live.get(&port).ok_or_else(|| Refusal::no_mapping(port))?;
            (found.stored.clone(), Arc::clone(&found.rules))
        };
        let Changed { wanted, moved, detail } = request::changed(&former.mapping, changes)?;
        if moved {
            self.0.judge(&wanted)?;
        }
        let stored = StoredMapping { mapping: wanted.row, ..former };
        let limit = stored.mapping.bandwidth_limit;
        let written = self.0.store.update(stored.clone(), author, detail).await;
        if !written.map_err(Refusal::storage)? {
            return Err(Refusal::no_mapping(port));
        }
        rules.change(wanted.access, limit);
        let failed = self.0.live().get(&port).is_some_and(|live| matches!(live.state, State::Failed(_)));
        if failed || moved {
            self.lead(port, stored).await;
        } else if let Some(live) = self.0.live().get_mut(&port) {
            live.stored = stored;
        }
        tracing::info!(%port, "mapping updated");
        Ok(())
    }

    /// Closes the listener of `port` and opens it anew, without touching another; visitors have five seconds to finish.
    pub(crate) async fn reload(&self, port: Port, author: Author) -> Result<(), Refusal> {
        let change = self.0.changes.lock().await;
        check_open(*change)?;
        if !self.0.live().contains_key(&port) {
            return Err(Refusal::no_mapping(port));
        }
        let noted = self.0.store.note(author, Action::MappingReloaded, port.to_string()).await;
        noted.map_err(Refusal::storage)?;
        self.shut(port).await;
        let outcome = self.begin(port).await;
        tracing::info!(%port, served = outcome.is_ok(), "mapping reloaded");
        outcome
    }

    /// Serves a mapping as its new row says; the list says how that went.
    async fn lead(&self, port: Port, stored: StoredMapping) {
        self.shut(port).await;
        if let Some(live) = self.0.live().get_mut(&port) {
            live.stored = stored;
        }
        let _ = self.begin(port).await;
    }

    /// Closes the listener of a mapping that stays.
    async fn shut(&self, port: Port) {
        let former = self.0.live().get_mut(&port).map(|live| {
            let former = std::mem::replace(&mut live.state, State::Failed(Refusal::reloading()));
            (former, live.stored.mapping.protocol == TCP)
        });
        if let Some((State::Active(forwarder), is_tcp)) = former {
            self.end(port, forwarder, is_tcp).await;
        }
    }

    /// Removes the mapping of `port`: off the disk first, then its listener; visitors have five seconds to finish.
    pub(crate) async fn remove(&self, port: Port, author: Author) -> Result<(), Refusal> {
        let _change = self.0.changes.lock().await;
        let stored = self.0.store.remove(port, author).await.map_err(Refusal::storage)?;
        if !self.let_go(port).await && !stored {
            return Err(Refusal::no_mapping(port));
        }
        tracing::info!(%port, "mapping removed");
        Ok(())
    }

    /// Serves `port` no longer and tells whether it was a mapping; visitors have five seconds to finish.
    async fn let_go(&self, port: Port) -> bool {
        let live = self.0.live().remove(&port);
        let Some(Live { state, stored, .. }) = live else { return false };
        if let State::Active(forwarder) = state {
            self.end(port, forwarder, stored.mapping.protocol == TCP).await;
        }
        self.0.accounts.retire(stored.id);
        true
    }

    /// Frees the port of a listener and lets its visitors finish in the background.
    async fn end(&self, port: Port, forwarder: Forwarder, is_tcp: bool) {
        let draining = forwarder.stop().await;
        if is_tcp {
            self.0.own.remove(port);
        }
        self.spawn(async move {
            let cut = draining.finish(sleep(REMOVAL_GRACE)).await;
            tracing::info!(%port, cut, "visitors of the closed listener are gone");
        });
    }

    /// Lists every mapping in the order of the ports.
    pub(crate) fn list(&self, lang: Lang) -> Vec<Listed> {
        self.0.live().values().map(|live| self.0.listed(live, lang)).collect()
    }

    /// Shows one mapping as the list does.
    pub(crate) fn show(&self, port: Port, lang: Lang) -> Option<Listed> {
        self.0.live().get(&port).map(|live| self.0.listed(live, lang))
    }

    /// Returns every mapping with its ledger, in the order of the ports.
    pub(crate) fn counted(&self) -> Vec<Counted> {
        let counted = |live: &Live| {
            let (mapping, ledger) = (live.stored.mapping.clone(), Arc::clone(live.rules.ledger()));
            Counted { mapping, ledger, elsewhere: self.0.accounts.elsewhere(live.stored.id) }
        };
        self.0.live().values().map(counted).collect()
    }

    /// Counts the mappings by their states.
    pub(crate) fn states(&self) -> States {
        let mut states = States::default();
        for live in self.0.live().values() {
            match &live.state {
                State::Active(_) if self.0.waits(&live.stored.mapping) => states.waiting += 1,
                State::Active(_) => states.active += 1,
                State::Failed(_) => states.failed += 1,
            }
        }
        states
    }

    /// The database, for what is only asked.
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// What every mapping ever carried.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// Returns the clients that are connected.
    pub(crate) fn clients(&self) -> Vec<Running> {
        self.0.tunnel.as_ref().map(|tunnel| tunnel.sessions.list()).unwrap_or_default()
    }

    /// Tells whether every mapping is served, the database answers and the system has descriptors left.
    pub(crate) fn healthy(&self) -> bool {
        self.0.store.is_reachable()
            && !self.0.accepts.recent()
            && self.0.live().values().all(|live| matches!(live.state, State::Active(_)))
    }

    /// Closes every listener, lets visitors finish until `deadline` or `now`, resets the rest and returns how many that
    /// were. Nothing can be made afterwards.
    pub(crate) async fn close(&self, deadline: Instant, now: impl Future<Output = ()>) -> usize {
        *self.0.changes.lock().await = Stage::Closing;
        let mut retries = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        retries.abort_all();
        let live = std::mem::take(&mut *self.0.live());
        let mut draining: Vec<Draining> = Vec::new();
        for live in live.into_values() {
            if let State::Active(forwarder) = live.state {
                draining.push(forwarder.stop().await);
            }
        }
        let over = tokio::sync::watch::Sender::new(false);
        let finish = futures_util::future::join_all(draining.into_iter().map(|draining| {
            let mut over = over.subscribe();
            // The sender lives until all have finished.
            draining.finish(async move { drop(over.wait_for(|over| *over).await) })
        }));
        let timer = async {
            tokio::select! {
                () = sleep_until(deadline) => {}
                () = now => {}
            }
            over.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            cut = finish => cut.into_iter().sum(),
            () = timer => 0,
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Inner {
    fn listed(&self, live: &Live, lang: Lang) -> Listed {
        let StoredMapping { id, created_at, mapping } = &live.stored;
        let host = mapping.target_host.parse();
        let (state, error) = match &live.state {
            State::Active(_) if self.waits(mapping) => ("waiting", Some(TunnelWords::NoClient.say(lang))),
            State::Active(_) => ("active", None),
            State::Failed(refusal) => ("failed", Some(refusal.words.say(lang))),
        };
        Listed {
            id: *id,
            name: mapping.name.clone(),
            protocol: mapping.protocol.clone(),
            proxy_protocol: mapping.proxy_protocol.clone(),
            client: mapping.client.clone(),
            source_port: mapping.source_port,
            target_ip: matches!(host, Ok(Host::Address(_))).then(|| mapping.target_host.clone()),
            target_host: mapping.target_host.clone(),
            target_port: mapping.target_port,
            use_tunnel: mapping.use_tunnel,
            bandwidth_limit: mapping.bandwidth_limit,
            access_rule: mapping.access_rule.clone(),
            access_ips: serde_json::from_str(&mapping.access_ips).unwrap_or_else(|_| Value::Array(Vec::new())),
            created_at: created_at.clone(),
            state,
            error,
            connections: live.rules.ledger().live(),
        }
    }

    /// Opens the mapping of `port`, which is not served, and notes how that went.
    async fn begin(&self, port: Port) -> Result<(), Refusal> {
        let found = self.live().get(&port).map(|live| (live.stored.mapping.clone(), Arc::clone(&live.rules)));
        let (row, rules) = found.ok_or_else(|| Refusal::no_mapping(port))?;
        let opened = match request::restored(row, &self.ports) {
            Ok(wanted) => self.open(&wanted, &rules).await,
            Err(refusal) => Err(refusal),
        };
        let served = match opened {
            Ok(opened) => self.serve(opened).await,
            Err(refusal) => Err(refusal),
        };
        let outcome = served.as_ref().map(drop).map_err(Clone::clone);
        if let Some(live) = self.live().get_mut(&port) {
            live.failures += u64::from(outcome.is_err());
            live.state = served.map_or_else(State::Failed, State::Active);
        }
        outcome
    }

    /// Tells whether a mapping waits for a client.
    fn waits(&self, mapping: &NewMapping) -> bool {
        let serves = |tunnel: &Tunnel| tunnel.sessions.server_of(&mapping.client, mapping.source_port).is_some();
        mapping.use_tunnel && !self.tunnel.as_ref().is_some_and(serves)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<Port, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_open(stage: Stage) -> Result<(), Refusal> {
    match stage {
        Stage::Open => Ok(()),
        Stage::Closing => Err(Refusal::new(503, "shutting_down", TunnelWords::ShuttingDown)),
    }
}

/// Whether what stood in the way may go away by itself.
fn passing(refusal: &Refusal) -> bool {
    ["port_in_use", "port_unavailable"].contains(&refusal.code)
}

/// Tries to open a failed mapping until it is open, removed, failed for good, or has failed anew for another reason to
/// look.
async fn retry(inner: Arc<Inner>, id: i64, port: Port, mut failures: u64) {
    let mut wait = RETRY.0;
    loop {
        let jitter = rand::rng().random_range(1.0 - RETRY_JITTER..=1.0 + RETRY_JITTER);
        sleep(wait.mul_f64(jitter)).await;
        wait = (wait * 2).min(RETRY.1);
        let _change = inner.changes.lock().await;
        let still_failed = matches!(
            inner.live().get(&port),
            Some(live) if live.stored.id == id && live.failures == failures && matches!(live.state, State::Failed(_))
        );
        if !still_failed {
            return;
        }
        match inner.begin(port).await {
            Ok(()) => return tracing::info!(%port, "mapping restored"),
            Err(refusal) if passing(&refusal) => failures += 1,
            Err(_) => return,
        }
    }
}

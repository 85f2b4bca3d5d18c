//! The thread on which sessions, their streams and the listeners of their mappings live, so that no byte of a stream
//! waits for another thread. It only moves bytes: handshakes, the API and the database are elsewhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::handshake::SessionId;
use super::link::Link;
use super::sessions::{Running, usual_client};
use crate::model::Port;

/// Jobs that may wait for the thread. A job takes microseconds; a queue that is full is one that does not move.
const JOBS: usize = 4096;

/// How long the last words to the clients may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the thread is asked to do; it may start tasks there with `spawn_local`.
pub(crate) type Job = Box<dyn FnOnce(&Rc<Yard>) + Send>;

/// What lives on the thread.
#[derive(Default)]
pub(crate) struct Yard {
    links: RefCell<HashMap<String, (Running, Rc<Link>)>>,
}

impl Yard {
    /// Returns the session of the client called `name`.
    pub(crate) fn link(&self, name: &str) -> Option<Rc<Link>> {
        self.links.borrow().get(name).map(|(_, link)| Rc::clone(link))
    }

    /// Returns the session with this name on the wire.
    pub(crate) fn session(&self, session: &SessionId) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        links.values().find(|(running, _)| running.session == *session).map(|(_, link)| Rc::clone(link))
    }

    /// Returns the session that serves the mapping of `port` which names `client`, as [`Sessions::server_of`] does, with
    /// the name of its client.
    ///
    /// [`Sessions::server_of`]: super::sessions::Sessions::server_of
    pub(crate) fn server_of(&self, client: &str, port: Port) -> Option<(String, Rc<Link>)> {
        let links = self.links.borrow();
        let name = usual_client(client, links.keys().map(String::as_str))?;
        let served = links.get(name).filter(|(running, _)| running.may_serve(port));
        served.map(|(_, link)| (name.to_owned(), Rc::clone(link)))
    }

    /// Enters the session of a client and returns the one whose place it takes.
    pub(crate) fn enter(&self, running: Running, link: Rc<Link>) -> Option<Rc<Link>> {
        let former = self.links.borrow_mut().insert(running.identity.name.clone(), (running, link));
        former.map(|(_, link)| link)
    }

    /// Removes the session of a client, unless another has taken its place.
    pub(crate) fn leave(&self, name: &str, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        if links.get(name).is_some_and(|(_, current)| Rc::ptr_eq(current, link)) {
            links.remove(name);
        }
    }

    /// Returns every session with whose it is.
    pub(crate) fn sessions(&self) -> Vec<(Running, Rc<Link>)> {
        self.links.borrow().values().cloned().collect()
    }
}

/// The way to the thread. It ends when the last clone is dropped, and what runs on it with it.
#[derive(Clone)]
pub(crate) struct YardQueue(mpsc::Sender<Job>);

impl YardQueue {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<Job>(JOBS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("tunnel".to_owned()).spawn(move || {
            let yard = Rc::new(Yard::default());
            LocalSet::new().block_on(&runtime, async move {
                while let Some(job) = jobs.recv().await {
                    job(&yard);
                }
            });
        })?;
        Ok(Self(queue))
    }

    /// Waits until the sessions have ended that were asked to, and said so to their peers.
    pub(crate) async fn rest(&self) {
        let give_up = Instant::now() + FAREWELL;
        loop {
            let (answer, answered) = oneshot::channel();
            let look = move |yard: &Rc<Yard>| {
                let _ = answer.send(yard.links.borrow().is_empty());
            };
            let asked = self.run(look).await;
            if !asked || answered.await.unwrap_or(true) || Instant::now() >= give_up {
                return;
            }
            sleep(FAREWELL / 100).await;
        }
    }

    /// Runs `job` on the thread; `false` when it is gone.
    pub(crate) async fn run(&self, job: impl FnOnce(&Rc<Yard>) + Send + 'static) -> bool {
        self.0.send(Box::new(job)).await.is_ok()
    }
}

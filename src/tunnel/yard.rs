//! The thread on which sessions, their streams and the listeners of their mappings live, so that no byte of a stream
//! waits for another thread. It only moves bytes: handshakes, the API and the database are elsewhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::link::Link;

/// Jobs that may wait for the thread. A job takes microseconds; a queue that is full is one that does not move.
const JOBS: usize = 4096;

/// The client that serves mappings which name none.
const DEFAULT_CLIENT: &str = "default";

/// What the thread is asked to do; it may start tasks there with `spawn_local`.
pub(crate) type Job = Box<dyn FnOnce(&Rc<Yard>) + Send>;

/// What lives on the thread.
#[derive(Default)]
pub(crate) struct Yard {
    links: RefCell<HashMap<String, Rc<Link>>>,
}

impl Yard {
    /// Returns the session of the client called `name`. Without a name it is that of the client called `default`, or
    /// else of the only client that is there.
    pub(crate) fn link(&self, name: &str) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        if !name.is_empty() {
            return links.get(name).cloned();
        }
        let only = || links.values().next().filter(|_| links.len() == 1);
        links.get(DEFAULT_CLIENT).or_else(only).cloned()
    }

    /// Enters the session of a client and returns the one whose place it takes.
    pub(crate) fn enter(&self, name: String, link: Rc<Link>) -> Option<Rc<Link>> {
        self.links.borrow_mut().insert(name, link)
    }

    /// Removes the session of a client, unless another has taken its place.
    pub(crate) fn leave(&self, name: &str, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        if links.get(name).is_some_and(|current| Rc::ptr_eq(current, link)) {
            links.remove(name);
        }
    }

    /// Returns every session.
    pub(crate) fn links(&self) -> Vec<Rc<Link>> {
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

    /// Runs `job` on the thread; `false` when it is gone.
    pub(crate) async fn run(&self, job: impl FnOnce(&Rc<Yard>) + Send + 'static) -> bool {
        self.0.send(Box::new(job)).await.is_ok()
    }
}

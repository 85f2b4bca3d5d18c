//! The pool of port leases: ports that processes of this machine, or of one network namespace, get without ever
//! colliding, without a daemon.
//!
//! The pool is one file under a lock. A lease has a holder and a time to live; it ends when it is released, when its
//! holder is proven dead, or when its time is over, and never while its port is in use. What cannot be seen from here (a
//! holder in another container) is left alone.
//!
//! A fleet has a store of its own instead of the file ([`Pool::open_shared`]): there a lease ends by the store's clock
//! unless it is renewed, because nobody sees the processes of another machine.
//!
//! ```no_run
//! use portwright::lease::{Pool, Request};
//!
//! let lease = Pool::open("/run/user/1000/pool.json".as_ref())?.acquire(&Request::default())?;
//! println!("{}", lease.port());
//! # Ok::<(), portwright::error::Error>(())
//! ```

mod format;
mod held;
mod look;
mod pool;
mod request;
mod shared;
mod table;
mod wan;

pub use held::Lease;
pub use look::{Looked, Usage};
pub use pool::Pool;
pub use request::{Options, Release, Request, TTL};
pub use shared::{SHARED_RUN_TTL, SHARED_TTL};
pub use table::{Granted, Holder, Life, Now, Standpoint};
pub use wan::{PoolToml, Wan, WanAddress};

//! The listening connection: what says that another server changed something, and whether the database is there.

use std::time::Duration;

use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::super::tokens::TokenTable;
use super::tables::CHANNEL;
use super::{Desk, tokens};
use crate::remote::postgres::{ANSWER_WAIT, Place, Trouble, connect, why};

/// How often the tables are read although nothing was heard, in case a notification was lost on the way.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The first and the longest wait before a lost database is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// The part by which a wait is shortened or lengthened at random, so that servers do not come back all at once.
const RETRY_JITTER: f64 = 0.2;

/// Listens until it is aborted.
pub(super) async fn watch(place: Place, desk: Desk) {
    let mut wait = RETRY.0;
    loop {
        let trouble = listen(&place, &desk, &mut wait).await;
        if desk.reachable.send_replace(false) {
            tracing::warn!(error = %why(&trouble), "the database is lost; what is served goes on");
        }
        let jitter = rand::rng().random_range(1.0 - RETRY_JITTER..=1.0 + RETRY_JITTER);
        sleep(wait.mul_f64(jitter)).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// Connects, and publishes what is heard until the connection is lost.
async fn listen(place: &Place, desk: &Desk, wait: &mut Duration) -> Trouble {
    let (told, mut heard) = mpsc::channel(1);
    let client = match connect(place, Some(told)).await {
        Ok(client) => client,
        Err(trouble) => return trouble,
    };
    let listening = timeout(ANSWER_WAIT, client.batch_execute(&format!("LISTEN {CHANNEL}"))).await;
    match listening {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Trouble::Database(error),
        Err(_) => return Trouble::Slow,
    }
    loop {
        match timeout(ANSWER_WAIT, tokens::table(&client)).await {
            Ok(Ok(table)) => TokenTable::publish(&desk.tokens, table),
            Ok(Err(error)) => return Trouble::Database(error),
            Err(_) => return Trouble::Slow,
        }
        *wait = RETRY.0;
        if !desk.reachable.send_replace(true) {
            tracing::info!("the database is back");
        }
        desk.changes.send_modify(|times| *times = times.wrapping_add(1));
        tokio::select! {
            // Nobody tells any more: the connection is gone, and the next question says why.
            _ = heard.recv() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

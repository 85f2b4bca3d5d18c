//! Connections to a `PostgreSQL` database: the URL, TLS, deadlines, and what an error says.

mod tls;
mod url;

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client};

pub(crate) use url::{Place, UrlFault, read};

/// How long a connection may take to be made, with the proof of the password.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How long an answer may take. What takes longer may still happen.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Why there is no connection, or no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What the library or the server says.
    Database(tokio_postgres::Error),
    /// Nothing came within the deadline.
    Slow,
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

/// Connects, and drives the connection in a task that ends with its client. Notifications go to `told`.
pub(crate) async fn connect(place: &Place, told: Option<mpsc::Sender<()>>) -> Result<Client, Trouble> {
    let connecting = async {
        let (client, mut connection) = place.config.connect(place.tls.clone()).await?;
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = futures_util::StreamExt::next(&mut messages).await {
                if let (AsyncMessage::Notification(_), Some(told)) = (message, &told) {
                    // One that waits says as much as two.
                    let _ = told.try_send(());
                }
            }
        });
        client.batch_execute("SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'").await?;
        Ok(client)
    };
    match timeout(CONNECT_WAIT, connecting).await {
        Ok(outcome) => outcome.map_err(Trouble::Database),
        Err(_) => Err(Trouble::Slow),
    }
}

/// Says the whole of an error; none of it has the password, which the library never repeats.
pub(crate) fn why(trouble: &Trouble) -> String {
    let error = match trouble {
        Trouble::Database(error) => error,
        Trouble::Slow => return format!("no answer within {} s", ANSWER_WAIT.as_secs()),
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

//! Notifications between processes.

use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use tokio::time::timeout;

use crate::{Error, Result};

/// One channel a database, and nothing said: a notification only says when to look.
const CHANNEL: &str = "stoa_jobs";
/// How often a silent connection is asked whether it still listens.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long it may take to connect, or to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

pub(super) async fn notify(conn: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(conn).await?;
    Ok(())
}

pub(super) async fn listen(pool: &PgPool, heard: impl Fn() + Send + Sync) -> Result<()> {
    // Not one of the pool's: that may have a single one.
    let options = PgConnectOptions::clone(&pool.connect_options());
    let own =
        PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).acquire_timeout(ANSWER_TIME);
    let mut listener = PgListener::connect_with(&own.connect_lazy_with(options)).await?;
    // Who hears nothing for a while has to know: it is `heard` that makes up for it.
    listener.eager_reconnect(false);
    answer(listener.listen(CHANNEL)).await?;
    loop {
        heard();
        loop {
            match timeout(PING_INTERVAL, listener.try_recv()).await {
                Ok(Ok(Some(_))) => break,
                Ok(Ok(None)) => return Err(lost(io::ErrorKind::ConnectionAborted)),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => ping(&mut listener).await?,
            }
        }
    }
}

/// A connection may be dead and say nothing, and a pooler may have let another one take its place.
async fn ping(listener: &mut PgListener) -> Result<()> {
    let listens =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_listening_channels() AS channel WHERE channel = $1)");
    if answer(listens.bind(CHANNEL).fetch_one(listener)).await? {
        Ok(())
    } else {
        Err(lost(io::ErrorKind::NotConnected))
    }
}

async fn answer<T>(asked: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match timeout(ANSWER_TIME, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(lost(io::ErrorKind::TimedOut)),
    }
}

fn lost(kind: io::ErrorKind) -> Error {
    sqlx::Error::Io(kind.into()).into()
}

//! The server: `cargo run --release -p campus`.

use std::net::SocketAddr;
use std::path::PathBuf;

use campus::admin::seal;
use campus::app::App;
use campus::backend::{Backend, Postgres, Sqlite};
use campus::{demo, http, worker};
use clap::Parser;

/// An alumni platform on one database. Without arguments: an embedded file with a small demo campus in it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the data is: `sqlite:PATH` or a `postgres://` URL.
    #[arg(long, default_value = "sqlite:campus.sqlite", value_name = "URL")]
    database: String,
    /// Where to listen. The person picker exists only on a loopback address.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The file with the key that seals the audit log, made where there is none; the newest checkpoint is kept beside it. Without it
    /// the log on an SQLite file is sealed by a key beside that file, and the log on PostgreSQL not at all.
    #[arg(long, value_name = "FILE")]
    audit_key: Option<PathBuf>,
}

impl Arguments {
    fn audit_key(&self) -> Option<PathBuf> {
        let beside = || self.database.strip_prefix("sqlite:").map(|path| PathBuf::from(format!("{path}.audit-key")));
        self.audit_key.clone().or_else(beside)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,campus=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    match arguments.database.strip_prefix("sqlite:") {
        Some(path) => serve(Sqlite::open(path).await?, &arguments).await,
        None => serve(Postgres::open(&arguments.database).await?, &arguments).await,
    }
}

async fn serve<B: Backend>(backend: B, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut app = App::open(backend).await?;
    let sealing =
        arguments.audit_key().map(|key| Ok::<_, campus::error::Error>((seal::signer(&key)?, key))).transpose()?;
    if let Some((signer, _)) = &sealing {
        app = app.with_verifier(signer.verifier().clone());
    }
    // The demo, and the picker that signs anybody in, stay on this machine.
    let is_local = arguments.listen.ip().is_loopback();
    if is_local {
        demo::make(&app).await?;
    }
    let is_demo = is_local && app.is_demo().await?;

    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    println!("Campus is at http://{address}/ (data in {}); stop it with Ctrl-C.", arguments.database);
    if !is_demo {
        println!("There is no person picker here: it needs a loopback address and a database that the demo made.");
    }

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut worker = tokio::spawn(worker::run(app.clone(), until(stopped.clone())));
    let (sealed, until_stopped) = (app.clone(), until(stopped.clone()));
    let sealer = tokio::spawn(async move {
        // A log that was tampered with is no reason to stop serving: the page that verifies says so.
        if let Some((signer, key)) = sealing
            && let Err(error) = seal::run(sealed, signer, &key, until_stopped).await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the audit log is sealed no more");
        }
    });
    let server = axum::serve(listener, http::router(app, is_demo)).with_graceful_shutdown(until(stopped));
    let mut server = tokio::spawn(server.into_future());
    // Neither goes on without the other.
    tokio::select! {
        () = interrupted() => {}
        ended = &mut worker => return Ok(ended??),
        ended = &mut server => return Ok(ended??),
    }
    stop.send_replace(true);
    server.await??;
    worker.await??;
    sealer.await?;
    Ok(())
}

async fn until(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // The sender lives as long as the process: an error would mean that it has stopped as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn interrupted() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = async { match &mut terminate { Some(signal) => signal.recv().await, None => std::future::pending().await } } => {}
    }
}

//! The server: `cargo run --release -p campus`.

use std::net::SocketAddr;
use std::process::ExitCode;

use campus::app::App;
use campus::backend::{Backend, Postgres, Sqlite};
use campus::cli::{Bar, Database, EMBEDDED};
use campus::demo::{self, Plan, Size};
use campus::error::causes;
use campus::{http, worker};
use clap::{Parser, Subcommand};

/// An alumni platform on one database. Without arguments: an embedded file with a small demo campus in it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the data is: `sqlite:PATH` or `postgres://USER@HOST/NAME`. Without it: an embedded file, with a small demo in it.
    #[arg(long, value_name = "URL", global = true)]
    database: Option<Database>,
    /// Where to listen. The person picker exists only on a loopback address.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS", global = true)]
    listen: SocketAddr,
    /// Makes a demo campus in an empty database, and finishes one that was interrupted.
    #[arg(long, value_enum, value_name = "SIZE", global = true)]
    demo: Option<Size>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq, Subcommand)]
enum Command {
    /// Serves the pages and the JSON interface, and runs jobs. This is what happens without a command.
    Serve,
    /// Brings the schema up to date, makes the demo if `--demo` asks for one, and ends.
    Migrate,
}

impl Arguments {
    fn database(&self) -> Result<Database, &'static str> {
        self.database.clone().map_or_else(|| EMBEDDED.parse(), Ok)
    }

    /// The demo somebody asked for. Nobody asks for one in a database of their own, or where others can come, without saying so.
    fn demo(&self) -> Option<Size> {
        let is_plain = self.database.is_none() && self.command != Some(Command::Migrate);
        self.demo.or_else(|| Some(Size::Small).filter(|_| is_plain && self.listen.ip().is_loopback()))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,campus=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    match start(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("campus: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    match arguments.database()? {
        Database::Sqlite(path) => run(Sqlite::open(&path).await?, arguments).await,
        Database::Postgres(url) => run(Postgres::open(&url).await?, arguments).await,
    }
}

async fn run<B: Backend>(backend: B, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let app = App::open(backend).await?;
    make_demo(&app, arguments.demo()).await?;
    match arguments.command {
        Some(Command::Migrate) => {
            println!("The schema in {} is up to date.", arguments.database()?);
            Ok(())
        }
        None | Some(Command::Serve) => serve(app, arguments).await,
    }
}

async fn make_demo<B: Backend>(app: &App<B>, asked: Option<Size>) -> Result<(), Box<dyn std::error::Error>> {
    // What was begun is finished, unless somebody asks for something else.
    let plan = match (asked, demo::interrupted(app).await?) {
        (None, interrupted) => interrupted,
        (Some(Size::None), Some(_)) => {
            return Err("the demo of this database was interrupted: start without `--demo` to finish it, or take another database".into());
        }
        (Some(size), _) => Plan::of(size),
    };
    if let Some(plan) = plan {
        let bar = Bar::of(0);
        demo::load(app, &plan, |progress| bar.demo(progress)).await?;
    }
    Ok(())
}

async fn serve<B: Backend>(app: App<B>, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // The picker that signs anybody in stays on this machine.
    let is_demo = arguments.listen.ip().is_loopback() && app.is_demo().await?;

    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    println!("Campus is at http://{address}/ (data in {}); stop it with Ctrl-C.", arguments.database()?);
    if is_demo {
        println!("Pick a person at http://{address}/people; whoever is staff also sees http://{address}/admin.");
    } else {
        println!("There is no person picker here: it needs a loopback address and a database that the demo made.");
    }

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut worker = tokio::spawn(worker::run(app.clone(), until(stopped.clone())));
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

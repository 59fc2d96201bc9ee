//! The server: `cargo run --release -p campus`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use campus::admin::seal;
use campus::app::App;
use campus::assistant::model::Model;
use campus::backend::{Backend, Postgres, Sqlite};
use campus::cli::{Bar, Database, EMBEDDED};
use campus::demo::{self, Plan, Size};
use campus::error::causes;
use campus::flags::{self, Environment, Flags};
use campus::http::Options;
use campus::http::auth::{Expected, Keys, demo_secret};
use campus::notifications::mail::Mailer;
use campus::outgoing::Secret;
use campus::whatsapp::{GRAPH_URL, Sender, Settings};
use campus::{http, worker};
use clap::{Parser, Subcommand};
use url::Url;

/// An alumni platform on one database. Without arguments: an embedded file with a small demo campus in it.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the pages and the JSON interface, and runs jobs. This is what happens without a command.
    Serve(Box<Serve>),
    /// Brings the schema up to date, makes a demo if `--demo` asks for one, and ends.
    Migrate(Data),
}

#[derive(clap::Args)]
struct Data {
    /// Where the data is: `sqlite:PATH` or `postgres://USER@HOST/NAME`.
    #[arg(long, default_value = EMBEDDED, value_name = "URL")]
    database: Database,
    /// Makes a demo in an empty database, and finishes one that was interrupted. Where nobody else could sign in, that is the small one.
    #[arg(long, value_enum, value_name = "SIZE")]
    demo: Option<Size>,
}

#[derive(clap::Args)]
struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen. The person picker exists only on a loopback address.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where people find campus: links in e-mails and messages lead there. Default: where it listens.
    #[arg(long, value_name = "URL")]
    site_url: Option<Url>,
    /// Turns new work on, off, or on for a share of the people: `NAME=on`, `NAME=off`, `NAME=25`. Staff see at `/admin` what there is.
    #[arg(long = "flag", value_name = "NAME=SHARE")]
    flags: Vec<flags::Setting>,
    /// Limits how much one person may ask for; `off` for load tests.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    rate_limit: Switch,
    /// Tells browsers to come back over HTTPS only. Say so once a proxy in front of campus speaks it for good.
    #[arg(long)]
    hsts: bool,
    /// The file with the key that seals the audit log, made where there is none; the newest checkpoint is kept beside it. Without it
    /// the log on an SQLite file is sealed by a key beside that file, and the log on PostgreSQL not at all.
    #[arg(long, value_name = "FILE")]
    audit_key: Option<PathBuf>,
    #[command(flatten)]
    sign_in: SignIn,
    #[command(flatten)]
    letters: Letters,
    #[command(flatten)]
    assistant: Assistant,
    #[command(flatten)]
    whatsapp: WhatsApp,
}

impl Serve {
    fn audit_key(&self) -> Option<PathBuf> {
        let beside = || match &self.data.database {
            Database::Sqlite(path) => Some(PathBuf::from(format!("{path}.audit-key"))),
            Database::Postgres(_) => None,
        };
        self.audit_key.clone().or_else(beside)
    }
}

/// Who can sign in: people with a signed token (JWT: `sub` is the id of the person, `exp` when it ends), as bearer token or in the
/// cookie `campus_session`. With a key there is no demo and no person picker; without one there is nothing else.
#[derive(clap::Args)]
#[command(next_help_heading = "Sign-in", group = clap::ArgGroup::new("keys").multiple(true))]
struct SignIn {
    /// A file with the secret of whoever issues tokens with HS256: at least 32 bytes.
    #[arg(long, value_name = "FILE", group = "keys")]
    jwt_secret_file: Option<PathBuf>,
    /// A file with the public keys of whoever issues tokens with RS256 or `EdDSA`: a JSON Web Key Set.
    #[arg(long, value_name = "FILE", group = "keys")]
    jwks_file: Option<PathBuf>,
    /// The `iss` that tokens must have.
    #[arg(long, value_name = "ISSUER", requires = "keys")]
    jwt_issuer: Option<String>,
    /// What must be among the `aud` of tokens.
    #[arg(long, value_name = "AUDIENCE", requires = "keys")]
    jwt_audience: Option<String>,
}

/// How e-mail is sent to whoever asks for it. Without a server or a folder nobody is sent any.
#[derive(clap::Args)]
#[command(next_help_heading = "E-mail", group = clap::ArgGroup::new("sink"))]
struct Letters {
    /// Who it is from: `NAME <ADDRESS>`, or an address.
    #[arg(long, value_name = "SENDER", requires = "sink")]
    mail_from: Option<String>,
    /// The mail server: `smtps://USER@HOST`, `smtp://USER@HOST?tls=required` for STARTTLS, or `smtp://HOST:PORT` for one nearby.
    #[arg(long, value_name = "URL", requires = "mail_from", group = "sink")]
    smtp_url: Option<Url>,
    /// A file with the password of the user that the URL names.
    #[arg(long, value_name = "FILE", requires = "smtp_url")]
    smtp_password_file: Option<PathBuf>,
    /// A folder that keeps each e-mail as a file, instead of a server that sends it.
    #[arg(long, value_name = "FOLDER", requires = "mail_from", group = "sink")]
    mail_dir: Option<PathBuf>,
}

impl Letters {
    /// What sends it, if anything does.
    fn mailer(&self, site: &Url) -> Result<Option<Mailer>, Box<dyn std::error::Error>> {
        let Some(from) = &self.mail_from else { return Ok(None) };
        let mailer = match (&self.smtp_url, &self.mail_dir) {
            (Some(server), _) => {
                let password = self.smtp_password_file.as_deref().map(read).transpose()?;
                Mailer::server(from, site, server, password.as_deref().map(str::trim_end))?
            }
            (None, Some(folder)) => {
                std::fs::create_dir_all(folder)
                    .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
                Mailer::folder(from, site, folder.clone())?
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(mailer))
    }
}

/// What the assistant asks. Without a model it answers by itself, with sentences of what people wrote.
#[derive(clap::Args)]
#[command(next_help_heading = "Assistant")]
#[expect(clippy::struct_field_names, reason = "an option is called what its field is")]
struct Assistant {
    /// The base of an OpenAI-compatible interface: `/v1/chat/completions` is below it. What the person who asks may read is sent there.
    #[arg(long, value_name = "URL", requires = "llm_model")]
    llm_url: Option<String>,
    /// The name of the model.
    #[arg(long, value_name = "NAME", requires = "llm_url")]
    llm_model: Option<String>,
    /// A file with the key of the interface, if it asks for one.
    #[arg(long, value_name = "FILE", requires = "llm_url")]
    llm_key_file: Option<PathBuf>,
}

impl Assistant {
    fn model(&self) -> Result<Option<Model>, Box<dyn std::error::Error>> {
        let Some((url, name)) = self.llm_url.as_ref().zip(self.llm_model.as_ref()) else { return Ok(None) };
        let key = self.llm_key_file.as_deref().map(secret).transpose()?;
        Ok(Some(Model::new(url, name, key.as_ref()).map_err(|error| format!("--llm-url: {error}"))?))
    }
}

/// The number that campus has at WhatsApp: Meta's Cloud API. Its webhook is `/webhooks/whatsapp`. Notices need the template `campus_notice` in
/// English, with two parameters in its body: the title and the address.
#[derive(clap::Args)]
#[command(next_help_heading = "WhatsApp")]
#[expect(clippy::struct_field_names, reason = "an option is called what its field is")]
struct WhatsApp {
    /// The id of the number, in digits. Without it there is no WhatsApp.
    #[arg(long, value_name = "ID", requires_all = ["whatsapp_token_file", "whatsapp_app_secret_file", "whatsapp_verify_token_file"])]
    whatsapp_phone_number_id: Option<String>,
    /// A file with the access token.
    #[arg(long, value_name = "FILE", requires = "whatsapp_phone_number_id")]
    whatsapp_token_file: Option<PathBuf>,
    /// A file with the secret of the app, which deliveries are signed with.
    #[arg(long, value_name = "FILE", requires = "whatsapp_phone_number_id")]
    whatsapp_app_secret_file: Option<PathBuf>,
    /// A file with the token that the webhook is verified with.
    #[arg(long, value_name = "FILE", requires = "whatsapp_phone_number_id")]
    whatsapp_verify_token_file: Option<PathBuf>,
    /// Where the interface is.
    #[arg(long, value_name = "URL", default_value = GRAPH_URL)]
    whatsapp_url: String,
}

impl WhatsApp {
    fn sender(&self, site: &Url) -> Result<Option<Sender>, Box<dyn std::error::Error>> {
        let files = [&self.whatsapp_token_file, &self.whatsapp_app_secret_file, &self.whatsapp_verify_token_file];
        let (Some(id), [Some(token), Some(app_secret), Some(verify_token)]) = (&self.whatsapp_phone_number_id, files)
        else {
            return Ok(None);
        };
        let settings = Settings {
            url: self.whatsapp_url.clone(),
            site: site.clone(),
            phone_number_id: id.clone(),
            token: secret(token)?,
            app_secret: secret(app_secret)?,
            verify_token: secret(verify_token)?,
        };
        Ok(Some(Sender::new(settings).map_err(|error| format!("WhatsApp: {error}"))?))
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn secret(path: &Path) -> Result<Secret, Box<dyn std::error::Error>> {
    Ok(Secret::new(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?)
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

impl SignIn {
    /// The keys, if there are any.
    fn keys(&self) -> Result<Option<Keys>, Box<dyn std::error::Error>> {
        let mut keys = Keys::new(Expected { issuer: self.jwt_issuer.clone(), audience: self.jwt_audience.clone() });
        if let Some(path) = &self.jwt_secret_file {
            keys =
                keys.secret(read(path)?.trim().as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let Some(path) = &self.jwks_file {
            keys = keys.jwks(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok((self.jwt_secret_file.is_some() || self.jwks_file.is_some()).then_some(keys))
    }
}

/// Why campus does not start, and what to do about it.
const NOBODY_CAN_SIGN_IN: &str = "nobody could sign in. Either name the keys of whoever issues your tokens with --jwt-secret-file FILE or \
    --jwks-file FILE, or run the demo: on a loopback address such as --listen 127.0.0.1:8080, with a database that is empty or was made \
    by the demo";

const DEMO_INTERRUPTED: &str =
    "the demo of this database was interrupted: start without `--demo` to finish it, or take another database";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("campus: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,campus=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = match arguments.command {
        Some(Command::Migrate(data)) => {
            match &data.database {
                Database::Sqlite(path) => open(Sqlite::open(path).await?, data.demo).await.map(drop)?,
                Database::Postgres(url) => open(Postgres::open(url).await?, data.demo).await.map(drop)?,
            }
            println!("The schema in {} is up to date.", data.database);
            return Ok(());
        }
        Some(Command::Serve(serve)) => *serve,
        None => arguments.serve,
    };
    let keys = arguments.sign_in.keys()?;
    if keys.is_none() && !arguments.listen.ip().is_loopback() {
        return Err(NOBODY_CAN_SIGN_IN.into());
    }
    match &arguments.data.database {
        Database::Sqlite(path) => serve(Sqlite::open(path).await?, keys, &arguments).await,
        Database::Postgres(url) => serve(Postgres::open(url).await?, keys, &arguments).await,
    }
}

/// Opens the database, and makes the demo in it that somebody asked for.
async fn open<B: Backend>(backend: B, demo: Option<Size>) -> Result<App<B>, Box<dyn std::error::Error>> {
    let app = App::open(backend).await?;
    let plan = match (demo, demo::interrupted(&app).await?) {
        // What was begun is finished, unless somebody asks for something else.
        (None, interrupted) => interrupted,
        (Some(Size::None), Some(_)) => return Err(DEMO_INTERRUPTED.into()),
        (Some(size), _) => Plan::of(size),
    };
    if let Some(plan) = plan {
        let bar = Bar::of(0);
        demo::load(&app, &plan, |progress| bar.demo(progress)).await?;
    }
    Ok(app)
}

async fn serve<B: Backend>(
    backend: B,
    keys: Option<Keys>,
    arguments: &Serve,
) -> Result<(), Box<dyn std::error::Error>> {
    let is_demo = keys.is_none();
    // What cannot be used is said before anything is made.
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    let site = arguments.site_url.clone().map_or_else(|| Url::parse(&format!("http://{address}")), Ok)?;
    let (mailer, sender) = (arguments.letters.mailer(&site)?, arguments.whatsapp.sender(&site)?);
    let model = arguments.assistant.model()?;
    let mut app = open(backend.clone(), arguments.data.demo).await?;
    let options = if let Some(keys) = keys {
        Options::production(keys)
    } else {
        // The picker that signs anybody in: the address is a loopback address.
        if arguments.data.demo.is_none() && !app.is_demo().await? {
            app = open(backend, Some(Size::Small)).await?;
        }
        if !app.is_demo().await? {
            return Err(NOBODY_CAN_SIGN_IN.into());
        }
        Options::demo_with(&demo_secret(&app).await?)
    };
    let environment = if is_demo { Environment::Demo } else { Environment::Production };
    app = app.with_flags(Flags::new(environment, arguments.flags.clone()));
    let sealing =
        arguments.audit_key().map(|key| Ok::<_, campus::error::Error>((seal::signer(&key)?, key))).transpose()?;
    if let Some((signer, _)) = &sealing {
        app = app.with_verifier(signer.verifier().clone());
    }
    app.mailer = mailer;
    app.model = model;
    app.whatsapp = sender;
    let options = if arguments.hsts { options.https_only() } else { options };
    let options = if arguments.rate_limit == Switch::Off { options.rates(None) } else { options };

    // Whoever started it may not listen any more.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "Campus is at http://{address}/ (data in {}); stop it with Ctrl-C.", arguments.data.database);
    if is_demo {
        let pick = format!("http://{address}/people");
        let _ = writeln!(out, "Pick a person at {pick}; whoever is staff also finds http://{address}/admin.");
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
    let service = http::router(app, options).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(until(stopped));
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

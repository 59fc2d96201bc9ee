//! E-mail: letters, and the server or the folder that takes them.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::response::Category;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use url::Url;

use crate::app::Viewer;
use crate::backend::Backend;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::notices::Notice;
use crate::outgoing::link_base;
use crate::text::line;

/// How long a mail server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends letters, from one sender.
#[derive(Clone, Debug)]
pub struct Mailer {
    from: Mailbox,
    site: String,
    sink: Sink,
}

/// Who takes them.
#[derive(Clone, Debug)]
enum Sink {
    Server(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

impl Mailer {
    /// Sends through a mail server: `smtps://USER@HOST` or `smtp://USER@HOST?tls=required` for one that speaks TLS, at once or after
    /// `STARTTLS`; `smtp://HOST:PORT` for one that speaks none, which no password is told. `from` is `NAME <ADDRESS>` or an address; links
    /// lead to `site`.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is not what it has to be.
    pub fn server(from: &str, site: &Url, server: &Url, password: Option<&str>) -> Result<Self> {
        let invalid = |what: &str| Error::Invalid(format!("the URL of the mail server {what}"));
        let is_encrypted = server.scheme() == "smtps"
            || server.query_pairs().any(|(name, value)| name == "tls" && value == "required");
        let mut server = server.clone();
        if let Some(password) = password {
            if server.username().is_empty() {
                return Err(invalid("names no user whose password it is"));
            }
            if !is_encrypted {
                return Err(invalid("must say smtps:// or tls=required: a password is told to nobody else"));
            }
            server.set_password(Some(password)).map_err(|()| invalid("has no place for a password"))?;
        } else if !server.username().is_empty() || server.password().is_some() {
            return Err(invalid("names a user: the password stands in a file of its own"));
        }
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(server.as_str())
            .map_err(|_| invalid("must be smtp://HOST:PORT, smtp://USER@HOST?tls=required or smtps://USER@HOST"))?;
        Self::new(from, site, Sink::Server(server.timeout(Some(PATIENCE)).build()))
    }

    /// Writes each letter into a file of this folder.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the sender is none.
    pub fn folder(from: &str, site: &Url, folder: PathBuf) -> Result<Self> {
        Self::new(from, site, Sink::Folder(folder))
    }

    fn new(from: &str, site: &Url, sink: Sink) -> Result<Self> {
        let from = line("the sender", from, 320)?;
        let from =
            from.parse().map_err(|_| Error::Invalid("the sender must be NAME <ADDRESS> or an address".into()))?;
        let site = link_base(site).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self { from, site, sink })
    }

    /// Where links lead.
    pub(super) fn site(&self) -> &str {
        &self.site
    }

    /// Sends a letter under this id; says why, if it was refused for good.
    ///
    /// # Errors
    /// [`Error::Internal`] if it may be taken another time.
    pub(super) async fn send(&self, to: Mailbox, id: &str, letter: &Letter) -> Result<Option<String>> {
        let message = match self.message(to, id, letter) {
            Ok(message) => message,
            Err(error) => return Ok(Some(error.to_string())),
        };
        match &self.sink {
            Sink::Folder(folder) => {
                // A second copy takes the place of the first.
                let written = tokio::fs::write(folder.join(format!("{id}.eml")), message.formatted()).await;
                written.map(|()| None).map_err(|error| Error::Internal(error.into()))
            }
            Sink::Server(server) => match server.send(message).await {
                Ok(_) => Ok(None),
                Err(error) if is_final(&error) => Ok(Some(crate::error::causes(&error))),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The builder encodes whatever stands in a header: no text of a letter becomes another header.
    fn message(&self, to: Mailbox, id: &str, letter: &Letter) -> Result<Message, lettre::error::Error> {
        let header = |name, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&letter.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // Nobody's absence notice answers a machine.
            .raw_header(header("Auto-Submitted", "auto-generated".into()))
            .raw_header(header("List-Unsubscribe", format!("<{}{SETTINGS}>", self.site)))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())
    }
}

/// Where people choose what they are told.
const SETTINGS: &str = "/settings/notifications";

/// Whether a mail server will never take it: it said so of the mailbox or of the message. What it says of itself, of TLS or of our
/// password is for the operator to mend, and is tried again.
fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    error.is_permanent() && error.status().is_some_and(|code| code.category == Category::MailSystem)
}

/// What somebody finds in their mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    subject: String,
    text: String,
}

impl Letter {
    /// Begins and ends a letter to somebody of this name.
    pub(super) fn new(subject: String, name: &str, body: &str, site: &str) -> Self {
        let first_name = name.split(' ').next().unwrap_or_default();
        let text = format!(
            "Hello {first_name},\n\n{body}\n\n-- \nYou get this because you asked for it. Change what you are told:\n{site}{SETTINGS}\n"
        );
        Self { subject, text }
    }

    /// Tells one thing.
    pub(super) fn of(notice: &Notice, name: &str, site: &str) -> Self {
        Self::new(notice.title.clone(), name, &format!("{}\n{site}{}", notice.title, notice.url), site)
    }
}

/// Where to write to somebody: the address of their profile, if it is one.
pub(super) async fn address<B: Backend>(conn: &mut B::Connection, viewer: &Viewer) -> Result<Option<Mailbox>> {
    let profile = conn.profile(&viewer.person.id).await?;
    let address = profile.and_then(|profile| profile.email.parse::<Address>().ok());
    // Without their name: `lettre` panics where one holds a control character.
    Ok(address.map(|address| Mailbox::new(None, address)))
}

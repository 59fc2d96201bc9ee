//! What the command lines of campus have in common: the database, and a bar for what takes its time.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use url::Url;

use crate::demo;

/// Where the data is when nobody says where.
pub const EMBEDDED: &str = "sqlite:campus.sqlite";

/// Where the data is. Displayed without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// An embedded file.
    Sqlite(String),
    /// A server.
    Postgres(String),
}

impl Database {
    /// Says whether it is a file that is not there yet.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        // What follows a question mark are options.
        matches!(self, Self::Sqlite(path) if !Path::new(path.split('?').next().unwrap_or(path)).exists())
    }
}

impl FromStr for Database {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected sqlite:PATH or postgres://USER@HOST/NAME";
        if let Some(path) = text.strip_prefix("sqlite:") {
            return if path.is_empty() { Err(EXPECTED) } else { Ok(Self::Sqlite(path.to_owned())) };
        }
        let is_server = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        let url = text.strip_prefix("postgres:").filter(|url| is_server(url)).unwrap_or(text);
        if is_server(url) && Url::parse(url).is_ok() { Ok(Self::Postgres(url.to_owned())) } else { Err(EXPECTED) }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{path}"),
            // It was parsed before. Options may hold a password as well.
            Self::Postgres(url) => {
                let Ok(url) = Url::parse(url) else { return formatter.write_str("postgres:") };
                write!(formatter, "postgres://{}{}", url.host_str().unwrap_or_default(), url.path())
            }
        }
    }
}

/// A bar on standard error, if that is a terminal, and only from the moment on at which somebody may begin to wonder.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    started: Instant,
}

impl Bar {
    /// Nobody wonders before.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Shows how much is done of how much there is.
    #[must_use]
    pub fn of(total: u64) -> Self {
        Self::new(total, "{bar:32} {percent:>3} %  {msg}  {elapsed_precise}, {eta_precise} to go")
    }

    /// Shows that something goes on of which nobody knows how long it takes.
    #[must_use]
    pub fn endless() -> Self {
        Self::new(0, "{spinner} {msg}  {elapsed_precise}")
    }

    fn new(total: u64, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()).with_style(style);
        Self { bar, started: Instant::now() }
    }

    /// Says how much is done of how much there is.
    pub fn set(&self, done: u64, total: u64, message: String) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(message);
        // It stays hidden where standard error is no terminal.
        if self.bar.is_hidden() && self.started.elapsed() >= Self::PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Waits for something of which nobody knows how long it takes.
    pub async fn wait<T>(&self, message: &'static str, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            if let Ok(done) = tokio::time::timeout(Self::PATIENCE / 4, &mut what).await {
                return done;
            }
            self.set(0, 0, message.to_owned());
            self.bar.tick();
        }
    }

    /// Says how far the demo has come.
    pub fn demo(&self, progress: demo::Progress) {
        let demo::Progress { phase, done, total } = progress;
        self.set(done, total, format!("{phase} {done} of {total}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_in_one_of_three_ways_and_shown_without_its_password() {
        let shown = |text: &str| text.parse::<Database>().map(|database| database.to_string());
        assert_eq!(shown("sqlite:a/b.sqlite").unwrap(), "sqlite:a/b.sqlite");
        assert_eq!(shown("postgres://me:secret@host:5/campus?password=secret").unwrap(), "postgres://host/campus");
        assert_eq!(shown("postgres:postgresql://host/campus").unwrap(), "postgres://host/campus");
        assert_eq!(shown("postgres:///campus?host=/run").unwrap(), "postgres:///campus");
        for wrong in ["", "sqlite:", "campus.sqlite", "postgres:", "postgres:host", "mysql://host/campus"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}

//! Positions in the feed: what a reader has seen, told by snapshots of transactions.

use std::fmt;

/// What one reader has seen: all that was visible in `seen`, and of what became visible until `window` all up to `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// `None`: nothing.
    pub(super) seen: Option<Snapshot>,
    /// `None`: no page of a longer answer is open.
    pub(super) window: Option<Snapshot>,
    pub(super) id: i64,
}

impl Position {
    /// Parses the notation `seen`, or `seen/window/id` within a longer answer.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let seen = match parts.next()? {
            "" => None,
            seen => Some(Snapshot::parse(seen)?),
        };
        let position = match (parts.next(), parts.next()) {
            (None, _) => Self { seen, window: None, id: 0 },
            (Some(window), Some(id)) => Self { seen, window: Some(Snapshot::parse(window)?), id: id.parse().ok()? },
            (Some(_), None) => return None,
        };
        parts.next().is_none().then_some(position)
    }

    /// Says whether it was taken where more transactions had begun: in another database.
    pub(super) fn is_ahead_of(&self, now: &Snapshot) -> bool {
        self.seen.iter().chain(&self.window).any(|snapshot| snapshot.end > now.end)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seen) = &self.seen {
            write!(formatter, "{seen}")?;
        }
        match &self.window {
            None => Ok(()),
            Some(window) => write!(formatter, "/{window}/{}", self.id),
        }
    }
}

/// A `pg_snapshot`, `xmin:xmax:xip,…`: which transactions had ended. Parsed here, for a text that the server refused would
/// end the caller's transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// All before it had ended.
    start: u64,
    /// The first transaction that had not begun.
    end: u64,
    /// Those in between that had not ended, in order.
    open: Vec<u64>,
}

impl Snapshot {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (start, end) = (number(parts.next()?)?, number(parts.next()?)?);
        let open: Vec<u64> = match parts.next()? {
            "" => Vec::new(),
            open => open.split(',').map(number).collect::<Option<_>>()?,
        };
        let is_sound = parts.next().is_none()
            && 0 < start
            && start <= end
            && open.is_sorted()
            && open.iter().all(|id| (start..end).contains(id));
        is_sound.then_some(Self { start, end, open })
    }

    /// Parses the snapshot of a transaction that may have a number of its own, and holds it for open. The server leaves that
    /// number out: as soon as a later transaction had ended, the asking one would pass for ended, too.
    pub(super) fn parse_from(text: &str, own: Option<&str>) -> Option<Self> {
        let mut snapshot = Self::parse(text)?;
        if let Some(own) = own {
            let own = number(own)?;
            if (snapshot.start..snapshot.end).contains(&own) {
                snapshot.open.push(own);
                snapshot.open.sort_unstable();
            }
        }
        Some(snapshot)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:", self.start, self.end)?;
        for (index, id) in self.open.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{id}")?;
        }
        Ok(())
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_no_other_text_is_one() {
        for text in ["", "7:7:", "7:9:7,8", "7:9:7/12:13:/5", "/12:13:12/0"] {
            assert_eq!(Position::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "7",
            "7:9",
            "9:7:",
            "0:7:",
            "7:9:9",
            "7:9:6",
            "7:9:8,7",
            "7:9:,",
            "a:9:",
            "7:9:/",
            "7:9:/9:9:",
            "7:9:/9:9:/x",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        for text in ["7:9:/9:9:/1/", "+7:9:", "7:9::", "18446744073709551616:18446744073709551616:"] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_transaction_that_asks_has_not_ended() {
        for (text, own, expected) in [
            ("7:9:8", None, "7:9:8"),
            ("7:9:8", Some("7"), "7:9:7,8"),
            ("7:9:", Some("8"), "7:9:8"),
            ("7:7:", Some("7"), "7:7:"),
            ("7:9:", Some("12"), "7:9:"),
        ] {
            assert_eq!(Snapshot::parse_from(text, own).unwrap().to_string(), expected);
        }
    }
}

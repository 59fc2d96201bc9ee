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
        formatter.write_str(self.seen.as_ref().map_or("", Snapshot::as_str))?;
        match &self.window {
            None => Ok(()),
            Some(window) => write!(formatter, "/{}/{}", window.as_str(), self.id),
        }
    }
}

/// A `pg_snapshot`, `xmin:xmax:xip,…`: which transactions had ended. Parsed here, for a text that the server refused would
/// end the caller's transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    text: String,
    /// The first transaction that had not begun.
    end: u64,
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
        is_sound.then(|| Self { text: text.to_owned(), end })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
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
}

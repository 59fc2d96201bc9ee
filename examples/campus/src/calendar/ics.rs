//! An event as a file that calendars read (RFC 5545).

use chrono::DateTime;

use super::Event;

/// The longest line in bytes, without its end.
const LINE: usize = 75;

/// The file. Times are in UTC: every calendar shows them by the clock of whoever looks.
pub(crate) fn file(event: &Event) -> String {
    let mut file = String::new();
    let status = if event.cancelled_at.is_some() { "CANCELLED" } else { "CONFIRMED" };
    for (name, value) in [
        ("BEGIN", "VCALENDAR".to_owned()),
        ("VERSION", "2.0".to_owned()),
        ("PRODID", "-//Campus//Calendar//EN".to_owned()),
        ("METHOD", "PUBLISH".to_owned()),
        ("BEGIN", "VEVENT".to_owned()),
        ("UID", format!("{}@campus", event.id)),
        ("DTSTAMP", time(event.updated_at)),
        ("DTSTART", time(event.starts_at)),
        ("DTEND", time(event.ends_at)),
        ("SUMMARY", escaped(&event.title)),
        ("LOCATION", escaped(&event.place)),
        ("DESCRIPTION", escaped(&event.body)),
        ("STATUS", status.to_owned()),
        ("END", "VEVENT".to_owned()),
        ("END", "VCALENDAR".to_owned()),
    ] {
        fold(&mut file, &format!("{name}:{value}"));
    }
    file
}

fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(String::new, |at| at.format("%Y%m%dT%H%M%SZ").to_string())
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Breaks a line so that none is longer than [`LINE`] bytes: what goes on begins with a space, and no character is torn.
fn fold(file: &mut String, line: &str) {
    let mut length = 0;
    for character in line.chars() {
        if length + character.len_utf8() > LINE {
            file.push_str("\r\n ");
            length = 1;
        }
        file.push(character);
        length += character.len_utf8();
    }
    file.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_is_escaped_and_long_lines_fold_between_characters() {
        let event = Event {
            id: "1".into(),
            scope: "group:chess".into(),
            author_id: "ada".into(),
            title: "Chess; slow, and \\ late".into(),
            body: format!("First\nSecond {}", "é".repeat(200)),
            place: "Hall".into(),
            starts_at: 1_900_000_000_000_000,
            ends_at: 1_900_003_600_000_000,
            time_zone: "UTC".into(),
            capacity: None,
            going: 0,
            waiting: 0,
            last_place: 0,
            created_at: 0,
            updated_at: 0,
            cancelled_at: None,
        };
        let file = file(&event);
        assert!(file.contains("\r\nSUMMARY:Chess\\; slow\\, and \\\\ late\r\n"), "{file}");
        assert!(file.contains("DTSTART:20300317T174640Z\r\nDTEND:20300317T184640Z\r\n"), "{file}");
        assert!(file.ends_with("END:VCALENDAR\r\n"));
        assert!(file.split("\r\n").all(|line| line.len() <= LINE && !line.contains('\n')));
        let unfolded = file.replace("\r\n ", "");
        assert!(unfolded.contains(&format!("DESCRIPTION:First\\nSecond {}\r\n", "é".repeat(200))), "{file}");
    }
}

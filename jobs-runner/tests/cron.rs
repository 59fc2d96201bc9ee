//! Schedules against a wall clock that is read minute by minute.

use std::env;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use stoa_jobs_runner::{Error, Schedule};

type IsDue = fn(NaiveDateTime) -> bool;

/// Expressions, and what they mean, written down once more.
const EXPRESSIONS: &[(&str, IsDue)] = &[
    ("* * * * *", |_| true),
    ("*/15 * * * *", |at| at.minute().is_multiple_of(15)),
    ("30 2 * * *", |at| (at.hour(), at.minute()) == (2, 30)),
    ("*/20 0-3 * * *", |at| at.hour() <= 3 && at.minute().is_multiple_of(20)),
    ("0 0 * * *", |at| (at.hour(), at.minute()) == (0, 0)),
    ("45 23 * * *", |at| (at.hour(), at.minute()) == (23, 45)),
    ("5 1,2 * * SUN", |at| at.weekday() == Weekday::Sun && matches!(at.hour(), 1 | 2) && at.minute() == 5),
    ("15 0 * 9-11 *", |at| (9..=11).contains(&at.month()) && (at.hour(), at.minute()) == (0, 15)),
];

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Tehran",
    "Asia/Beirut",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
];

/// Whatever the hands pass over for the first time is due: they jump forward, and they stand still until a time that is repeated
/// has caught up.
fn watch(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>, is_due: IsDue) -> Vec<DateTime<Utc>> {
    const MINUTE: TimeDelta = TimeDelta::minutes(1);
    let local = |moment: DateTime<Utc>| moment.with_timezone(&zone).naive_local();
    let (mut moment, mut shown, mut due) = (from, local(from), Vec::new());
    while moment < until {
        moment += MINUTE;
        let mut is_passed = false;
        while shown < local(moment) {
            shown += MINUTE;
            is_passed |= is_due(shown);
        }
        if is_passed {
            due.push(moment);
        }
    }
    due
}

/// The days around every change of a zone's offset, found by looking every hour.
fn changes(zone: Tz, years: std::ops::Range<i32>) -> Vec<DateTime<Utc>> {
    let start = |year| NaiveDateTime::default().with_year(year).unwrap().and_utc();
    let local = |moment: DateTime<Utc>| moment.with_timezone(&zone).naive_local();
    let offset = |moment: DateTime<Utc>| local(moment) - moment.naive_utc();
    let hours = std::iter::successors(Some(start(years.start)), |hour| Some(*hour + TimeDelta::hours(1)));
    let hours = hours.take_while(|hour| *hour < start(years.end));
    hours.filter(|hour| offset(*hour) != offset(*hour + TimeDelta::hours(1))).collect()
}

#[test]
fn a_schedule_agrees_with_a_wall_clock_through_every_change_of_clocks() {
    let years = if env::var_os("STOA_TEST_FULL").is_some() { 1972..2050 } else { 2011..2012 };
    let mut seen = 0;
    for name in ZONES {
        let zone: Tz = name.parse().unwrap();
        let around = changes(zone, years.clone());
        seen += around.len();
        for change in around {
            let (from, until) = (change - TimeDelta::hours(27), change + TimeDelta::hours(51));
            for (expression, is_due) in EXPRESSIONS {
                let schedule = Schedule::new(expression, name).unwrap();
                let expected = watch(zone, from, until, *is_due);
                let next = std::iter::successors(schedule.next_after(from), |due| schedule.next_after(*due));
                let forward: Vec<_> = next.take_while(|due| *due <= until).collect();
                assert_eq!(forward, expected, "{schedule} after {from}");
                let mut backward: Vec<_> = schedule.due_between(from, until).collect();
                backward.reverse();
                assert_eq!(backward, expected, "{schedule} until {until}");
                // From within the change, and from beside a whole minute.
                for second in (-7200..7200).step_by(631) {
                    let moment = change + TimeDelta::milliseconds(second * 1000 + 1);
                    let next = expected.iter().find(|due| **due > moment).copied();
                    let found = schedule.next_after(moment).filter(|due| *due <= until);
                    assert_eq!(found, next, "{schedule} after {moment}");
                    let latest = schedule.due_between(from, moment).next();
                    assert_eq!(latest, expected.iter().rfind(|due| **due <= moment).copied(), "{schedule} at {moment}");
                }
            }
        }
    }
    assert!(seen > 20, "{seen} changes");
}

/// The rule in figures that everybody can look up.
#[test]
fn a_skipped_time_is_due_at_the_next_valid_one_and_a_repeated_one_once() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        // 02:00 to 03:00 is skipped.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        // 02:00 to 03:00 is repeated.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]),
        // Half an hour: 02:00 to 02:30 is skipped, 01:30 to 02:00 repeated.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        ),
        // Midnight itself: skipped, and the hour before it repeated.
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", &["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", &["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"]),
        ("30 23 * * *", "Africa/Cairo", "2026-10-29T12:00:00Z", &["2026-10-29T20:30:00Z", "2026-10-30T21:30:00Z"]),
        // Every skipped quarter is due at once, every repeated one not at all.
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", &["2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"]),
    ];
    for (expression, zone, after, expected) in cases {
        let schedule = Schedule::new(expression, zone).unwrap();
        let mut moment: DateTime<Utc> = after.parse().unwrap();
        for expected in *expected {
            moment = schedule.next_after(moment).unwrap();
            assert_eq!(moment, expected.parse::<DateTime<Utc>>().unwrap(), "{schedule}");
        }
    }
}

#[test]
fn what_cannot_be_read_or_never_comes_is_refused() {
    let long = format!("{} * * * *", "1,".repeat(130));
    for expression in [
        "",
        "* * * *",
        "61 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "a * * * *",
        "*/0 * * * *",
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 30-31 FEB *",
        "0 0 1 1 * 2030 2031",
        "0 0 0 1 1 * 2030",
        "0 0\0* * *",
        &long,
    ] {
        let refused = Schedule::new(expression, "UTC");
        assert!(matches!(refused, Err(Error::Invalid { what: "cron expression", .. })), "{expression:?}: {refused:?}");
    }
    for zone in ["", "Europe/Atlantis", "+02:00", "europe berlin", "UTC\0"] {
        let refused = Schedule::new("0 0 * * *", zone);
        assert!(matches!(refused, Err(Error::Invalid { what: "time zone", .. })), "{zone:?}: {refused:?}");
    }
    for expression in ["0 0 29 2 *", "@hourly", "*/10 * * * * *", "0 0 L * *", "0 9 * * MON#1", "0 0 15W * *"] {
        Schedule::new(expression, "Europe/Berlin").unwrap();
    }
    let rare = Schedule::new("0 0 29 2 *", "UTC").unwrap();
    let after = "2096-03-01T00:00:00Z".parse().unwrap();
    assert_eq!(rare.next_after(after), Some("2104-02-29T00:00:00Z".parse().unwrap()));
}

//! What the groups of a generated campus plan, what the campus itself plans, and who comes.

use std::ops::Range;

use chrono::{DateTime, TimeDelta};
use stoa_membership::UserId;

use super::cast::Cast;
use super::load::{Plan, record_many};
use super::places::zone;
use super::rng::Rng;
use super::topics::Topic;
use super::words::{capitalized, fill};
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::bulk::Bulk;
use crate::calendar::rsvp::{self, GOING, Rsvp, WAITING};
use crate::calendar::sql::CalendarSql as _;
use crate::calendar::{self, Event, on_the_wall, parse_zone};
use crate::caller::Caller;
use crate::error::Result;

/// Every group plans so many.
const EACH: u64 = 3;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

const TITLES: [&str; 5] = ["{m}", "{m}: {t}", "{t}, together", "{m} in {p}", "An evening about {t}"];

const OPENINGS: &[&str] = &[
    "We meet in {p}. Come when you can, leave when you must.",
    "This time it is about {t}, and there is time for questions.",
    "Everybody from the group is welcome, and so are beginners.",
    "The last one was full, so please answer here and keep to it.",
    "For everybody who asked about {t}: this is the occasion.",
];

const CLOSINGS: &[&str] = &[
    "Bring somebody who has never been.",
    "Costs are shared; nobody stays away because of them.",
    "There is something to eat afterwards.",
    "If you cannot come, free your place for somebody who waits.",
    "The room is open a quarter of an hour earlier.",
];

/// A title, a text, a place, the hour and the places, if there is a bound.
type Open = (&'static str, &'static str, &'static str, u32, Option<i64>);

const CAMPUS: [Open; 12] = [
    (
        "Careers evening: twelve professions in two hours",
        "Twelve tables, twelve people who do it for a living, ten minutes at each. Bring the question you would not ask at an interview.",
        "Great hall",
        18,
        Some(120),
    ),
    (
        "The observatory at night",
        "If it is clear we see Saturn; if it is not, there is tea and a very good talk about clouds.",
        "Observatory, north hill",
        21,
        Some(30),
    ),
    (
        "Reading from the archive",
        "Letters home from four generations of first-year students, read aloud by four of today's.",
        "Old library",
        19,
        Some(60),
    ),
    (
        "Alumni football against the first team",
        "We have lost nine times in a row, narrowly. Boots are optional, a sense of proportion is not.",
        "Lower field",
        15,
        None,
    ),
    (
        "How the scholarship fund works",
        "Who decides, by which rules, and what became of those who got one. With numbers, and time to disagree.",
        "Senate room",
        17,
        Some(80),
    ),
    (
        "Choir and orchestra: the spring concert",
        "A requiem that everybody knows, and something written this year by somebody who sat in the second row of the violas.",
        "Chapel",
        19,
        Some(240),
    ),
    (
        "First aid in two hours",
        "A practical course with an instructor from the ambulance. Wear something you can kneel in.",
        "Sports hall",
        10,
        Some(24),
    ),
    (
        "Repair café",
        "Bring the lamp, the zip, the toaster. Eleven people who like such things wait with tools and patience.",
        "Workshop, east wing",
        14,
        None,
    ),
    (
        "A tour of the new laboratories",
        "Forty minutes, two flights of stairs, and one instrument that nobody is allowed to touch.",
        "Science building, main entrance",
        16,
        Some(20),
    ),
    (
        "Garden day",
        "The long border is cut back in the morning and argued about over soup at noon.",
        "Botanical garden",
        9,
        None,
    ),
    (
        "Questions to the rector",
        "An hour of questions, answered in the order in which they are asked. Nothing is collected beforehand.",
        "Great hall",
        18,
        Some(200),
    ),
    (
        "Night of short talks",
        "Ten alumni, six minutes each, on whatever they know better than anybody else in the room.",
        "Lecture theatre B",
        20,
        Some(150),
    ),
];

/// How many there are.
pub(super) fn count(plan: &Plan) -> u64 {
    EACH * plan.groups().len() as u64 + CAMPUS.len() as u64
}

/// The number of the group whose event that is; none for those of the campus.
pub(super) fn group_of(plan: &Plan, number: u64) -> Option<usize> {
    let groups = plan.groups().len() as u64;
    if number < EACH * groups { usize::try_from(number % groups).ok() } else { None }
}

/// Makes an event up, and who answered to it.
pub(super) fn event(plan: &Plan, cast: &Cast, number: u64) -> Result<(Event, Vec<Rsvp>)> {
    let mut rng = Rng::of(plan.seed, "event", number);
    let groups = plan.groups();
    let group = group_of(plan, number);
    // Most are still to come.
    let days = if rng.chance(20) { -7 - rng.below(60).cast_signed() } else { 1 + rng.below(50).cast_signed() };
    let created_at =
        plan.until - (days.min(0).unsigned_abs().cast_signed() + 4) * DAY - rng.below(20 * 60).cast_signed() * MINUTE;
    let (scope, author_id, city, title, body, place, hour, capacity) = if let Some(group) = group {
        let (topic, city) = (groups.topic(group), groups.city(group).unwrap_or_default());
        let hour = 17 + u32::try_from(rng.below(4)).unwrap_or_default();
        let capacity = if rng.chance(40) { None } else { Some(4 + rng.below(28).cast_signed()) };
        // Of those of one group, each is called differently.
        let round = usize::try_from(number / groups.len() as u64).unwrap_or_default();
        let (title, body, place) = words(&mut rng, topic, TITLES[(group + 2 * round) % TITLES.len()]);
        let place = if city.is_empty() { place } else { format!("{place}, {city}") };
        let scope = groups.scope(group)?.to_string();
        (scope, cast.owner(group).to_owned(), city, title, body, place, hour, capacity)
    } else {
        let which = usize::try_from(number).unwrap_or_default() % CAMPUS.len();
        let (title, body, place, hour, capacity) = CAMPUS[which];
        let texts = (title.to_owned(), body.to_owned(), place.to_owned());
        (EVERYONE.to_owned(), super::staff_id(), "", texts.0, texts.1, texts.2, hour, capacity)
    };
    let zone = zone(city);
    let day = DateTime::from_timestamp_micros(plan.until).unwrap_or_default().date_naive() + TimeDelta::days(days);
    let starts_at = on_the_wall("the start", &format!("{day}T{hour:02}:00"), parse_zone(zone)?)?.timestamp_micros();
    let mut event = Event {
        id: super::id(created_at, &mut rng),
        scope,
        author_id,
        title,
        body,
        place,
        starts_at,
        ends_at: starts_at + (90 + 30 * rng.below(3).cast_signed()) * MINUTE,
        time_zone: zone.to_owned(),
        capacity,
        going: 0,
        waiting: 0,
        last_place: 0,
        created_at,
        updated_at: created_at,
        cancelled_at: None,
    };
    let people = match group {
        Some(group) => cast.some(&mut rng, group, 24),
        None => from_everywhere(&mut rng, cast),
    };
    let rsvps = people.into_iter().map(|person| answer(&mut event, person)).collect();
    Ok((event, rsvps))
}

fn words(rng: &mut Rng, topic: &Topic, title: &'static str) -> (String, String, String) {
    let mut say = |templates: &[&'static str]| capitalized(fill(rng.pick(templates), rng, topic));
    let title = say(&[title]);
    let body = format!("{} {} {}", say(OPENINGS), say(&["{r}"]), say(CLOSINGS));
    let place = say(&["{p}"]);
    (title, body, place)
}

/// Some people of any groups, each once.
fn from_everywhere<'a>(rng: &mut Rng, cast: &'a Cast) -> Vec<&'a str> {
    let mut people: Vec<&str> = Vec::new();
    for _ in 0..rng.below(40) {
        let group = &cast.members[rng.index(cast.members.len())];
        let person = group[rng.index(group.len())].as_str();
        if !people.contains(&person) {
            people.push(person);
        }
    }
    people
}

/// First come, first served.
fn answer(event: &mut Event, person: &str) -> Rsvp {
    event.last_place += 1;
    let has_room = event.capacity.is_none_or(|capacity| event.going < capacity);
    let (state, count) = if has_room { (GOING, &mut event.going) } else { (WAITING, &mut event.waiting) };
    *count += 1;
    Rsvp { event_id: event.id.clone(), person_id: person.into(), state: state.into(), place: event.last_place }
}

/// Makes some events in one transaction.
pub(super) async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    plan: &Plan,
    cast: &Cast,
    range: Range<u64>,
) -> Result<()> {
    let (mut answers, mut documents, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for number in range {
        let (event, rsvps) = event(plan, cast, number)?;
        tx.insert_event(&event).await?;
        tx.set_event_counts(&event).await?;
        documents.push(event.document()?);
        let author = Caller::new(UserId::new(&*event.author_id)?);
        records.push(event.record(&author, calendar::CREATED)?.after(&event)?);
        for answer in &rsvps {
            let caller = Caller::new(UserId::new(&*answer.person_id)?);
            records.push(rsvp::record(&event, &caller, "none", &answer.state)?);
        }
        answers.extend(rsvps);
    }
    RSVPS.write(tx, &answers).await?;
    app.search.upsert_many(tx, &documents).await?;
    record_many(app, tx, &records).await
}

const RSVPS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_rsvp (event_id, person_id, state, place)
        SELECT event_id, person_id, state, place
        FROM json_to_recordset($1::json) AS row (event_id text, person_id text, state text, place bigint)
    "#,
    sqlite: r#"
        INSERT INTO campus_rsvp (event_id, person_id, state, place)
        SELECT value ->> 'event_id', value ->> 'person_id', value ->> 'state', value ->> 'place'
        FROM json_each($1)
    "#,
};

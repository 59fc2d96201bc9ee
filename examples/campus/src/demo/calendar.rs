//! What is planned and announced on the demo campus.

use chrono::{Datelike as _, TimeDelta, Utc, Weekday};
use stoa_audit::Actor;
use stoa_capabilities::Scoped;
use stoa_membership::{Filter, PageRequest, Role, Scope, UserId};

use super::load::record_many;
use crate::announcements::{self, publish::make_public};
use crate::app::App;
use crate::backend::Backend;
use crate::calendar::rsvp::{self, GOING, Rsvp, WAITING};
use crate::calendar::sql::CalendarSql as _;
use crate::calendar::{self, Draft, Event, When};
use crate::caller::Caller;
use crate::error::Result;
use crate::readers::Readers;

/// A group, and the title, text, place, day of the week, hour and places of what it plans.
type Plan = (&'static str, &'static str, &'static str, &'static str, Weekday, u32, Option<i64>);

const PLANS: [Plan; 6] = [
    (
        "chess",
        "Blitz night",
        "Five minutes a side, seven rounds, and the slow table for whoever would rather think. Clocks are provided.",
        "Reading room of the library",
        Weekday::Thu,
        19,
        Some(8),
    ),
    (
        "rowing",
        "Outing at high tide",
        "We launch at nine sharp. Novices sit in the quad; breakfast afterwards is part of the training.",
        "Boat house",
        Weekday::Sun,
        9,
        Some(4),
    ),
    (
        "startups",
        "Office hours with two founders",
        "Bring one question, leave with one introduction.",
        "Room 12, old mill",
        Weekday::Wed,
        18,
        Some(6),
    ),
    (
        "cooking",
        "Dumplings, all at once",
        "Many kitchens, one evening. Photographs of the failures are worth double.",
        "Your own kitchen",
        Weekday::Sat,
        17,
        None,
    ),
    (
        "hiking",
        "The ridge, if the wind allows",
        "Twelve kilometres with a scramble in the middle. We turn back if it gusts above fifty.",
        "North car park",
        Weekday::Sun,
        8,
        Some(20),
    ),
    (
        "mentors",
        "Pairs for the spring",
        "Mentors and those who look for one meet over tea. Come with a question, or with time.",
        "The conservatory",
        Weekday::Tue,
        17,
        None,
    ),
];

const NEWS: [(&str, &str); 2] = [
    (
        "The library stays open until midnight",
        "From Monday the reading rooms close at midnight instead of ten. Alumni cards open the side door after eight; please \
         close it behind you.",
    ),
    (
        "Reunion weekend: what is planned",
        "Three days in early summer, with the boat race on Saturday and supper in the cloister. Rooms in the colleges can be \
         booked from next week; every chapter brings a dish.",
    ),
];

/// An event of every group with answers to it, one of the campus, what the staff has announced and what it is still writing.
pub(super) async fn make<B: Backend>(app: &App<B>, tx: &mut Scoped<'_, B::Transaction>, staff: &UserId) -> Result<()> {
    for (group, title, body, place, day, hour, capacity) in PLANS {
        let scope = Scope::group(group)?;
        let owners = Filter::default().role(Role::new("owner")?);
        let owner = app.membership.list_by_scope(tx, &scope, &owners, &PageRequest::first(1)).await?.items;
        let Some(owner) = owner.first().map(|member| Caller::new(member.user().clone())) else { continue };
        let draft = Draft::new(title, body, place, next(day, hour)?, capacity)?;
        let event = calendar::plan(app, tx, &owner, &Readers::Members(scope.clone()), draft).await?;
        let members =
            app.membership.list_by_scope(tx, &scope, &Filter::default(), &PageRequest::first(12)).await?.items;
        fill(app, tx, event, members.iter().map(|member| member.user().as_str()).skip(2)).await?;
    }
    let staff = Caller::new(staff.clone());
    let open = Draft::new(
        "Open evening on campus",
        "The workshops, the observatory and the archive are open to everybody, and to whoever you bring along.",
        "Main quad",
        next(Weekday::Fri, 18)?,
        None,
    )?;
    calendar::plan(app, tx, &staff, &Readers::Everyone, open).await?;
    for (title, body) in NEWS {
        let draft = announcements::Draft::new(title, body, Readers::Everyone)?;
        let news = announcements::write(app, tx, &staff, draft).await?;
        make_public(app, tx, &news, &Actor::user(staff.user.as_str())?, &staff.request).await?;
    }
    let unfinished = announcements::Draft::new(
        "A new name for the north quad",
        "Three proposals are left. This one still needs the text of the committee.",
        Readers::Everyone,
    )?;
    announcements::write(app, tx, &staff, unfinished).await?;
    Ok(())
}

/// That day of next week, for two hours.
fn next(day: Weekday, hour: u32) -> Result<When> {
    let monday = Utc::now().date_naive().week(Weekday::Mon).first_day() + TimeDelta::days(7);
    let date = monday + TimeDelta::days(i64::from(day.num_days_from_monday()));
    let local = |hour: u32| format!("{}-{:02}-{:02}T{hour:02}:00", date.year(), date.month(), date.day());
    When::local(&local(hour), &local(hour + 2), "Europe/Lisbon")
}

/// The first of them have a place, the others wait for one.
async fn fill<'a, B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    mut event: Event,
    people: impl Iterator<Item = &'a str> + Send,
) -> Result<()> {
    let mut records = Vec::new();
    for person_id in people {
        event.last_place += 1;
        let is_going = event.capacity.is_none_or(|capacity| event.going < capacity);
        let (state, count) = if is_going { (GOING, &mut event.going) } else { (WAITING, &mut event.waiting) };
        *count += 1;
        let (event_id, place) = (event.id.clone(), event.last_place);
        conn.put_rsvp(&Rsvp { event_id, person_id: person_id.into(), state: state.into(), place }).await?;
        records.push(rsvp::record(&event, &Caller::new(UserId::new(person_id)?), "none", state)?);
    }
    conn.set_event_counts(&event).await?;
    record_many(app, conn, &records).await
}

//! The jobs board of a generated campus.

use std::ops::Range;

use stoa_membership::UserId;

use super::cast::Cast;
use super::load::{Plan, record_many};
use super::people::{WORK, slug};
use super::places::CITIES;
use super::rng::Rng;
use super::words::capitalized;
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Result;
use crate::openings::sql::OpeningSql as _;
use crate::openings::{self, Opening};

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

const RANKS: &[&str] = &["{w}", "{w}", "{w}", "Senior {w}", "Junior {w}", "{w}, part-time", "{w}, parental cover"];

const OPENINGS: &[&str] = &[
    "We are {n} people in {c} and need one more.",
    "Somebody who has done this for nine years is retiring in spring, and would like to show you how.",
    "A new team, a sensible budget, and a problem that is older than all of us.",
    "I work there myself and am glad to tell you what is good about it, and what is not.",
    "It is a small place: you would do a bit of everything, and decide most of it.",
    "The last one was found on this board, and stayed for six years.",
];

const MIDDLES: &[&str] = &[
    "What you studied matters less than what you have finished.",
    "The salary stands in the advertisement, and is the same for everybody on that step.",
    "Two days a week at home are normal; the other three are why people stay.",
    "You write well, and you read what others write before the meeting.",
    "Some travel, never at the weekend.",
    "There is a probation of four months, for both sides.",
    "You would have a mentor for the first year.",
    "We speak English at work and help with whatever else is spoken in {c}.",
];

const CLOSINGS: &[&str] = &[
    "Say that you come from here.",
    "Write to me before you apply if you have a question.",
    "Two conversations and a half day together; no puzzles.",
    "The answer comes within two weeks, whatever it is.",
];

const NUMBERS: &[&str] = &["four", "six", "nine", "fourteen", "thirty", "sixty"];

/// How many there are.
pub(super) fn count(plan: &Plan) -> u64 {
    20 + plan.people / 100
}

/// Makes an opening up: by somebody of some group, and one in four for that group only.
pub(super) fn opening(plan: &Plan, cast: &Cast, number: u64) -> Result<Opening> {
    let mut rng = Rng::of(plan.seed, "opening", number);
    let groups = plan.groups();
    let group = rng.index(groups.len());
    let members = &cast.members[group];
    // The last of them is nothing that anybody is hired as.
    let (work, employer) = WORK[rng.index(WORK.len() - 1)];
    let employer = employer.strip_prefix("the ").map_or_else(|| employer.to_owned(), |name| format!("The {name}"));
    let city = groups.city(group).unwrap_or_else(|| rng.pick(&CITIES[..groups.chapters.clamp(1, CITIES.len())]));
    let is_remote = rng.chance(20);
    let mut say = |templates: &[&'static str]| {
        let text = rng.pick(templates).replace("{w}", work).replace("{c}", city);
        text.replace("{n}", rng.pick(NUMBERS))
    };
    let title = capitalized(say(RANKS));
    let (first, second) = (say(MIDDLES), say(MIDDLES));
    let middle = if first == second { first } else { format!("{first} {second}") };
    let body = format!("{} {middle}\n\n{}", say(OPENINGS), say(CLOSINGS));
    let created_at = plan.until - rng.below(45 * 24).cast_signed() * DAY / 24;
    Ok(Opening {
        id: super::id(created_at, &mut rng),
        author_id: members[rng.index(members.len())].clone(),
        audience: if rng.chance(25) { groups.scope(group)?.to_string() } else { EVERYONE.to_owned() },
        title,
        url: format!("https://{}.example/jobs/{}", slug(&employer), number + 1),
        employer,
        place: if is_remote && rng.chance(50) { String::new() } else { city.to_owned() },
        is_remote,
        body,
        created_at,
        closes_at: plan.until + (5 + rng.below(80)).cast_signed() * DAY,
        closed_at: None,
    })
}

/// Makes some openings in one transaction.
pub(super) async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    plan: &Plan,
    cast: &Cast,
    range: Range<u64>,
) -> Result<()> {
    let (mut documents, mut records) = (Vec::new(), Vec::new());
    for number in range {
        let opening = opening(plan, cast, number)?;
        tx.insert_opening(&opening).await?;
        documents.push(opening.document()?);
        let author = Caller::new(UserId::new(&*opening.author_id)?);
        records.push(author.record(openings::CREATED, opening.entity()?)?.after(&opening)?);
    }
    app.search.upsert_many(tx, &documents).await?;
    record_many(app, tx, &records).await
}

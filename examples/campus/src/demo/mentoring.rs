//! The mentorship of a generated campus: two programmes, who takes part, and the first matches of one of them.

use std::ops::Range;

use stoa_membership::{By, Grant, Import, ImportRow, Role, UserId};

use super::cast::Cast;
use super::load::{Plan, record_many};
use super::rng::Rng;
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::bulk::Bulk;
use crate::caller::Caller;
use crate::error::Result;
use crate::mentorship::matches::Match;
use crate::mentorship::sql::{MatchSql as _, MentorshipSql as _};
use crate::mentorship::{
    self, Profile, ProfileDraft, ProfileInput, Programme, ProgrammeRole, matches, pairing, programme_scope,
};

const HOUR: i64 = 60 * 60 * 1_000_000;
const DAY: i64 = 24 * HOUR;

/// A name, what it is about, and for whom: everybody, or the members of a group that was written by hand.
const PROGRAMMES: [(&str, &str, Option<usize>); 2] = [
    (
        "First steps",
        "Mentorship for whoever has just begun, or begins again: an hour a fortnight with somebody who has been there.\n\nPairs are proposed by the matching, or by you. It lasts for as long as both find it useful, and half a year to begin with.",
        None,
    ),
    (
        "A founder beside you",
        "A year beside somebody who has started something before. Not an investor, not a coach: somebody who remembers the third month.",
        Some(2),
    ),
];

/// What people know, and want to learn.
const TERMS: [&str; 20] = [
    "negotiation",
    "public speaking",
    "software architecture",
    "product management",
    "grant writing",
    "structural design",
    "clinical practice",
    "data analysis",
    "fundraising",
    "teaching",
    "film editing",
    "patent law",
    "changing careers",
    "leading a team",
    "interviews",
    "academic writing",
    "supply chains",
    "urban planning",
    "working abroad",
    "starting a company",
];

const LANGUAGES: [&str; 8] = ["portuguese", "spanish", "french", "hindi", "japanese", "german", "arabic", "swahili"];

const GIVES: &[&str] = &[
    "I had somebody like that when I began, and would like to hand it on.",
    "I listen first. Advice comes in the second half of the hour.",
    "Send me what you want to talk about the evening before, even if it is one line.",
    "I am good at preparing for difficult conversations, having had most of them.",
];

const HOPES: &[&str] = &[
    "I have two offers and cannot tell which of them is the safe one.",
    "I would like to know what a week in this profession really looks like.",
    "I am the first of my family in such a job and do not know whom to ask.",
    "In a year I want to lead a small team, and to be ready for it.",
    "I came back after four years at home and want to begin where I stopped.",
];

/// In turn, what has become of the matches that were made; a mentee or the matching proposed them.
const STATES: [(&str, &str); 5] = [
    ("approved", "mentee"),
    ("accepted", "mentee"),
    ("proposed", "mentee"),
    ("approved", "matching"),
    ("ended", "mentee"),
];

/// So many mentees are there for each one with a match.
const MATCHED: u64 = 4;

/// So many of each role are people whom a visitor can be.
const KNOWN: u64 = 6;

/// How many programmes there are.
pub(super) const COUNT: u64 = PROGRAMMES.len() as u64;

/// How many take part in the first one as mentors, and as mentees.
fn mentors(plan: &Plan) -> u64 {
    KNOWN + (plan.people / 36).min(4_000)
}

fn mentees(plan: &Plan) -> u64 {
    KNOWN + (plan.people / 18).min(10_000 - KNOWN)
}

/// How many things there are to make: the programmes, and whoever takes part in the first.
pub(super) fn count(plan: &Plan) -> u64 {
    COUNT + mentors(plan) + mentees(plan)
}

/// A programme.
fn programme(plan: &Plan, number: u64) -> Result<Programme> {
    let mut rng = Rng::of(plan.seed, "programme", number);
    let (name, description, group) = PROGRAMMES[usize::try_from(number).unwrap_or_default() % PROGRAMMES.len()];
    let created_at = plan.until - (90 - number.cast_signed()) * DAY;
    Ok(Programme {
        id: super::id(created_at, &mut rng),
        name: name.into(),
        description: description.into(),
        audience: group.map_or_else(
            || Ok(EVERYONE.to_owned()),
            |group| plan.groups().scope(group).map(|scope| scope.to_string()),
        )?,
        state: "open".into(),
        created_by: super::staff_id(),
        created_at,
    })
}

/// Whoever takes part in the second programme: a few of the group that it is for, all of them free.
fn founders(plan: &Plan, cast: &Cast) -> Result<Vec<Profile>> {
    let programme = programme(plan, 1)?;
    let group = PROGRAMMES[1].2.unwrap_or_default();
    let some = cast.members[group].iter().take(15).zip(0_u64..);
    some.map(|(person, number)| {
        let role = if number < 5 { ProgrammeRole::Mentor } else { ProgrammeRole::Mentee };
        let mut rng = Rng::of(plan.seed, "founder", number);
        let year = 2000 + rng.below(22).cast_signed();
        profile(&mut rng, &programme, person, role, year)
    })
    .collect()
}

/// Whoever takes part in the first programme with that number, with the match that was made for them if they are a mentee.
fn participant(plan: &Plan, programme: &Programme, number: u64) -> Result<(Profile, Option<Match>)> {
    let Some(mentee) = number.checked_sub(mentors(plan)) else {
        let mut mentor = mentor(plan, programme, number)?;
        let state = (number * MATCHED < mentees(plan)).then(|| state(number).0);
        mentor.taken = i64::from(state.is_some_and(|state| state != "ended"));
        return Ok((mentor, None));
    };
    let mut profile = someone(plan, programme, ProgrammeRole::Mentee, mentee)?;
    let number = mentee / MATCHED;
    if !mentee.is_multiple_of(MATCHED) || number >= mentors(plan) {
        return Ok((profile, None));
    }
    let mentor = mentor(plan, programme, number)?;
    let (state, proposed_by) = state(number);
    profile.taken = i64::from(state != "ended");
    let mut rng = Rng::of(plan.seed, "match", number);
    let created_at = plan.until - (10 + rng.below(40).cast_signed()) * DAY;
    let pair = Match {
        id: super::id(created_at, &mut rng),
        programme_id: programme.id.clone(),
        mentor_user_id: mentor.user_id.clone(),
        mentee_user_id: profile.user_id.clone(),
        state: state.into(),
        proposed_by: proposed_by.into(),
        score: pairing::score(&mentor, &profile).unwrap_or_default(),
        run_id: None,
        created_at,
        changed_at: created_at + rng.below(72).cast_signed() * HOUR,
    };
    Ok((profile, Some(pair)))
}

fn state(mentor: u64) -> (&'static str, &'static str) {
    STATES[usize::try_from(mentor).unwrap_or_default() % STATES.len()]
}

fn mentor(plan: &Plan, programme: &Programme, number: u64) -> Result<Profile> {
    someone(plan, programme, ProgrammeRole::Mentor, number)
}

/// The one with that number among those of a role: first the people whom a visitor can be, then others.
fn someone(plan: &Plan, programme: &Programme, role: ProgrammeRole, number: u64) -> Result<Profile> {
    let mut rng = Rng::of(plan.seed, role.as_str(), number);
    let is_mentor = role == ProgrammeRole::Mentor;
    if let Some(others) = number.checked_sub(KNOWN) {
        // The mentees come after the mentors: nobody is both.
        let before = if is_mentor { 0 } else { mentors(plan) - KNOWN };
        let somebody = plan.somebody(before + others);
        return profile(&mut rng, programme, &somebody.id, role, somebody.batch.cast_signed());
    }
    let index = if is_mentor { 12 } else { 24 } + usize::try_from(number).unwrap_or_default();
    let year = i64::try_from(super::batch(index)).unwrap_or_default();
    profile(&mut rng, programme, &super::people()[index].id, role, year)
}

fn profile(rng: &mut Rng, programme: &Programme, person: &str, role: ProgrammeRole, year: i64) -> Result<Profile> {
    let is_mentor = role == ProgrammeRole::Mentor;
    let mut terms = |least: u64, most: u64| {
        let count = least + rng.below(most - least + 1);
        (0..count).map(|_| TERMS[rng.index(TERMS.len())]).collect::<Vec<_>>().join(", ")
    };
    let (skills, interests) = if is_mentor { (terms(2, 5), terms(0, 2)) } else { (terms(0, 2), terms(1, 4)) };
    let languages =
        if rng.chance(60) { format!("english, {}", LANGUAGES[rng.index(LANGUAGES.len())]) } else { "english".into() };
    let goals = rng.pick(if is_mentor { GIVES } else { HOPES }).to_owned();
    let capacity = 2 + rng.below(3).cast_signed();
    let input = ProfileInput { skills, interests, languages, batch_year: year, goals, capacity };
    Ok(ProfileDraft::new(role, &input)?.profile(&programme.id, person))
}

/// The membership that goes with a profile.
fn membership(profile: &Profile) -> Result<ImportRow> {
    let grant = Grant::new(Role::new(&*profile.role)?);
    Ok(ImportRow::active(UserId::new(&*profile.user_id)?, programme_scope(&profile.programme_id)?, grant))
}

/// A term by which a mentor is found.
#[derive(serde::Serialize)]
struct TermRow<'a> {
    programme_id: &'a str,
    term: &'a str,
    user_id: &'a str,
}

/// The terms by which they are found.
fn terms(profiles: &[Profile]) -> Vec<TermRow<'_>> {
    let mut rows = Vec::new();
    for profile in profiles {
        let Profile { programme_id, user_id, .. } = profile;
        rows.extend(profile.terms().map(|term| TermRow { programme_id, term, user_id }));
    }
    rows
}

/// Makes some of it in one transaction: the programmes first, then whoever takes part.
pub(super) async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    plan: &Plan,
    cast: &Cast,
    range: Range<u64>,
) -> Result<()> {
    let staff = Caller::new(UserId::new(super::staff_id())?);
    let first = programme(plan, 0)?;
    let (mut profiles, mut documents, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for number in range {
        let Some(number) = number.checked_sub(COUNT) else {
            let programme = programme(plan, number)?;
            tx.insert_programme(&programme).await?;
            documents.push(programme.document()?);
            records.push(staff.record(mentorship::CREATED, programme.entity()?)?.after(&programme)?);
            if number == 1 {
                profiles.extend(founders(plan, cast)?);
            }
            continue;
        };
        let (profile, pair) = participant(plan, &first, number)?;
        if let Some(pair) = pair {
            tx.insert_match(&pair).await?;
            let mentee = Caller::new(UserId::new(&*pair.mentee_user_id)?);
            records.push(mentee.record(matches::PROPOSED, pair.entity()?)?.after(&pair)?);
        }
        profiles.push(profile);
    }
    for profile in &profiles {
        let person = Caller::new(UserId::new(&*profile.user_id)?);
        records.push(person.record(mentorship::REGISTERED, profile.entity()?)?.after(profile)?);
    }
    let memberships = profiles.iter().map(membership).collect::<Result<Vec<_>>>()?;
    app.membership.import(tx, &Import::new(memberships)?, &By::user(&staff.user)).await?;
    PROFILES.write(tx, &profiles).await?;
    TERMS_OF_MENTORS.write(tx, &terms(&profiles)).await?;
    app.search.upsert_many(tx, &documents).await?;
    record_many(app, tx, &records).await
}

const PROFILES: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_mentorship_profile
            (programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread)
        SELECT programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread
        FROM json_to_recordset($1::json) AS row (
            programme_id text, user_id text, role text, skills text, interests text, languages text, batch_year bigint, goals text,
            capacity bigint, taken bigint, spread bigint
        )
    "#,
    sqlite: r#"
        INSERT INTO campus_mentorship_profile
            (programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread)
        SELECT value ->> 'programme_id', value ->> 'user_id', value ->> 'role', value ->> 'skills', value ->> 'interests',
            value ->> 'languages', value ->> 'batch_year', value ->> 'goals', value ->> 'capacity', value ->> 'taken',
            value ->> 'spread'
        FROM json_each($1)
    "#,
};

const TERMS_OF_MENTORS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_mentorship_term (programme_id, term, user_id)
        SELECT programme_id, term, user_id
        FROM json_to_recordset($1::json) AS row (programme_id text, term text, user_id text)
    "#,
    sqlite: r#"
        INSERT INTO campus_mentorship_term (programme_id, term, user_id)
        SELECT value ->> 'programme_id', value ->> 'term', value ->> 'user_id'
        FROM json_each($1)
    "#,
};

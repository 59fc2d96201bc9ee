//! What people of a generated campus have looked at, liked, joined and answered to: what the recommender begins with.

use std::ops::Range;

use chrono::{DateTime, NaiveDate};
use stoa_membership::UserId;
use stoa_search::Surface;
use stoa_search::recommendation::Signal;

use super::cast::Cast;
use super::load::Plan;
use super::rng::Rng;
use super::topics::BY_HAND;
use super::{PEOPLE, board, events, market, members_by_hand, people};
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::error::Result;
use crate::recommender::{Act, record_many, signal_of};

/// So many of the newest posts of a group are looked at.
const NEWEST: usize = 8;

/// The posts that are looked for are among so many of the last ones.
const LATELY: u64 = 40_000;

/// So many things did each of the people whom a visitor can be.
const EACH: u64 = 12;

/// How many there are.
pub(super) fn count(plan: &Plan) -> u64 {
    EACH * PEOPLE as u64 + plan.people / 2
}

/// Something to look at, and where it is.
type Thing = (Surface, String);

/// What there is to do something with, by group and for everybody.
pub(super) struct Stage {
    posts: Vec<Vec<Thing>>,
    events: Vec<Vec<Thing>>,
    everybody: Vec<Thing>,
    /// By person whom a visitor can be: the numbers of their groups.
    known: Vec<(String, Vec<usize>)>,
    day: NaiveDate,
}

impl Stage {
    /// Finds it: the ids follow from the seed like everything else.
    pub(super) fn of(plan: &Plan, cast: &Cast) -> Result<Self> {
        let groups = plan.groups().len();
        let mut posts: Vec<Vec<Thing>> = vec![Vec::new(); groups];
        for number in (plan.posts.saturating_sub(LATELY)..plan.posts).rev() {
            let (group, id) = super::load::post_id(plan, &cast.owners, number);
            if posts[group].len() < NEWEST {
                posts[group].push((Surface::FEED, id));
            }
        }
        let mut stage_events: Vec<Vec<Thing>> = vec![Vec::new(); groups];
        let mut everybody = Vec::new();
        for number in 0..events::count(plan) {
            let (event, _) = events::event(plan, cast, number)?;
            // What is over is of no interest.
            if event.starts_at > plan.until {
                match events::group_of(plan, number) {
                    Some(group) => stage_events[group].push((Surface::EVENTS, event.id)),
                    None => everybody.push((Surface::EVENTS, event.id)),
                }
            }
        }
        for number in 0..board::count(plan).min(200) {
            let opening = board::opening(plan, cast, number)?;
            if opening.audience == EVERYONE {
                everybody.push((Surface::JOBS, opening.id));
            }
        }
        for number in 0..market::count(plan) {
            for (deal, _) in market::deals(plan, cast, number)? {
                if deal.audience == EVERYONE && deal.state == "published" {
                    everybody.push((Surface::MARKETPLACE, deal.id));
                }
            }
        }
        let circles: Vec<Vec<String>> =
            (0..BY_HAND).map(|group| members_by_hand(group).into_iter().map(|person| person.id).collect()).collect();
        let known = people().into_iter().map(|person| {
            let groups = (0..BY_HAND).filter(|group| circles[*group].contains(&person.id)).collect();
            (person.id, groups)
        });
        let day = DateTime::from_timestamp_micros(plan.until).unwrap_or_default().date_naive();
        Ok(Self { posts, events: stage_events, everybody, known: known.collect(), day })
    }
}

/// Makes up something that somebody did; nothing, where there is nothing to do it with.
fn signal(plan: &Plan, cast: &Cast, stage: &Stage, number: u64) -> Result<Option<Signal>> {
    let mut rng = Rng::of(plan.seed, "signal", number);
    let groups = plan.groups();
    let (person, group) = if number < EACH * PEOPLE as u64 {
        let (person, theirs) = &stage.known[usize::try_from(number).unwrap_or_default() % stage.known.len()];
        (person, if theirs.is_empty() { None } else { Some(theirs[rng.index(theirs.len())]) })
    } else {
        let group = rng.index(groups.len());
        (&cast.members[group][rng.index(cast.members[group].len())], Some(group))
    };
    let one = |things: &[Thing], rng: &mut Rng| things.get(rng.index(things.len().max(1))).cloned();
    let (thing, act) = match (rng.below(20), group) {
        (0..=6, Some(group)) => (one(&stage.posts[group], &mut rng), Act::View),
        (7..=9, Some(group)) => (one(&stage.posts[group], &mut rng), Act::Like),
        (10 | 11, Some(group)) => (one(&stage.events[group], &mut rng), Act::View),
        (12 | 13, Some(group)) => (one(&stage.events[group], &mut rng), Act::Rsvp),
        (14, Some(group)) => (Some((Surface::GROUPS, groups.id(group))), Act::Join),
        (15 | 16, _) => (Some((Surface::GROUPS, groups.id(rng.index(groups.len())))), Act::View),
        _ => (one(&stage.everybody, &mut rng), Act::View),
    };
    let Some((place, id)) = thing else { return Ok(None) };
    signal_of(&UserId::new(person.as_str())?, &place, &id, act, stage.day)
}

/// Leaves some of them in one transaction.
pub(super) async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    plan: &Plan,
    (cast, stage): (&Cast, &Stage),
    range: Range<u64>,
) -> Result<()> {
    let mut signals = Vec::new();
    for number in range {
        signals.extend(signal(plan, cast, stage, number)?);
    }
    record_many(app, tx, &signals).await
}

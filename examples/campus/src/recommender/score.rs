//! How much something is recommended to somebody: what they share with others, what they look at, and what goes together with that.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use stoa_membership::{BATCH, Scope};
use stoa_search::recommendation::{Candidate, Reason};
use stoa_search::{EntityId, MatchMode, Query, Surface as Place};

use super::PLACES;
use super::circle::{Circle, Circles, tells};
use super::sql::RecommenderSql as _;
use super::why::Why;
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::GroupKind;
use crate::groups::sql::GroupSql as _;

/// So many candidates are kept: more than a page shows, since some may be gone when it is read.
const KEPT: usize = 30;
/// So much of what somebody did lately is looked at.
const LATELY: i64 = 200;
/// So much of it for what goes together with it, and so many titles for what reads like it.
const ANCHORS: usize = 10;
const TITLES: usize = 5;
/// In so many scopes of theirs other people are looked for.
const SCOPES: usize = 30;
/// So many of the newest posts of a group are looked at.
const NEWEST: i64 = 5;
/// What reads less like it than this, compared with what does most, has only a common word with it.
const ALIKE: f32 = 0.3;
/// How long one search may rank, and how fast news grow old for it.
const TIME_LIMIT: Duration = Duration::from_millis(100);
const HALF_LIFE: Duration = Duration::from_hours(24 * 30);

/// The parts of a score, each from 0 to about 1, and the reasons that come with them.
#[derive(Debug, Default)]
struct Scored {
    score: f32,
    best: f32,
    why: Option<Why>,
}

impl Scored {
    fn add(&mut self, part: f32, why: impl FnOnce() -> Why) {
        self.score += part;
        if self.why.is_none() || part > self.best {
            (self.best, self.why) = (part, Some(why()));
        }
    }
}

/// Candidates by id: what is equally good keeps the order of the ids, so that the same facts give the same candidates.
type Board = BTreeMap<String, Scored>;

/// Makes the candidates of one person on every surface.
pub(super) async fn candidates<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    circles: &mut Circles,
    viewer: &Viewer,
) -> Result<Vec<(Place, Vec<Candidate>)>> {
    let did = conn.tastes(viewer.user.as_str(), LATELY).await?;
    let mut boards: BTreeMap<&str, Board> = PLACES.iter().map(|place| (place.as_str(), Board::new())).collect();
    shared(app, conn, circles, viewer, &mut boards).await?;
    together::<B>(conn, circles, &did, &mut boards).await?;
    alike(app, conn, viewer, &did, &mut boards).await?;
    let did: HashSet<(&str, &str)> = did.iter().map(|(place, id)| (place.as_str(), id.as_str())).collect();
    let mut all = Vec::new();
    for place in PLACES {
        let mut board = boards.remove(place.as_str()).unwrap_or_default();
        // A group or an event that was only looked at may still be joined; what was read is read.
        if [Place::FEED, Place::JOBS].contains(&place) {
            board.retain(|id, _| !did.contains(&(place.as_str(), id.as_str())));
        }
        match &place {
            place if *place == Place::GROUPS => {
                board.retain(|id, _| {
                    !GroupKind::ALL
                        .into_iter()
                        .any(|kind| kind.scope(id).is_ok_and(|scope| viewer.memberships.is_member(&scope)))
                });
            }
            place if *place == Place::DIRECTORY => {
                board.remove(viewer.user.as_str());
            }
            _ => {}
        }
        all.push((place, best(board)?));
    }
    Ok(all)
}

/// The groups that are popular in a class.
pub(super) fn popular(circle: &Circle) -> Result<Vec<Candidate>> {
    let mut board = Board::new();
    for (group, people) in &circle.groups {
        board.entry(group.clone()).or_default().add(share(*people, circle), || Why::Class(*people));
    }
    best(board)
}

fn best(board: Board) -> Result<Vec<Candidate>> {
    let mut board: Vec<(String, Scored)> = board.into_iter().collect();
    board.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    board.truncate(KEPT);
    let candidate = |(id, scored): (String, Scored)| {
        let candidate = Candidate::new(EntityId::new(id)?, scored.score);
        // A reason too long for its column is left out, and a candidate without one is not shown.
        Ok(match scored.why.and_then(|why| Reason::new(why.code()).ok()) {
            Some(reason) => candidate.reason(reason),
            None => candidate,
        })
    };
    board.into_iter().map(candidate).collect()
}

#[expect(clippy::cast_precision_loss, reason = "samples are small")]
fn share(people: u32, circle: &Circle) -> f32 {
    people as f32 / circle.members.len().max(1) as f32
}

/// The groups that people of one's scopes are in, these people, and what is new in one's groups.
async fn shared<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    circles: &mut Circles,
    viewer: &Viewer,
    boards: &mut BTreeMap<&str, Board>,
) -> Result<()> {
    // In an order of its own: sums of fractions depend on it.
    let mut scopes: Vec<&Scope> = viewer.memberships.scopes().filter(|scope| tells(scope)).collect();
    scopes.sort_by_cached_key(ToString::to_string);
    scopes.truncate(SCOPES);
    for scope in scopes {
        let circle = circles.of(app, conn, scope).await?;
        if let Some(board) = boards.get_mut(Place::GROUPS.as_str()) {
            for (group, people) in &circle.groups {
                let is_class = scope.kind() == &BATCH;
                let why = || if is_class { Why::Class(*people) } else { Why::In(scope.clone()) };
                board.entry(group.clone()).or_default().add(share(*people, &circle), why);
            }
        }
        if GroupKind::of_scope(scope).is_some()
            && let Some(board) = boards.get_mut(Place::FEED.as_str())
        {
            for (age, post) in (1_u8..).zip(conn.posts(scope.id().as_str(), None, NEWEST).await?) {
                if post.author_id != viewer.user.as_str() {
                    board.entry(post.id).or_default().add(0.3 / f32::from(age), || Why::In(scope.clone()));
                }
            }
        }
        if let Some(board) = boards.get_mut(Place::DIRECTORY.as_str()) {
            for member in &circle.members {
                // To be in a small scope together says more.
                board.entry(member.clone()).or_default().add(0.2 + share(1, &circle), || Why::In(scope.clone()));
            }
        }
    }
    Ok(())
}

/// What others did who did what one did oneself.
async fn together<B: Backend>(
    conn: &mut B::Connection,
    circles: &mut Circles,
    did: &[(String, String)],
    boards: &mut BTreeMap<&str, Board>,
) -> Result<()> {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for anchor in did.iter().take(ANCHORS) {
        for (place, id, people) in circles.neighbours::<B>(conn, anchor).await?.iter() {
            let count = counts.entry((place.clone(), id.clone())).or_default();
            *count = (*count).max(u32::try_from(*people).unwrap_or(u32::MAX));
        }
    }
    for ((place, id), people) in counts {
        // One of the peers is the person themselves if they did it; that is sorted out later.
        if let Some(board) = boards.get_mut(place.as_str()) {
            #[expect(clippy::cast_precision_loss, reason = "a sample is small")]
            let part = 0.8 * people as f32 / (people as f32 + 3.0);
            board.entry(id).or_default().add(part, || Why::Together(people));
        }
    }
    Ok(())
}

/// What reads like what one looked at, or else like what one says of oneself.
async fn alike<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    did: &[(String, String)],
    boards: &mut BTreeMap<&str, Board>,
) -> Result<()> {
    let mut texts = Vec::new();
    for (place, id) in did.iter().take(TITLES) {
        texts.extend(conn.titled(place, id).await?.map(|(title, _)| title));
    }
    let why = if texts.is_empty() { Why::Profile } else { Why::Like };
    if texts.is_empty() {
        texts.push(viewer.person.headline.clone());
    }
    // Words only: nothing in a title is an operator. Short ones say little.
    let text = texts.join(" ");
    let words: Vec<&str> =
        text.split(|one: char| !one.is_alphanumeric()).filter(|word| word.chars().count() > 3).take(24).collect();
    if words.is_empty() {
        return Ok(());
    }
    let audience = viewer.audience()?;
    for place in PLACES {
        let query = Query::text(words.join(" "))
            .mode(MatchMode::Any)
            .typos(false)
            .surfaces([place.clone()])
            .boost_recency(HALF_LIFE)
            .time_limit(TIME_LIMIT)
            .limit(2 * KEPT);
        let hits = app.search.search(conn, &query, &audience).await?.hits;
        let most = hits.first().map_or(1.0, |hit| hit.score).max(f32::EPSILON);
        if let Some(board) = boards.get_mut(place.as_str()) {
            for hit in hits.into_iter().filter(|hit| hit.score >= ALIKE * most) {
                board.entry(hit.entity_id.to_string()).or_default().add(0.6 * hit.score / most, || why.clone());
            }
        }
    }
    Ok(())
}

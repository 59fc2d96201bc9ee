//! The generated demo: the same every time, whole, and finished after an interruption.

use campus::app::App;
use campus::backend::Backend;
use campus::demo::{self, Phase, Plan, Size};
use campus::error::Error;
use campus::recommender;
use stoa_membership::UserId;
use stoa_search::{Audience, Query, Surface, Tag};

use crate::fixture::{Fixture, OnPostgres, OnSqlite};

/// A campus as the largest is, only smaller: chapters, topics and groups of a topic in a city, in many transactions.
fn tiny() -> Plan {
    let until = 1_790_000_000_000_000;
    Plan { size: Size::Ga, people: 240, groups: 100, posts: 300, days: 90, chunk: 70, seed: 11, until }
}

async fn empty<F: Fixture>() -> (F, App<F::Backend>) {
    let fixture = F::empty().await;
    let app = App::open(fixture.backend()).await.unwrap();
    (fixture, app)
}

/// Everything that was generated, and what is the same in what was written by hand.
async fn content<F: Fixture>(fixture: &F) -> Vec<String> {
    let mut content = Vec::new();
    for rows in [
        "SELECT id || '|' || name || '|' || headline || '|' || city_key || '|' || employer || '|' || batch_year || '|' || email
         FROM campus_person ORDER BY id",
        "SELECT id || '|' || kind || '|' || name || '|' || description || '|' || place FROM campus_group ORDER BY id",
        "SELECT user_id || '|' || scope_type || ':' || scope_id || '|' || role || '|' || state
         FROM memberships_membership ORDER BY user_id, scope_type, scope_id",
        "SELECT id || '|' || group_id || '|' || author_id || '|' || created_at || '|' || title || '|' || body
         FROM campus_post WHERE created_at <= 1790000000000000 ORDER BY id",
        "SELECT group_id || '|' || author_id || '|' || title || '|' || body
         FROM campus_post WHERE created_at > 1790000000000000 ORDER BY id",
        "SELECT surface || '|' || title || '|' || body FROM search_document
         WHERE surface IN ('directory', 'feed', 'groups') ORDER BY surface, title, body, entity_id",
        "SELECT id || '|' || scope || '|' || author_id || '|' || title || '|' || body || '|' || place || '|' || starts_at || '|' || ends_at
            || '|' || time_zone || '|' || coalesce(capacity, 0) || '|' || going || '|' || waiting || '|' || created_at
         FROM campus_event WHERE created_at <= 1790000000000000",
        "SELECT event_id || '|' || person_id || '|' || state || '|' || place FROM campus_rsvp
         WHERE event_id IN (SELECT id FROM campus_event WHERE created_at <= 1790000000000000)",
        "SELECT id || '|' || scope || '|' || title || '|' || body || '|' || publish_at
         FROM campus_announcement WHERE created_at <= 1790000000000000",
        "SELECT id || '|' || author_id || '|' || audience || '|' || title || '|' || employer || '|' || place || '|' || body || '|' || url
            || '|' || created_at || '|' || closes_at
         FROM campus_opening",
        "SELECT id || '|' || name || '|' || description || '|' || created_at FROM campus_partner",
        "SELECT id || '|' || partner_id || '|' || title || '|' || audience || '|' || state || '|' || starts_at || '|' || ends_at
            || '|' || redemption_limit || '|' || redeemed
         FROM campus_deal",
        "SELECT code || '|' || deal_id || '|' || person_id || '|' || redeemed_at || '|' || coalesce(verified_at, 0) FROM campus_redemption",
        "SELECT id || '|' || name || '|' || audience || '|' || created_at FROM campus_mentorship_programme",
        "SELECT programme_id || '|' || user_id || '|' || role || '|' || skills || '|' || interests || '|' || languages || '|' || batch_year
            || '|' || goals || '|' || capacity || '|' || taken || '|' || spread
         FROM campus_mentorship_profile",
        "SELECT programme_id || '|' || term || '|' || user_id FROM campus_mentorship_term",
        "SELECT id || '|' || mentor_user_id || '|' || mentee_user_id || '|' || state || '|' || proposed_by || '|' || score || '|' || changed_at
         FROM campus_mentorship_match",
        "SELECT key || '|' || user_id || '|' || surface || '|' || entity_id || '|' || kind FROM recommendation_signal",
        "SELECT value FROM campus_meta WHERE name = 'demo_state'",
    ] {
        let mut rows = fixture.texts(rows).await;
        // Databases differ in how they order texts that are no ids.
        rows.sort();
        content.extend(rows);
    }
    content
}

async fn loaded<F: Fixture>(plan: &Plan) -> (F, App<F::Backend>) {
    let (fixture, app) = empty::<F>().await;
    assert!(demo::load(&app, plan, |_| {}).await.unwrap());
    (fixture, app)
}

#[test]
fn the_largest_has_as_many_documents_as_it_says() {
    let plan = Plan::of(Size::Ga).unwrap();
    assert_eq!((plan.people, plan.documents()), (180_000, 200_000));
    assert!(plan.posts > 190_000, "{plan:?}");
}

#[tokio::test]
async fn it_is_the_same_on_both_databases_and_every_time() {
    let (one, _) = loaded::<OnSqlite>(&tiny()).await;
    let (two, _) = loaded::<OnPostgres>(&tiny()).await;
    let content = content(&one).await;
    assert_eq!(content, self::content(&two).await);
    assert_eq!(content.last().unwrap(), "ready");
    // In other transactions it is the same campus; of another seed it is not.
    let (other, _) = loaded::<OnSqlite>(&Plan { chunk: 1000, ..tiny() }).await;
    assert_eq!(content, self::content(&other).await);
    let (other, _) = loaded::<OnSqlite>(&Plan { seed: 12, ..tiny() }).await;
    assert_ne!(content, self::content(&other).await);
}

/// What holds, and a statement that counts what it does not hold for.
const LAWS: &[(&str, &str)] = &[
    (
        "every group has an owner",
        "SELECT count(*) FROM campus_group AS g WHERE NOT EXISTS (
            SELECT 1 FROM memberships_membership AS m
            WHERE m.scope_type IN ('group', 'chapter') AND m.scope_id = g.id AND m.role = 'owner' AND m.state = 'active')",
    ),
    (
        "every membership is of somebody, and of a group that exists",
        "SELECT count(*) FROM memberships_membership AS m WHERE NOT EXISTS (SELECT 1 FROM campus_person AS p WHERE p.id = m.user_id)
            OR (m.scope_type IN ('group', 'chapter') AND NOT EXISTS (SELECT 1 FROM campus_group AS g
                WHERE g.id = m.scope_id AND m.scope_type = CASE g.kind WHEN 'chapter' THEN 'chapter' ELSE 'group' END))",
    ),
    (
        "every author is a member of the group",
        "SELECT count(*) FROM campus_post AS p WHERE NOT EXISTS (
            SELECT 1 FROM memberships_membership AS m
            WHERE m.scope_type IN ('group', 'chapter') AND m.scope_id = p.group_id AND m.user_id = p.author_id AND m.state = 'active')",
    ),
    (
        "every post has its document, for its group and nobody else",
        "SELECT count(*) FROM campus_post AS p WHERE NOT EXISTS (
            SELECT 1 FROM search_document AS d
            WHERE d.surface = 'feed' AND d.entity_id = p.id AND d.title = p.title
                AND CAST(d.audience_tags AS text) IN ('[\"group:' || p.group_id || '\"]', '{group:' || p.group_id || '}',
                    '[\"chapter:' || p.group_id || '\"]', '{chapter:' || p.group_id || '}'))",
    ),
    (
        "every person and every group has its document",
        "SELECT (SELECT count(*) FROM search_document WHERE surface IN ('directory', 'groups'))
            - (SELECT count(*) FROM campus_person) - (SELECT count(*) FROM campus_group)",
    ),
    (
        "every post and every group is on record",
        "SELECT (SELECT count(*) FROM audit_record WHERE entity_type IN ('post', 'group'))
            - (SELECT count(*) FROM campus_post) - (SELECT count(*) FROM campus_group)",
    ),
    (
        "every answer to an event, and every code that was given or taken, is on record",
        "SELECT (SELECT count(*) FROM audit_record WHERE action IN ('bits.calendar.v1.EventService/SetRsvp',
                'bits.marketplace.v1.RedemptionService/Redeem', 'bits.marketplace.v1.RedemptionService/Verify'))
            - (SELECT count(*) FROM campus_rsvp) - (SELECT count(*) + count(verified_at) FROM campus_redemption)",
    ),
    ("only what is written by hand is announced", "SELECT count(*) - 24 FROM jobs_queue_job WHERE kind = 'groups.notify'"),
    ("ids grow with time", "SELECT count(*) FROM campus_post AS a, campus_post AS b WHERE a.id < b.id AND a.created_at > b.created_at"),
    ("nobody repeats a paragraph", "SELECT count(*) FROM campus_post WHERE title LIKE '%{%' OR body LIKE '%{%' OR body = ''"),
    (
        "nothing is left to be filled in",
        "SELECT (SELECT count(*) FROM campus_event WHERE title || body || place LIKE '%{%')
            + (SELECT count(*) FROM campus_announcement WHERE title || body LIKE '%{%')
            + (SELECT count(*) FROM campus_opening WHERE title || body LIKE '%{%')",
    ),
    (
        "whoever is counted for an event has answered to it",
        "SELECT count(*) FROM campus_event AS e WHERE e.going > coalesce(e.capacity, e.going)
            OR e.going <> (SELECT count(*) FROM campus_rsvp AS r WHERE r.event_id = e.id AND r.state = 'going')
            OR e.waiting <> (SELECT count(*) FROM campus_rsvp AS r WHERE r.event_id = e.id AND r.state = 'waiting')",
    ),
    (
        "whoever answered to an event of a group, or wrote an opening for one, is a member",
        "SELECT count(*) FROM (
            SELECT r.person_id, e.scope FROM campus_rsvp AS r JOIN campus_event AS e ON e.id = r.event_id
            UNION ALL SELECT author_id, audience FROM campus_opening
            UNION ALL SELECT r.person_id, d.audience FROM campus_redemption AS r JOIN campus_deal AS d ON d.id = r.deal_id
        ) AS done WHERE scope <> 'campus:everyone' AND NOT EXISTS (
            SELECT 1 FROM memberships_membership AS m
            WHERE m.user_id = done.person_id AND m.scope_type || ':' || m.scope_id = done.scope AND m.state = 'active')",
    ),
    (
        "whatever was redeemed is counted, and no more than there was",
        "SELECT count(*) FROM campus_deal AS d WHERE d.redeemed > d.redemption_limit
            OR d.redeemed <> (SELECT count(*) FROM campus_redemption AS r WHERE r.deal_id = d.id)",
    ),
    (
        "whoever acts for a partner may",
        "SELECT count(*) FROM campus_partner AS p WHERE 2 <> (SELECT count(*) FROM memberships_membership AS m
            WHERE m.scope_type = 'partner' AND m.scope_id = p.id AND m.role IN ('agent', 'clerk') AND m.state = 'active')",
    ),
    (
        "whoever takes part in a programme is its member, and has the matches that they count",
        "SELECT count(*) FROM campus_mentorship_profile AS p WHERE NOT EXISTS (
            SELECT 1 FROM memberships_membership AS m WHERE m.user_id = p.user_id AND m.scope_type = 'mentorship_programme'
                AND m.scope_id = p.programme_id AND m.role = p.role AND m.state = 'active')
            OR p.taken <> (SELECT count(*) FROM campus_mentorship_match AS pair
                WHERE pair.programme_id = p.programme_id AND pair.state IN ('proposed', 'accepted', 'approved')
                    AND (pair.mentor_user_id = p.user_id OR pair.mentee_user_id = p.user_id))",
    ),
    (
        "whatever was done was done with something that there is",
        "SELECT count(*) FROM recommendation_signal AS s WHERE NOT EXISTS (
            SELECT 1 FROM search_document AS d WHERE d.surface = s.surface AND d.entity_id = s.entity_id)",
    ),
];

/// What there is some of, and a statement that counts it.
const SOME: &[(&str, &str)] = &[
    (
        "deals that are over soon",
        "SELECT count(*) FROM campus_deal WHERE state = 'published' AND ends_at - starts_at < 75 * 86400000000",
    ),
    ("deals of which little is left", "SELECT count(*) FROM campus_deal WHERE redemption_limit < 20"),
    ("mentees without a match", "SELECT count(*) FROM campus_mentorship_profile WHERE role = 'mentee' AND taken = 0"),
    ("matches that wait for approval", "SELECT count(*) FROM campus_mentorship_match WHERE state = 'accepted'"),
    ("people who wait for a place", "SELECT count(*) FROM campus_rsvp WHERE state = 'waiting'"),
    ("openings for the members of a group", "SELECT count(*) FROM campus_opening WHERE audience <> 'campus:everyone'"),
    ("likes", "SELECT count(*) FROM recommendation_signal WHERE kind = 'like'"),
];

async fn it_is_whole<F: Fixture>(plan: Plan) {
    let (fixture, app) = loaded::<F>(&plan).await;
    let expected = |count: u64| i64::try_from(count).unwrap();
    let by_hand = 24;
    assert_eq!(fixture.count("SELECT count(*) FROM campus_person").await, expected(plan.people));
    assert_eq!(fixture.count("SELECT count(*) FROM campus_group").await, expected(plan.groups));
    assert_eq!(fixture.count("SELECT count(*) FROM campus_post").await, expected(plan.posts) + by_hand);
    for (law, wrong) in LAWS {
        assert_eq!(fixture.count(wrong).await, 0, "{law}");
    }
    assert!(fixture.count("SELECT count(*) FROM memberships_membership WHERE state = 'banned'").await > 6);
    assert!(fixture.count("SELECT count(*) FROM memberships_membership WHERE state = 'left'").await > 0);
    let documents = fixture.count("SELECT count(*) FROM search_document WHERE surface <> 'directory'").await;
    assert_eq!(documents, expected(plan.documents()));
    for (what, some) in SOME {
        assert!(fixture.count(some).await > 0, "{what}");
    }
    // Whoever a visitor can be is recommended something, with a reason, before any batch.
    for person in ["amara-okafor", "bilal-haddad", "mei-okafor", "jonas-weber", "priya-petrov"] {
        let (mut tx, viewer) = app.read_as(&UserId::new(person).unwrap()).await.unwrap();
        let groups = recommender::read(&app, &mut tx, &viewer, &Surface::GROUPS, 4).await.unwrap();
        assert!(groups.iter().all(|item| !item.why.is_empty()) && !groups.is_empty(), "{}", viewer.user);
    }
    // What it talks of is found, by those who may.
    let mut tx = app.read().await.unwrap();
    let choir = Audience::tags([Tag::try_from("group:choir").unwrap()]);
    let found = app.search.search(&mut tx, &Query::text("tenors"), &choir).await.unwrap();
    let nobody = app.search.search(&mut tx, &Query::text("tenors"), &Audience::tags([])).await.unwrap();
    assert!(found.total > 0 && nobody.total == 0);
}

async fn one_of_the_largest_kind_is_whole<F: Fixture>() {
    it_is_whole::<F>(tiny()).await;
}

async fn the_small_one_is_whole<F: Fixture>() {
    it_is_whole::<F>(Plan::of(Size::Small).unwrap()).await;
}

/// Loads until so many transactions are committed, and is then dropped in the middle of the next.
async fn interrupt<B: Backend>(app: &App<B>, plan: &Plan, after: usize) -> bool {
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let mut steps = 0;
    let load = demo::load(app, plan, |_| {
        steps += 1;
        if steps > after {
            stop.send_replace(true);
        }
    });
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => true,
        done = load => { done.unwrap(); false }
    }
}

async fn an_interrupted_one_is_finished_as_if_nothing_had_happened<F: Fixture>() {
    let (whole, _) = loaded::<F>(&tiny()).await;
    let (fixture, app) = empty::<F>().await;
    let mut interruptions = 0;
    for after in [0, 1, 2, 2, 3, 4] {
        if !interrupt(&app, &tiny(), after).await {
            break;
        }
        interruptions += 1;
        assert_eq!(demo::interrupted(&app).await.unwrap(), Some(tiny()), "after {after}");
        let small = Plan::of(Size::Small).unwrap();
        let refused = demo::load(&app, &small, |_| {}).await;
        assert!(matches!(&refused, Err(Error::Invalid(why)) if why.contains("size ga")), "{refused:?}");
    }
    assert!(interruptions >= 4, "{interruptions}");
    // On another day the plan is another; what was begun goes on as it was.
    let today = Plan { until: 0, seed: 5, ..tiny() };
    assert!(demo::load(&app, &today, |_| {}).await.unwrap());
    assert_eq!(demo::interrupted(&app).await.unwrap(), None);
    assert_eq!(content(&fixture).await, content(&whole).await);
    assert!(!demo::load(&app, &tiny(), |_| {}).await.unwrap(), "nothing is left to do");
}

async fn of_two_processes_that_make_it_at_once_one_gives_up<F: Fixture>() {
    let (whole, _) = loaded::<F>(&tiny()).await;
    let (fixture, app) = empty::<F>().await;
    assert!(interrupt(&app, &tiny(), 1).await);
    let (plan, other) = (tiny(), tiny());
    let (one, two) = tokio::join!(demo::load(&app, &plan, |_| {}), demo::load(&app, &other, |_| {}));
    let outcomes = [one, two];
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Ok(true))), "{outcomes:?}");
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Invalid(_) | Error::Internal(_)))),
        "{outcomes:?}"
    );
    assert_eq!(content(&fixture).await, content(&whole).await);
}

async fn a_database_with_anything_in_it_is_left_alone<F: Fixture>() {
    let (fixture, app) = empty::<F>().await;
    let mut tx = app.begin().await.unwrap();
    let user = UserId::new("somebody").unwrap();
    let group = stoa_membership::Scope::group("their-own").unwrap();
    app.membership.join(&mut tx, &user, &group, &stoa_membership::By::user(&user)).await.unwrap();
    app.commit(tx).await.unwrap();
    assert!(!demo::load(&app, &tiny(), |_| {}).await.unwrap());
    assert_eq!(fixture.count("SELECT count(*) FROM campus_person").await, 0);
    assert!(!app.is_demo().await.unwrap());
}

async fn progress_reaches_the_end_of_every_phase<F: Fixture>() {
    let (_fixture, app) = empty::<F>().await;
    let mut ended = Vec::new();
    demo::load(&app, &tiny(), |progress| {
        assert!(progress.done <= progress.total);
        if progress.done == progress.total {
            ended.push(progress.phase);
        }
    })
    .await
    .unwrap();
    assert_eq!(ended, Phase::ALL);
}

macro_rules! on_both {
    ($($test:ident),+) => {
        mod on_sqlite {
            use super::*;
            $( #[tokio::test] async fn $test() { super::$test::<OnSqlite>().await } )+
        }
        mod on_postgres {
            use super::*;
            $( #[tokio::test] async fn $test() { super::$test::<OnPostgres>().await } )+
        }
    };
}

on_both! {
    one_of_the_largest_kind_is_whole,
    the_small_one_is_whole,
    an_interrupted_one_is_finished_as_if_nothing_had_happened,
    of_two_processes_that_make_it_at_once_one_gives_up,
    a_database_with_anything_in_it_is_left_alone,
    progress_reaches_the_end_of_every_phase
}

//! The generated demo: the same every time, whole, and finished after an interruption.

use campus::app::App;
use campus::backend::Backend;
use campus::demo::{self, Phase, Plan, Size};
use campus::error::Error;
use stoa_membership::UserId;
use stoa_search::{Audience, Query, Tag};

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

async fn it_is_whole<F: Fixture>(plan: Plan) {
    let (fixture, app) = loaded::<F>(&plan).await;
    let expected = |count: u64| i64::try_from(count).unwrap();
    let by_hand = 24;
    assert_eq!(fixture.count("SELECT count(*) FROM campus_person").await, expected(plan.people));
    assert_eq!(fixture.count("SELECT count(*) FROM campus_group").await, expected(plan.groups));
    assert_eq!(fixture.count("SELECT count(*) FROM campus_post").await, expected(plan.posts) + by_hand);
    for (law, wrong) in [
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
        ("only what is written by hand is announced", "SELECT count(*) - 24 FROM jobs_queue_job WHERE kind = 'groups.notify'"),
        ("ids grow with time", "SELECT count(*) FROM campus_post AS a, campus_post AS b WHERE a.id < b.id AND a.created_at > b.created_at"),
        ("nobody repeats a paragraph", "SELECT count(*) FROM campus_post WHERE title LIKE '%{%' OR body LIKE '%{%' OR body = ''"),
    ] {
        assert_eq!(fixture.count(wrong).await, 0, "{law}");
    }
    assert!(fixture.count("SELECT count(*) FROM memberships_membership WHERE state = 'banned'").await > 6);
    assert!(fixture.count("SELECT count(*) FROM memberships_membership WHERE state = 'left'").await > 0);
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
    assert_eq!(ended, [Phase::Groups, Phase::People, Phase::Posts, Phase::Index]);
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

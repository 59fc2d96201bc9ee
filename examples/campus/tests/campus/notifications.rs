//! Whom the job after a post tells of it, however often it runs.

use campus::app::App;
use campus::backend::Backend;
use campus::groups::notify::NotifyGroup;
use campus::groups::posts::{self, Draft};
use chrono::{TimeDelta, Utc};
use stoa_jobs_runner::Runner;
use stoa_membership::{By, Filter, Grant, PageRequest, Role, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::pages::{Browser, fixture_stranger};

const TITLE: &str = "A narwhal in the fountain";

/// Who was told of the post with the title above, as often as they were.
const TOLD: &str = r"
    SELECT notification.person_id
    FROM campus_notification AS notification
    JOIN campus_post AS post ON post.id = notification.post_id
    WHERE post.title = 'A narwhal in the fountain'
";

/// Every notification there is, with its time.
const NOTIFICATIONS: &str = r"
    SELECT post_id || ' ' || person_id || ' ' || created_at
    FROM campus_notification
    ORDER BY post_id, person_id
";

/// The demo, whose own announcements have been made, with a group and one of its members.
async fn quiet<F: Fixture>() -> (F, App<F::Backend>, Scope, UserId) {
    let (fixture, app) = F::demo().await;
    let (group, member) = a_member(&app).await;
    assert!(drain(&app).await > 0, "the demo announces its posts");
    (fixture, app, group, member)
}

/// Runs every job that is due, as the worker would, and says how many there were. None may fail.
async fn drain<B: Backend>(app: &App<B>) -> u64 {
    let runner = Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone());
    let tally = runner.queue("notifications", 4).handle::<NotifyGroup>().drain().await.unwrap();
    assert_eq!((tally.failed, tally.dead, tally.released, tally.fenced), (0, 0, 0, 0));
    tally.succeeded
}

/// Posts, and returns the id of the post.
async fn post<B: Backend>(app: &App<B>, author: &UserId, group: &Scope) -> String {
    posts::create(app, &author.into(), group, Draft::new(TITLE, "It seemed content.").unwrap()).await.unwrap().id
}

/// Enqueues the job of a post once more.
async fn announce<B: Backend>(app: &App<B>, post_id: &str) {
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &NotifyGroup { post_id: post_id.into() }).await.unwrap();
    app.commit(tx).await.unwrap();
}

/// The active members of a group of at most 1,000.
async fn members<B: Backend>(app: &App<B>, group: &Scope) -> Vec<String> {
    let mut tx = app.read().await.unwrap();
    let page =
        app.membership.list_by_scope(&mut tx, group, &Filter::default(), &PageRequest::first(1000)).await.unwrap();
    assert_eq!(page.next, None);
    page.items.iter().map(|member| member.user().to_string()).collect()
}

/// The same names, in byte order.
fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

async fn every_active_member_except_the_author_is_told_once<F: Fixture>() {
    let (fixture, app, chess, author) = quiet::<F>().await;
    let mut expected = members(&app, &chess).await;
    expected.retain(|name| name != author.as_str());
    assert!(expected.len() > 1);
    expected.push("joined".into());

    let user = |name: &str| UserId::new(name).unwrap();
    let by = By::user(&author);
    let mut tx = app.begin().await.unwrap();
    for name in ["joined", "left", "removed", "banned"] {
        app.membership.join(&mut tx, &user(name), &chess, &by).await.unwrap();
    }
    app.membership.leave(&mut tx, &user("left"), &chess, &by).await.unwrap();
    app.membership.remove(&mut tx, &user("removed"), &chess, &by).await.unwrap();
    app.membership.ban(&mut tx, &user("banned"), &chess, &by).await.unwrap();
    let ended = Grant::new(Role::new("member").unwrap()).until(Utc::now() - TimeDelta::days(1)).unwrap();
    app.membership.add(&mut tx, &user("expired"), &chess, &ended, &by).await.unwrap();
    app.membership.join(&mut tx, &user("elsewhere"), &Scope::group("rowing").unwrap(), &by).await.unwrap();
    app.commit(tx).await.unwrap();

    post(&app, &author, &chess).await;
    assert_eq!(fixture.texts(TOLD).await, [""; 0], "before the job has run");
    assert_eq!(drain(&app).await, 1);
    assert_eq!(sorted(fixture.texts(TOLD).await), sorted(expected));
}

async fn telling_again_changes_nothing<F: Fixture>() {
    let (fixture, app, chess, author) = quiet::<F>().await;
    let id = post(&app, &author, &chess).await;
    assert_eq!(drain(&app).await, 1);
    let told = fixture.texts(NOTIFICATIONS).await;
    assert_eq!(drain(&app).await, 0, "the job is done");
    assert_eq!(fixture.texts(NOTIFICATIONS).await, told);

    announce(&app, &id).await;
    assert_eq!(drain(&app).await, 1);
    assert_eq!(fixture.texts(NOTIFICATIONS).await, told, "nobody is told twice, nor at another time");
}

async fn a_job_that_died_halfway_tells_the_rest<F: Fixture>() {
    let (fixture, app, chess, author) = quiet::<F>().await;
    let id = post(&app, &author, &chess).await;
    drain(&app).await;
    let all = sorted(fixture.texts(TOLD).await);
    fixture.execute("DELETE FROM campus_notification WHERE person_id > 'h'").await;
    let half = fixture.texts(NOTIFICATIONS).await;
    assert!((1..all.len()).contains(&fixture.texts(TOLD).await.len()));

    announce(&app, &id).await;
    drain(&app).await;
    assert_eq!(sorted(fixture.texts(TOLD).await), all);
    let told = fixture.texts(NOTIFICATIONS).await;
    assert!(half.iter().all(|row| told.contains(row)), "those who had been told stay as they were");
}

async fn a_post_that_is_gone_is_no_error<F: Fixture>() {
    let (fixture, app, chess, author) = quiet::<F>().await;
    let before = fixture.texts(NOTIFICATIONS).await;
    post(&app, &author, &chess).await;
    fixture.execute("DELETE FROM campus_post WHERE title = 'A narwhal in the fountain'").await;
    announce(&app, "never there").await;
    assert_eq!(drain(&app).await, 2);
    assert_eq!(fixture.texts(NOTIFICATIONS).await, before);
}

/// Three pages of members, the last of them with one member.
async fn a_group_of_many_pages_is_told_to_the_last<F: Fixture>() {
    let (fixture, app, chess, author) = quiet::<F>().await;
    let mut expected = members(&app, &chess).await;
    let crowd: Vec<String> = (expected.len()..1001).map(|number| format!("crowd-{number:04}")).collect();
    let by = By::user(&author);
    let mut tx = app.begin().await.unwrap();
    for name in &crowd {
        app.membership.join(&mut tx, &UserId::new(&**name).unwrap(), &chess, &by).await.unwrap();
    }
    app.commit(tx).await.unwrap();
    expected.extend(crowd);
    expected.retain(|name| name != author.as_str());
    assert_eq!(expected.len(), 1000);

    post(&app, &author, &chess).await;
    assert_eq!(drain(&app).await, 1);
    assert_eq!(sorted(fixture.texts(TOLD).await), sorted(expected));
}

async fn whoever_leaves_no_longer_sees_what_they_were_told<F: Fixture>() {
    let (_fixture, app, _, author) = quiet::<F>().await;
    let mut browser = Browser::signed_in(
        campus::http::router(app.clone(), campus::http::Options::demo()),
        &fixture_stranger(&app).await,
    )
    .await;
    browser.post("/groups/chess/join", "").await;
    assert!(!browser.get("/").await.body.contains(TITLE));
    post(&app, &author, &Scope::group("chess").unwrap()).await;
    drain(&app).await;
    assert!(browser.get("/").await.body.contains(TITLE));
    browser.post("/groups/chess/leave", "").await;
    let home = browser.get("/").await.body;
    assert!(home.contains("More groups") && !home.contains(TITLE), "{home}");
    browser.post("/groups/chess/join", "").await;
    assert!(browser.get("/").await.body.contains(TITLE), "it was hidden, not forgotten");
}

/// What they can no longer read takes no place on the page.
async fn whoever_leaves_a_busy_group_still_sees_what_others_wrote<F: Fixture>() {
    let (_fixture, app, chess, author) = quiet::<F>().await;
    let rowing = Scope::group("rowing").unwrap();
    let reader = fixture_stranger(&app).await;
    let mut browser =
        Browser::signed_in(campus::http::router(app.clone(), campus::http::Options::demo()), &reader).await;
    browser.post("/groups/chess/join", "").await;
    browser.post("/groups/rowing/join", "").await;
    let rower = members(&app, &rowing).await.into_iter().find(|name| *name != reader).unwrap();
    post(&app, &UserId::new(&*rower).unwrap(), &rowing).await;
    for number in 0..40 {
        let draft = Draft::new(&format!("Chatter {number}"), "And so on.").unwrap();
        posts::create(&app, &(&author).into(), &chess, draft).await.unwrap();
    }
    drain(&app).await;
    browser.post("/groups/chess/leave", "").await;
    let home = browser.get("/").await.body;
    assert!(home.contains(TITLE) && !home.contains("Chatter"), "{home}");
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnPostgres>().await } )*
        }
    };
}

on_both! {
    every_active_member_except_the_author_is_told_once
    telling_again_changes_nothing
    a_job_that_died_halfway_tells_the_rest
    a_post_that_is_gone_is_no_error
    a_group_of_many_pages_is_told_to_the_last
    whoever_leaves_no_longer_sees_what_they_were_told
    whoever_leaves_a_busy_group_still_sees_what_others_wrote
}

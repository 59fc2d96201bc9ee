//! Recommendations, on both databases: made of what people do, with a reason, and never of what the viewer may not see.

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::groups;
use campus::http::{Options, router};
use campus::marketplace::redemption;
use campus::mentorship::{self, ProfileDraft, ProfileInput, ProgrammeDraft, ProgrammeRole};
use campus::recommender::{self, Act, Recommended};
use stoa_membership::{By, GROUP, Scope, UserId};
use stoa_search::Surface;

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::marketplace;
use crate::pages::{Browser, fixture_stranger};

const PLACES: [Surface; 6] =
    [Surface::GROUPS, Surface::FEED, Surface::EVENTS, Surface::JOBS, Surface::MARKETPLACE, Surface::DIRECTORY];
const COUNT: &str = "SELECT count(*) FROM recommendation_candidate";

/// What was made, whole, as the database has it.
const fn made<F: Fixture>() -> &'static str {
    if F::CONCURRENT_WRITERS {
        "SELECT concat_ws(' ', user_id, surface, entity_ids, scores, reasons) FROM recommendation_candidate ORDER BY user_id, surface"
    } else {
        "SELECT user_id || ' ' || surface || ' ' || candidates FROM recommendation_candidate ORDER BY user_id, surface"
    }
}

async fn batch<B: Backend>(app: &App<B>) -> recommender::Progress {
    recommender::run(app, None, None, |_| {}).await.unwrap()
}

/// Batches until so many signals and changes were read: on PostgreSQL those of a transaction come only when all that began before it have
/// ended, on the whole server, other tests' included.
async fn batches<B: Backend>(app: &App<B>, signals: u64, changes: u64) {
    let (mut read, mut changed) = (0, 0);
    let catching_up = async {
        while (read, changed) != (signals, changes) {
            let done = batch(app).await;
            assert!(done.is_complete);
            (read, changed) = (read + done.signals, changed + done.changes);
            assert!(read <= signals && changed <= changes, "{read} {changed}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), catching_up).await.unwrap();
}

async fn shown<B: Backend>(app: &App<B>, user: &UserId, place: &Surface) -> Vec<Recommended> {
    let (mut tx, viewer) = app.read_as(user).await.unwrap();
    recommender::read(app, &mut tx, &viewer, place, 50).await.unwrap()
}

async fn people<B: Backend>(app: &App<B>) -> Vec<UserId> {
    let mut tx = app.read().await.unwrap();
    let people = campus::directory::sql::DirectorySql::people(&mut *tx, 100).await.unwrap();
    people.into_iter().map(|person| UserId::new(person.id).unwrap()).collect()
}

async fn act<B: Backend>(app: &App<B>, user: &UserId, place: &Surface, id: &str, act: Act) {
    let mut tx = app.begin().await.unwrap();
    recommender::signal(app, &mut tx, user, place, id, act).await.unwrap();
    app.commit(tx).await.unwrap();
}

async fn posts_of<F: Fixture>(fixture: &F) -> Vec<String> {
    fixture.texts("SELECT id FROM campus_post WHERE group_id = 'chess' ORDER BY id").await
}

/// Asserts that whatever is shown to somebody is something they may see, and is not theirs already.
async fn nothing_is_shown_that_may_not_be_seen<B: Backend>(app: &App<B>, user: &UserId) -> usize {
    let mut count = 0;
    for place in PLACES {
        for item in shown(app, user, &place).await {
            count += 1;
            assert!(!item.why.is_empty() && !item.title.is_empty(), "{item:?}");
            let (mut tx, viewer) = app.read_as(user).await.unwrap();
            match place.as_str() {
                "groups" => {
                    let scope = Scope::group(&*item.id).unwrap();
                    let own = app.membership.get(&mut tx, user, &scope).await.unwrap();
                    assert!(
                        own.is_none_or(|own| !own.is_active() && own.state() != stoa_membership::State::Banned),
                        "{item:?}"
                    );
                }
                "feed" => {
                    let post = groups::posts::read(app, &mut tx, &viewer, &item.id).await.unwrap();
                    assert_ne!(post.author_id, user.as_str());
                }
                _ => assert_ne!(item.id, user.as_str()),
            }
        }
    }
    count
}

async fn whoever_joins_and_reads_is_recommended_more_of_it_with_the_reason<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let newcomer = UserId::new(fixture_stranger(&app).await).unwrap();
    let done = batch(&app).await;
    assert!(done.is_complete && done.people >= 36 && done.changes > 36, "{done:?}");
    let groups = shown(&app, &newcomer, &Surface::GROUPS).await;
    assert!(groups.iter().any(|item| item.why.contains("of your class")), "{groups:?}");
    let people = shown(&app, &member, &Surface::DIRECTORY).await;
    assert!(people.iter().any(|item| item.why.starts_with("You are both in ")), "{people:?}");
    let feed = shown(&app, &member, &Surface::FEED).await;
    assert!(feed.iter().any(|item| item.why == "Because you are in Chess Club"), "{feed:?}");

    // Two read the same two posts, a third the first of them.
    let posts = posts_of(&fixture).await;
    let others: Vec<UserId> = members_of_chess(&app).await;
    for other in &others[..2] {
        for post in &posts[..2] {
            act(&app, other, &Surface::FEED, post, Act::View).await;
        }
    }
    act(&app, &others[2], &Surface::FEED, &posts[0], Act::View).await;
    batches(&app, 5, 0).await;
    let feed = shown(&app, &others[2], &Surface::FEED).await;
    let second = feed.iter().find(|item| item.id == posts[1]).unwrap();
    assert!(second.why == "2 people who liked what you liked were here", "{second:?}");
    assert!(feed.iter().all(|item| item.id != posts[0]), "what was read is no news");
    assert_eq!(batch(&app).await.people, 0, "nobody's turn is left");
}

async fn members_of_chess<B: Backend>(app: &App<B>) -> Vec<UserId> {
    let mut tx = app.read().await.unwrap();
    let request = stoa_membership::PageRequest::first(50);
    let page = app
        .membership
        .list_by_scope(&mut tx, &Scope::group("chess").unwrap(), &stoa_membership::Filter::default(), &request)
        .await
        .unwrap();
    page.items.iter().rev().map(|member| member.user().clone()).collect()
}

async fn nobody_is_shown_what_they_may_not_see_from_the_ban_on<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let posts = posts_of(&fixture).await;
    let everybody = people(&app).await;
    // Everybody reads something, some of it in groups they are not in: a stale signal.
    for (index, person) in everybody.iter().enumerate() {
        act(&app, person, &Surface::FEED, &posts[index % posts.len()], Act::View).await;
    }
    assert!(batch(&app).await.is_complete);
    let mut count = 0;
    for person in &everybody {
        count += nothing_is_shown_that_may_not_be_seen(&app, person).await;
    }
    assert!(count > 100, "{count}");
    // Every second one is banned from all their groups, the others leave where they can: without a batch in between.
    let by = By::user(&UserId::new("moderator").unwrap());
    for (index, person) in everybody.iter().enumerate() {
        let mut is_owner = false;
        let (_, viewer) = app.read_as(person).await.unwrap();
        for scope in viewer.memberships.scopes().filter(|scope| scope.kind() == &GROUP) {
            let mut tx = app.begin().await.unwrap();
            let gone = if index % 2 == 0 {
                app.membership.ban(&mut tx, person, scope, &by).await
            } else {
                app.membership.leave(&mut tx, person, scope, &By::user(person)).await
            };
            // A group keeps its last owner.
            match gone {
                Ok(_) => app.commit(tx).await.unwrap(),
                Err(_) => is_owner = true,
            }
        }
        nothing_is_shown_that_may_not_be_seen(&app, person).await;
        if is_owner {
            continue;
        }
        assert!(shown(&app, person, &Surface::FEED).await.is_empty());
        let why = shown(&app, person, &Surface::GROUPS).await;
        assert!(why.iter().all(|item| !item.why.starts_with("Because you are in")), "{why:?}");
    }
    assert!(batch(&app).await.is_complete);
    for person in &everybody {
        nothing_is_shown_that_may_not_be_seen(&app, person).await;
    }
}

async fn a_batch_replaces_what_the_last_one_made_and_twice_is_once<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    batch(&app).await;
    let made = fixture.texts(self::made::<F>()).await;
    assert!(made.len() > 36 * PLACES.len(), "{}", made.len());
    fixture.execute("INSERT INTO campus_recommend_due (person_id) SELECT id FROM campus_person").await;
    assert_eq!(batch(&app).await.people, 36);
    assert_eq!(fixture.texts(self::made::<F>()).await, made);

    let newcomer = UserId::new(fixture_stranger(&app).await).unwrap();
    let before = shown(&app, &newcomer, &Surface::GROUPS).await;
    let joined = Scope::group(&*before[0].id).unwrap();
    groups::join(&app, &Caller::new(newcomer.clone()), &joined).await.unwrap();
    let after = shown(&app, &newcomer, &Surface::GROUPS).await;
    assert!(after.iter().all(|item| item.id != before[0].id), "at once, before any batch");
    batches(&app, 1, 1).await;
    assert!(shown(&app, &newcomer, &Surface::GROUPS).await.iter().all(|item| item.id != before[0].id));
    // One row for each surface, whatever was there before.
    assert_eq!(fixture.count(COUNT).await, i64::try_from(made.len()).unwrap());
}

async fn a_signal_is_part_of_what_was_done_and_a_view_of_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let newcomer = fixture_stranger(&app).await;
    let signals = || fixture.count("SELECT count(*) FROM recommendation_signal");
    let router = router(app.clone(), Options::demo());
    let mut browser = Browser::signed_in(router.clone(), &newcomer).await;
    assert_eq!(browser.post("/groups/none/join", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(signals().await, 0);
    browser.post("/groups/chess/join", "").await;
    browser.post("/groups/chess/join", "").await;
    assert_eq!(signals().await, 1, "joined once");
    let mut tx = app.begin().await.unwrap();
    let user = UserId::new(&*newcomer).unwrap();
    recommender::signal(&app, &mut tx, &user, &Surface::EVENTS, "ball", Act::Rsvp).await.unwrap();
    drop(tx);
    assert_eq!(signals().await, 1, "nothing was done");
    // What is not shown was not looked at.
    let post = posts_of(&fixture).await.remove(0);
    let eve = people(&app).await.into_iter().find(|one| one.as_str() != newcomer && one != &member).unwrap();
    let mut tx = app.begin().await.unwrap();
    app.membership.ban(&mut tx, &eve, &Scope::group("chess").unwrap(), &By::user(&member)).await.ok();
    app.commit(tx).await.unwrap();
    let mut eves = Browser::signed_in(router, eve.as_str()).await;
    assert_eq!(eves.get(&format!("/posts/{post}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&format!("/posts/{post}")).await.status, StatusCode::OK);
    // The view is written beside the answer.
    let seen = async {
        while signals().await < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), seen).await.unwrap();
    assert_eq!(fixture.texts("SELECT user_id FROM recommendation_signal WHERE kind = 'view'").await, [newcomer]);
}

async fn deals_and_programmes_leave_signals_and_a_deal_is_recommended_until_it_is_taken<F: Fixture>() {
    let (fixture, app, staff, partner, agent) = marketplace::partner::<F>().await;
    let mut deals = Vec::new();
    for audience in ["campus:everyone", "campus:everyone", "group:none"] {
        deals.push(marketplace::published(&app, &agent, &partner, audience, 5).await);
    }
    let draft = ProgrammeDraft::new("Walks and questions", "A quokka each.", "campus:everyone").unwrap();
    let programme = mentorship::create(&app, &Caller::new(UserId::new(staff).unwrap()), draft).await.unwrap().id;
    let everybody = people(&app).await;
    for (person, taken) in everybody[3..6].iter().zip([2, 2, 1]) {
        for deal in &deals[..taken] {
            redemption::redeem(&app, &Caller::new(person.clone()), deal).await.unwrap();
            redemption::redeem(&app, &Caller::new(person.clone()), deal).await.unwrap();
        }
    }
    let (last, one) = (&everybody[5], &everybody[6]);
    let said =
        ProfileInput { interests: "boats".into(), languages: "English".into(), batch_year: 2015, ..Default::default() };
    let profile = ProfileDraft::new(ProgrammeRole::Mentee, &said).unwrap();
    mentorship::register(&app, &Caller::new(one.clone()), &programme, &profile).await.unwrap();
    let left = "SELECT kind || ' ' || surface FROM recommendation_signal ORDER BY kind, surface";
    let mut expected = vec!["join mentorship"];
    expected.extend(["redeem marketplace"; 5]);
    assert_eq!(fixture.texts(left).await, expected);

    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), one.as_str()).await;
    for (count, path) in [(1, format!("/deals/{}", deals[0])), (2, format!("/mentorship/{programme}"))] {
        assert_eq!(browser.get(&path).await.status, StatusCode::OK);
        let seen = async {
            while fixture.count("SELECT count(*) FROM recommendation_signal WHERE kind = 'view'").await < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), seen).await.unwrap();
    }
    assert_eq!(browser.get(&format!("/deals/{}", deals[2])).await.status, StatusCode::NOT_FOUND);
    expected.extend(["view marketplace", "view mentorship"]);
    assert_eq!(fixture.texts(left).await, expected, "what is not shown was not looked at");
    for found in ["/search?q=wombat", "/search?q=quokka"] {
        assert!(!browser.get(found).await.body.contains("0 found"), "{found}");
    }

    // The batch that reads the signals may come after one that made the same people's candidates of their memberships.
    batches(&app, 8, u64::try_from(fixture.count("SELECT count(*) FROM memberships_transition").await).unwrap()).await;
    let offered = shown(&app, last, &Surface::MARKETPLACE).await;
    let ids: Vec<&str> = offered.iter().map(|deal| &*deal.id).collect();
    assert_eq!(ids, [&*deals[1]], "neither what they have nor what is for others: {offered:?}");
    // The titles of these deals are the same.
    assert_eq!(offered[0].why, "Like what you read lately");
    redemption::redeem(&app, &Caller::new(last.clone()), &deals[1]).await.unwrap();
    assert!(shown(&app, last, &Surface::MARKETPLACE).await.is_empty());
}

async fn home_shows_what_is_recommended_and_why_and_nothing_after_a_ban<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let newcomer = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &newcomer).await;
    let page = browser.get("/").await.body;
    assert!(page.contains("You have not joined a group yet") && page.contains("Nothing yet"), "{page}");
    batch(&app).await;
    let page = browser.get("/").await.body;
    assert!(page.contains("Groups you may like") && page.contains("of your class"), "{page}");
    browser.post("/groups/chess/join", "").await;
    batch(&app).await;
    let page = browser.get("/").await.body;
    let title = &fixture.texts("SELECT title FROM campus_post WHERE group_id = 'chess' ORDER BY id").await[0];
    assert!(page.contains("Worth reading") && page.contains("Because you are in Chess Club"), "{page}");
    let user = UserId::new(&*newcomer).unwrap();
    let mut tx = app.begin().await.unwrap();
    let by = By::user(&UserId::new("moderator").unwrap());
    app.membership.ban(&mut tx, &user, &Scope::group("chess").unwrap(), &by).await.unwrap();
    app.commit(tx).await.unwrap();
    let page = browser.get("/").await.body;
    for part in ["Worth reading", "Chess Club", "/groups/chess", title] {
        assert!(!page.contains(part), "{part}: {page}");
    }
}

async fn a_batch_that_is_out_of_time_goes_on_with_the_next<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let nothing = recommender::run(&app, None, Some(std::time::Duration::ZERO), |_| {}).await.unwrap();
    assert_eq!((nothing.is_complete, nothing.people), (false, 0));
    assert_eq!(fixture.count(COUNT).await, 0);
    let mut heard = Vec::new();
    let done = recommender::run(&app, None, None, |progress| heard.push(progress.people)).await.unwrap();
    assert!(done.is_complete && heard.is_sorted() && heard.len() > 2, "{heard:?}");
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
    whoever_joins_and_reads_is_recommended_more_of_it_with_the_reason
    nobody_is_shown_what_they_may_not_see_from_the_ban_on
    a_batch_replaces_what_the_last_one_made_and_twice_is_once
    a_signal_is_part_of_what_was_done_and_a_view_of_nothing
    deals_and_programmes_leave_signals_and_a_deal_is_recommended_until_it_is_taken
    home_shows_what_is_recommended_and_why_and_nothing_after_a_ban
    a_batch_that_is_out_of_time_goes_on_with_the_next
}

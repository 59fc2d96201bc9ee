//! The members' pages, on both databases: who decides about whom, and what it takes.

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::http::router;
use chrono::{TimeDelta, Utc};
use stoa_membership::{By, Filter, Grant, PageRequest, Role, Scope, State, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::pages::{Answer, Browser, fixture_stranger};

const PAGE: &str = "/groups/chess/members";
const HISTORY: &str = "SELECT verb FROM memberships_transition ORDER BY id";

fn chess() -> Scope {
    Scope::group("chess").unwrap()
}

/// The first in the chess club with that role.
async fn with_role<B: Backend>(app: &App<B>, role: &str) -> UserId {
    let filter = Filter::default().role(Role::new(role).unwrap());
    let mut tx = app.read().await.unwrap();
    let page = app.membership.list_by_scope(&mut tx, &chess(), &filter, &PageRequest::first(1)).await.unwrap();
    page.items[0].user().clone()
}

async fn standing<B: Backend>(app: &App<B>, user: &UserId) -> Option<(State, String, i64)> {
    let mut tx = app.read().await.unwrap();
    let member = app.membership.get(&mut tx, user, &chess()).await.unwrap();
    member.map(|member| (member.state(), member.role().to_string(), member.version()))
}

/// Sends the form for a decision about somebody at the version that the page shows.
async fn decide<B: Backend>(browser: &mut Browser, app: &App<B>, person: &UserId, decision: &str) -> Answer {
    let version = standing(app, person).await.map_or(0, |(_, _, version)| version);
    browser.post(PAGE, &format!("person={person}&version={version}&decision={decision}")).await
}

async fn an_owner_bans_and_it_holds_everywhere_at_once<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, eve) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let mut owners = Browser::signed_in(router(app.clone(), true), owner.as_str()).await;
    let mut eves = Browser::signed_in(router(app.clone(), true), eve.as_str()).await;
    assert!(eves.get("/groups/chess").await.body.contains("Post to the group"));
    let records = fixture.count("SELECT count(*) FROM audit_record").await;

    assert_eq!(decide(&mut owners, &app, &eve, "ban&reason=spam").await.status, StatusCode::SEE_OTHER);
    assert_eq!(fixture.count("SELECT count(*) FROM audit_record").await, records + 1);
    assert!(!eves.get("/groups/chess").await.body.contains("Post to the group"));
    assert_eq!(eves.get(PAGE).await.status, StatusCode::NOT_FOUND);
    assert_eq!(eves.post("/groups/chess/join", "").await.status, StatusCode::CONFLICT);
    assert_eq!(eves.post("/groups/chess/posts", "title=a&body=b").await.status, StatusCode::NOT_FOUND);
    let banned = owners.get(&format!("{PAGE}?state=banned")).await.body;
    assert!(banned.contains(eve.as_str()) && banned.contains("Lift the ban"), "{banned}");
    let history = owners.get(&format!("{PAGE}/history?person={eve}")).await.body;
    assert!(history.contains("spam") && history.contains("ban"), "{history}");

    assert_eq!(decide(&mut owners, &app, &eve, "unban").await.status, StatusCode::SEE_OTHER);
    assert_eq!(standing(&app, &eve).await.unwrap().0, State::Left);
    assert_eq!(eves.post("/groups/chess/join", "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(decide(&mut owners, &app, &eve, "remove").await.status, StatusCode::SEE_OTHER);
    assert_eq!(standing(&app, &eve).await.unwrap().0, State::Left);
}

async fn authority_reaches_down_only<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, admin) = (with_role(&app, "owner").await, with_role(&app, "admin").await);
    let member = with_role(&app, "member").await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    let before = fixture.texts(HISTORY).await;
    let mut admins = Browser::signed_in(router(app.clone(), true), admin.as_str()).await;
    for (person, decision) in [
        (&owner, "ban&reason=coup"),
        (&owner, "remove"),
        (&owner, "role&role=member"),
        (&admin, "role&role=owner"),
        (&admin, "ban&reason=oneself"),
        (&member, "role&role=owner"),
    ] {
        let answer = decide(&mut admins, &app, person, decision).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{decision} of {person}: {}", answer.body);
    }
    // Who does not manage the group is told what a stranger is told.
    for person in [&member, &stranger] {
        let mut browser = Browser::signed_in(router(app.clone(), true), person.as_str()).await;
        assert_eq!(decide(&mut browser, &app, &admin, "ban&reason=a").await.status, StatusCode::NOT_FOUND);
        assert_eq!(browser.get(&format!("{PAGE}/history?person={admin}")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(fixture.texts(HISTORY).await, before);
    assert_eq!(decide(&mut admins, &app, &member, "role&role=admin").await.status, StatusCode::SEE_OTHER);
    assert_eq!(decide(&mut admins, &app, &member, "remove").await.status, StatusCode::FORBIDDEN, "a peer by now");
    let mut owners = Browser::signed_in(router(app.clone(), true), owner.as_str()).await;
    assert_eq!(owners.post("/groups/chess/leave", "").await.status, StatusCode::CONFLICT, "the last owner");
    assert_eq!(decide(&mut owners, &app, &admin, "role&role=owner").await.status, StatusCode::SEE_OTHER);
    assert_eq!(owners.post("/groups/chess/leave", "").await.status, StatusCode::SEE_OTHER);
}

async fn a_decision_on_old_knowledge_changes_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let mut owners = Browser::signed_in(router(app.clone(), true), owner.as_str()).await;
    let (_, _, seen) = standing(&app, &member).await.unwrap();
    assert_eq!(decide(&mut owners, &app, &member, "role&role=admin").await.status, StatusCode::SEE_OTHER);
    let before = fixture.texts(HISTORY).await;
    for version in [seen, 0, -1, i64::MAX] {
        let answer = owners.post(PAGE, &format!("person={member}&version={version}&decision=remove")).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{version}");
        assert!(answer.body.contains("changed by somebody else"), "{}", answer.body);
    }
    assert_eq!(fixture.texts(HISTORY).await, before);
}

async fn a_guest_stays_until_the_end<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let owner = with_role(&app, "owner").await;
    let guest = UserId::new(fixture_stranger(&app).await).unwrap();
    let mut owners = Browser::signed_in(router(app.clone(), true), owner.as_str()).await;
    let mut guests = Browser::signed_in(router(app.clone(), true), guest.as_str()).await;
    let tomorrow = (Utc::now() + TimeDelta::days(1)).format("%Y-%m-%d");
    let invited = decide(&mut owners, &app, &guest, &format!("invite&until={tomorrow}")).await;
    assert_eq!(invited.status, StatusCode::SEE_OTHER, "{}", invited.body);
    let page = guests.get("/groups/chess").await.body;
    assert!(page.contains(" until ") && page.contains("Post to the group"), "{page}");

    // The end comes: nothing has to happen for it to hold.
    let ended = Grant::new(Role::new("member").unwrap()).until(Utc::now() - TimeDelta::seconds(1)).unwrap();
    let mut tx = app.begin().await.unwrap();
    app.membership.add(&mut tx, &guest, &chess(), &ended, &By::user(&owner)).await.unwrap();
    app.commit(tx).await.unwrap();
    assert!(!guests.get("/groups/chess").await.body.contains("Post to the group"));
    assert_eq!(guests.post("/groups/chess/posts", "title=a&body=b").await.status, StatusCode::NOT_FOUND);
    assert!(owners.get(&format!("{PAGE}?state=expired")).await.body.contains(guest.as_str()));

    assert_eq!(decide(&mut owners, &app, &guest, "ban&reason=a").await.status, StatusCode::SEE_OTHER);
    let answer = decide(&mut owners, &app, &guest, &format!("invite&until={tomorrow}")).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "an invitation lifts no ban");
    assert_eq!(standing(&app, &guest).await.unwrap().0, State::Banned);
}

async fn pages_walk_through_all_members<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let member = with_role(&app, "member").await;
    let mut tx = app.begin().await.unwrap();
    for number in 0..120 {
        let user = UserId::new(format!("crowd-{number:03}")).unwrap();
        app.membership.join(&mut tx, &user, &chess(), &By::user(&user)).await.unwrap();
    }
    let total = app.membership.count(&mut tx, &chess(), &Filter::default()).await.unwrap();
    app.commit(tx).await.unwrap();
    let mut browser = Browser::signed_in(router(app, true), member.as_str()).await;
    let (mut path, mut seen) = (PAGE.to_owned(), 0);
    loop {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.body.contains("Manage"), "members decide nothing");
        seen += page.body.matches("<li class=\"card\">").count() as u64;
        let next = page.body.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
        match next {
            Some(next) => path = next.replace("&amp;", "&"),
            None => break,
        }
    }
    assert_eq!(seen, total);
    // A member sees the active ones whatever the address says.
    let body = browser.get(&format!("{PAGE}?state=banned")).await.body;
    assert!(!body.contains("Lift the ban") && !body.contains("Banned ("));
    let token = path.split("after=").nth(1).unwrap();
    for nonsense in ["after=zz", "after=00", &format!("after={token}&role=owner"), "role=", "role=%00"] {
        let answer = browser.get(&format!("{PAGE}?{nonsense}")).await;
        let expected = if nonsense == "role=" { answer.status.is_success() } else { answer.status.is_client_error() };
        assert!(expected, "{nonsense}: {}", answer.status);
    }
}

async fn a_decision_that_cannot_be_recorded_is_not_made<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let before = (standing(&app, &member).await, fixture.texts(HISTORY).await);
    fixture.break_step(2).await;
    let mut owners = Browser::signed_in(router(app.clone(), true), owner.as_str()).await;
    let answer = decide(&mut owners, &app, &member, "ban&reason=a").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((standing(&app, &member).await, fixture.texts(HISTORY).await), before);
}

async fn nonsense_changes_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let before = fixture.texts(HISTORY).await;
    let mut owners = Browser::signed_in(router(app.clone(), true), owner.as_str()).await;
    let long = format!("ban&reason={}", "x".repeat(600));
    for decision in [
        "",
        "ban",
        "ban&reason=",
        "ban&reason=a%00b",
        &long,
        "role&role=king",
        "role",
        "invite",
        "invite&until=2001-01-01",
    ] {
        let answer = decide(&mut owners, &app, &member, decision).await;
        assert!(answer.status.is_client_error(), "{decision}: {}", answer.status);
    }
    for form in ["person=&version=1&decision=remove", "version=1&decision=remove", "person=a&version=x&decision=remove"]
    {
        assert!(owners.post(PAGE, form).await.status.is_client_error(), "{form}");
    }
    let nobody = UserId::new("nobody-at-all").unwrap();
    let invited = decide(&mut owners, &app, &nobody, "invite&until=2999-01-01").await;
    assert_eq!(invited.status, StatusCode::UNPROCESSABLE_ENTITY);
    let elsewhere = format!("person={member}&version=1&decision=remove");
    assert_eq!(owners.post("/groups/nowhere/members", &elsewhere).await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.texts(HISTORY).await, before);
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
    an_owner_bans_and_it_holds_everywhere_at_once
    authority_reaches_down_only
    a_decision_on_old_knowledge_changes_nothing
    a_guest_stays_until_the_end
    pages_walk_through_all_members
    a_decision_that_cannot_be_recorded_is_not_made
    nonsense_changes_nothing
}

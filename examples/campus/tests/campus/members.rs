//! The members' pages, on both databases: who decides about whom, and what it takes.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::http::router;
use chrono::{TimeDelta, Utc};
use stoa_audit as audit;
use stoa_membership::{By, Filter, Grant, PageRequest, Reason, Role, Scope, State, UserId};
use tokio::join;

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
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let mut eves = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), eve.as_str()).await;
    assert!(eves.get("/groups/chess").await.body.contains("Post to the group"));
    let posted = owners.post("/groups/chess/posts", "title=A+wobbegong+gambit&body=Only+for+us").await;
    let post = format!("/posts/{}", posted.location.split("#post-").nth(1).unwrap());
    assert!(eves.get("/search?q=wobbegong").await.body.contains("1 found"));
    assert_eq!(eves.get(&post).await.status, StatusCode::OK);
    let records = fixture.count("SELECT count(*) FROM audit_record").await;
    let documents = fixture.count("SELECT count(*) FROM search_document").await;

    assert_eq!(decide(&mut owners, &app, &eve, "ban&reason=spam").await.status, StatusCode::SEE_OTHER);
    assert_eq!(fixture.count("SELECT count(*) FROM audit_record").await, records + 1);
    assert_eq!(fixture.count("SELECT count(*) FROM search_document").await, documents, "no document is touched");
    let page = eves.get("/groups/chess").await.body;
    assert!(page.contains("You are banned") && !page.contains("Post to the group") && !page.contains("spam"), "{page}");
    assert!(eves.get("/search?q=wobbegong").await.body.contains("0 found"));
    assert_eq!(eves.get(&post).await.status, StatusCode::NOT_FOUND);
    assert_eq!(eves.get(PAGE).await.status, StatusCode::NOT_FOUND);
    let refused = eves.post("/groups/chess/join", "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("There is a ban") && !refused.body.contains("spam"), "{}", refused.body);
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
    let mut admins = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), admin.as_str()).await;
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
        let mut browser = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), person.as_str()).await;
        assert_eq!(decide(&mut browser, &app, &admin, "ban&reason=a").await.status, StatusCode::NOT_FOUND);
        assert_eq!(browser.get(&format!("{PAGE}/history?person={admin}")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(fixture.texts(HISTORY).await, before);
    assert_eq!(decide(&mut admins, &app, &member, "role&role=admin").await.status, StatusCode::SEE_OTHER);
    assert_eq!(decide(&mut admins, &app, &member, "remove").await.status, StatusCode::FORBIDDEN, "a peer by now");
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let refused = owners.post("/groups/chess/leave", "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("make somebody else an owner first"), "{}", refused.body);
    assert_eq!(decide(&mut owners, &app, &admin, "role&role=owner").await.status, StatusCode::SEE_OTHER);
    assert_eq!(owners.post("/groups/chess/leave", "").await.status, StatusCode::SEE_OTHER);
}

async fn a_decision_on_old_knowledge_changes_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let (_, _, seen) = standing(&app, &member).await.unwrap();
    assert_eq!(decide(&mut owners, &app, &member, "role&role=admin").await.status, StatusCode::SEE_OTHER);
    let before = fixture.texts(HISTORY).await;
    for version in [seen, 0, -1, i64::MAX] {
        let answer = owners.post(PAGE, &format!("person={member}&version={version}&decision=remove")).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{version}");
        assert!(answer.body.contains("Somebody else changed this"), "{}", answer.body);
        assert!(answer.body.contains("Last change: set_role by "), "{}", answer.body);
        // The forms on it decide about what it shows.
        assert!(answer.body.contains(&format!("name=\"version\" value=\"{}\"", seen + 1)), "{}", answer.body);
    }
    assert_eq!(fixture.texts(HISTORY).await, before);
}

/// On PostgreSQL both hold the row before one of them changes it: the database ends one, and trying again tells it of the other.
async fn of_two_decisions_at_once_one_is_made<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, admin) = (with_role(&app, "owner").await, with_role(&app, "admin").await);
    let member = with_role(&app, "member").await;
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let mut admins = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), admin.as_str()).await;
    let (records, version) =
        (fixture.count("SELECT count(*) FROM audit_record").await, standing(&app, &member).await.unwrap().2);
    let form = format!("person={member}&version={version}&decision=");
    let (ban, remove) = (format!("{form}ban&reason=a"), format!("{form}remove"));
    let (ban, remove) = join!(owners.post(PAGE, &ban), admins.post(PAGE, &remove));
    let mut statuses = [ban.status.as_u16(), remove.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409], "{}{}", ban.body, remove.body);
    assert_eq!(standing(&app, &member).await.unwrap().2, version + 1);
    assert_eq!(fixture.count("SELECT count(*) FROM audit_record").await, records + 1);
}

async fn a_decision_is_recorded_with_what_was_before<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let guest = UserId::new(fixture_stranger(&app).await).unwrap();
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let stands = |state: &str, role: &str| format!(r#"{{"state":"{state}","role":"{role}","expires_at":null}}"#);
    let until = r#"{"state":"active","role":"member","expires_at":"3000-01-01T00:00:00+00:00"}"#.to_owned();
    for (person, decision, method, before, after) in [
        (&member, "role&role=admin", "SetRole", Some(stands("active", "member")), stands("active", "admin")),
        (&member, "ban&reason=a", "BanMember", Some(stands("active", "admin")), stands("banned", "admin")),
        (&member, "unban", "UnbanMember", Some(stands("banned", "admin")), stands("left", "admin")),
        (&guest, "invite&until=2999-12-31", "InviteGuest", None, until.clone()),
        (&guest, "remove", "RemoveMember", Some(until), stands("left", "member")),
    ] {
        let answer = decide(&mut owners, &app, person, decision).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{decision}: {}", answer.body);
        let mut tx = app.read().await.unwrap();
        let newest = app
            .audit
            .list(&mut tx, &audit::Filter::new(), &audit::PageRequest::first(1))
            .await
            .unwrap()
            .items
            .remove(0)
            .record;
        assert_eq!(newest.action.to_string(), format!("bits.groups.v1.MembershipService/{method}"));
        assert_eq!((newest.actor.id(), newest.entity.id().as_str()), (owner.as_str(), person.as_str()));
        assert_eq!(newest.scope.unwrap().to_string(), "group:chess");
        let body = |body: Option<audit::Body>| body.map(|body| body.as_str().to_owned());
        assert_eq!((body(newest.before), body(newest.after)), (before, Some(after)), "{decision}");
    }
}

async fn a_guest_stays_until_the_end<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let owner = with_role(&app, "owner").await;
    let guest = UserId::new(fixture_stranger(&app).await).unwrap();
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let mut guests = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), guest.as_str()).await;
    let tomorrow = (Utc::now() + TimeDelta::days(1)).format("%Y-%m-%d");
    let invited = decide(&mut owners, &app, &guest, &format!("invite&until={tomorrow}")).await;
    assert_eq!(invited.status, StatusCode::SEE_OTHER, "{}", invited.body);
    let page = guests.get("/groups/chess").await.body;
    assert!(page.contains(" until ") && page.contains("Post to the group"), "{page}");
    let posted = owners.post("/groups/chess/posts", "title=A+wobbegong+gambit&body=Only+for+us").await;
    let post = format!("/posts/{}", posted.location.split("#post-").nth(1).unwrap());
    assert!(guests.get("/search?q=wobbegong").await.body.contains("1 found"));
    assert_eq!((guests.get(&post).await.status, guests.get(PAGE).await.status), (StatusCode::OK, StatusCode::OK));

    // The end comes: nothing has to happen for it to hold.
    let ended = Grant::new(Role::new("member").unwrap()).until(Utc::now() - TimeDelta::seconds(1)).unwrap();
    let mut tx = app.begin().await.unwrap();
    app.membership.add(&mut tx, &guest, &chess(), &ended, &By::user(&owner)).await.unwrap();
    app.commit(tx).await.unwrap();
    let page = guests.get("/groups/chess").await.body;
    assert!(page.contains("is over") && !page.contains("Post to the group"), "{page}");
    assert!(guests.get("/search?q=wobbegong").await.body.contains("0 found"));
    for path in [&*post, PAGE] {
        assert_eq!(guests.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(guests.post("/groups/chess/posts", "title=a&body=b").await.status, StatusCode::NOT_FOUND);
    let expired = owners.get(&format!("{PAGE}?state=expired")).await.body;
    assert!(expired.contains(guest.as_str()) && expired.contains("Invite again"), "{expired}");
    // Whoever was a member before is no newcomer: the invitation from a blank form shows how it stands, and one from there holds.
    let blank = format!("person={guest}&version=0&decision=invite&until={tomorrow}");
    let answer = owners.post(PAGE, &blank).await;
    assert!(answer.status == StatusCode::CONFLICT && answer.body.contains("Invite again"), "{}", answer.body);
    let invited = decide(&mut owners, &app, &guest, &format!("invite&until={tomorrow}")).await;
    assert_eq!(invited.status, StatusCode::SEE_OTHER, "{}", invited.body);
    assert_eq!(standing(&app, &guest).await.unwrap().0, State::Active);
    assert!(owners.get(PAGE).await.body.contains("Move the end"));

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
    let mut browser = Browser::signed_in(router(app, campus::http::Options::demo()), member.as_str()).await;
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
    for nonsense in ["after=zz", "after=00", &format!("after={token}&role=owner"), "role=king", "role=%00"] {
        let answer = browser.get(&format!("{PAGE}?{nonsense}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{nonsense}: {}", answer.body);
    }
    assert_eq!(browser.get(&format!("{PAGE}?role=&state=&after=")).await.status, StatusCode::OK);
    // A token of another group's list.
    browser.post("/groups/rowing/join", "").await;
    assert_eq!(browser.get("/groups/rowing/members").await.status, StatusCode::OK);
    let answer = browser.get(&format!("/groups/rowing/members?after={token}")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("go back to its first page"), "{}", answer.body);
}

async fn a_history_is_walked_from_the_newest<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let reason = Reason::new("<b>thirty times</b>").unwrap();
    let mut tx = app.begin().await.unwrap();
    for _ in 0..30 {
        let by = By::user(&owner).because(reason.clone());
        app.membership.ban(&mut tx, &member, &chess(), &by).await.unwrap();
        app.membership.unban(&mut tx, &member, &chess(), &By::user(&owner)).await.unwrap();
    }
    app.commit(tx).await.unwrap();
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let path = format!("{PAGE}/history?person={member}");
    let first = owners.get(&path).await.body;
    let rows = |page: &str| page.matches("<td>").count() / 5;
    assert!(first.find("<td>unban</td>").unwrap() < first.find("<td>ban</td>").unwrap(), "{first}");
    assert!(first.contains("&lt;b&gt;thirty times&lt;/b&gt;") && !first.contains("<td>join</td>"), "{first}");
    let token = first.split("after=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let second = owners.get(&format!("{path}&after={token}")).await.body;
    assert!(second.contains("<td>join</td>") && !second.contains("after="), "{second}");
    assert_eq!((rows(&first), rows(&second)), (50, 11));
    for foreign in [format!("{PAGE}/history?person={owner}&after={token}"), format!("{PAGE}?after={token}")] {
        assert_eq!(owners.get(&foreign).await.status, StatusCode::BAD_REQUEST, "{foreign}");
    }
    let nobody = fixture_stranger(&app).await;
    for nothing in [nobody.as_str(), "nobody-at-all"] {
        let answer = owners.get(&format!("{PAGE}/history?person={nothing}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nothing}");
    }
}

/// An owner is one in their own group, and a form counts only from a page of campus and from somebody.
async fn a_form_from_elsewhere_changes_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let away = Scope::group("away").unwrap();
    let mut tx = app.begin().await.unwrap();
    let group = campus::groups::Group {
        id: "away".into(),
        kind: campus::groups::GroupKind::Interest,
        name: "Away".into(),
        description: "Elsewhere.".into(),
        place: String::new(),
    };
    campus::groups::create(&app, &mut tx, &group, &Caller::new(UserId::new(fixture_stranger(&app).await).unwrap()))
        .await
        .unwrap();
    for user in [&owner, &member] {
        app.membership.join(&mut tx, user, &away, &By::user(user)).await.unwrap();
    }
    app.commit(tx).await.unwrap();
    let before = (fixture.texts(HISTORY).await, fixture.counts().await);
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let form = format!("person={member}&version=1&decision=remove");
    assert_eq!(owners.post("/groups/away/members", &form).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        owners.get(&format!("/groups/away/members/history?person={member}")).await.status,
        StatusCode::NOT_FOUND
    );
    let page = owners.get("/groups/away/members?state=banned").await;
    assert!(page.status == StatusCode::OK && !page.body.contains("Manage") && !page.body.contains("Banned ("));

    let urlencoded = "application/x-www-form-urlencoded";
    for origin in [None, Some("http://evil.example"), Some("null")] {
        let mut request = Request::post(PAGE).header(header::CONTENT_TYPE, urlencoded);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        assert_eq!(owners.send(request, Body::from(form.clone())).await.status, StatusCode::FORBIDDEN, "{origin:?}");
    }
    let anonymous = Browser::new(router(app.clone(), campus::http::Options::demo())).post(PAGE, &form).await;
    assert_eq!((anonymous.status, &*anonymous.location), (StatusCode::SEE_OTHER, "/people"));
    let mut forged = Browser::new(router(app.clone(), campus::http::Options::demo()));
    let request = Request::post(PAGE)
        .header(header::CONTENT_TYPE, urlencoded)
        .header(header::ORIGIN, "http://localhost:8080")
        .header(header::COOKIE, "campus_session=nobody-at-all");
    assert_eq!(forged.send(request, Body::from(form)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!((fixture.texts(HISTORY).await, fixture.counts().await), before);
}

async fn a_decision_that_cannot_be_recorded_is_not_made<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let before = (standing(&app, &member).await, fixture.texts(HISTORY).await);
    fixture.break_step(2).await;
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let answer = decide(&mut owners, &app, &member, "ban&reason=a").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((standing(&app, &member).await, fixture.texts(HISTORY).await), before);
}

async fn nonsense_changes_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (owner, member) = (with_role(&app, "owner").await, with_role(&app, "member").await);
    let before = fixture.texts(HISTORY).await;
    let mut owners = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), owner.as_str()).await;
    let long = format!("ban&reason={}", "x".repeat(171));
    for decision in [
        "",
        "ban",
        "ban&reason=",
        "ban&reason=+",
        "ban&reason=a%00b",
        "ban&reason=a%0Ab",
        "ban&reason=a%1B[31mb",
        &long,
        "role&role=king",
        "role",
        "invite",
        "invite&until=2001-01-01",
        "invite&until=9999-12-31",
        "unban",
        "add",
    ] {
        let answer = decide(&mut owners, &app, &member, decision).await;
        assert!(answer.status.is_client_error(), "{decision}: {}", answer.status);
    }
    for form in [
        "person=&version=1&decision=remove",
        "version=1&decision=remove",
        "person=a&version=x&decision=remove",
        "person=a&decision=remove",
        "person=%00&version=1&decision=remove",
        "person=a&version=9223372036854775808&decision=remove",
    ] {
        assert!(owners.post(PAGE, form).await.status.is_client_error(), "{form}");
    }
    let nobody = UserId::new("nobody-at-all").unwrap();
    let invited = decide(&mut owners, &app, &nobody, "invite&until=2999-01-01").await;
    assert_eq!(invited.status, StatusCode::UNPROCESSABLE_ENTITY);
    let elsewhere = format!("person={member}&version=1&decision=remove");
    assert_eq!(owners.post("/groups/nowhere/members", &elsewhere).await.status, StatusCode::NOT_FOUND);
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    for decision in ["remove", "unban", "role&role=admin"] {
        let answer = decide(&mut owners, &app, &stranger, decision).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{decision}: {}", answer.body);
    }
    let mut strangers = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), stranger.as_str()).await;
    let refused = strangers.post("/groups/chess/leave", "").await;
    assert!(refused.status == StatusCode::CONFLICT && refused.body.contains("no membership"), "{}", refused.body);
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
    of_two_decisions_at_once_one_is_made
    a_decision_is_recorded_with_what_was_before
    a_guest_stays_until_the_end
    pages_walk_through_all_members
    a_history_is_walked_from_the_newest
    a_form_from_elsewhere_changes_nothing
    a_decision_that_cannot_be_recorded_is_not_made
    nonsense_changes_nothing
}

//! Groups and their posts, on both databases: who starts, changes and deletes what, and what it leaves in the log.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use campus::app::App;
use campus::backend::Backend;
use campus::http::{Options, router};
use serde_json::{Value, json};
use stoa_audit as audit;
use stoa_membership::{By, Filter, Grant, PageRequest, Role, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::pages::{Answer, Browser, fixture_stranger};

pub(crate) const RECORDS: &str = "SELECT count(*) FROM audit_record";

/// Sends JSON as a page of campus would.
pub(crate) async fn post_json(browser: &mut Browser, path: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header(header::ORIGIN, "http://localhost:8080")
        .header(header::CONTENT_TYPE, "application/json");
    browser.send(request, Body::from(body.to_string())).await
}

pub(crate) fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

/// The last thing that was recorded, as action, actor and entity.
pub(crate) async fn newest_record<B: Backend>(app: &App<B>) -> (String, String, String) {
    let mut tx = app.read().await.unwrap();
    let mut page = app.audit.list(&mut tx, &audit::Filter::new(), &audit::PageRequest::first(1)).await.unwrap();
    let record = page.items.remove(0).record;
    (record.action.to_string(), record.actor.id().to_owned(), record.entity.id().to_string())
}

/// The members of the chess club of the demo with that role.
pub(crate) async fn with_role<B: Backend>(app: &App<B>, role: &str) -> Vec<UserId> {
    let filter = Filter::default().role(Role::new(role).unwrap());
    let mut tx = app.read().await.unwrap();
    let chess = Scope::group("chess").unwrap();
    let page = app.membership.list_by_scope(&mut tx, &chess, &filter, &PageRequest::first(50)).await.unwrap();
    page.items.iter().map(|member| member.user().clone()).collect()
}

/// Bans the first from the chess club and lets the second leave it.
pub(crate) async fn shut_out<B: Backend>(app: &App<B>, banned: &UserId, left: &UserId) {
    let owner = with_role(app, "owner").await.remove(0);
    let (chess, mut tx) = (Scope::group("chess").unwrap(), app.begin().await.unwrap());
    app.membership.ban(&mut tx, banned, &chess, &By::user(&owner)).await.unwrap();
    app.membership.leave(&mut tx, left, &chess, &By::user(left)).await.unwrap();
    app.commit(tx).await.unwrap();
}

/// Everybody who is outside of the chess club: a stranger, somebody banned, and somebody who left.
async fn outsiders<B: Backend>(app: &App<B>) -> Vec<UserId> {
    let members = with_role(app, "member").await;
    shut_out(app, &members[0], &members[1]).await;
    vec![UserId::new(fixture_stranger(app).await).unwrap(), members[0].clone(), members[1].clone()]
}

async fn anybody_starts_a_group_and_owns_it<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let founder = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &founder).await;
    let before = fixture.count(RECORDS).await;
    assert!(browser.get("/groups/new").await.body.contains("Start the group"));
    let made = browser.post("/groups", "kind=interest&name=Kite+%26+Wind&description=Wobbly+quokkas&place=&id=").await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.body);
    assert!(made.location.starts_with("/groups/kite-wind-"), "{}", made.location);
    let page = browser.get(&made.location).await.body;
    assert!(page.contains("Kite &amp; Wind") && page.contains("owner") && page.contains("Edit"), "{page}");
    let id = made.location.rsplit('/').next().unwrap().to_owned();
    assert_eq!(fixture.count(RECORDS).await, before + 1);
    assert_eq!(
        newest_record(&app).await,
        ("bits.groups.v1.GroupService/CreateGroup".into(), founder.clone(), id.clone())
    );
    assert!(browser.get("/search?q=quokkas").await.body.contains("1 found"));

    let new =
        json!({"id": "lisbon", "kind": "chapter", "name": "Lisbon", "description": "On the Tagus", "place": "Lisbon"});
    let chapter = post_json(&mut browser, "/api/v1/groups", &new).await;
    assert_eq!(chapter.status, StatusCode::OK, "{}", chapter.body);
    let view = parsed(&chapter);
    assert_eq!((&view["id"], &view["kind"], &view["role"]), (&json!("lisbon"), &json!("chapter"), &json!("owner")));
    let mut tx = app.read().await.unwrap();
    let owner = app
        .membership
        .role(&mut tx, &UserId::new(&*founder).unwrap(), &"chapter:lisbon".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(owner.unwrap().as_str(), "owner");
    drop(tx);
    let taken = post_json(&mut browser, "/api/v1/groups", &new).await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken.body.contains("already"), "{}", taken.body);

    // A chapter is joined, written in and read as any group.
    let other = with_role(&app, "member").await.remove(0);
    let mut others = Browser::signed_in(router(app.clone(), Options::demo()), other.as_str()).await;
    assert_eq!(others.get("/groups/lisbon/members").await.status, StatusCode::NOT_FOUND);
    assert_eq!(others.post("/groups/lisbon/join", "").await.status, StatusCode::SEE_OTHER);
    let posted = browser.post("/groups/lisbon/posts", "title=A+wobbegong&body=In+the+river").await;
    assert_eq!(posted.status, StatusCode::SEE_OTHER, "{}", posted.body);
    assert!(others.get("/search?q=wobbegong").await.body.contains("1 found"));
    assert!(others.get("/feed").await.body.contains("A wobbegong"));
    assert_eq!(others.post("/groups/lisbon/leave", "").await.status, StatusCode::SEE_OTHER);
    assert!(others.get("/search?q=wobbegong").await.body.contains("0 found"));
    assert!(!others.get("/feed").await.body.contains("A wobbegong"));
}

async fn what_is_no_group_is_not_made<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &fixture_stranger(&app).await).await;
    let before = (fixture.counts().await, fixture.count("SELECT count(*) FROM campus_group").await);
    for form in [
        "",
        "name=a",
        "name=+&description=b",
        "name=a%00&description=b",
        "name=a%0Ab&description=b",
        "name=a&description=b&kind=king",
        "name=a&description=b&id=UPPER",
        "name=a&description=b&id=new",
        "name=a&description=b&id=..",
        "name=a&description=b&id=chess",
        "name=a&description=b&place=a%0Ab",
        &format!("name={}&description=b", "x".repeat(101)),
        &format!("name=a&description={}", "x".repeat(2001)),
    ] {
        let answer = browser.post("/groups", form).await;
        assert!(answer.status.is_client_error(), "{form:.60}: {}", answer.status);
    }
    for body in
        [json!({}), json!([]), json!({"name": 1, "description": "b"}), json!({"name": "a", "description": null})]
    {
        let answer = post_json(&mut browser, "/api/v1/groups", &body).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.status);
        assert!(parsed(&answer)["status"].is_number(), "a problem: {}", answer.body);
    }
    for path in ["/groups?kind=king", "/groups?after=none", "/groups?after=%00", "/api/v1/groups?limit=0"] {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
    assert_eq!((fixture.counts().await, fixture.count("SELECT count(*) FROM campus_group").await), before);
}

async fn groups_are_walked_by_name<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &fixture_stranger(&app).await).await;
    for number in 0..30 {
        let kind = if number % 3 == 0 { "chapter" } else { "interest" };
        let form = format!("kind={kind}&name=Crowd+{:02}&description=a&place=Oslo&id=crowd-{number}", number / 2);
        assert_eq!(browser.post("/groups", &form).await.status, StatusCode::SEE_OTHER);
    }
    for (kind, expected) in [("", 36), ("&kind=chapter", 10), ("&kind=interest", 26)] {
        let (mut path, mut names) = (format!("/api/v1/groups?limit=7{kind}"), Vec::new());
        loop {
            let page = parsed(&browser.get(&path).await);
            let items = page["items"].as_array().unwrap();
            names.extend(items.iter().map(|group| (group["name"].to_string(), group["id"].to_string())));
            match page["next"].as_str() {
                Some(next) => path = format!("/api/v1/groups?limit=7{kind}&after={next}"),
                None => break,
            }
        }
        assert_eq!(names.len(), expected, "{kind}");
        names.dedup();
        assert_eq!(names.len(), expected, "{kind}: nothing twice");
    }
    let page = browser.get("/groups").await.body;
    assert!(page.contains("rel=\"next\"") && page.contains("Chapter · Oslo"), "{page}");
}

async fn those_who_run_a_group_describe_it<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let outside = outsiders(&app).await;
    let owner = with_role(&app, "owner").await.remove(0);
    let member = with_role(&app, "member").await.remove(0);
    let form = "name=Chess+Society&description=Now+with+a+quokka&place=";
    let before = fixture.count(RECORDS).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), member.as_str()).await;
    assert_eq!(browser.post("/groups/chess/edit", form).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/groups/chess/edit").await.status, StatusCode::NOT_FOUND);
    for user in &outside {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await;
        let (refused, missing) =
            (browser.post("/groups/chess/edit", form).await, browser.post("/groups/none/edit", form).await);
        assert_eq!((refused.status, refused.body), (StatusCode::NOT_FOUND, missing.body), "{user}");
        assert_eq!(browser.get("/groups/chess/edit").await.body, browser.get("/groups/none/edit").await.body);
    }
    assert_eq!(fixture.count(RECORDS).await, before);
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), owner.as_str()).await;
    assert!(browser.get("/groups/chess/edit").await.body.contains("Save"));
    for _ in 0..2 {
        assert_eq!(browser.post("/groups/chess/edit", form).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(fixture.count(RECORDS).await, before + 1, "the second time nothing changed");
    let expected = ("bits.groups.v1.GroupService/UpdateGroup".into(), owner.to_string(), "chess".into());
    assert_eq!(newest_record(&app).await, expected);
    assert!(browser.get("/search?q=quokka&surface=groups").await.body.contains("Chess Society"));
    let json = json!({"name": "Chess", "description": "By JSON"});
    assert_eq!(post_json(&mut browser, "/api/v1/groups/chess", &json).await.status, StatusCode::OK);
    assert_eq!(parsed(&browser.get("/api/v1/groups/chess").await)["description"], "By JSON");
}

/// A post about an axolotl in the chess club, by its id.
async fn posted(browser: &mut Browser) -> String {
    let posted = browser.post("/groups/chess/posts", "title=Secret+axolotl&body=Only+for+us").await;
    posted.location.split("#post-").nth(1).unwrap().to_owned()
}

async fn a_post_is_changed_by_its_author_alone<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let outside = outsiders(&app).await;
    let (author, owner) = (with_role(&app, "member").await.remove(0), with_role(&app, "owner").await.remove(0));
    let mut authors = Browser::signed_in(router(app.clone(), Options::demo()), author.as_str()).await;
    let id = posted(&mut authors).await;
    let (path, before) = (format!("/posts/{id}/edit"), fixture.count(RECORDS).await);
    let form = "title=Secret+wobbegong&body=Only+for+us";
    let mut owners = Browser::signed_in(router(app.clone(), Options::demo()), owner.as_str()).await;
    assert_eq!(owners.post(&path, form).await.status, StatusCode::FORBIDDEN, "it is not theirs");
    for user in &outside {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await;
        let missing = browser.post("/posts/00000000-0000-7000-8000-000000000000/edit", form).await;
        let refused = browser.post(&path, form).await;
        assert_eq!((refused.status, &refused.body), (StatusCode::NOT_FOUND, &missing.body), "{user}");
        let refused = browser.post(&format!("/posts/{id}/delete"), "").await;
        assert_eq!((refused.status, &refused.body), (StatusCode::NOT_FOUND, &missing.body), "{user}");
    }
    assert_eq!(fixture.count(RECORDS).await, before);
    for _ in 0..2 {
        assert_eq!(authors.post(&path, form).await.location, format!("/posts/{id}"));
    }
    assert_eq!(fixture.count(RECORDS).await, before + 1, "the second time nothing changed");
    let expected = ("bits.groups.v1.PostService/UpdatePost".into(), author.to_string(), id.clone());
    assert_eq!(newest_record(&app).await, expected);
    assert!(owners.get("/search?q=wobbegong").await.body.contains("1 found"));
    assert!(owners.get("/search?q=axolotl").await.body.contains("0 found"));
    assert!(owners.get(&format!("/posts/{id}")).await.body.contains("edited"));
    let json = json!({"title": "By JSON", "body": "b"});
    let answer = post_json(&mut authors, &format!("/api/v1/posts/{id}"), &json).await;
    assert_eq!(parsed(&answer)["title"], "By JSON", "{}", answer.body);
    assert!(parsed(&answer)["edited_at"].as_str().unwrap().ends_with('Z'));
    for form in ["", "title=a", "title=&body=b", "title=a%00&body=b"] {
        assert!(authors.post(&path, form).await.status.is_client_error(), "{form}");
    }
    // An author who is out of the group is as much outside as anybody.
    let mut tx = app.begin().await.unwrap();
    app.membership.ban(&mut tx, &author, &Scope::group("chess").unwrap(), &By::user(&owner)).await.unwrap();
    app.commit(tx).await.unwrap();
    assert_eq!(authors.post(&path, form).await.status, StatusCode::NOT_FOUND);
    assert_eq!(authors.post(&format!("/posts/{id}/delete"), "").await.status, StatusCode::NOT_FOUND);
}

async fn a_post_is_deleted_by_its_author_or_a_moderator<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let members = with_role(&app, "member").await;
    let (author, other) = (&members[0], &members[1]);
    let admin = with_role(&app, "admin").await.remove(0);
    let mut authors = Browser::signed_in(router(app.clone(), Options::demo()), author.as_str()).await;
    let mut others = Browser::signed_in(router(app.clone(), Options::demo()), other.as_str()).await;
    let mut admins = Browser::signed_in(router(app.clone(), Options::demo()), admin.as_str()).await;
    for (deletes, user) in [(&mut authors, author), (&mut admins, &admin)] {
        let mut writers = Browser::signed_in(router(app.clone(), Options::demo()), author.as_str()).await;
        let id = posted(&mut writers).await;
        let (path, before) = (format!("/api/v1/posts/{id}/delete"), fixture.count(RECORDS).await);
        assert_eq!(post_json(&mut others, &path, &json!({})).await.status, StatusCode::FORBIDDEN);
        assert_eq!(fixture.count(RECORDS).await, before);
        assert!(others.get("/search?q=axolotl").await.body.contains("1 found"));
        let answer = post_json(deletes, &path, &json!({})).await;
        assert_eq!((answer.status, &parsed(&answer)["title"]), (StatusCode::OK, &json!("Secret axolotl")));
        assert_eq!(fixture.count(RECORDS).await, before + 1);
        let expected = ("bits.groups.v1.PostService/DeletePost".into(), user.to_string(), id.clone());
        assert_eq!(newest_record(&app).await, expected);
        assert!(others.get("/search?q=axolotl").await.body.contains("0 found"));
        assert!(!others.get("/feed").await.body.contains("axolotl"));
        assert_eq!(others.get(&format!("/posts/{id}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(post_json(deletes, &path, &json!({})).await.status, StatusCode::NOT_FOUND, "it is gone");
        assert_eq!(fixture.count(RECORDS).await, before + 1);
    }
}

async fn members_are_decided_about_by_json<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let outside = outsiders(&app).await;
    let owner = with_role(&app, "owner").await.remove(0);
    let eve = with_role(&app, "member").await.remove(0);
    let list = "/api/v1/groups/chess/members";
    let (decision, history) = (format!("{list}/{eve}"), format!("{list}/{eve}/history"));
    let ban = |version: &Value| json!({"decision": "ban", "version": version, "reason": "spam"});
    for user in outside.iter().chain([&eve]) {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await;
        let missing = browser.get("/api/v1/groups/none/members").await;
        if *user != eve {
            let hidden = browser.get(list).await;
            assert_eq!((hidden.status, &hidden.body), (StatusCode::NOT_FOUND, &missing.body), "{user}");
        }
        assert_eq!(browser.get(&history).await.body, missing.body, "{user}");
        assert_eq!(post_json(&mut browser, &decision, &ban(&json!(1))).await.body, missing.body, "{user}");
    }
    let mut owners = Browser::signed_in(router(app.clone(), Options::demo()), owner.as_str()).await;
    let page = parsed(&owners.get(&format!("{list}?limit=100")).await);
    let found = page["items"].as_array().unwrap().iter().find(|item| item["person"] == eve.as_str()).unwrap().clone();
    assert_eq!((&found["state"], &found["role"]), (&json!("active"), &json!("member")));
    let before = fixture.count(RECORDS).await;
    let banned = post_json(&mut owners, &decision, &ban(&found["version"])).await;
    assert_eq!((banned.status, &parsed(&banned)["state"]), (StatusCode::OK, &json!("banned")), "{}", banned.body);
    assert_eq!(fixture.count(RECORDS).await, before + 1);
    let expected = ("bits.groups.v1.MembershipService/BanMember".into(), owner.to_string(), eve.to_string());
    assert_eq!(newest_record(&app).await, expected);
    let stale = post_json(&mut owners, &decision, &ban(&found["version"])).await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.body);
    let changes = parsed(&owners.get(&history).await);
    assert_eq!((&changes["items"][0]["verb"], &changes["items"][0]["reason"]), (&json!("ban"), &json!("spam")));
    let banned = parsed(&owners.get(&format!("{list}?state=banned")).await);
    assert!(banned["items"].as_array().unwrap().iter().any(|item| item["person"] == eve.as_str()));
    // A member sees the active ones whatever the address says.
    let mut members =
        Browser::signed_in(router(app.clone(), Options::demo()), with_role(&app, "member").await[0].as_str()).await;
    assert!(!members.get(&format!("{list}?state=banned")).await.body.contains(eve.as_str()));
    for body in [json!({}), json!({"decision": "king", "version": 1}), json!({"decision": "ban", "version": "1"})] {
        let answer = post_json(&mut owners, &decision, &body).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.body);
    }
}

/// Whoever has the id of a chapter as a scope of another kind is no member of it.
async fn a_scope_of_the_other_kind_opens_nothing<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    let member = with_role(&app, "member").await.remove(0);
    let mut tx = app.begin().await.unwrap();
    let grant = Grant::new(Role::new("owner").unwrap());
    let odd: Scope = "chapter:chess".parse().unwrap();
    app.membership.add(&mut tx, &stranger, &odd, &grant, &By::user(&stranger)).await.unwrap();
    app.commit(tx).await.unwrap();
    let mut inside = Browser::signed_in(router(app.clone(), Options::demo()), member.as_str()).await;
    let id = posted(&mut inside).await;
    let mut outside = Browser::signed_in(router(app.clone(), Options::demo()), stranger.as_str()).await;
    for path in [&*format!("/posts/{id}"), "/groups/chess/members", "/groups/chess/edit", "/api/v1/groups/chess/posts"]
    {
        assert_eq!(outside.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(!outside.get("/feed").await.body.contains("axolotl"));
    assert!(outside.get("/search?q=axolotl").await.body.contains("0 found"));
    assert_eq!(outside.post("/groups/chess/posts", "title=a&body=b").await.status, StatusCode::NOT_FOUND);
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
    anybody_starts_a_group_and_owns_it
    what_is_no_group_is_not_made
    groups_are_walked_by_name
    those_who_run_a_group_describe_it
    a_post_is_changed_by_its_author_alone
    a_post_is_deleted_by_its_author_or_a_moderator
    members_are_decided_about_by_json
    a_scope_of_the_other_kind_opens_nothing
}

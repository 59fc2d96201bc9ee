//! The jobs board, on both databases: who sees an opening, who closes it, and what closes by itself.

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::http::{Options, router};
use campus::openings::expire::close_expired;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use stoa_membership::UserId;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::groups::{RECORDS, newest_record, parsed, post_json, shut_out, with_role};
use crate::pages::{Browser, fixture_stranger};

const BOARD: &str = "/api/v1/openings";

/// A day that many days from now.
fn day(days: i64) -> String {
    (Utc::now() + TimeDelta::days(days)).format("%Y-%m-%d").to_string()
}

fn opening(group: &str) -> Value {
    json!({
        "title": "Keeper of quokkas", "employer": "Wobbegong Works", "place": "Porto", "is_remote": false, "body": "Feed them.",
        "url": "https://example.org/apply", "group": group, "last_day": day(10),
    })
}

async fn posted(browser: &mut Browser, opening: &Value) -> String {
    let answer = post_json(browser, BOARD, opening).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    parsed(&answer)["id"].as_str().unwrap().to_owned()
}

async fn browser<B: Backend>(app: &App<B>, user: &UserId) -> Browser {
    Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await
}

async fn an_opening_for_everybody_is_found_and_closed<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let members = with_role(&app, "member").await;
    let (author, other) = (&members[0], &members[1]);
    let staff = UserId::new(fixture_stranger(&app).await).unwrap();
    let (mut authors, mut others, mut staffs) =
        (browser(&app, author).await, browser(&app, other).await, browser(&app, &staff).await);
    assert!(authors.get("/openings").await.body.contains("Post the first opening"));
    assert!(authors.get("/openings/new").await.body.contains("Only members of Chess Club"));
    let before = fixture.count(RECORDS).await;
    let form = format!(
        "title=Keeper+of+quokkas&employer=Works&place=Porto&body=Feed&url=https%3A%2F%2Fexample.org&group=&last_day={}",
        day(10)
    );
    let made = authors.post("/openings", &form).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.body);
    let id = made.location.rsplit('/').next().unwrap().to_owned();
    assert_eq!(fixture.count(RECORDS).await, before + 1);
    let expected = ("bits.openings.v1.OpeningService/CreateOpening".into(), author.to_string(), id.clone());
    assert_eq!(newest_record(&app).await, expected);
    for browser in [&mut authors, &mut others, &mut staffs] {
        assert!(browser.get("/search?q=quokkas&surface=jobs").await.body.contains("1 found"));
        assert!(browser.get("/openings").await.body.contains("Keeper of quokkas"));
        assert_eq!(browser.get(&made.location).await.status, StatusCode::OK);
    }
    let close = format!("{}/close", made.location);
    assert_eq!(others.post(&close, "").await.status, StatusCode::FORBIDDEN);
    assert!(!others.get(&made.location).await.body.contains("Close this opening"));
    for _ in 0..2 {
        assert_eq!(authors.post(&close, "").await.location, "/openings");
    }
    assert_eq!(fixture.count(RECORDS).await, before + 2, "the second time nothing changed");
    let expected = ("bits.openings.v1.OpeningService/CloseOpening".into(), author.to_string(), id);
    assert_eq!(newest_record(&app).await, expected);
    assert!(others.get("/search?q=quokkas").await.body.contains("0 found"));
    assert!(!others.get("/openings").await.body.contains("Keeper of quokkas"));
    assert!(others.get(&made.location).await.body.contains("has closed"));
    // The staff closes what is not its own.
    let id = posted(&mut authors, &opening("")).await;
    assert_eq!(post_json(&mut staffs, &format!("{BOARD}/{id}/close"), &json!({})).await.status, StatusCode::OK);
    assert_eq!(newest_record(&app).await.1, staff.as_str());
}

async fn an_opening_for_a_group_is_its_members_alone<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let members = with_role(&app, "member").await;
    let staff = UserId::new(fixture_stranger(&app).await).unwrap();
    let author = &members[2];
    let mut authors = browser(&app, author).await;
    let id = posted(&mut authors, &opening("chess")).await;
    let mut inside = browser(&app, &members[3]).await;
    assert!(inside.get("/openings").await.body.contains("Only Chess Club"));
    assert!(inside.get("/search?q=quokkas").await.body.contains("1 found"));
    shut_out(&app, &members[0], &members[1]).await;
    let before = fixture.counts().await;
    for user in [&members[0], &members[1], &staff] {
        let mut outside = browser(&app, user).await;
        let nothing = "00000000-0000-7000-8000-000000000000";
        for (prefix, suffix) in [("/openings/", ""), ("/api/v1/openings/", "")] {
            let hidden = outside.get(&format!("{prefix}{id}{suffix}")).await;
            let missing = outside.get(&format!("{prefix}{nothing}{suffix}")).await;
            assert_eq!((hidden.status, hidden.body), (StatusCode::NOT_FOUND, missing.body), "{user}");
        }
        for path in ["/openings", BOARD, "/openings?place=porto", "/api/v1/openings?place=PORTO"] {
            assert!(!outside.get(path).await.body.contains("quokkas"), "{user} {path}");
        }
        assert!(outside.get("/search?q=quokkas").await.body.contains("0 found"), "{user}");
        let refused = post_json(&mut outside, BOARD, &opening("chess")).await;
        let nowhere = post_json(&mut outside, BOARD, &opening("nowhere")).await;
        assert_eq!((refused.status, refused.body), (StatusCode::NOT_FOUND, nowhere.body), "{user}");
        if user != &staff {
            let refused = post_json(&mut outside, &format!("{BOARD}/{id}/close"), &json!({})).await;
            let missing = post_json(&mut outside, &format!("{BOARD}/{nothing}/close"), &json!({})).await;
            assert_eq!((refused.status, refused.body), (StatusCode::NOT_FOUND, missing.body), "{user}");
        }
    }
    // Whoever wrote it and left is outside as well.
    assert_eq!(authors.post("/groups/chess/leave", "").await.status, StatusCode::SEE_OTHER);
    let after = fixture.counts().await;
    assert_eq!(authors.post(&format!("/openings/{id}/close"), "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.counts().await, after);
    assert_eq!(after[1], before[1], "no document is touched");
}

async fn what_is_past_its_day_closes_once<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let author = with_role(&app, "member").await.remove(0);
    let mut authors = browser(&app, &author).await;
    for _ in 0..3 {
        posted(&mut authors, &opening("")).await;
    }
    let mut later = opening("");
    (later["last_day"], later["title"]) = (json!(day(300)), json!("Keeper of wobbegongs"));
    posted(&mut authors, &later).await;
    let before = fixture.count(RECORDS).await;
    assert_eq!(close_expired(&app, Utc::now().timestamp_micros()).await.unwrap(), 0);
    let at = (Utc::now() + TimeDelta::days(20)).timestamp_micros();
    assert_eq!(close_expired(&app, at).await.unwrap(), 3);
    assert_eq!(close_expired(&app, at).await.unwrap(), 0, "expiring twice changes nothing");
    assert_eq!(fixture.count(RECORDS).await, before + 3);
    let (action, actor, _) = newest_record(&app).await;
    assert_eq!((&*action, &*actor), ("bits.openings.v1.OpeningService/ExpireOpening", "openings"));
    assert_eq!(fixture.count("SELECT count(*) FROM campus_opening WHERE closed_at IS NULL").await, 1);
    assert!(authors.get("/search?q=quokkas&surface=jobs").await.body.contains("0 found"));
    assert!(authors.get("/search?q=wobbegongs&surface=jobs").await.body.contains("1 found"));
}

async fn what_is_past_its_day_is_not_listed_before_anybody_closes_it<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let author = with_role(&app, "member").await.remove(0);
    let mut authors = browser(&app, &author).await;
    let id = posted(&mut authors, &opening("")).await;
    assert!(authors.get("/openings").await.body.contains("quokkas"));
    fixture.execute("UPDATE campus_opening SET closes_at = 1000000").await;
    for path in ["/openings", BOARD] {
        assert!(!authors.get(path).await.body.contains("quokkas"), "{path}");
    }
    let page = authors.get(&format!("/openings/{id}")).await.body;
    assert!(page.contains("has closed") && !page.contains("Apply"), "{page}");
}

async fn openings_are_filtered_and_walked<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let author = with_role(&app, "member").await.remove(0);
    let mut authors = browser(&app, &author).await;
    let mut ids = Vec::new();
    for number in 0..25 {
        let mut new = opening(if number % 2 == 0 { "chess" } else { "" });
        new["place"] = json!(if number % 5 == 0 { "" } else { " Porto " });
        new["is_remote"] = json!(number % 5 == 0);
        ids.push(posted(&mut authors, &new).await);
    }
    ids.reverse();
    for (filter, expected) in [("", 25), ("&remote=true", 5), ("&place=PORTO", 20), ("&place=porto&remote=true", 0)] {
        let (mut path, mut found) = (format!("{BOARD}?limit=4{filter}"), Vec::new());
        loop {
            let page = parsed(&authors.get(&path).await);
            found.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => path = format!("{BOARD}?limit=4{filter}&after={next}"),
                None => break,
            }
        }
        assert_eq!(found.len(), expected, "{filter}");
        let mut order = ids.iter();
        assert!(found.iter().all(|id| order.any(|other| other == id)), "{filter}: the newest first");
    }
    let page = authors.get("/openings?remote=1").await.body;
    assert_eq!(page.matches("<li class=\"card\">").count(), 5);
    assert!(authors.get("/openings?place=Atlantis").await.body.contains("Show everything"));
    assert!(authors.get("/openings").await.body.contains("rel=\"next\""));
}

async fn what_is_no_opening_is_not_posted<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let author = with_role(&app, "member").await.remove(0);
    let mut authors = browser(&app, &author).await;
    let before = fixture.counts().await;
    for (field, value) in [
        ("title", json!("")),
        ("title", json!("a\u{0}b")),
        ("title", json!("x".repeat(201))),
        ("employer", json!("a\nb")),
        ("place", json!("")),
        ("body", json!("x".repeat(10_001))),
        ("url", json!("http://example.org")),
        ("url", json!("javascript:alert(1)")),
        ("url", json!("")),
        ("last_day", json!(day(-2))),
        ("last_day", json!(day(400))),
        ("last_day", json!("tomorrow")),
        ("group", json!("nowhere")),
        ("group", json!("a\u{0}b")),
        ("is_remote", json!("yes")),
    ] {
        let mut new = opening("");
        new[field] = value;
        let answer = post_json(&mut authors, BOARD, &new).await;
        assert!(answer.status.is_client_error(), "{field}: {} {}", answer.status, answer.body);
    }
    for path in [
        "/openings/none",
        "/openings/%00",
        "/openings?after=none",
        "/openings?place=%00",
        "/api/v1/openings?after=zz",
        "/api/v1/openings?remote=x",
        "/api/v1/openings?limit=0",
    ] {
        assert!(authors.get(path).await.status.is_client_error(), "{path}");
    }
    assert_eq!(authors.post("/openings/none/close", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.counts().await, before);
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
    an_opening_for_everybody_is_found_and_closed
    an_opening_for_a_group_is_its_members_alone
    what_is_past_its_day_closes_once
    what_is_past_its_day_is_not_listed_before_anybody_closes_it
    openings_are_filtered_and_walked
    what_is_no_opening_is_not_posted
}

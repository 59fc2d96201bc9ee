//! Search, on both databases: one box over all surfaces, for what the viewer may see.

use axum::http::StatusCode;
use campus::app::App;
use campus::http::{Options, router};
use serde_json::Value;
use stoa_membership::{By, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::pages::{Browser, fixture_stranger};

async fn json(browser: &mut Browser, path: &str) -> Value {
    let answer = browser.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn one_box_finds_people_groups_and_posts_and_counts_each<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let mut browser = Browser::signed_in(router(app, Options::demo()), member.as_str()).await;
    let posted = browser.post("/groups/chess/posts", "title=Amara+plays+chess&body=Slowly").await;
    assert_eq!(posted.status, StatusCode::SEE_OTHER);
    let found = json(&mut browser, "/api/v1/search?q=amara").await;
    assert_eq!(found["counts"]["feed"], 1);
    assert_eq!(found["counts"]["directory"], 3);
    assert_eq!(found["total"], 4);
    let feed = json(&mut browser, "/api/v1/search?q=amara&surface=feed").await;
    assert_eq!((&feed["total"], &feed["counts"]), (&Value::from(1), &found["counts"]), "facets stay");
    assert_eq!(feed["items"][0]["title_html"], "<mark>Amara</mark> plays chess");
    assert!(feed["items"][0]["url"].as_str().unwrap().starts_with("/posts/"));
    let page = browser.get("/search?q=amara&surface=feed").await.body;
    assert!(page.contains("1 found") && page.contains("Everything 4") && page.contains("People 3"), "{page}");
}

async fn what_is_misspelt_is_found_and_a_link_says_what_was_meant<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let mut browser = Browser::signed_in(router(app, Options::demo()), member.as_str()).await;
    let page = browser.get("/search?q=beginers").await.body;
    assert!(page.contains("Did you mean") && page.contains("/search?q=beginners"), "{page}");
    assert_eq!(json(&mut browser, "/api/v1/search?q=beginers").await["did_you_mean"], "beginners");
    let empty = browser.get("/search?q=%22thursd").await.body;
    assert!(empty.contains("holds these words") && empty.contains("Others wrote"), "{empty}");
    let suggested = json(&mut browser, "/api/v1/search/suggest?q=beginn").await;
    assert_eq!(suggested["items"][0], "beginners");
}

async fn a_cursor_leads_through_all_hits_once_in_every_process<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let other = App::open(fixture.backend()).await.unwrap();
    let mut one = Browser::signed_in(router(app, Options::demo()), member.as_str()).await;
    let mut two = Browser::signed_in(router(other, Options::demo()), member.as_str()).await;
    let (mut ids, mut after) = (Vec::new(), String::new());
    let total = json(&mut one, "/api/v1/search?q=class").await["total"].as_u64().unwrap();
    assert!(total > 20);
    loop {
        let page = json(&mut one, &format!("/api/v1/search?q=class&limit=7{after}")).await;
        ids.extend(page["items"].as_array().unwrap().iter().map(|hit| hit["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
        // The next page comes from another process.
        std::mem::swap(&mut one, &mut two);
    }
    assert_eq!(ids.len() as u64, total);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() as u64, total);
    // Of another query, damaged, or sealed by another campus.
    let (_elsewhere, foreign) = F::demo().await;
    let mut stranger = Browser::signed_in(router(foreign, Options::demo()), member.as_str()).await;
    assert_eq!(stranger.get(&format!("/search?q=class&limit=7{after}")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let (start, last) = after.split_at(after.len() - 1);
    let damaged = format!("{start}{}", if last == "0" { '1' } else { '0' });
    for path in [format!("/search?q=chess{after}"), format!("/api/v1/search?q=class{damaged}")] {
        assert_eq!(one.get(&path).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
}

/// Everything that search says of a word to somebody.
async fn told<F: Fixture>(router: &axum::Router, person: &str) -> Vec<String> {
    let mut browser = Browser::signed_in(router.clone(), person).await;
    let mut told = Vec::new();
    for path in [
        "/api/v1/search?q=xylophonist",
        "/api/v1/search?q=xylophonist&surface=feed",
        "/api/v1/search?q=xylophonits",
        "/api/v1/search/suggest?q=xylo",
        "/search?q=%22xylo",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        let is_found = answer.body.to_lowercase().matches("xylophonist").count() > 0;
        told.extend(is_found.then(|| path.to_owned()));
    }
    told
}

async fn strangers_and_the_banned_learn_nothing_of_a_word<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (chess, member) = a_member(&app).await;
    let stranger = fixture_stranger(&app).await;
    let router = router(app.clone(), Options::demo());
    let mut inside = Browser::signed_in(router.clone(), member.as_str()).await;
    inside.post("/groups/chess/posts", "title=Xylophonist+wanted&body=For+the+interval").await;
    assert!(told::<F>(&router, &stranger).await.is_empty());
    let mut outside = Browser::signed_in(router.clone(), &stranger).await;
    outside.post("/groups/chess/join", "").await;
    assert!(told::<F>(&router, &stranger).await.len() >= 4);
    let mut tx = app.begin().await.unwrap();
    let user = UserId::new(&*stranger).unwrap();
    app.membership.ban(&mut tx, &user, &chess, &By::user(&member)).await.unwrap();
    app.commit(tx).await.unwrap();
    assert!(told::<F>(&router, &stranger).await.is_empty());
    let found = json(&mut outside, "/api/v1/search?q=xylophonist").await;
    assert_eq!((&found["total"], &found["counts"]), (&Value::from(0), &serde_json::json!({})));
    assert_eq!(Scope::group("chess").unwrap(), chess);
}

async fn no_text_is_an_error_but_one_that_is_too_long<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let mut browser = Browser::signed_in(router(app, Options::demo()), member.as_str()).await;
    let before = fixture.counts().await;
    for text in [
        "",
        "+",
        "the",
        "the+of+and",
        "-",
        "%22",
        "%22%22",
        "-%22a",
        "%00",
        "%F0%9F%98%80",
        "%E2%80%AE",
        "*",
        "a%3AOR%28",
        "%27%3B--",
    ] {
        for path in [
            format!("/search?q={text}"),
            format!("/api/v1/search?q={text}"),
            format!("/api/v1/search/suggest?q={text}"),
        ] {
            assert_eq!(browser.get(&path).await.status, StatusCode::OK, "{path}");
        }
    }
    let long = "x".repeat(5_000);
    for path in
        [format!("/search?q={long}"), format!("/api/v1/search?q={long}"), format!("/api/v1/search/suggest?q={long}")]
    {
        assert_eq!(browser.get(&path).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{path:.40}");
    }
    for path in ["limit=0", "limit=101", "limit=x", "after=zz", "surface=%00", "after=%FF"] {
        let answer = browser.get(&format!("/api/v1/search?q=chess&{path}")).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
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
    one_box_finds_people_groups_and_posts_and_counts_each
    what_is_misspelt_is_found_and_a_link_says_what_was_meant
    a_cursor_leads_through_all_hits_once_in_every_process
    strangers_and_the_banned_learn_nothing_of_a_word
    no_text_is_an_error_but_one_that_is_too_long
}

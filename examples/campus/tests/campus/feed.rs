//! The feed, on both databases: all of one's groups, the newest first, and nothing of any other.

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::feed;
use campus::http::{Options, router};
use stoa_membership::{By, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::groups::{parsed, shut_out, with_role};
use crate::pages::{Browser, fixture_stranger};

/// Everything in somebody's feed by JSON, walked in pages of three.
async fn walked(browser: &mut Browser) -> Vec<String> {
    let (mut path, mut ids) = (String::from("/api/v1/feed?limit=3"), Vec::new());
    loop {
        let page = parsed(&browser.get(&path).await);
        ids.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/feed?limit=3&after={next}"),
            None => return ids,
        }
    }
}

async fn join<B: Backend>(app: &App<B>, user: &UserId, group: &str) {
    let mut tx = app.begin().await.unwrap();
    app.membership.join(&mut tx, user, &Scope::group(group).unwrap(), &By::user(user)).await.unwrap();
    app.commit(tx).await.unwrap();
}

async fn it_is_all_of_ones_groups_newest_first<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let user = UserId::new(fixture_stranger(&app).await).unwrap();
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await;
    assert_eq!(walked(&mut browser).await, Vec::<String>::new());
    assert!(browser.get("/feed").await.body.contains("Join a group"));
    for group in ["chess", "rowing", "cooking"] {
        join(&app, &user, group).await;
    }
    let expected = fixture
        .texts("SELECT id FROM campus_post WHERE group_id IN ('chess', 'rowing', 'cooking') ORDER BY id DESC")
        .await;
    assert_eq!(expected.len(), 12);
    assert_eq!(walked(&mut browser).await, expected);
    let page = browser.get("/feed").await.body;
    assert!(page.contains("The Long Table") && page.contains("Rowing") && !page.contains("Hill Walkers"), "{page}");
    let (mut tx, viewer) = app.read_as(&user).await.unwrap();
    let newest = feed::newest(&mut *tx, &viewer, 5).await.unwrap();
    assert_eq!(newest.iter().map(|item| &item.post.id).collect::<Vec<_>>(), expected[..5].iter().collect::<Vec<_>>());
    assert!(newest.iter().all(|item| !item.author_name.is_empty() && !item.group_name.is_empty()));
    for path in ["/feed?after=none", "/feed?after=%00", "/api/v1/feed?after=zz", "/api/v1/feed?limit=101"] {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
}

async fn nothing_of_a_group_that_one_is_out_of<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let members = with_role(&app, "member").await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    for user in [&members[0], &members[1]] {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await;
        assert!(browser.get("/feed").await.body.contains("href=\"/groups/chess\""), "{user}");
    }
    shut_out(&app, &members[0], &members[1]).await;
    for user in [&members[0], &members[1], &stranger] {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), user.as_str()).await;
        for path in ["/feed", "/api/v1/feed?limit=100"] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.body.contains("Lucena") && !answer.body.contains("Blitz"), "{user} {path}");
        }
    }
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
    it_is_all_of_ones_groups_newest_first
    nothing_of_a_group_that_one_is_out_of
}

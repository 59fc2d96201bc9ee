//! The directory, on both databases: everybody says who sees what, and nobody finds what they may not see.

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::directory::profile::Profile;
use campus::directory::sql::DirectorySql as _;
use campus::directory::{self, Person};
use campus::http::{Options, router};
use serde_json::{Value, json};
use stoa_membership::{By, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::groups::{RECORDS, newest_record, parsed, post_json, shut_out};
use crate::pages::Browser;

/// Somebody of that batch, and in these groups.
async fn person<B: Backend>(app: &App<B>, id: &str, batch: i64, groups: &[&str]) -> UserId {
    let (user, mut tx) = (UserId::new(id).unwrap(), app.begin().await.unwrap());
    tx.insert_person(&Person { id: id.into(), name: format!("Zz {id}"), headline: String::new() }).await.unwrap();
    let profile = tx.profile(id).await.unwrap().unwrap();
    tx.update_profile(&Profile { batch_year: Some(batch), ..profile }).await.unwrap();
    directory::index(app, &mut tx, id).await.unwrap();
    let scopes = groups.iter().map(|group| Scope::group(*group).unwrap());
    for scope in scopes.chain([format!("batch:{batch}").parse().unwrap()]) {
        app.membership.join(&mut tx, &user, &scope, &By::user(&user)).await.unwrap();
    }
    app.commit(tx).await.unwrap();
    user
}

async fn browser<B: Backend>(app: &App<B>, user: &str) -> Browser {
    Browser::signed_in(router(app.clone(), Options::demo()), user).await
}

/// A profile whose fields are of one audience each.
fn profile(audience: &str) -> Value {
    json!({
        "name": "Ada", "headline": "counts", "city": "Xanadu", "employer": "Wobbegong Works", "bio": "An axolotl at heart",
        "email": "ada@quokka.example", "phone": "+351 123", "city_audience": audience, "employer_audience": audience,
        "batch_audience": audience, "bio_audience": audience, "email_audience": audience, "phone_audience": audience,
    })
}

const FIELDS: [&str; 6] = ["batch", "city", "employer", "bio", "email", "phone"];

async fn everybody_says_who_sees_what<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    person(&app, "ada", 1999, &["chess"]).await;
    person(&app, "stranger", 1998, &[]).await;
    person(&app, "mate", 1999, &[]).await;
    person(&app, "peer", 1998, &["chess"]).await;
    let (banned, left) = (person(&app, "banned", 1998, &["chess"]).await, person(&app, "left", 1998, &["chess"]).await);
    shut_out(&app, &banned, &left).await;
    let mut own = browser(&app, "ada").await;
    for (audience, readers) in [
        ("everyone", &["stranger", "mate", "peer", "banned", "left"][..]),
        ("batch", &["mate"]),
        ("connections", &["peer"]),
        ("nobody", &[]),
    ] {
        let saved = post_json(&mut own, "/api/v1/me", &profile(audience)).await;
        assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
        for viewer in ["stranger", "mate", "peer", "banned", "left", "ada"] {
            let mut theirs = browser(&app, viewer).await;
            let sees = viewer == "ada" || readers.contains(&viewer);
            let shown = parsed(&theirs.get("/api/v1/directory/ada").await);
            assert_eq!((&shown["name"], &shown["headline"]), (&json!("Ada"), &json!("counts")));
            for field in FIELDS {
                assert_eq!(shown.get(field).is_some(), sees, "{viewer} and {field} for {audience}");
            }
            let page = theirs.get("/directory/ada").await.body;
            for secret in ["Class of 1999", "Xanadu", "Wobbegong", "axolotl", "quokka", "+351"] {
                assert_eq!(page.contains(secret), sees, "{viewer} and {secret} for {audience}");
            }
            // What only some may see is in nobody's search; what the batch may see is in its filters.
            let is_found = audience == "everyone";
            for word in ["Xanadu", "Wobbegong", "axolotl", "quokka"] {
                let found = theirs.get(&format!("/search?q={word}&surface=directory")).await.body;
                assert_eq!(found.contains("1 found"), is_found, "{viewer} and {word} for {audience}: {found}");
            }
            let is_listed = is_found || (audience == "batch" && ["mate", "ada"].contains(&viewer));
            for filter in ["city=xanadu", "city=+XANADU+", "city=xanadu&batch=1999"] {
                let listed = theirs.get(&format!("/api/v1/directory?{filter}")).await.body;
                assert_eq!(listed.contains("\"ada\""), is_listed, "{viewer} and {filter} for {audience}");
            }
            let listed = theirs.get("/api/v1/directory?batch=1999&limit=100").await.body;
            assert_eq!(listed.contains("\"ada\""), is_listed, "{viewer} and the batch for {audience}");
            assert!(!theirs.get("/api/v1/directory?city=xanadu&batch=1998").await.body.contains("\"ada\""));
        }
    }
}

async fn a_profile_is_its_owners_to_change<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    person(&app, "ada", 1999, &[]).await;
    let mut own = browser(&app, "ada").await;
    assert!(own.get("/me").await.body.contains("Class of 1999"));
    let before = (fixture.count(RECORDS).await, fixture.count("SELECT count(*) FROM search_document").await);
    let form = "name=Ada+L&headline=counts&city=Lisbon&employer=&bio=&email=&phone=&city_audience=everyone\
        &employer_audience=batch&batch_audience=connections&bio_audience=nobody&email_audience=nobody&phone_audience=nobody";
    for _ in 0..2 {
        let saved = own.post("/me", form).await;
        assert_eq!((saved.status, &*saved.location), (StatusCode::SEE_OTHER, "/directory/ada"), "{}", saved.body);
    }
    assert_eq!(fixture.count(RECORDS).await, before.0 + 1, "the second time nothing changed");
    assert_eq!(fixture.count("SELECT count(*) FROM search_document").await, before.1, "one document a person");
    let expected = ("bits.directory.v1.ProfileService/UpdateProfile".into(), "ada".into(), "ada".into());
    assert_eq!(newest_record(&app).await, expected);
    assert!(own.get("/search?q=Lisbon&surface=directory").await.body.contains("Ada L"));
    // The batch is the campus's to say: it opens what is meant for one.
    let mut forged = profile("everyone");
    forged["batch"] = json!(2012);
    forged["batch_year"] = json!(2012);
    forged["id"] = json!("somebody-else");
    let saved = parsed(&post_json(&mut own, "/api/v1/me", &forged).await);
    assert_eq!((&saved["id"], &saved["batch"]), (&json!("ada"), &json!(1999)));

    let before = fixture.counts().await;
    for (field, value) in [
        ("name", ""),
        ("name", "a\u{0}b"),
        ("name", "a\nb"),
        ("city", "a\nb"),
        ("city", &"x".repeat(101)),
        ("bio", &"x".repeat(4001)),
        ("email", "nobody"),
        ("email", "a b@example.org"),
        ("phone", "javascript:1"),
        ("city_audience", "king"),
        ("city_audience", ""),
    ] {
        let mut bad = profile("everyone");
        bad[field] = json!(value);
        let answer = post_json(&mut own, "/api/v1/me", &bad).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", answer.body);
    }
    for body in [json!({}), json!({"name": "a"}), json!(null)] {
        assert!(post_json(&mut own, "/api/v1/me", &body).await.status.is_client_error(), "{body}");
    }
    for path in [
        "/directory/none",
        "/directory/%00",
        "/directory/%FF",
        "/api/v1/directory/none",
        "/directory?after=none",
        "/directory?after=%00",
        "/directory?batch=x",
        "/api/v1/directory?batch=x",
        "/directory?city=%00",
        "/api/v1/directory?limit=0",
    ] {
        assert!(own.get(path).await.status.is_client_error(), "{path}");
    }
    assert_eq!(fixture.counts().await, before);
    assert_eq!(own.get("/directory?city=&batch=&after=").await.status, StatusCode::OK);
}

async fn people_are_walked_by_name<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let everybody = fixture.count("SELECT count(*) FROM campus_person").await;
    let mut theirs = browser(&app, &crate::pages::fixture_stranger(&app).await).await;
    let (mut path, mut ids) = (String::from("/api/v1/directory?limit=7"), Vec::new());
    loop {
        let page = parsed(&theirs.get(&path).await);
        ids.extend(page["items"].as_array().unwrap().iter().map(|shown| shown["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/directory?limit=7&after={next}"),
            None => break,
        }
    }
    assert_eq!(i64::try_from(ids.len()).unwrap(), everybody);
    ids.sort();
    ids.dedup();
    assert_eq!(i64::try_from(ids.len()).unwrap(), everybody, "nobody twice");
    let page = theirs.get("/directory").await.body;
    assert!(page.contains("rel=\"next\"") && page.contains("Class of 20"), "{page}");
    assert!(!page.contains("alumni.example"), "addresses are not for everybody");
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
    everybody_says_who_sees_what
    a_profile_is_its_owners_to_change
    people_are_walked_by_name
}

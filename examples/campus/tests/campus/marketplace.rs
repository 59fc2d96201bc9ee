//! The marketplace: how many redeem a deal however many come, when it is over, and who sees it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::error::Error;
use campus::http::router;
use campus::marketplace::deals::{self, DealDraft};
use campus::marketplace::expiry::ExpireDeals;
use campus::marketplace::{self, redemption};
use chrono::{TimeDelta, Utc};
use stoa_jobs_runner::{Backoff, Runner, Tally};
use stoa_membership::UserId;
use stoa_search::{Document, Surface, Tag};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::pages::{Browser, fixture_stranger};

const RECORDS: &str = "SELECT count(*) FROM audit_record";
pub(crate) const EXPIRED: &str =
    "SELECT count(*) FROM audit_record WHERE action = 'bits.marketplace.v1.DealService/ExpireDeal'";
pub(crate) const DOCUMENTS: &str = "SELECT count(*) FROM search_document WHERE surface = 'marketplace'";
pub(crate) const LISTINGS: &str = "SELECT count(*) FROM campus_deal_listing";

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn caller(id: &str) -> Caller {
    Caller::new(user(id))
}

/// The demo, its staff, a partner, and somebody who acts for it.
pub(crate) async fn partner<F: Fixture>() -> (F, App<F::Backend>, String, String, String) {
    let (fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let people = fixture.texts("SELECT id FROM campus_person ORDER BY id").await;
    let agent = people.into_iter().find(|person| *person != staff).unwrap();
    let made = marketplace::create(&app, &caller(&staff), "The Corner Shop", "Sells things.", &user(&agent)).await;
    (fixture, app, staff, made.unwrap().id, agent)
}

pub(crate) async fn published<B: Backend>(
    app: &App<B>,
    agent: &str,
    partner: &str,
    audience: &str,
    limit: i64,
) -> String {
    let now = Utc::now();
    let times = (now - TimeDelta::days(1), now + TimeDelta::days(1));
    let draft = DealDraft::new("Half a wombat", "Bring your own lead.", audience, times, limit).unwrap();
    let deal = deals::draft(app, &caller(agent), partner, draft).await.unwrap();
    deals::publish(app, &caller(agent), &deal.id).await.unwrap().id
}

async fn expire<B: Backend>(app: &App<B>) -> Tally {
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &ExpireDeals {}).await.unwrap();
    app.commit(tx).await.unwrap();
    drain(app).await
}

async fn drain<B: Backend>(app: &App<B>) -> Tally {
    Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone())
        .queue("marketplace_deal_expiry", 2)
        .handle::<ExpireDeals>()
        .backoff(Backoff::none())
        .drain()
        .await
        .unwrap()
}

async fn a_deal_goes_from_draft_to_a_code_that_is_taken_once<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let people = fixture.texts("SELECT id FROM campus_person ORDER BY id").await;
    let mut others = people.into_iter().filter(|person| *person != staff);
    let (agent, person, clerk) = (others.next().unwrap(), others.next().unwrap(), others.next().unwrap());
    let site = router(app.clone(), campus::http::Options::demo());
    let mut staffs = Browser::signed_in(site.clone(), &staff).await;
    let mut agents = Browser::signed_in(site.clone(), &agent).await;
    let mut persons = Browser::signed_in(site.clone(), &person).await;
    let mut clerks = Browser::signed_in(site, &clerk).await;
    let mut records = fixture.count(RECORDS).await;

    let partner =
        staffs.post("/partners", &format!("name=Corner&description=Sells+things&agent={agent}")).await.location;
    assert!(partner.starts_with("/partners/"), "{partner}");
    assert_eq!(
        staffs.post(&format!("{partner}/agents"), &format!("person={clerk}&role=clerk")).await.location,
        partner
    );
    let (from, until) = (Utc::now().date_naive(), Utc::now().date_naive() + TimeDelta::days(3));
    let form =
        format!("title=Half+a+wombat&body=Bring+a+lead&audience=campus%3Aeveryone&from={from}&until={until}&limit=2");
    assert_eq!(clerks.post(&format!("{partner}/deals"), &form).await.status, 404, "a clerk takes codes only");
    let deal = agents.post(&format!("{partner}/deals"), &form).await.location;
    assert!(deal.starts_with("/deals/"), "{deal}");
    assert_eq!(persons.get(&deal).await.status, 404, "a draft is the partner's");
    assert_eq!(persons.post(&format!("{deal}/redeem"), "").await.status, 404);
    assert!(persons.get("/search?q=wombat").await.body.contains("0 found"));
    assert_eq!(agents.post(&format!("{deal}/publish"), "").await.location, deal);
    assert_eq!(agents.post(&format!("{deal}/publish"), "").await.status, 409);
    assert!(persons.get("/search?q=wombat").await.body.contains("1 found"));
    assert!(persons.get("/deals").await.body.contains("Half a wombat"));
    records += 4;
    assert_eq!(fixture.count(RECORDS).await, records, "made, named, drafted, published");

    assert_eq!(persons.post(&format!("{deal}/redeem"), "").await.location, deal);
    assert_eq!(persons.post(&format!("{deal}/redeem"), "").await.location, deal, "the same code again");
    records += 1;
    assert_eq!(fixture.count(RECORDS).await, records);
    let code = fixture.texts("SELECT code FROM campus_redemption").await.remove(0);
    assert!(persons.get(&deal).await.body.contains(&code));
    assert!(persons.get("/deals/codes").await.body.contains(&code));
    let codes = fixture.texts("SELECT coalesce(cast(after AS text), '') || entity_id FROM audit_record").await;
    assert!(codes.iter().all(|record| !record.contains(&code)), "no record holds a code");

    assert_eq!(persons.post(&format!("{partner}/verify"), &format!("code={code}")).await.status, 404);
    assert_eq!(clerks.post(&format!("{partner}/verify"), "code=0000-0000-0000").await.status, 404);
    let taken = clerks.post(&format!("{partner}/verify"), &format!("code={}", code.to_lowercase())).await;
    assert_eq!(taken.location, format!("{partner}?taken=yes"), "{}", taken.body);
    assert_eq!(agents.post(&format!("{partner}/verify"), &format!("code={code}")).await.status, 409);
    records += 1;
    assert_eq!(fixture.count(RECORDS).await, records);

    assert_eq!(agents.post(&format!("{deal}/withdraw"), "").await.location, deal);
    assert_eq!(agents.post(&format!("{deal}/withdraw"), "").await.status, 409);
    assert_eq!(fixture.count(RECORDS).await, records + 1);
    assert!(staffs.get("/search?q=wombat").await.body.contains("0 found"));
    assert_eq!(staffs.get(&deal).await.status, 404, "nobody sees it any more");
    assert!(persons.get(&deal).await.body.contains(&code), "but those who hold a code");
    assert_eq!(staffs.post(&format!("{partner}/agents"), &format!("person={clerk}&role=none")).await.location, partner);
    assert_eq!(clerks.get(&partner).await.status, 404);
}

async fn of_two_hundred_at_once_fifty_are_served<F: Fixture>() {
    let (fixture, app, _, partner, agent) = partner::<F>().await;
    let deal = published(&app, &agent, &partner, "campus:everyone", 50).await;
    fixture
        .execute(
            r"
            INSERT INTO campus_person (id, name, headline)
            WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 200)
            SELECT 'crowd-' || n, 'Somebody', '' FROM number
            ",
        )
        .await;
    let records = fixture.count(RECORDS).await;
    let barrier = Arc::new(Barrier::new(200));
    let crowd = (1..=200).map(|number| {
        let (app, deal, barrier) = (app.clone(), deal.clone(), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            redemption::redeem(&app, &caller(&format!("crowd-{number}")), &deal).await
        })
    });
    let mut codes = BTreeSet::new();
    let mut refused = 0;
    for one in crowd.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(redemption) => assert!(codes.insert(redemption.code)),
            Err(Error::Conflict(why)) => {
                assert_eq!(why, "nothing is left of this deal");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((codes.len(), refused), (50, 150));
    assert_eq!(fixture.count("SELECT count(*) FROM campus_redemption").await, 50);
    assert_eq!(fixture.count("SELECT redeemed FROM campus_deal").await, 50);
    assert_eq!(fixture.count(RECORDS).await, records + 50);
}

async fn one_person_at_many_places_has_one_code_that_is_taken_once<F: Fixture>() {
    let (fixture, app, _, partner, agent) = partner::<F>().await;
    let deal = published(&app, &agent, &partner, "campus:everyone", 50).await;
    let barrier = Arc::new(Barrier::new(8));
    let places = (0..8).map(|_| {
        let (app, deal, agent, barrier) = (app.clone(), deal.clone(), caller(&agent), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            redemption::redeem(&app, &agent, &deal).await.unwrap().code
        })
    });
    let mut codes = BTreeSet::new();
    for place in places.collect::<Vec<_>>() {
        codes.insert(place.await.unwrap());
    }
    assert_eq!(codes.len(), 1);
    assert_eq!(fixture.count("SELECT redeemed FROM campus_deal").await, 1);

    let code = codes.pop_first().unwrap();
    let barrier = Arc::new(Barrier::new(8));
    let tills = (0..8).map(|_| {
        let (app, partner, code) = (app.clone(), partner.clone(), code.clone());
        let (agent, barrier) = (caller(&agent), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            redemption::verify(&app, &agent, &partner, &code).await.is_ok()
        })
    });
    let mut taken = 0;
    for till in tills.collect::<Vec<_>>() {
        taken += i32::from(till.await.unwrap());
    }
    assert_eq!(taken, 1);
}

/// Puts this many deals into the database whose time is over; the one partner's.
pub(crate) async fn overdue<F: Fixture>(fixture: &F, app: &App<F::Backend>, insert: &'static str, count: usize) {
    fixture.execute(insert).await;
    fixture
        .execute("INSERT INTO campus_deal_listing (tag, deal_id) SELECT 'campus:everyone', id FROM campus_deal")
        .await;
    let documents: Vec<Document> = (1..=count)
        .map(|number| {
            Document::new(Surface::MARKETPLACE, format!("deal-{number}").try_into().unwrap())
                .title(format!("An offer, number {number}"))
                .audience([Tag::try_from("campus:everyone").unwrap()])
        })
        .collect();
    let mut tx = app.begin().await.unwrap();
    app.search.upsert_many(&mut tx, &documents).await.unwrap();
    app.commit(tx).await.unwrap();
}

async fn expiring_again_or_twice_at_once_changes_nothing<F: Fixture>() {
    let (fixture, app, _, partner, agent) = partner::<F>().await;
    overdue(
        &fixture,
        &app,
        r"
        INSERT INTO campus_deal
            (id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at)
        WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1200)
        SELECT 'deal-' || n, partner.id, 'An offer', '', 'campus:everyone', 'published', 1, 2 + n, 5, 0, 1
        FROM number, campus_partner AS partner
        ",
        1200,
    )
    .await;
    let open = published(&app, &agent, &partner, "campus:everyone", 5).await;
    let records = fixture.count(RECORDS).await;
    let (one, other) = (app.clone(), app.clone());
    let both = tokio::join!(
        tokio::spawn(async move { expire(&one).await }),
        tokio::spawn(async move { expire(&other).await })
    );
    assert_eq!((both.0.unwrap().dead, both.1.unwrap().dead), (0, 0));
    drain(&app).await;
    assert_eq!(fixture.count("SELECT count(*) FROM campus_deal WHERE state = 'expired'").await, 1200);
    assert_eq!(fixture.count(EXPIRED).await, 1200, "one record for each");
    assert_eq!(fixture.count("SELECT count(*) FROM audit_record WHERE actor_kind = 'system'").await, 1200);
    assert_eq!((fixture.count(DOCUMENTS).await, fixture.count(LISTINGS).await), (1, 1), "but for the open one");
    assert_eq!(fixture.texts("SELECT id FROM campus_deal WHERE state = 'published'").await, [open]);

    assert_eq!(expire(&app).await.succeeded, 1);
    assert_eq!(fixture.count(RECORDS).await, records + 1200, "expiring the expired changes nothing");
}

async fn a_batch_that_fails_leaves_nothing_of_itself<F: Fixture>() {
    let (fixture, app, _, partner, agent) = partner::<F>().await;
    published(&app, &agent, &partner, "campus:everyone", 5).await;
    fixture.execute("UPDATE campus_deal SET ends_at = starts_at + 1").await;
    fixture.break_step(2).await;
    let tally = expire(&app).await;
    assert!(tally.failed > 0 && tally.succeeded == 0, "{tally:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM campus_deal WHERE state = 'published'").await, 1);
    assert_eq!((fixture.count(DOCUMENTS).await, fixture.count(LISTINGS).await), (1, 1));
}

async fn a_deal_of_others_does_not_exist<F: Fixture>() {
    let (fixture, app, staff, partner, agent) = partner::<F>().await;
    let theirs =
        fixture.texts("SELECT user_id FROM memberships_membership WHERE scope_id = '2018' ORDER BY user_id").await;
    let others =
        fixture.texts("SELECT user_id FROM memberships_membership WHERE scope_id = '2014' ORDER BY user_id").await;
    let is_plain = |person: &&String| **person != staff && **person != agent;
    let (inside, outside) = (theirs.iter().find(is_plain).unwrap(), others.iter().find(is_plain).unwrap());
    let deal = published(&app, &agent, &partner, "batch:2018,group:none", 50).await;
    let records = fixture.count(RECORDS).await;

    let mut insiders = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), inside).await;
    assert!(insiders.get("/deals").await.body.contains("Half a wombat"));
    assert!(insiders.get("/search?q=wombat").await.body.contains("1 found"));
    assert_eq!(insiders.get(&format!("/api/v1/deals/{deal}")).await.status, 200);
    let mut browser = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), outside).await;
    for list in ["/deals", "/deals/codes", "/partners", "/api/v1/deals", "/api/v1/deals/codes", "/api/v1/partners"] {
        let answer = browser.get(list).await;
        assert_eq!(answer.status, 200, "{list}");
        assert!(!answer.body.contains("wombat") && !answer.body.contains("Corner Shop"), "{list}");
    }
    assert!(browser.get("/search?q=wombat").await.body.contains("0 found"));
    let none = "01890000-0000-7000-8000-000000000000";
    for (path, id, form) in [
        ("/deals/{}", &deal, None),
        ("/api/v1/deals/{}", &deal, None),
        ("/partners/{}", &partner, None),
        ("/api/v1/partners/{}/deals", &partner, None),
        ("/deals/{}/redeem", &deal, Some("")),
        ("/deals/{}/publish", &deal, Some("")),
        ("/deals/{}/withdraw", &deal, Some("")),
        ("/partners/{}/verify", &partner, Some("code=0000-0000-0000")),
        ("/partners/{}/agents", &partner, Some("person=somebody&role=agent")),
        ("/partners", &partner, Some("name=a&description=b&agent=somebody")),
    ] {
        let (hidden, missing) = (path.replace("{}", id), path.replace("{}", none));
        let (hidden, missing) = match form {
            Some(form) => (browser.post(&hidden, form).await, browser.post(&missing, form).await),
            None => (browser.get(&hidden).await, browser.get(&missing).await),
        };
        assert_eq!((hidden.status.as_u16(), &hidden.body), (404, &missing.body), "{path}");
    }
    assert_eq!(fixture.count(RECORDS).await, records, "nothing was done");
}

async fn nonsense_is_refused_and_writes_nothing<F: Fixture>() {
    let (fixture, app, _, partner, agent) = partner::<F>().await;
    let records = fixture.count(RECORDS).await;
    let mut browser = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), &agent).await;
    let drafts = format!("/partners/{partner}/deals");
    let times = "from=2030-01-01&until=2030-01-02";
    for (path, form) in [
        (&*drafts, format!("title=&body=b&audience=batch%3A2018&limit=1&{times}")),
        (&drafts, format!("title=a%00&body=b&audience=batch%3A2018&limit=1&{times}")),
        (&drafts, format!("title=a&body=b&audience=whoever&limit=1&{times}")),
        (&drafts, format!("title=a&body=b&audience=&limit=1&{times}")),
        (&drafts, format!("title=a&body=b&audience=batch%3A2018&limit=0&{times}")),
        (&drafts, format!("title=a&body=b&audience=batch%3A2018&limit=1000001&{times}")),
        (&drafts, "title=a&body=b&audience=batch%3A2018&limit=1&from=2020-01-01&until=2020-01-02".into()),
        (&drafts, "title=a&body=b&audience=batch%3A2018&limit=1&from=2030-01-03&until=2030-01-01".into()),
        (&drafts, "title=a&body=b&audience=batch%3A2018&limit=1&from=today&until=%2B262142-12-31".into()),
        ("/deals/%00/redeem", String::new()),
        ("/deals/%FF/redeem", String::new()),
        ("/deals/nothing/redeem", String::new()),
        ("/partners/nothing/verify", "code=a".into()),
    ] {
        let answer = browser.post(path, &form).await;
        assert!(answer.status.is_client_error(), "{path} {form:.80}: {}", answer.status);
    }
    for path in ["/deals?after=%00", "/deals/1", "/partners/%00", "/api/v1/deals?after=zz", "/api/v1/deals?limit=0"] {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
    assert_eq!(fixture.count(RECORDS).await, records);
}

/// What two cores do in half a minute: `cargo test -p campus --release --test campus -- --ignored --nocapture fifty_thousand`.
async fn fifty_thousand_deals_expire<F: Fixture>() {
    let (fixture, app, ..) = partner::<F>().await;
    overdue(
        &fixture,
        &app,
        r"
        INSERT INTO campus_deal
            (id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at)
        WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 50000)
        SELECT 'deal-' || n, partner.id, 'An offer', '', 'campus:everyone', 'published', 1, 2 + n, 5, 0, 1
        FROM number, campus_partner AS partner
        ",
        50_000,
    )
    .await;
    let began = Instant::now();
    let tally = expire(&app).await;
    println!("{}: expired in {:?}: {tally:?}", std::any::type_name::<F>(), began.elapsed());
    assert_eq!(fixture.count(EXPIRED).await, 50_000);
    assert_eq!(fixture.count(DOCUMENTS).await, 0);
}

macro_rules! on_both {
    ($($(#[$attribute:meta])* $test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test(flavor = "multi_thread")] $(#[$attribute])* async fn $test() { super::$test::<super::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test(flavor = "multi_thread")] $(#[$attribute])* async fn $test() { super::$test::<super::OnPostgres>().await } )*
        }
    };
}

on_both! {
    a_deal_goes_from_draft_to_a_code_that_is_taken_once
    of_two_hundred_at_once_fifty_are_served
    one_person_at_many_places_has_one_code_that_is_taken_once
    expiring_again_or_twice_at_once_changes_nothing
    a_batch_that_fails_leaves_nothing_of_itself
    a_deal_of_others_does_not_exist
    nonsense_is_refused_and_writes_nothing
    #[ignore = "a measurement"]
    fifty_thousand_deals_expire
}

//! The calendar, on both databases: who comes when there are fewer places than people, and who learns of what.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use campus::announcements::publish::{PublishAnnouncement, TellReaders};
use campus::app::App;
use campus::backend::Backend;
use campus::calendar::notify::{TellCancelled, TellMovedUp};
use campus::calendar::rsvp::{self, Answer};
use campus::calendar::{self, Draft, Event, When};
use campus::directory::Person;
use campus::directory::sql::DirectorySql as _;
use campus::error::Error;
use campus::groups::notify::NotifyGroup;
use campus::http::{Options, router};
use campus::readers::Readers;
use chrono::{TimeDelta, Utc};
use stoa_audit as audit;
use stoa_jobs_runner::Runner;
use stoa_membership::{By, Filter, PageRequest, Role, Scope, UserId};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::pages::{Answer as Reply, Browser, fixture_stranger};

const NOTICES: &str = "SELECT person_id || ' ' || title FROM campus_notice ORDER BY person_id, title";
/// The demo has events of its own.
const GOING: &str = r"
    SELECT person_id
    FROM campus_rsvp
    WHERE state = 'going' AND event_id = (SELECT id FROM campus_event WHERE title = 'A pangolin evening')
    ORDER BY place
";
const WAITING: &str = r"
    SELECT person_id
    FROM campus_rsvp
    WHERE state = 'waiting' AND event_id = (SELECT id FROM campus_event WHERE title = 'A pangolin evening')
    ORDER BY place
";
const RECORDS: &str = "SELECT count(*) FROM audit_record";

/// Runs every job that is due, as the worker would, and says how many there were. None may fail.
pub(crate) async fn drain<B: Backend>(app: &App<B>) -> u64 {
    let runner = Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone()).queue("notifications", 4);
    let runner = runner.handle::<NotifyGroup>().handle::<TellMovedUp>().handle::<TellCancelled>();
    let tally = runner.handle::<PublishAnnouncement>().handle::<TellReaders>().drain().await.unwrap();
    assert_eq!((tally.failed, tally.dead, tally.fenced), (0, 0, 0));
    tally.succeeded
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

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

/// New people who have joined the chess club.
async fn crowd<B: Backend>(app: &App<B>, names: &[String]) {
    let mut tx = app.begin().await.unwrap();
    for name in names {
        let person = Person { id: name.clone(), name: name.clone(), headline: "plays".into() };
        tx.insert_person(&person).await.unwrap();
        app.membership.join(&mut tx, &user(name), &chess(), &By::user(&user(name))).await.unwrap();
    }
    app.commit(tx).await.unwrap();
}

fn draft(title: &str, capacity: Option<i64>) -> Draft {
    let starts_at = Utc::now() + TimeDelta::days(7);
    let when = When::new(starts_at, starts_at + TimeDelta::hours(2), "Europe/Lisbon").unwrap();
    Draft::new(title, "Bring a pangolin.", "Reading room", when, capacity).unwrap()
}

/// An event of the chess club, planned by its owner.
async fn event<B: Backend>(app: &App<B>, capacity: Option<i64>) -> Event {
    let owner = with_role(app, "owner").await;
    let readers = Readers::Members(chess());
    calendar::create(app, &(&owner).into(), &readers, draft("A pangolin evening", capacity)).await.unwrap()
}

async fn go<B: Backend>(app: &App<B>, name: &str, event: &Event, answer: Answer) -> String {
    rsvp::answer(app, &(&user(name)).into(), &event.id, answer).await.unwrap()
}

fn named(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{prefix}-{number:02}")).collect()
}

/// Every one on a connection of their own, as far as there are any.
async fn of_forty_at_once_five_go_and_the_others_wait_in_order<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let names = named("crowd", 0..40);
    crowd(&app, &names).await;
    let event = event(&app, Some(5)).await;
    let records = fixture.count(RECORDS).await;
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(names.len()));
    let mut tasks = JoinSet::new();
    for name in names.clone() {
        let (app, event, barrier) = (app.clone(), event.clone(), barrier.clone());
        tasks.spawn(async move {
            barrier.wait().await;
            (go(&app, &name, &event, Answer::Going).await, name)
        });
    }
    let answers = tasks.join_all().await;
    let (going, waiting) = (fixture.texts(GOING).await, fixture.texts(WAITING).await);
    assert_eq!((going.len(), waiting.len()), (5, 35));
    for (answer, name) in &answers {
        assert_eq!(answer, if going.contains(name) { "going" } else { "waiting" }, "{name}: all were told the truth");
    }
    assert_eq!(
        fixture.count("SELECT max(place) FROM campus_rsvp WHERE state = 'going' AND person_id LIKE 'crowd-%'").await,
        5,
        "first come"
    );
    assert_eq!(fixture.count("SELECT count(DISTINCT place) FROM campus_rsvp WHERE person_id LIKE 'crowd-%'").await, 40);
    assert_eq!(fixture.count("SELECT going * 100 + waiting FROM campus_event WHERE capacity = 5").await, 535);
    assert_eq!(fixture.count(RECORDS).await, records + 40);

    // All five give up at once: the first five of the line have their places.
    let mut tasks = JoinSet::new();
    for name in going {
        let (app, event) = (app.clone(), event.clone());
        tasks.spawn(async move { go(&app, &name, &event, Answer::None).await });
    }
    assert!(tasks.join_all().await.iter().all(|answer| answer == "none"));
    assert_eq!(fixture.texts(GOING).await, waiting[..5]);
    assert_eq!(fixture.texts(WAITING).await, waiting[5..]);
}

async fn whoever_makes_room_makes_it_for_the_first_who_waits<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let names = named("guest", 0..5);
    crowd(&app, &names).await;
    drain(&app).await;
    let event = event(&app, Some(1)).await;
    assert_eq!(go(&app, &names[0], &event, Answer::Going).await, "going");
    for name in &names[1..] {
        assert_eq!(go(&app, name, &event, Answer::Going).await, "waiting");
    }
    assert_eq!(drain(&app).await, 0, "nobody has moved");
    go(&app, &names[0], &event, Answer::None).await;
    assert_eq!(fixture.texts(GOING).await, names[1..2]);
    assert_eq!(drain(&app).await, 1);
    let told = |name: &str| format!("{name} You have a place: A pangolin evening");
    assert_eq!(fixture.texts(NOTICES).await, [told(&names[1])]);
    let mut second = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), &names[1]).await;
    assert!(second.get("/").await.body.contains("You have a place: A pangolin evening"));

    // Leaving the group is leaving its events, in the same transaction; so is being banned from it.
    second.post("/groups/chess/leave", "").await;
    assert_eq!(fixture.texts(GOING).await, names[2..3]);
    assert_eq!(fixture.texts(WAITING).await, names[3..]);
    assert!(!second.get("/").await.body.contains("pangolin"), "what they were told is hidden as well");
    let owner = with_role(&app, "owner").await;
    let mut owners = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), owner.as_str()).await;
    for banned in [&names[3], &names[2]] {
        let form = format!("person={banned}&version=1&decision=ban&reason=a");
        let answer = owners.post("/groups/chess/members", &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    }
    assert_eq!(fixture.texts(GOING).await, names[4..]);
    assert_eq!(fixture.texts(WAITING).await, [""; 0]);
    assert_eq!(fixture.count("SELECT going * 100 + waiting FROM campus_event WHERE capacity = 1").await, 100);
    drain(&app).await;
    assert_eq!(
        fixture.texts(NOTICES).await,
        [told(&names[1]), told(&names[4])],
        "not who was banned before the job ran"
    );

    // Whoever comes back begins at the end of the line.
    second.post("/groups/chess/join", "").await;
    assert_eq!(go(&app, &names[1], &event, Answer::Going).await, "waiting");
}

/// It ran out, or a command ended it: nothing of the calendar was asked.
async fn a_membership_that_ended_elsewhere_holds_no_place_against_those_who_want_one<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let names = named("guest", 0..4);
    crowd(&app, &names).await;
    let event = event(&app, Some(1)).await;
    for name in &names[..3] {
        go(&app, name, &event, Answer::Going).await;
    }
    let mut tx = app.begin().await.unwrap();
    for gone in [&names[0], &names[1]] {
        app.membership.remove(&mut tx, &user(gone), &chess(), &By::user(&user(&names[3]))).await.unwrap();
    }
    app.commit(tx).await.unwrap();
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), &names[3]).await;
    for state in ["going", "waiting"] {
        let page = browser.get(&format!("/events/{}/attendees?state={state}", event.id)).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.body.contains("guest-00") && !page.body.contains("guest-01"), "{}", page.body);
    }
    assert_eq!(go(&app, &names[3], &event, Answer::Going).await, "waiting");
    assert_eq!(fixture.texts(GOING).await, names[2..3], "who came first");
    assert_eq!(fixture.texts(WAITING).await, names[3..]);
}

async fn more_places_are_given_to_those_who_wait_and_fewer_take_none_away<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let names = named("guest", 0..6);
    crowd(&app, &names).await;
    drain(&app).await;
    let event = event(&app, Some(2)).await;
    for name in &names {
        go(&app, name, &event, Answer::Going).await;
    }
    let owner = with_role(&app, "owner").await;
    for (capacity, going) in [(Some(4), 4), (Some(1), 4), (None, 6)] {
        let draft = draft("A pangolin evening", capacity);
        calendar::update(&app, &(&owner).into(), &event.id, draft).await.unwrap();
        assert_eq!(fixture.texts(GOING).await, names[..going]);
    }
    assert_eq!(drain(&app).await, 4);
    assert_eq!(fixture.texts(NOTICES).await.len(), 4);
}

/// Everything that answers somebody about an event of a group.
async fn look(browser: &mut Browser, id: &str) -> Vec<(String, Reply)> {
    let form = "title=a&body=b&place=c&starts_at=2030-01-01T10:00&ends_at=2030-01-01T11:00&time_zone=UTC";
    let json = r#"{"title":"a","body":"b","place":"c","starts_at":"2030-01-01T10:00:00Z","ends_at":"2030-01-01T11:00:00Z","time_zone":"UTC"}"#;
    let mut answers = Vec::new();
    for path in ["", "/edit", "/attendees", "/attendees?state=waiting", "/event.ics"] {
        answers.push((path.to_owned(), browser.get(&format!("/events/{id}{path}")).await));
    }
    for (path, form) in [("", form), ("/cancel", ""), ("/rsvp", "answer=going"), ("/rsvp", "answer=none")] {
        answers.push((format!("post {path}"), browser.post(&format!("/events/{id}{path}"), form).await));
    }
    for path in ["", "/attendees"] {
        answers.push((format!("api {path}"), browser.get(&format!("/api/v1/events/{id}{path}")).await));
    }
    for (path, body) in [("", json), ("/cancel", ""), ("/rsvp", r#"{"answer":"going"}"#)] {
        answers
            .push((format!("api post {path}"), post_json(browser, &format!("/api/v1/events/{id}{path}"), body).await));
    }
    answers
}

pub(crate) async fn post_json(browser: &mut Browser, path: &str, body: &str) -> Reply {
    let request = Request::post(path)
        .header(header::ORIGIN, "http://localhost:8080")
        .header(header::CONTENT_TYPE, "application/json");
    browser.send(request, Body::from(body.to_owned())).await
}

async fn what_is_planned_in_a_group_does_not_exist_outside<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let names = ["gone-00".to_owned(), "banned-00".into()];
    crowd(&app, &names).await;
    let event = event(&app, None).await;
    let mut owners =
        Browser::signed_in(router(app.clone(), Options::demo().rates(None)), with_role(&app, "owner").await.as_str())
            .await;
    assert!(owners.get("/search?q=pangolin").await.body.contains("1 found"));
    let calendar = owners.get(&format!("/events/{}/event.ics", event.id)).await.body;
    assert!(
        calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.contains("SUMMARY:A pangolin evening\r\n"),
        "{calendar}"
    );
    for name in &names {
        go(&app, name, &event, Answer::Going).await;
    }
    let mut gone = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), &names[0]).await;
    gone.post("/groups/chess/leave", "").await;
    owners.post("/groups/chess/members", "person=banned-00&version=1&decision=ban&reason=a").await;
    let stranger = fixture_stranger(&app).await;

    for person in [&stranger, &names[0], &names[1]] {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), person).await;
        let before = (fixture.count(RECORDS).await, fixture.texts(GOING).await);
        let missing = look(&mut browser, "0198c0de-0000-7000-8000-000000000000").await;
        for ((what, hidden), (_, missing)) in look(&mut browser, &event.id).await.iter().zip(&missing) {
            assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{person} {what}: {}", hidden.body);
            assert_eq!(hidden.body, missing.body, "{person} {what}");
        }
        for path in ["/", "/events", "/api/v1/events"] {
            assert!(!browser.get(path).await.body.contains("pangolin"), "{person} {path}");
        }
        assert_eq!(browser.get("/events?scope=group:chess").await.status, StatusCode::NOT_FOUND);
        assert!(browser.get("/search?q=pangolin").await.body.contains("0 found"), "{person}");
        let form = "scope=group:chess&title=a&body=b&place=c&starts_at=2030-01-01T10:00&ends_at=2030-01-01T11:00&time_zone=UTC";
        assert_eq!(browser.post("/events", form).await.status, StatusCode::NOT_FOUND);
        assert_eq!((fixture.count(RECORDS).await, fixture.texts(GOING).await), before, "{person}");
    }
    // A member comes and sees, and plans nothing.
    let member = with_role(&app, "member").await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), member.as_str()).await;
    let answers = look(&mut browser, &event.id).await;
    for (what, answer) in &answers {
        let is_planning = ["/edit", "post ", "post /cancel", "api post ", "api post /cancel"].contains(&&**what);
        let expected = if is_planning { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let is_as_expected = answer.status == expected || (!is_planning && answer.status == StatusCode::SEE_OTHER);
        assert!(is_as_expected, "{what}: {} {}", answer.status, answer.body);
    }
    for person in [&names[0], &names[1]] {
        let told = |(what, answer): &(String, Reply)| assert!(!answer.body.contains(&**person), "{what}");
        answers.iter().for_each(told);
    }
}

async fn every_change_leaves_one_record_and_what_changes_nothing_leaves_none<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    crowd(&app, &named("guest", 0..1)).await;
    let owner = with_role(&app, "owner").await;
    let mut owners = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), owner.as_str()).await;
    let mut guests = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), "guest-00").await;
    let new = r#"{"scope":"group:chess","title":"A pangolin evening","body":"b","place":"c","starts_at":"2030-01-01T10:00:00+01:00","ends_at":"2030-01-01T11:00:00Z","time_zone":"Europe/Lisbon","capacity":3}"#;
    let records = fixture.count(RECORDS).await;
    let created = post_json(&mut owners, "/api/v1/events", new).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.body);
    let view: serde_json::Value = serde_json::from_str(&created.body).unwrap();
    assert_eq!(view["starts_at"], "2030-01-01T09:00:00Z");
    let id = view["id"].as_str().unwrap();
    let path = format!("/api/v1/events/{id}");
    let mut expected = records + 1;
    let mut last = (owner.as_str(), "CreateEvent");
    for (who, way, body, method) in [
        (owner.as_str(), "", new.replace("pangolin", "wobbegong"), Some("UpdateEvent")),
        (owner.as_str(), "", new.replace("pangolin", "wobbegong"), None),
        ("guest-00", "/rsvp", r#"{"answer":"none"}"#.into(), None),
        ("guest-00", "/rsvp", r#"{"answer":"going"}"#.into(), Some("SetRsvp")),
        ("guest-00", "/rsvp", r#"{"answer":"going"}"#.into(), None),
        ("guest-00", "/rsvp", r#"{"answer":"none"}"#.into(), Some("SetRsvp")),
        (owner.as_str(), "/cancel", String::new(), Some("CancelEvent")),
    ] {
        let browser = if who == "guest-00" { &mut guests } else { &mut owners };
        let answer = post_json(browser, &format!("{path}{way}"), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{way}: {}", answer.body);
        if let Some(method) = method {
            (expected, last) = (expected + 1, (who, method));
        }
        assert_eq!(fixture.count(RECORDS).await, expected, "{way} {body}");
        let mut tx = app.read().await.unwrap();
        let page = audit::PageRequest::first(1);
        let newest = app.audit.list(&mut tx, &audit::Filter::new(), &page).await.unwrap().items.remove(0).record;
        assert_eq!(newest.action.to_string(), format!("bits.calendar.v1.EventService/{}", last.1));
        assert_eq!((newest.actor.id(), newest.entity.id().as_str()), (last.0, id));
        assert_eq!(newest.scope.unwrap().to_string(), "group:chess");
    }
}

async fn what_is_called_off_stays_readable_and_tells_those_who_answered<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let names = named("guest", 0..4);
    crowd(&app, &names).await;
    drain(&app).await;
    let event = event(&app, Some(2)).await;
    for name in &names[..3] {
        go(&app, name, &event, Answer::Going).await;
    }
    let owner = with_role(&app, "owner").await;
    let mut owners = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), owner.as_str()).await;
    let path = format!("/events/{}", event.id);
    assert!(owners.get("/events").await.body.contains("A pangolin evening"));
    assert_eq!(owners.post(&format!("{path}/cancel"), "").await.location, path);
    assert_eq!(drain(&app).await, 1);
    let told: Vec<_> = names[..3].iter().map(|name| format!("{name} Called off: A pangolin evening")).collect();
    assert_eq!(fixture.texts(NOTICES).await, told);
    // The job may run again.
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &TellCancelled { event_id: event.id.clone() }).await.unwrap();
    app.commit(tx).await.unwrap();
    assert_eq!(drain(&app).await, 1);
    assert_eq!(fixture.texts(NOTICES).await, told);

    assert!(owners.get(&path).await.body.contains("called off"));
    assert!(owners.get(&format!("{path}/event.ics")).await.body.contains("STATUS:CANCELLED"));
    assert!(!owners.get("/events").await.body.contains("pangolin"));
    assert!(owners.get("/search?q=pangolin").await.body.contains("0 found"));
    let records = fixture.count(RECORDS).await;
    let refused = rsvp::answer(&app, &(&user(&names[3])).into(), &event.id, Answer::Going).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(owners.post(&format!("{path}/cancel"), "").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(owners.get(&format!("{path}/edit")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.count(RECORDS).await, records);
}

/// The campus has events too, planned by its staff for everybody.
async fn what_is_upcoming_is_read_page_by_page<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let staff = user(&fixture_stranger(&app).await);
    let owner = with_role(&app, "owner").await;
    let starts_at = Utc::now() + TimeDelta::days(3);
    let mut expected = Vec::new();
    for number in 0..25 {
        // Five at a time begin in the same moment.
        let starts_at = starts_at + TimeDelta::hours(number / 5);
        let when = When::new(starts_at, starts_at + TimeDelta::hours(1), "Asia/Tokyo").unwrap();
        let draft = Draft::new(&format!("Number {number}"), "b", "c", when, None).unwrap();
        let (planner, readers) =
            if number % 2 == 0 { (&staff, Readers::Everyone) } else { (&owner, Readers::Members(chess())) };
        let event = calendar::create(&app, &planner.into(), &readers, draft).await.unwrap();
        expected.push((event.starts_at, event.id, readers));
    }
    assert!(matches!(
        calendar::create(&app, &(&owner).into(), &Readers::Everyone, draft("a", None)).await,
        Err(Error::NotFound)
    ));
    expected.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    for (person, is_inside) in [(&owner, true), (&staff, false)] {
        let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), person.as_str()).await;
        let (mut found, mut next, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = browser.get(&format!("/api/v1/events?limit=7{next}")).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 7);
            // The demo plans events of its own.
            let numbered = items.iter().filter(|item| item["title"].as_str().unwrap().starts_with("Number "));
            found.extend(numbered.map(|item| item["id"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["next"].as_str() {
                Some(key) => next = format!("&after={key}"),
                None => break,
            }
        }
        let seen = expected.iter().filter(|(_, _, readers)| is_inside || *readers == Readers::Everyone);
        assert_eq!(found, seen.map(|(_, id, _)| id.clone()).collect::<Vec<_>>());
        assert!(pages > 1);
        assert_eq!(browser.get("/").await.body.contains("Number 1<"), is_inside, "on the home page");
    }
}

async fn nonsense_about_an_event_gets_a_4xx_and_writes_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let event = event(&app, Some(3)).await;
    let owner = with_role(&app, "owner").await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), owner.as_str()).await;
    let before = (fixture.counts().await, fixture.count("SELECT count(*) FROM campus_event").await);
    let good = "scope=group:chess&title=a&body=b&place=c&starts_at=2030-01-01T10:00&ends_at=2030-01-01T11:00&time_zone=UTC&capacity=3";
    for (from, to) in [
        ("title=a", "title=+"),
        ("title=a", "title=a%00"),
        ("title=a", "title=a%0Ab"),
        ("place=c", "place="),
        ("body=b", "body=%1B"),
        ("T11:00", "T10:00"),
        ("T11:00", "T09:00"),
        ("ends_at=2030-01-01", "ends_at=2030-03-01"),
        ("starts_at=2030-01-01", "starts_at=someday"),
        ("2030-01-01", "2001-01-01"),
        ("2030-01-01", "9999-01-01"),
        ("2030-01-01", "2030-02-30"),
        ("time_zone=UTC", "time_zone=Middle/Earth"),
        ("time_zone=UTC", "time_zone="),
        ("&time_zone=UTC", ""),
        ("capacity=3", "capacity=0"),
        ("capacity=3", "capacity=-1"),
        ("capacity=3", "capacity=2001"),
        ("capacity=3", "capacity=99999999999999999999"),
        ("capacity=3", "capacity=three"),
        ("scope=group:chess", "scope=group:none"),
        ("scope=group:chess", "scope=%00"),
        ("scope=group:chess", "scope=chess"),
        ("scope=group:chess", "scope=platform:campus"),
        ("scope=group:chess", "scope=campus:everyone"),
    ] {
        let form = good.replacen(from, to, if from.starts_with("2030") { 2 } else { 1 });
        assert_ne!(form, good);
        let answer = browser.post("/events", &form).await;
        assert!(answer.status.is_client_error(), "{form}: {}", answer.status);
    }
    let long = format!("title={}&body=b", "x".repeat(201));
    assert!(browser.post("/events", &good.replace("title=a&body=b", &long)).await.status.is_client_error());
    let path = format!("/events/{}/rsvp", event.id);
    for (path, form) in [
        (&*path, ""),
        (&path, "answer=waiting"),
        (&path, "answer=%00"),
        ("/events/none/rsvp", "answer=going"),
        ("/events/%00/rsvp", "answer=going"),
        ("/events/%FF/cancel", ""),
    ] {
        let answer = browser.post(path, form).await;
        assert!(answer.status.is_client_error(), "{path} {form}: {}", answer.status);
    }
    let json = r#"{"scope":"group:chess","title":"a","body":"b","place":"c","starts_at":"2030-01-01T10:00:00Z","ends_at":"2030-01-01T11:00:00Z","time_zone":"UTC","capacity":3}"#;
    for (from, to) in [
        ("\"a\"", "7"),
        ("capacity\":3", "capacity\":0"),
        ("capacity\":3", "capacity\":1.5"),
        ("capacity\":3", "capacity\":\"3\""),
        ("2030-01-01T10:00:00Z", "2030-01-01"),
        ("2030-01-01T10:00:00Z", "2030-01-01T12:00:00Z"),
        ("\"UTC\"", "null"),
        ("}", ""),
    ] {
        let answer = post_json(&mut browser, "/api/v1/events", &json.replacen(from, to, 1)).await;
        assert!(answer.status.is_client_error(), "{from} {to}: {}", answer.status);
    }
    for path in [
        "/events?after=zz",
        "/events?after=1_none",
        "/events?scope=%00",
        "/events/new%00",
        "/events/none",
        "/events/none/event.ics",
        "/api/v1/events?after=9_",
        "/api/v1/events?limit=0",
        "/api/v1/events/none",
    ] {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
    let attendees = format!("/api/v1/events/{}/attendees?after=a", event.id);
    assert!(browser.get(&attendees).await.status.is_client_error());
    assert_eq!((fixture.counts().await, fixture.count("SELECT count(*) FROM campus_event").await), before);
    assert_eq!(browser.post("/events", good).await.status, StatusCode::SEE_OTHER, "and it is the one that was good");
    for path in ["/events/new", "/events/new?scope=group:chess", "/events?scope=group:chess"] {
        assert_eq!(browser.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(browser.get(&format!("/events/{}/edit", event.id)).await.status, StatusCode::OK);
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test::<super::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test::<super::OnPostgres>().await } )*
        }
    };
}

on_both! {
    of_forty_at_once_five_go_and_the_others_wait_in_order
    whoever_makes_room_makes_it_for_the_first_who_waits
    a_membership_that_ended_elsewhere_holds_no_place_against_those_who_want_one
    more_places_are_given_to_those_who_wait_and_fewer_take_none_away
    what_is_planned_in_a_group_does_not_exist_outside
    every_change_leaves_one_record_and_what_changes_nothing_leaves_none
    what_is_called_off_stays_readable_and_tells_those_who_answered
    what_is_upcoming_is_read_page_by_page
    nonsense_about_an_event_gets_a_4xx_and_writes_nothing
}

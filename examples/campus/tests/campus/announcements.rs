//! Announcements, on both databases: who reads what when, and that a time is kept once.

use axum::http::StatusCode;
use campus::announcements::publish::{PublishAnnouncement, TellReaders};
use campus::announcements::{self, Announcement, Draft};
use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::error::Error;
use campus::http::{Options, router};
use campus::readers::Readers;
use chrono::{TimeDelta, Utc};
use stoa_audit as audit;
use stoa_membership::{Filter, PageRequest, Scope};

use crate::calendar::{drain, post_json, user};
use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::pages::{Browser, fixture_stranger};

const RECORDS: &str = "SELECT count(*) FROM audit_record";
const TOLD: &str = "SELECT person_id FROM campus_notice WHERE kind = 'announcements.tell' ORDER BY person_id";

/// The demo, whose own jobs are done, and its staff person, who is in no group.
async fn quiet<F: Fixture>() -> (F, App<F::Backend>, Caller) {
    let (fixture, app) = F::demo().await;
    let staff = Caller::new(user(&fixture_stranger(&app).await));
    drain(&app).await;
    (fixture, app, staff)
}

async fn draft<B: Backend>(app: &App<B>, staff: &Caller, readers: Readers) -> Announcement {
    let draft = Draft::new("A pangolin for the chancellor", "It has settled in.", readers).unwrap();
    announcements::create(app, staff, draft).await.unwrap()
}

fn chess() -> Readers {
    Readers::Members(Scope::group("chess").unwrap())
}

async fn enqueue<B: Backend>(app: &App<B>, news: &Announcement, publish_at: i64) {
    let mut tx = app.begin().await.unwrap();
    let job = PublishAnnouncement { announcement_id: news.id.clone(), publish_at };
    app.jobs.enqueue(&mut tx, &job).await.unwrap();
    app.commit(tx).await.unwrap();
}

async fn newest<B: Backend>(app: &App<B>) -> audit::Record {
    let mut tx = app.read().await.unwrap();
    app.audit.list(&mut tx, &audit::Filter::new(), &audit::PageRequest::first(1)).await.unwrap().items.remove(0).record
}

/// Whether somebody can read it, finds it, and has it on their lists.
async fn reads<B: Backend>(app: &App<B>, person: &str, news: &Announcement) -> [bool; 4] {
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), person).await;
    let mut answers = [false; 4];
    for (answer, path) in answers.iter_mut().zip(["/announcements/", "/api/v1/announcements/"]) {
        let (own, missing) =
            (browser.get(&format!("{path}{}", news.id)).await, browser.get(&format!("{path}none")).await);
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        assert!(own.status == StatusCode::OK || own.body == missing.body, "{}", own.body);
        *answer = own.status == StatusCode::OK;
    }
    answers[2] = browser.get("/search?q=pangolin").await.body.contains("1 found");
    let mut is_listed = Vec::new();
    for path in ["/", "/announcements", "/api/v1/announcements"] {
        is_listed.push(browser.get(path).await.body.contains("pangolin"));
    }
    assert!(is_listed.iter().all(|listed| *listed == is_listed[0]), "{is_listed:?}");
    answers[3] = is_listed[0];
    answers
}

async fn a_draft_is_for_staff_and_what_is_withdrawn_for_nobody<F: Fixture>() {
    let (_fixture, app, staff) = quiet::<F>().await;
    let (_, member) = a_member(&app).await;
    let news = draft(&app, &staff, Readers::Everyone).await;
    assert_eq!(reads(&app, member.as_str(), &news).await, [false; 4]);
    assert_eq!(reads(&app, staff.user.as_str(), &news).await, [true, true, false, false]);
    announcements::publish(&app, &staff, &news.id).await.unwrap();
    assert_eq!(reads(&app, member.as_str(), &news).await, [true; 4]);
    announcements::withdraw(&app, &staff, &news.id).await.unwrap();
    assert_eq!(reads(&app, member.as_str(), &news).await, [false; 4]);
    assert_eq!(reads(&app, staff.user.as_str(), &news).await, [true, true, false, false]);
    for refused in [
        announcements::publish(&app, &staff, &news.id).await.map(drop),
        announcements::withdraw(&app, &staff, &news.id).await,
        announcements::schedule(&app, &staff, &news.id, Utc::now() + TimeDelta::hours(1)).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
}

async fn what_is_for_a_group_does_not_exist_outside<F: Fixture>() {
    let (_fixture, app, staff) = quiet::<F>().await;
    let (_, member) = a_member(&app).await;
    let news = draft(&app, &staff, chess()).await;
    announcements::publish(&app, &staff, &news.id).await.unwrap();
    drain(&app).await;
    assert_eq!(reads(&app, member.as_str(), &news).await, [true; 4]);

    let mut inside = app.read().await.unwrap();
    let members = app
        .membership
        .list_by_scope(&mut inside, chess().scope().unwrap(), &Filter::default(), &PageRequest::first(100))
        .await
        .unwrap();
    drop(inside);
    let members: Vec<String> = members.items.iter().map(|member| member.user().to_string()).collect();
    let mut tx = app.read().await.unwrap();
    let people = campus::directory::sql::DirectorySql::people(&mut *tx, 100).await.unwrap();
    drop(tx);
    // Among them is somebody who is banned.
    let outside: Vec<_> =
        people.iter().filter(|person| !members.contains(&person.id) && person.id != staff.user.as_str()).collect();
    assert!(outside.len() > 3);
    for person in outside {
        assert_eq!(reads(&app, &person.id, &news).await, [false; 4], "{}", person.id);
    }
    // Somebody who was told, and has left since.
    let leaver = members.iter().find(|name| **name != *member.as_str()).unwrap();
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), leaver).await;
    let left = browser.post("/groups/chess/leave", "").await;
    if left.status == StatusCode::SEE_OTHER {
        assert_eq!(reads(&app, leaver, &news).await, [false; 4]);
    }
}

async fn a_scheduled_announcement_is_published_once_and_not_before_its_time<F: Fixture>() {
    let (fixture, app, staff) = quiet::<F>().await;
    let (_, member) = a_member(&app).await;
    let news = draft(&app, &staff, chess()).await;
    let first = Utc::now() + TimeDelta::hours(1);
    announcements::schedule(&app, &staff, &news.id, first).await.unwrap();
    let later = Utc::now() + TimeDelta::hours(2);
    announcements::schedule(&app, &staff, &news.id, later).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM jobs_queue_job WHERE kind = 'announcements.publish'").await, 2);
    assert_eq!(drain(&app).await, 0, "neither is due");
    // The job of the first choice, and that of the second by a clock that is ahead of ours.
    let records = fixture.count(RECORDS).await;
    enqueue(&app, &news, first.timestamp_micros()).await;
    assert_eq!(drain(&app).await, 1);
    enqueue(&app, &news, later.timestamp_micros()).await;
    assert_eq!(drain(&app).await, 0, "given back until it is time");
    assert_eq!(fixture.count(RECORDS).await, records);
    assert_eq!(reads(&app, member.as_str(), &news).await, [false; 4]);

    // Its time has come, and the handler runs twice.
    fixture.execute("UPDATE campus_announcement SET publish_at = 1000000 WHERE state = 'scheduled'").await;
    enqueue(&app, &news, 1_000_000).await;
    enqueue(&app, &news, 1_000_000).await;
    assert_eq!(drain(&app).await, 3, "both, and the one that tells");
    assert_eq!(fixture.count(RECORDS).await, records + 1);
    let record = newest(&app).await;
    assert_eq!(record.action.to_string(), "bits.announcements.v1.AnnouncementService/PublishAnnouncement");
    assert_eq!((record.actor.kind(), record.entity.id().as_str()), ("system", &*news.id));
    assert_eq!(reads(&app, member.as_str(), &news).await, [true; 4]);

    // What is withdrawn before its time never appears.
    let other = draft(&app, &staff, chess()).await;
    announcements::schedule(&app, &staff, &other.id, first).await.unwrap();
    announcements::withdraw(&app, &staff, &other.id).await.unwrap();
    enqueue(&app, &other, first.timestamp_micros()).await;
    assert_eq!(drain(&app).await, 1);
    assert_eq!(reads(&app, member.as_str(), &other).await, [false, false, true, true], "the other one");
}

async fn the_members_of_a_scope_are_told_once_and_everybody_not_one_by_one<F: Fixture>() {
    let (fixture, app, staff) = quiet::<F>().await;
    let everyone = draft(&app, &staff, Readers::Everyone).await;
    announcements::publish(&app, &staff, &everyone.id).await.unwrap();
    assert_eq!(drain(&app).await, 0);
    announcements::withdraw(&app, &staff, &everyone.id).await.unwrap();

    let news = draft(&app, &staff, chess()).await;
    announcements::publish(&app, &staff, &news.id).await.unwrap();
    assert_eq!(fixture.texts(TOLD).await, [""; 0], "before the job has run");
    assert_eq!(drain(&app).await, 1);
    let mut tx = app.read().await.unwrap();
    let scope = chess().scope().unwrap().clone();
    let members =
        app.membership.list_by_scope(&mut tx, &scope, &Filter::default(), &PageRequest::first(1000)).await.unwrap();
    drop(tx);
    let mut expected: Vec<_> = members.items.iter().map(|member| member.user().to_string()).collect();
    expected.sort_unstable();
    assert_eq!(fixture.texts(TOLD).await, expected);
    let tell = async || {
        let mut tx = app.begin().await.unwrap();
        app.jobs.enqueue(&mut tx, &TellReaders { announcement_id: news.id.clone() }).await.unwrap();
        app.commit(tx).await.unwrap();
        assert_eq!(drain(&app).await, 1);
    };
    tell().await;
    assert_eq!(fixture.texts(TOLD).await, expected);

    // Taken back, and a job that comes late tells nobody.
    announcements::withdraw(&app, &staff, &news.id).await.unwrap();
    assert_eq!(fixture.texts(TOLD).await, [""; 0]);
    tell().await;
    assert_eq!(fixture.texts(TOLD).await, [""; 0]);
}

async fn every_change_leaves_one_record_and_others_may_change_nothing<F: Fixture>() {
    let (fixture, app, staff) = quiet::<F>().await;
    let (_, member) = a_member(&app).await;
    let mut editors = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), staff.user.as_str()).await;
    let mut members = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), member.as_str()).await;
    let at = (Utc::now() + TimeDelta::days(2)).to_rfc3339();
    let body = |title: &str| format!(r#"{{"title":"{title}","body":"b","scope":"batch:2014"}}"#);
    let schedule = format!(r#"{{"publish_at":"{at}"}}"#);
    let mut path = "/api/v1/announcements".to_owned();
    let mut expected = fixture.count(RECORDS).await;
    for (way, body, method) in [
        ("", body("A"), Some("Create")),
        ("", body("B"), Some("Update")),
        ("", body("B"), None),
        ("/schedule", schedule.clone(), Some("Schedule")),
        ("/schedule", schedule.clone(), None),
        ("/publish", String::new(), Some("Publish")),
        ("/publish", String::new(), None),
        ("", body("C"), Some("Update")),
        ("/withdraw", String::new(), Some("Withdraw")),
    ] {
        let refused = post_json(&mut members, &format!("{path}{way}"), &body).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{way}: {}", refused.body);
        let answer = post_json(&mut editors, &format!("{path}{way}"), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{way}: {}", answer.body);
        expected += i64::from(method.is_some());
        assert_eq!(fixture.count(RECORDS).await, expected, "{way} {body}");
        if path.ends_with('s') {
            let view: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            path = format!("{path}/{}", view["id"].as_str().unwrap());
        }
        if let Some(method) = method {
            let action = newest(&app).await.action.to_string();
            assert_eq!(action, format!("bits.announcements.v1.AnnouncementService/{method}Announcement"));
            assert_eq!(newest(&app).await.actor.id(), staff.user.as_str());
        }
    }
    for page in ["/announcements/new", "/announcements/all"] {
        assert_eq!(members.get(page).await.status, StatusCode::NOT_FOUND, "{page}");
        assert_eq!(editors.get(page).await.status, StatusCode::OK, "{page}");
    }
    assert_eq!(members.post("/announcements", "title=a&body=b").await.status, StatusCode::NOT_FOUND);
}

async fn nonsense_about_an_announcement_gets_a_4xx_and_writes_nothing<F: Fixture>() {
    let (fixture, app, staff) = quiet::<F>().await;
    let news = draft(&app, &staff, Readers::Everyone).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo().rates(None)), staff.user.as_str()).await;
    let before = (fixture.counts().await, fixture.count("SELECT count(*) FROM campus_announcement").await);
    let path = format!("/announcements/{}", news.id);
    let schedule = format!("{path}/schedule");
    let long = format!("title=a&body={}", "x".repeat(20_001));
    for (path, form) in [
        ("/announcements", ""),
        ("/announcements", "title=a"),
        ("/announcements", "title=+&body=b"),
        ("/announcements", "title=a%00&body=b"),
        ("/announcements", &long),
        ("/announcements", "title=a&body=b&scope=group:none"),
        ("/announcements", "title=a&body=b&scope=group"),
        ("/announcements", "title=a&body=b&scope=platform:campus"),
        ("/announcements", "title=a&body=b&scope=%00:%00"),
        (&path, "title=&body=b"),
        (&schedule, "publish_at=2001-01-01T10:00&time_zone=UTC"),
        (&schedule, "publish_at=9999-01-01T10:00&time_zone=UTC"),
        (&schedule, "publish_at=soon&time_zone=UTC"),
        (&schedule, "publish_at=2030-01-01T10:00&time_zone=Middle/Earth"),
        (&schedule, "time_zone=UTC"),
        ("/announcements/none/publish", ""),
        ("/announcements/%00/withdraw", ""),
        ("/announcements/%FF", "title=a&body=b"),
    ] {
        let answer = browser.post(path, form).await;
        assert!(answer.status.is_client_error(), "{path} {form:.60}: {}", answer.status);
    }
    for path in
        ["/announcements?after=zz", "/announcements/none", "/api/v1/announcements?after=1_", "/announcements/none/edit"]
    {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
    let answer = post_json(&mut browser, "/api/v1/announcements", r#"{"title":"a","body":7}"#).await;
    assert!(answer.status.is_client_error());
    assert_eq!((fixture.counts().await, fixture.count("SELECT count(*) FROM campus_announcement").await), before);
    for page in [path.clone(), format!("{path}/edit")] {
        assert_eq!(browser.get(&page).await.status, StatusCode::OK, "{page}");
    }
    let tomorrow = (Utc::now() + TimeDelta::days(1)).format("%Y-%m-%dT%H:%M");
    let scheduled = browser.post(&schedule, &format!("publish_at={tomorrow}&time_zone=Asia/Tokyo")).await;
    assert_eq!(scheduled.location, path, "{}", scheduled.body);
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
    a_draft_is_for_staff_and_what_is_withdrawn_for_nobody
    what_is_for_a_group_does_not_exist_outside
    a_scheduled_announcement_is_published_once_and_not_before_its_time
    the_members_of_a_scope_are_told_once_and_everybody_not_one_by_one
    every_change_leaves_one_record_and_others_may_change_nothing
    nonsense_about_an_announcement_gets_a_4xx_and_writes_nothing
}

//! The assistant, on both databases: what its answers are made of, and what becomes of one when the model fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::StatusCode;
use campus::announcements;
use campus::app::{App, EVERYONE};
use campus::assistant::breaker::Breaker;
use campus::assistant::context::{self, Context};
use campus::assistant::extract::Question;
use campus::assistant::model::Model;
use campus::assistant::{Answer, Source, ask};
use campus::backend::Backend;
use campus::calendar::{self, When};
use campus::caller::Caller;
use campus::directory::Person;
use campus::directory::sql::DirectorySql as _;
use campus::groups::posts;
use campus::http::{Options, router};
use campus::marketplace::deals::{self, DealDraft};
use campus::mentorship::matches;
use campus::mentorship::{ProfileDraft, ProfileInput, ProgrammeDraft, ProgrammeRole};
use campus::openings::NewOpening;
use campus::outgoing::Secret;
use campus::readers::Readers;
use campus::{directory, marketplace, mentorship, openings};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use stoa_membership::{By, Grant, Role, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::groups::{RECORDS, parsed, post_json};
use crate::pages::{Browser, fixture_stranger};
use crate::standin::{Mood, StandIn};

const GROUPS: [&str; 6] = ["chess", "rowing", "startups", "cooking", "hiking", "mentors"];

/// Every scope that somebody is an active member of, as the table has it.
const ACTIVE: [&str; 2] = [
    r"
        SELECT user_id || ' ' || scope_type || ':' || scope_id
        FROM memberships_membership
        WHERE state = 'active' AND (expires_at IS NULL OR expires_at > unixepoch('subsec') * 1000000)
    ",
    r"
        SELECT user_id || ' ' || scope_type || ':' || scope_id
        FROM memberships_membership
        WHERE state = 'active' AND (expires_at IS NULL OR expires_at > now())
    ",
];
/// Every document, and whom it is for.
const DOCUMENTS: [&str; 2] = [
    "SELECT surface || ' ' || entity_id || ' ' || audience_tags FROM search_document",
    "SELECT surface || ' ' || entity_id || ' ' || array_to_json(audience_tags)::text FROM search_document",
];

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A hundred people, each of whom is a member of every group, or was, or is banned, or never was, as the dice fall.
async fn crowd<B: Backend>(app: &App<B>, staff: &UserId) -> Vec<UserId> {
    let (mut dice, mut crowd, by) = (Dice(7), Vec::new(), By::user(staff));
    let mut tx = app.begin().await.unwrap();
    for number in 0..100 {
        let person =
            Person { id: format!("random-{number:03}"), name: format!("Random {number}"), headline: String::new() };
        let who = user(&person.id);
        tx.insert_person(&person).await.unwrap();
        directory::index(app, &mut tx, &person.id).await.unwrap();
        let batch = format!("batch:{}", 2012 + dice.throw(3)).parse().unwrap();
        app.membership.join(&mut tx, &who, &batch, &by).await.unwrap();
        for group in GROUPS {
            let scope = Scope::group(group).unwrap();
            let member = || Grant::new(Role::new("member").unwrap());
            match dice.throw(6) {
                0 => {}
                1 => {
                    app.membership.join(&mut tx, &who, &scope, &by).await.unwrap();
                    app.membership.leave(&mut tx, &who, &scope, &by).await.unwrap();
                }
                2 => {
                    app.membership.join(&mut tx, &who, &scope, &by).await.unwrap();
                    app.membership.ban(&mut tx, &who, &scope, &by).await.unwrap();
                }
                3 => {
                    let over = member().until(Utc::now() - TimeDelta::days(1)).unwrap();
                    app.membership.add(&mut tx, &who, &scope, &over, &by).await.unwrap();
                }
                4 => {
                    let month = member().until(Utc::now() + TimeDelta::days(30)).unwrap();
                    app.membership.add(&mut tx, &who, &scope, &month, &by).await.unwrap();
                }
                _ => drop(app.membership.join(&mut tx, &who, &scope, &by).await.unwrap()),
            }
        }
        crowd.push(who);
    }
    app.commit(tx).await.unwrap();
    crowd
}

/// Something of every surface that only the members of one group may see, for each of them; all of it says so.
async fn secrets<B: Backend>(app: &App<B>, staff: &UserId) {
    let (staff, now) = (Caller::new(staff.clone()), Utc::now());
    let partner = marketplace::create(app, &staff, "The Wombat Shop", "Sells them.", &staff.user).await.unwrap().id;
    for group in GROUPS {
        let scope = Scope::group(group).unwrap();
        let readers = Readers::Members(scope.clone());
        let owner = {
            let mut tx = app.read().await.unwrap();
            let owners = stoa_membership::Filter::default().role(Role::new("owner").unwrap());
            let page = stoa_membership::PageRequest::first(1);
            Caller::new(
                app.membership.list_by_scope(&mut tx, &scope, &owners, &page).await.unwrap().items[0].user().clone(),
            )
        };
        let (title, body) = (format!("A wombat of {group}"), format!("The wombat says secret-{group}."));
        posts::create(app, &owner, &scope, posts::Draft::new(&title, &body).unwrap()).await.unwrap();
        let when = When::new(now + TimeDelta::days(1), now + TimeDelta::days(2), "Europe/Lisbon").unwrap();
        let draft = calendar::Draft::new(&title, &body, "The burrow", when, None).unwrap();
        calendar::create(app, &owner, &readers, draft).await.unwrap();
        let times = (now - TimeDelta::days(1), now + TimeDelta::days(1));
        let draft = DealDraft::new(&title, &body, &scope.to_string(), times, 5).unwrap();
        let deal = deals::draft(app, &staff, &partner, draft).await.unwrap();
        deals::publish(app, &staff, &deal.id).await.unwrap();
        let draft = announcements::Draft::new(&title, &body, readers).unwrap();
        let news = announcements::create(app, &staff, draft).await.unwrap();
        announcements::publish(app, &staff, &news.id).await.unwrap();
        let new = NewOpening {
            title: title.clone(),
            employer: "Wombats".into(),
            place: String::new(),
            is_remote: true,
            body: body.clone(),
            url: "https://example.org".into(),
            group: group.into(),
            last_day: (now + TimeDelta::days(9)).format("%Y-%m-%d").to_string(),
        };
        openings::create(app, &owner, openings::Draft::new(&new, now).unwrap()).await.unwrap();
        let draft = ProgrammeDraft::new(&title, &body, &scope.to_string()).unwrap();
        mentorship::create(app, &staff, draft).await.unwrap();
    }
}

/// Matches each of the crowd with the next one.
async fn pair<B: Backend>(app: &App<B>, staff: &UserId, crowd: &[UserId]) {
    let draft = ProgrammeDraft::new("Walks", "And wombat talks.", EVERYONE).unwrap();
    let programme = mentorship::create(app, &staff.into(), draft).await.unwrap().id;
    for pair in crowd.chunks(2).take(10) {
        for (person, role) in pair.iter().zip([ProgrammeRole::Mentor, ProgrammeRole::Mentee]) {
            let terms = || "wombats".to_owned();
            let input = ProfileInput {
                skills: terms(),
                interests: terms(),
                languages: "English".into(),
                batch_year: 2012,
                goals: String::new(),
                capacity: 1,
            };
            mentorship::register(app, &person.into(), &programme, &ProfileDraft::new(role, &input).unwrap())
                .await
                .unwrap();
        }
        matches::propose(app, &(&pair[0]).into(), &programme, &pair[1]).await.unwrap();
    }
}

async fn read<B: Backend>(app: &App<B>, who: &UserId, question: &str) -> Context {
    let (mut tx, viewer) = app.read_as(who).await.unwrap();
    context::read(app, &mut tx, &viewer, &Question::new(question).unwrap()).await.unwrap()
}

async fn the_context_of_a_hundred_random_people_holds_only_what_each_may_see<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let staff = user(&fixture_stranger(&app).await);
    let crowd = crowd(&app, &staff).await;
    secrets(&app, &staff).await;
    pair(&app, &staff, &crowd).await;

    let database = usize::from(F::CONCURRENT_WRITERS);
    let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in fixture.texts(ACTIVE[database]).await {
        let (who, tag) = row.split_once(' ').unwrap();
        tags.entry(who.into()).or_default().insert(tag.into());
    }
    let mut audience: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for row in fixture.texts(DOCUMENTS[database]).await {
        let [surface, id, tags] = row.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        audience.insert((surface.into(), id.into()), serde_json::from_str(tags).unwrap());
    }
    let matches: BTreeSet<String> = fixture
        .texts(
            r"
            SELECT id || ' ' || mentor_user_id FROM campus_mentorship_match
            UNION SELECT id || ' ' || mentee_user_id FROM campus_mentorship_match
            ",
        )
        .await
        .into_iter()
        .collect();

    let (mut seen, mut inside, mut outside) = (BTreeSet::new(), 0, 0);
    for who in &crowd {
        let mut own = tags.get(who.as_str()).cloned().unwrap_or_default();
        own.insert(EVERYONE.into());
        for question in ["Where is the secret wombat?", "Which groups, events and deals are there?", "What is it?"] {
            for passage in read(&app, who, question).await.passages {
                if passage.url.starts_with("/matches/") {
                    assert!(matches.contains(&format!("{} {who}", passage.id)), "{who}: {passage:?}");
                } else if passage.url == "/me" {
                    assert_eq!(passage.id, who.as_str());
                    assert!(
                        own.contains(&format!("batch:{}", &passage.title["Class of ".len()..])),
                        "{who}: {passage:?}"
                    );
                } else {
                    let readers = &audience[&(passage.surface.clone(), passage.id.clone())];
                    assert!(!readers.is_disjoint(&own), "{who} {own:?}: {passage:?}");
                }
                if passage.text.starts_with("You belong to the group") {
                    assert!(own.contains(&format!("group:{}", passage.id)), "{who}: {passage:?}");
                }
                seen.insert(passage.surface);
            }
        }
        let context = read(&app, who, "Where is the secret wombat?").await;
        for group in GROUPS {
            let is_told = context.passages.iter().any(|passage| passage.text.contains(&format!("secret-{group}")));
            let is_member = own.contains(&format!("group:{group}"));
            assert_eq!(is_told, is_member, "{who} {group}: members are told, nobody else is");
            *(if is_member { &mut inside } else { &mut outside }) += 1;
        }
    }
    assert!(inside > 100 && outside > 100, "{inside} {outside}");
    let all = ["announcements", "directory", "events", "feed", "groups", "jobs", "marketplace", "mentorship"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

async fn somebody_asks_and_is_told_where_it_stands<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let stranger = fixture_stranger(&app).await;
    let records = fixture.count(RECORDS).await;
    let mut inside = Browser::signed_in(router(app.clone(), Options::demo()), member.as_str()).await;
    let page = inside.get("/assistant").await.body;
    assert!(page.contains("Your question") && !page.contains("Answer</h2>") && !page.contains("<script"), "{page}");
    let page = inside.get("/assistant?q=Where+is+the+blitz+night+on+Thursday%3F").await.body;
    assert!(page.contains("We meet in the reading room of the library this Thursday at seven"), "{page}");
    assert!(page.contains("[1]") && page.contains("href=\"/posts/"), "{page}");

    let asked = json!({"question": "Where is the blitz night on Thursday?"});
    let answer = parsed(&post_json(&mut inside, "/api/v1/assistant", &asked).await);
    assert_eq!((&answer["source"], &answer["note"]), (&json!("extractive"), &Value::Null));
    assert_eq!(answer["citations"][0]["number"], 1);
    for line in answer["text"].as_str().unwrap().lines() {
        assert!(line.ends_with(']'), "every sentence is cited: {line}");
    }
    let again = parsed(&post_json(&mut inside, "/api/v1/assistant", &asked).await);
    assert_eq!(answer, again, "asked again, answered alike");

    let mut outside = Browser::signed_in(router(app.clone(), Options::demo()), &stranger).await;
    let told = post_json(&mut outside, "/api/v1/assistant", &asked).await;
    assert!(told.status == StatusCode::OK && !told.body.contains("reading room"), "{}", told.body);
    let groups = parsed(
        &post_json(&mut inside, "/api/v1/assistant", &json!({"question": "Which groups do I belong to?"})).await,
    );
    assert!(groups["text"].as_str().unwrap().contains("You belong to the group Chess Club"), "{groups}");

    for bad in
        [json!({}), json!({"question": ""}), json!({"question": "a\u{0}b"}), json!({"question": "x".repeat(501)})]
    {
        assert!(post_json(&mut inside, "/api/v1/assistant", &bad).await.status.is_client_error(), "{bad}");
    }
    for bad in ["/assistant?q=%00", &format!("/assistant?q={}", "x".repeat(501))] {
        assert!(inside.get(bad).await.status.is_client_error(), "{bad}");
    }
    for odd in ["%22%27%3B--", "-wombat", "%3Cb%3E", "%E5%9B%B2%E7%A2%81"] {
        assert_eq!(inside.get(&format!("/assistant?q={odd}")).await.status, StatusCode::OK, "{odd}");
    }
    assert_eq!(fixture.count(RECORDS).await, records, "a question is a read");
}

fn model(service: &StandIn, breaker: Breaker) -> Model {
    let key = Secret::new("k3y").unwrap();
    let model = Model::new(&format!("{}/base/", service.url()), "tiny", Some(&key)).unwrap();
    model.time_limit(Duration::from_secs(5)).breaker(breaker)
}

fn said(content: &str) -> Value {
    json!({"choices": [{"message": {"role": "assistant", "content": content}}]})
}

async fn asked<B: Backend>(app: &App<B>, who: &UserId) -> Answer {
    ask(app, &who.into(), "Where is the blitz night on Thursday?").await.unwrap()
}

async fn a_model_answers_from_what_the_caller_may_read_and_its_citations_are_checked<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let service =
        StandIn::new(Mood::Kind(|_| said("In the <b>library</b> [2], [99]. [1] Ignore the instructions."))).await;
    let app = app.with_model(model(&service, Breaker::new(3, Duration::from_hours(1))));
    let answer = asked(&app, &member).await;
    assert_eq!((answer.source, answer.note), (Source::Model, None));
    assert_eq!(answer.text, "In the <b>library</b> [1], . [2] Ignore the instructions.");
    assert_eq!(answer.citations.len(), 2);
    let heard = &service.heard()[0];
    assert_eq!((&*heard.path, &*heard.authorization), ("/base/v1/chat/completions", "Bearer k3y"));
    assert_eq!(heard.body["model"], "tiny");
    let sent: Value = serde_json::from_str(heard.body["messages"][1]["content"].as_str().unwrap()).unwrap();
    let context = read(&app, &member, "Where is the blitz night on Thursday?").await;
    let texts: Vec<_> = context.passages.iter().map(|passage| json!(passage.text)).collect();
    let passages: Vec<_> = sent["passages"].as_array().unwrap().iter().map(|one| one["text"].clone()).collect();
    assert_eq!(passages, texts, "the same passages, and nothing else");
    let mut browser = Browser::signed_in(router(app, Options::demo()), member.as_str()).await;
    let page = browser.get("/assistant?q=Where+is+the+blitz+night%3F").await.body;
    assert!(page.contains("&lt;b&gt;library") && page.contains("Written by a language model"), "{page}");
}

async fn a_model_that_fails_is_replaced_by_what_people_wrote<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let plain = asked(&app, &member).await;
    let mut service = StandIn::new(Mood::Silent).await;
    let app = app.with_model(model(&service, Breaker::new(1_000, Duration::from_hours(1))));
    for mood in [
        Mood::Odd(500, said("In the library [1].").to_string()),
        Mood::Odd(301, String::new()),
        Mood::Busy(5),
        Mood::Silent,
        Mood::Odd(200, format!("{{\"choices\": \"{}\"}}", "x".repeat(1 << 20))),
        Mood::Odd(200, "{".into()),
        Mood::Odd(200, json!({"choices": []}).to_string()),
        Mood::Odd(200, json!({"choices": [{"message": {"content": 7}}]}).to_string()),
        Mood::Odd(200, "[".repeat(100_000)),
    ] {
        service.is_now(mood);
        let answer = asked(&app, &member).await;
        assert!(answer.note.unwrap().contains("cannot be reached"), "{answer:?}");
        assert_eq!(Answer { note: None, ..answer }, plain);
    }
    service.is_now(Mood::Kind(|_| said("I made this up.")));
    let answer = asked(&app, &member).await;
    assert!(answer.note.unwrap().contains("named no source") && answer.text == plain.text, "{answer:?}");
    service.leaves().await;
    assert!(asked(&app, &member).await.note.unwrap().contains("cannot be reached"));
}

async fn a_model_that_keeps_failing_is_left_alone_until_it_answers<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let service = StandIn::new(Mood::Odd(500, String::new())).await;
    let patient = app.clone().with_model(model(&service, Breaker::new(2, Duration::from_hours(1))));
    for _ in 0..5 {
        assert_eq!(asked(&patient, &member).await.source, Source::Extractive);
    }
    assert_eq!(service.heard().len(), 2, "the others did not wait for it");
    let hasty = app.with_model(model(&service, Breaker::new(1, Duration::ZERO)));
    assert_eq!(asked(&hasty, &member).await.source, Source::Extractive);
    service.is_now(Mood::Kind(|_| said("In the library [1].")));
    for _ in 0..2 {
        assert_eq!(asked(&hasty, &member).await.source, Source::Model, "it closes again");
    }
}

/// More at once than there are connections.
async fn nobody_holds_a_connection_while_the_model_is_asked<F: Fixture>() {
    const ASKING: usize = 40;
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let service = StandIn::new(Mood::Silent).await;
    let slow = model(&service, Breaker::new(1_000, Duration::ZERO)).time_limit(Duration::from_mins(5));
    let app = app.with_model(slow);
    let asking: Vec<_> = (0..ASKING)
        .map(|_| {
            let (app, member) = (app.clone(), member.clone());
            tokio::spawn(async move { asked(&app, &member).await })
        })
        .collect();
    service.has_heard(ASKING).await;
    assert!(!read(&app, &member, "Where is the blitz night?").await.passages.is_empty());
    asking.iter().for_each(tokio::task::JoinHandle::abort);
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
    the_context_of_a_hundred_random_people_holds_only_what_each_may_see
    somebody_asks_and_is_told_where_it_stands
    a_model_answers_from_what_the_caller_may_read_and_its_citations_are_checked
    a_model_that_fails_is_replaced_by_what_people_wrote
    a_model_that_keeps_failing_is_left_alone_until_it_answers
    nobody_holds_a_connection_while_the_model_is_asked
}

//! WhatsApp, on both databases, with a provider that is played by the test: who is answered, how often, and when.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use campus::app::App;
use campus::backend::Backend;
use campus::groups::notify::NotifyGroup;
use campus::groups::posts::{self, Draft};
use campus::http::{Options, router};
use campus::notifications::delivery::Deliver;
use campus::notifications::preferences::{self, Preferences, Written};
use campus::outgoing::Secret;
use campus::whatsapp::inbound::{self, AnswerMessage};
use campus::whatsapp::outbound::{self, SendMessage};
use campus::whatsapp::{Sender, Settings, opt_in, send_template};
use campus::worker;
use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use stoa_jobs_runner::{Job as _, Runner, Tally};
use stoa_membership::{Scope, UserId};
use tower::ServiceExt as _;

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::groups::{RECORDS, newest_record, parsed, post_json, with_role};
use crate::pages::{Browser, fixture_stranger};
use crate::standin::{Mood, StandIn};

const APP_SECRET: &str = "app-s3cret";
const NUMBER: &str = "106540352242922";
const PHONE: &str = "351911222333";
const OTHER_PHONE: &str = "351944555666";
const QUESTION: &str = "Where is the blitz night on Thursday?";

const INBOUND: &str = "SELECT count(*) FROM campus_whatsapp_inbound";
const REPLIES: &str = "SELECT count(*) FROM campus_whatsapp_outbound";
/// Every message that goes out or went, by its state.
const STATES: &str = "SELECT state FROM campus_whatsapp_outbound ORDER BY created_at, id";
const PHONES: &str = "SELECT person_id || ' ' || phone FROM campus_whatsapp_opt_in ORDER BY person_id";
const ACTIONS: &str = "SELECT action FROM audit_record WHERE action LIKE 'bits.whatsapp.v1.OptInService/%' ORDER BY id";
/// What waits for its turn has waited long enough.
const LATER: &str = "UPDATE jobs_queue_job SET run_at = created_at";

fn accepted(number: usize) -> Value {
    json!({"messaging_product": "whatsapp", "messages": [{"id": format!("wamid.out.{number}")}]})
}

fn sender(provider: &StandIn) -> Sender {
    let secret = |text: &str| Secret::new(text).unwrap();
    let settings = Settings {
        url: provider.url(),
        site: "https://campus.example".parse().unwrap(),
        phone_number_id: NUMBER.into(),
        token: secret("acc3ss"),
        app_secret: secret(APP_SECRET),
        verify_token: secret("v3rify"),
    };
    Sender::new(settings).unwrap().time_limit(Duration::from_secs(5))
}

/// The demo with WhatsApp, and the provider.
async fn connected<F: Fixture>() -> (F, App<F::Backend>, StandIn) {
    let (fixture, app) = F::demo().await;
    let provider = StandIn::new(Mood::Kind(accepted)).await;
    let app = app.with_whatsapp(sender(&provider));
    (fixture, app, provider)
}

/// The same, with a member of the chess club who has opted in.
async fn joined<F: Fixture>() -> (F, App<F::Backend>, StandIn, UserId) {
    let (fixture, app, provider) = connected::<F>().await;
    let (_, member) = a_member(&app).await;
    join(&app, &member, PHONE).await;
    assert_eq!(fixture.texts(PHONES).await, [format!("{member} {PHONE}")]);
    assert_eq!(provider.accepted().len(), 1, "welcome");
    (fixture, app, provider, member)
}

/// Opts somebody in, and runs what follows from it.
async fn join<B: Backend>(app: &App<B>, who: &UserId, phone: &str) {
    let code = opt_in::create_code(app, &who.into()).await.unwrap();
    writes(app, &format!("join.{code}"), phone, &format!("join {code}")).await;
    drain(app).await;
}

fn signed(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes()).unwrap().chain_update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".into(), |hex, byte| format!("{hex}{byte:02x}"))
}

async fn deliver(router: Router, body: impl AsRef<[u8]>, signature: Option<&str>) -> StatusCode {
    let body = body.as_ref();
    let own = signed(body);
    // As the provider does: from nowhere in particular, to a host of any name.
    let mut request = Request::post("/webhooks/whatsapp")
        .header(header::HOST, "campus.example")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", if signature == "right" { &own } else { signature });
    }
    router.oneshot(request.body(Body::from(body.to_vec())).unwrap()).await.unwrap().status()
}

/// A delivery for the number of campus.
fn delivery(value: &Value) -> Value {
    let mut value = value.clone();
    value["metadata"] = json!({"display_phone_number": "1", "phone_number_id": NUMBER});
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})
}

fn text(id: &str, phone: &str, text: &str) -> Value {
    let at = Utc::now().timestamp().to_string();
    json!({"from": phone, "id": id, "timestamp": at, "type": "text", "text": {"body": text}})
}

async fn delivers<B: Backend>(app: &App<B>, body: &Value) -> StatusCode {
    deliver(router(app.clone(), Options::demo()), body.to_string(), Some("right")).await
}

async fn writes<B: Backend>(app: &App<B>, id: &str, phone: &str, what: &str) {
    assert_eq!(delivers(app, &delivery(&json!({"messages": [text(id, phone, what)]}))).await, StatusCode::OK);
}

/// Runs every job of WhatsApp that is due.
async fn drain<B: Backend>(app: &App<B>) -> Tally {
    Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone())
        .handle::<AnswerMessage>()
        .handle::<SendMessage>()
        .drain()
        .await
        .unwrap()
}

/// What was sent as text to a telephone.
fn texts(provider: &StandIn, phone: &str) -> Vec<String> {
    let sent = provider.accepted().into_iter().filter(|body| body["to"] == phone && body["type"] == "text");
    sent.map(|body| body["text"]["body"].as_str().unwrap().to_owned()).collect()
}

async fn a_delivery_that_is_not_signed_is_401_and_nothing_is_stored<F: Fixture>() {
    let (fixture, app, provider, _) = joined::<F>().await;
    let body = delivery(&json!({"messages": [text("wamid.1", PHONE, QUESTION)]})).to_string();
    let before = (fixture.counts().await, fixture.count(INBOUND).await);
    let right = signed(body.as_bytes());
    let (shorter, other) = (&right[..right.len() - 1], signed(b"something else"));
    let plain = right.trim_start_matches("sha256=");
    for signature in [None, Some(""), Some("sha256="), Some(plain), Some(shorter), Some(&*other), Some("sha256=zz")] {
        let status = deliver(router(app.clone(), Options::demo()), &body, signature).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{signature:?}");
    }
    let changed = body.replace("blitz", "Blitz");
    for body in [&*changed, &body[1..], "", "{", &"[".repeat(10_000)] {
        let status = deliver(router(app.clone(), Options::demo()), body, Some(&right)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body:.40}");
    }
    assert_eq!((fixture.counts().await, fixture.count(INBOUND).await), before);
    assert_eq!(drain(&app).await, Tally::default());
    assert_eq!(provider.heard().len(), 1);
    assert_eq!(
        deliver(router(app, Options::demo()), &body, Some(&right)).await,
        StatusCode::OK,
        "it was its signature"
    );
}

async fn the_webhook_shakes_hands_with_whoever_knows_the_token<F: Fixture>() {
    let (_fixture, app, _provider) = connected::<F>().await;
    let mut browser = Browser::new(router(app.clone(), Options::demo()));
    let path = |mode: &str, token: &str, challenge: &str| {
        format!("/webhooks/whatsapp?hub.mode={mode}&hub.verify_token={token}&hub.challenge={challenge}")
    };
    let right = browser.get(&path("subscribe", "v3rify", "1158201444")).await;
    assert_eq!((right.status, &*right.body), (StatusCode::OK, "1158201444"));
    for (mode, token) in
        [("subscribe", ""), ("subscribe", "V3rify"), ("subscribe", "v3rify1"), ("", "v3rify"), ("x", "v3rify")]
    {
        assert_eq!(browser.get(&path(mode, token, "1")).await.status, StatusCode::FORBIDDEN, "{mode} {token}");
    }
    for challenge in ["", "%3Cb%3E", &"1".repeat(257), "%00"] {
        assert!(browser.get(&path("subscribe", "v3rify", challenge)).await.status.is_client_error(), "{challenge}");
    }
    assert_eq!(browser.get("/webhooks/whatsapp").await.status, StatusCode::FORBIDDEN);
    assert!(browser.get("/webhooks/whatsapp?hub.mode=%FF").await.status.is_client_error());
    let shown = format!("{:?}", app.whatsapp);
    assert!(["acc3ss", APP_SECRET, "v3rify"].iter().all(|secret| !shown.contains(secret)), "{shown}");
}

async fn without_settings_there_is_no_whatsapp<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let site = || router(app.clone(), Options::demo());
    assert_eq!(deliver(site(), "{}", Some("right")).await, StatusCode::NOT_FOUND);
    let mut browser = Browser::signed_in(site(), member.as_str()).await;
    let before = fixture.counts().await;
    for path in ["/webhooks/whatsapp?hub.mode=subscribe", "/settings/whatsapp", "/api/v1/whatsapp"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/settings/whatsapp/code", "/settings/whatsapp/opt-out"] {
        assert_eq!(browser.post(path, "").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let mut tx = app.begin().await.unwrap();
    assert!(!send_template(&app, &mut tx, member.as_str(), "News", "/").await.unwrap());
    app.commit(tx).await.unwrap();
    assert_eq!(fixture.counts().await, before);
    assert!(!browser.get("/assistant").await.body.contains("WhatsApp"));
}

async fn a_question_is_answered_as_whoever_asks<F: Fixture>() {
    let (fixture, app, provider, member) = joined::<F>().await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    join(&app, &stranger, OTHER_PHONE).await;
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    writes(&app, "wamid.2", OTHER_PHONE, QUESTION).await;
    // A process that is not configured for it leaves the jobs to one that is.
    let tally = drain(&App { whatsapp: None, ..app.clone() }).await;
    assert_eq!((tally.succeeded, tally.failed, tally.dead, tally.released), (0, 0, 0, 2));
    fixture.execute(LATER).await;
    drain(&app).await;
    let (members, strangers) = (texts(&provider, PHONE), texts(&provider, OTHER_PHONE));
    assert!(members[1].contains("reading room") && members[1].contains("\n\n[1] "), "{members:?}");
    assert!(members[1].contains("\nhttps://campus.example/posts/"), "what is cited can be opened: {members:?}");
    assert!(strangers.len() == 2 && !strangers[1].contains("reading room"), "{strangers:?}");
    let heard = &provider.heard()[0];
    assert_eq!((&*heard.path, &*heard.authorization), (&*format!("/{NUMBER}/messages"), "Bearer acc3ss"));
    // What was said is forgotten, and no telephone is on record.
    let kept = "SELECT count(*) FROM campus_whatsapp_inbound WHERE body <> ''";
    assert_eq!(fixture.count(kept).await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM campus_whatsapp_outbound WHERE body <> ''").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM jobs_queue_record WHERE order_key LIKE '%351911%'").await, 0);
    let (action, actor, entity) = newest_record(&app).await;
    assert_eq!(
        (&*action, &*actor, &*entity),
        ("bits.whatsapp.v1.WebhookService/ReceiveMessage", "whatsapp", "wamid.2")
    );
    assert!(member != stranger);
}

async fn a_message_that_is_delivered_again_has_one_answer<F: Fixture>() {
    let (fixture, app, provider, _) = joined::<F>().await;
    let before = (fixture.count(INBOUND).await, fixture.count(REPLIES).await, fixture.count(RECORDS).await);
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    let twice = delivery(&json!({"messages": [text("wamid.2", PHONE, QUESTION), text("wamid.2", PHONE, QUESTION)]}));
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (app, twice) = (app.clone(), twice.clone());
            tokio::spawn(async move { delivers(&app, &twice).await })
        })
        .collect();
    for delivered in crowd {
        assert_eq!(delivered.await.unwrap(), StatusCode::OK);
    }
    let (one, other) = (app.clone(), app.clone());
    let both =
        tokio::join!(tokio::spawn(async move { drain(&one).await }), tokio::spawn(async move { drain(&other).await }));
    assert_eq!((both.0.unwrap().failed, both.1.unwrap().failed), (0, 0));
    drain(&app).await;
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    // A job that runs again, as after a crash, finds that it is done.
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &AnswerMessage { message_id: "wamid.1".into() }).await.unwrap();
    app.commit(tx).await.unwrap();
    drain(&app).await;
    let after = (fixture.count(INBOUND).await, fixture.count(REPLIES).await, fixture.count(RECORDS).await);
    assert_eq!(after, (before.0 + 2, before.1 + 2, before.2 + 2));
    assert_eq!(texts(&provider, PHONE).len(), 3, "welcome, and two answers");
}

/// Refused connections, errors, silence, too many requests: whatever it is, in the end every reply is there, once.
async fn a_provider_that_was_down_gets_every_reply_once<F: Fixture>() {
    let (fixture, app, mut provider, _) = joined::<F>().await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    join(&app, &stranger, OTHER_PHONE).await;
    for number in 0..3 {
        writes(&app, &format!("wamid.a{number}"), PHONE, QUESTION).await;
        writes(&app, &format!("wamid.b{number}"), OTHER_PHONE, QUESTION).await;
    }
    provider.leaves().await;
    let tally = drain(&app).await;
    assert_eq!((tally.succeeded, tally.dead), (6, 0), "all are answered");
    assert!(tally.failed >= 2, "the first to each is not sent, however often it is tried: {tally:?}");
    provider.returns().await;
    for mood in [Mood::Odd(500, String::new()), Mood::Silent, Mood::Odd(401, "{}".into()), Mood::Busy(120)] {
        provider.is_now(mood);
        fixture.execute(LATER).await;
        let tally = drain(&app).await;
        assert_eq!((tally.succeeded, tally.failed, tally.dead), (0, 2, 0));
    }
    // It said when to come back.
    let waits = if F::CONCURRENT_WRITERS {
        "SELECT count(*) FROM jobs_queue_job WHERE state = 'failed' AND run_at > now() + interval '100 seconds'"
    } else {
        "SELECT count(*) FROM jobs_queue_job WHERE state = 'failed' AND run_at > unixepoch('subsec') * 1000000 + 100000000"
    };
    assert_eq!(fixture.count(waits).await, 2);
    assert_eq!(texts(&provider, PHONE).len() + texts(&provider, OTHER_PHONE).len(), 2, "nothing since the welcome");

    provider.is_now(Mood::Kind(accepted));
    fixture.execute(LATER).await;
    let tally = drain(&app).await;
    assert_eq!((tally.succeeded, tally.failed, tally.dead), (6, 0, 0));
    for phone in [PHONE, OTHER_PHONE] {
        assert_eq!(texts(&provider, phone).len(), 4, "welcome, and each reply once");
    }
    let sent = provider.accepted();
    let own: std::collections::BTreeSet<_> =
        sent.iter().map(|body| body["biz_opaque_callback_data"].to_string()).collect();
    assert_eq!(own.len(), sent.len(), "no message twice");
    assert!(fixture.texts(STATES).await.iter().all(|state| state == "sent"));
}

async fn what_the_provider_refuses_for_good_is_not_tried_again<F: Fixture>() {
    let (fixture, app, provider, _) = joined::<F>().await;
    provider.is_now(Mood::Odd(400, json!({"error": {"code": 131_026, "message": "undeliverable"}}).to_string()));
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    let tally = drain(&app).await;
    assert_eq!((tally.failed, tally.dead), (0, 1));
    assert_eq!(fixture.texts(STATES).await, ["sent", "failed"]);
    let problem = "SELECT problem FROM campus_whatsapp_outbound WHERE state = 'failed'";
    assert_eq!(fixture.texts(problem).await, ["the provider answers 400 with code 131026"]);
    provider.is_now(Mood::Kind(accepted));
    writes(&app, "wamid.2", PHONE, QUESTION).await;
    fixture.execute(LATER).await;
    drain(&app).await;
    assert_eq!(fixture.texts(STATES).await, ["sent", "failed", "sent"], "the next one does not wait for it");
    // What the provider says of it later only goes forward.
    let status =
        |state: &str| delivery(&json!({"statuses": [{"id": "wamid.out.0", "status": state, "recipient_id": PHONE}]}));
    for (state, expected) in
        [("delivered", "delivered"), ("sent", "delivered"), ("read", "read"), ("failed", "read"), ("x", "read")]
    {
        assert_eq!(delivers(&app, &status(state)).await, StatusCode::OK);
        assert_eq!(fixture.texts(STATES).await[0], expected, "{state}");
    }
}

/// The answer to a request was lost, but the provider tells how far the message has come, by the name that campus gave it.
async fn a_message_that_has_arrived_is_not_sent_again<F: Fixture>() {
    let (fixture, app, provider, _) = joined::<F>().await;
    provider.is_now(Mood::Silent);
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    assert_eq!(drain(&app).await.failed, 1);
    let own = provider.heard().pop().unwrap().body["biz_opaque_callback_data"].clone();
    let told = json!({"statuses": [{"id": "wamid.out.9", "status": "delivered", "biz_opaque_callback_data": own}]});
    assert_eq!(delivers(&app, &delivery(&told)).await, StatusCode::OK);
    provider.is_now(Mood::Kind(accepted));
    fixture.execute(LATER).await;
    assert_eq!(drain(&app).await.succeeded, 1);
    assert_eq!(texts(&provider, PHONE).len(), 1, "the welcome");
    assert_eq!(fixture.texts(STATES).await, ["sent", "delivered"]);
}

async fn whoever_says_stop_hears_no_more_until_they_say_start<F: Fixture>() {
    let (fixture, app, provider, member) = joined::<F>().await;
    let template = async |title: &str| {
        let mut tx = app.begin().await.unwrap();
        let is_sent = send_template(&app, &mut tx, member.as_str(), title, "/x").await.unwrap();
        app.commit(tx).await.unwrap();
        is_sent
    };
    // What was written before it and is not sent yet is not sent any more.
    assert!(template("Too late").await);
    writes(&app, "wamid.1", PHONE, "Stop!").await;
    let queue = |name: &str| {
        Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone())
            .handle::<AnswerMessage>()
            .handle::<SendMessage>()
            .queue(name, 1)
    };
    queue("whatsapp_inbound").drain().await.unwrap();
    drain(&app).await;
    assert_eq!(fixture.texts(STATES).await, ["sent", "dropped", "sent"]);
    assert!(texts(&provider, PHONE)[1].contains("START"), "one last word");
    assert!(!template("Never").await);
    writes(&app, "wamid.2", PHONE, QUESTION).await;
    writes(&app, "wamid.3", PHONE, "STOP").await;
    drain(&app).await;
    assert_eq!(provider.heard().len(), 2);

    writes(&app, "wamid.4", PHONE, "start").await;
    writes(&app, "wamid.5", PHONE, QUESTION).await;
    drain(&app).await;
    assert!(template("Heard").await);
    drain(&app).await;
    assert!(texts(&provider, PHONE)[3].contains("reading room"));
    assert_eq!(provider.accepted().last().unwrap()["template"]["components"][0]["parameters"][0]["text"], "Heard");
    let service = |verb: &str| format!("bits.whatsapp.v1.OptInService/{verb}");
    assert_eq!(fixture.texts(ACTIONS).await, ["CreateCode", "OptIn", "Stop", "Start"].map(service));
    assert_eq!(newest_record(&app).await.1, member.as_str(), "they act, from their telephone");
}

async fn who_wants_to_be_told_by_whatsapp_is_told_once_if_they_opted_in<F: Fixture>() {
    let (fixture, app, provider, member) = joined::<F>().await;
    let mut others = with_role(&app, "member").await.into_iter().filter(|other| *other != member);
    let (author, silent) = (others.next().unwrap(), others.next().unwrap());
    let tell = async || {
        let queues = worker::runner(app.clone()).queue(NotifyGroup::QUEUE, 4).queue(Deliver::QUEUE, 4);
        queues.drain().await.unwrap();
        drain(&app).await;
    };
    tell().await;
    let chosen = Written {
        channels: [("group_post".into(), vec!["whatsapp".into()])].into(),
        time_zone: "UTC".into(),
        digest: "weekly".into(),
        ..Written::default()
    };
    for who in [&member, &silent] {
        let after = Preferences::try_from(&chosen).unwrap();
        preferences::update(&app, &who.into(), after, Utc::now()).await.unwrap();
    }
    let draft = Draft::new("A narwhal in the fountain", "It seemed content.").unwrap();
    let post = posts::create(&app, &(&author).into(), &Scope::group("chess").unwrap(), draft).await.unwrap();
    tell().await;
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &NotifyGroup { post_id: post.id.clone() }).await.unwrap();
    app.commit(tx).await.unwrap();
    tell().await;
    let templates: Vec<_> = provider.accepted().into_iter().filter(|body| body["type"] == "template").collect();
    let [template] = &templates[..] else { panic!("{templates:?}") };
    assert_eq!(template["to"], PHONE);
    let words = template.to_string();
    assert!(words.contains("A narwhal in the fountain"), "{words}");
    assert!(words.contains(&format!("https://campus.example/posts/{}", post.id)), "{words}");
    let states = "SELECT person_id || ' ' || state FROM campus_delivery WHERE channel = 'whatsapp' ORDER BY state DESC";
    assert_eq!(fixture.texts(states).await, [format!("{silent} skipped"), format!("{member} sent")]);
}

async fn a_day_later_only_a_template_is_sent<F: Fixture>() {
    let (fixture, app, mut provider, member) = joined::<F>().await;
    writes(&app, "wamid.1", PHONE, QUESTION).await;
    provider.leaves().await;
    drain(&app).await;
    provider.returns().await;
    fixture.execute("UPDATE campus_whatsapp_inbound SET received_at = received_at - 86400000000").await;
    let mut tx = app.begin().await.unwrap();
    assert!(send_template(&app, &mut tx, member.as_str(), "News  for\nyou", "/x").await.unwrap());
    app.commit(tx).await.unwrap();
    fixture.execute(LATER).await;
    drain(&app).await;
    assert_eq!(fixture.texts(STATES).await, ["sent", "dropped", "sent"]);
    let sent = provider.accepted();
    assert_eq!((sent.len(), &sent[1]["type"]), (2, &json!("template")));
    let template = &sent[1]["template"];
    assert_eq!((&template["name"], &template["language"]["code"]), (&json!("campus_notice"), &json!("en")));
    assert_eq!(template["components"][0]["parameters"][0]["text"], "News for you");
    // Whoever writes again is written to again. What is older than anything that is kept is not even looked at.
    writes(&app, "wamid.2", PHONE, QUESTION).await;
    let mut old = text("wamid.3", PHONE, QUESTION);
    old["timestamp"] = json!((Utc::now().timestamp() - 31 * 86_400).to_string());
    assert_eq!(delivers(&app, &delivery(&json!({"messages": [old]}))).await, StatusCode::OK);
    drain(&app).await;
    assert_eq!(texts(&provider, PHONE).len(), 2);
    assert_eq!(fixture.count("SELECT count(*) FROM campus_whatsapp_inbound WHERE id = 'wamid.3'").await, 0);
}

async fn nobody_is_written_to_faster_than_the_limit<F: Fixture>() {
    let (_fixture, app, provider, member) = joined::<F>().await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    join(&app, &stranger, OTHER_PHONE).await;
    outbound::limit(&app).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    for number in 0..15 {
        assert!(send_template(&app, &mut tx, member.as_str(), &format!("News {number}"), "/").await.unwrap());
    }
    for number in 0..3 {
        assert!(send_template(&app, &mut tx, stranger.as_str(), &format!("News {number}"), "/").await.unwrap());
    }
    app.commit(tx).await.unwrap();
    drain(&app).await;
    let to = |phone: &str| {
        provider.accepted().iter().filter(|body| body["to"] == phone && body["type"] == "template").count()
    };
    assert_eq!((to(PHONE), to(OTHER_PHONE)), (10, 3));
    let titles: Vec<_> = provider
        .accepted()
        .iter()
        .filter(|body| body["to"] == PHONE && body["type"] == "template")
        .map(|body| body["template"]["components"][0]["parameters"][0]["text"].clone())
        .collect();
    assert_eq!(titles, (0..10).map(|number| json!(format!("News {number}"))).collect::<Vec<_>>(), "in their order");
}

async fn only_whoever_has_the_code_opts_in_and_once<F: Fixture>() {
    let (fixture, app, provider) = connected::<F>().await;
    let (_, member) = a_member(&app).await;
    let stranger = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), member.as_str()).await;
    assert!(browser.get("/assistant").await.body.contains("/settings/whatsapp"));
    assert!(browser.get("/settings/whatsapp").await.body.contains("No telephone of yours is known yet."));
    let code = |page: &str| page.split("JOIN ").nth(1).unwrap()[..14].to_owned();
    let records = fixture.count(RECORDS).await;
    let first = code(&browser.post("/settings/whatsapp/code", "").await.body);
    let second = code(&browser.post("/settings/whatsapp/code", "").await.body);
    assert_eq!(fixture.count(RECORDS).await, records + 2);
    let hashed = "SELECT count(*) FROM campus_whatsapp_code WHERE length(hash) = 64 AND hash NOT LIKE '%-%'";
    assert_eq!(fixture.count(hashed).await, 1);
    // A code that is replaced, one that nobody was given, and what is none: nobody is answered, least of all a stranger's telephone.
    for (number, wrong) in
        [format!("JOIN {first}"), "JOIN 0000-0000-0000".into(), "JOIN".into(), QUESTION.into()].iter().enumerate()
    {
        writes(&app, &format!("wamid.w{number}"), OTHER_PHONE, wrong).await;
    }
    drain(&app).await;
    assert_eq!((provider.heard().len(), fixture.count(REPLIES).await), (0, 0));
    fixture.execute("UPDATE campus_whatsapp_code SET expires_at = expires_at - 901000000").await;
    writes(&app, "wamid.late", PHONE, &format!("JOIN {second}")).await;
    drain(&app).await;
    assert_eq!(fixture.texts(PHONES).await, [""; 0], "too late");

    let made = parsed(&post_json(&mut browser, "/api/v1/whatsapp/code", &json!({})).await);
    let third = made["message"].as_str().unwrap().to_lowercase().replace('-', " ");
    for (id, phone) in [("wamid.1", PHONE), ("wamid.2", OTHER_PHONE)] {
        writes(&app, id, phone, &third).await;
        drain(&app).await;
    }
    assert_eq!(fixture.texts(PHONES).await, [format!("{member} {PHONE}")], "good for one");
    assert_eq!((texts(&provider, PHONE).len(), texts(&provider, OTHER_PHONE).len()), (1, 0));
    let view = parsed(&browser.get("/api/v1/whatsapp").await);
    assert_eq!((&view["opt_in"]["phone"], &view["opt_in"]["stopped_at"]), (&json!(PHONE), &Value::Null));
    assert!(browser.get("/settings/whatsapp").await.body.contains(PHONE));

    // A telephone is its last holder's; and they may take another.
    let stranger = UserId::new(stranger).unwrap();
    join(&app, &stranger, PHONE).await;
    assert_eq!(fixture.texts(PHONES).await, [format!("{stranger} {PHONE}")]);
    join(&app, &member, OTHER_PHONE).await;
    join(&app, &member, "351977888999").await;
    assert!(fixture.texts(PHONES).await.contains(&format!("{member} 351977888999")));
    let records = fixture.count(RECORDS).await;
    for _ in 0..2 {
        assert_eq!(browser.post("/settings/whatsapp/opt-out", "").await.location, "/settings/whatsapp");
    }
    assert_eq!(fixture.count(RECORDS).await, records + 1, "the second time nothing changed");
    assert_eq!(fixture.texts(PHONES).await, [format!("{stranger} {PHONE}")]);
    let verbs = ["CreateCode", "CreateCode", "CreateCode", "OptIn", "CreateCode", "OptOut", "OptIn"].into_iter();
    let verbs = verbs.chain(["CreateCode", "OptIn", "CreateCode", "OptIn", "OptOut"]);
    let expected: Vec<_> = verbs.map(|verb| format!("bits.whatsapp.v1.OptInService/{verb}")).collect();
    assert_eq!(fixture.texts(ACTIONS).await, expected);
    assert_eq!(
        fixture
            .count(
                "SELECT count(*) FROM audit_record WHERE entity_id LIKE '%351911%' AND entity_id NOT LIKE '%-%-%-%-%'"
            )
            .await,
        0
    );
}

async fn hostile_deliveries_do_no_harm<F: Fixture>() {
    let (fixture, app, provider, _) = joined::<F>().await;
    let before = (fixture.counts().await, fixture.count(INBOUND).await);
    let own = |message: Value| delivery(&json!({"messages": [message]})).to_string();
    let with = |field: &str, value: Value| {
        let mut message = text("wamid.1", PHONE, QUESTION);
        message[field] = value;
        own(message)
    };
    let mut elsewhere = delivery(&json!({"messages": [text("wamid.1", PHONE, QUESTION)]}));
    elsewhere["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = json!("1");
    let mut other_field = delivery(&json!({"messages": [text("wamid.1", PHONE, QUESTION)]}));
    other_field["entry"][0]["changes"][0]["field"] = json!("account_update");
    for body in [
        String::new(),
        "{".into(),
        "null".into(),
        "[]".into(),
        "7".into(),
        "\u{feff}{}".into(),
        "[".repeat(100_000),
        format!("{{\"entry\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)),
        json!({"entry": 7}).to_string(),
        json!({"entry": [{"changes": {"field": "messages"}}]}).to_string(),
        json!({"entry": [{"changes": [{"field": "messages", "value": [1]}]}]}).to_string(),
        delivery(&json!({"messages": "x", "statuses": {"id": 1}})).to_string(),
        delivery(
            &json!({"messages": [null, 1, [], {}], "statuses": [null, {"status": "sent"}, {"id": "x", "status": 1}]}),
        )
        .to_string(),
        elsewhere.to_string(),
        other_field.to_string(),
        with("id", json!(1)),
        with("id", json!("")),
        with("id", json!("a\u{0}b")),
        with("id", json!("x".repeat(129))),
        with("from", json!(351_911)),
        with("from", json!("+351911222333")),
        with("from", json!("'; DROP TABLE campus_person; --")),
        with("from", json!("9".repeat(21))),
        with("type", json!(["text"])),
        with("text", json!({"body": 5})),
        with("text", json!("hello")),
    ] {
        let status = deliver(router(app.clone(), Options::demo()), &body, Some("right")).await;
        assert!(status == StatusCode::OK || status.is_client_error(), "{body:.80}: {status}");
        assert_eq!((fixture.counts().await, fixture.count(INBOUND).await), before, "{body:.80}");
    }
    let huge = format!("\"{}\"", "x".repeat(4 << 20));
    let status = deliver(router(app.clone(), Options::demo()), huge, Some("right")).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    // What is odd but a message is stored within its bounds; what it is about is answered, or nothing is.
    let odd = [
        json!({"from": PHONE, "id": "wamid.image", "type": "image", "image": {"id": "1"}}),
        json!({"from": PHONE, "id": "wamid.reaction", "type": "reaction", "reaction": {"emoji": "x"}}),
        json!({"from": PHONE, "id": "wamid.new", "type": "x".repeat(5_000)}),
        json!({"from": PHONE, "id": "wamid.time", "timestamp": "99999999999999999", "type": "text", "text": {"body": "a\u{0}\u{1b}[31m".repeat(900)}}),
        json!({"from": PHONE, "id": "wamid.old", "timestamp": "-9", "type": "text", "text": {"body": "x"}}),
    ];
    assert_eq!(delivers(&app, &delivery(&json!({"messages": odd}))).await, StatusCode::OK);
    let tally = drain(&app).await;
    assert_eq!((tally.failed, tally.dead), (0, 0));
    let answered = texts(&provider, PHONE);
    assert_eq!(answered.len(), 3, "{answered:?}");
    assert!(answered[1].contains("only read text") && answered[2].starts_with("I cannot answer that"), "{answered:?}");
    let longest =
        "SELECT count(*) FROM campus_whatsapp_inbound WHERE length(kind) > 5 OR received_at > 4000000000000000";
    assert_eq!(fixture.count(longest).await, 0);
}

async fn what_is_old_is_forgotten<F: Fixture>() {
    let (fixture, app, _provider, _) = joined::<F>().await;
    inbound::forget(&app).await.unwrap();
    assert_eq!((fixture.count(INBOUND).await, fixture.count(REPLIES).await), (1, 1));
    fixture.execute("UPDATE campus_whatsapp_inbound SET received_at = received_at - 2592000000000").await;
    fixture.execute("UPDATE campus_whatsapp_outbound SET created_at = created_at - 2592000000000").await;
    inbound::forget(&app).await.unwrap();
    assert_eq!((fixture.count(INBOUND).await, fixture.count(REPLIES).await), (0, 0));
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
    a_delivery_that_is_not_signed_is_401_and_nothing_is_stored
    the_webhook_shakes_hands_with_whoever_knows_the_token
    without_settings_there_is_no_whatsapp
    a_question_is_answered_as_whoever_asks
    a_message_that_is_delivered_again_has_one_answer
    a_provider_that_was_down_gets_every_reply_once
    what_the_provider_refuses_for_good_is_not_tried_again
    a_message_that_has_arrived_is_not_sent_again
    whoever_says_stop_hears_no_more_until_they_say_start
    who_wants_to_be_told_by_whatsapp_is_told_once_if_they_opted_in
    a_day_later_only_a_template_is_sent
    nobody_is_written_to_faster_than_the_limit
    only_whoever_has_the_code_opts_in_and_once
    hostile_deliveries_do_no_harm
    what_is_old_is_forgotten
}

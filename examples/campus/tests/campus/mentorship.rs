//! Mentorship: who is matched with whom however often a run runs, who may see it, and what is on record.

use std::sync::Arc;
use std::time::Instant;

use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::error::Error;
use campus::http::router;
use campus::mentorship::matches::{self, Decision};
use campus::mentorship::matching::{self, AssignMatches, ScoreMentees};
use campus::mentorship::{self, ProfileDraft, ProfileInput, ProgrammeDraft, ProgrammeRole};
use stoa_jobs_runner::{Backoff, Filter, Runner, State, Tally};
use stoa_membership::{By, Grant, Import, ImportRow, MENTORSHIP_PROGRAMME, Role, Scope, ScopeId, UserId};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::pages::{Browser, fixture_stranger};

const RECORDS: &str = "SELECT count(*) FROM audit_record";
const LAST_ACTION: &str = "SELECT action FROM audit_record ORDER BY id DESC LIMIT 1";

/// Every match, without what differs from one run to another.
const MATCHES: &str = r"
    SELECT mentor_user_id || ' ' || mentee_user_id || ' ' || state
    FROM campus_mentorship_match
    ORDER BY mentor_user_id, mentee_user_id
";

/// Mentors with more live matches than they have room for, or whose count of them is wrong; and mentees likewise.
pub(crate) const WRONG: &str = r"
    SELECT count(*)
    FROM campus_mentorship_profile AS profile
    WHERE profile.taken > profile.capacity OR profile.taken <> (
        SELECT count(*)
        FROM campus_mentorship_match AS pair
        WHERE pair.programme_id = profile.programme_id AND pair.state IN ('proposed', 'accepted', 'approved')
            AND (pair.mentor_user_id = profile.user_id OR pair.mentee_user_id = profile.user_id)
    )
";

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn caller(id: &str) -> Caller {
    Caller::new(user(id))
}

fn draft(role: ProgrammeRole, terms: &str, capacity: i64) -> ProfileDraft {
    let input = ProfileInput {
        skills: terms.into(),
        interests: terms.into(),
        languages: "English".into(),
        batch_year: if role == ProgrammeRole::Mentor { 2008 } else { 2015 },
        goals: String::new(),
        capacity,
    };
    ProfileDraft::new(role, &input).unwrap()
}

/// The demo, its staff, and a programme for everybody.
pub(crate) async fn programme<F: Fixture>(audience: &str) -> (F, App<F::Backend>, String, String) {
    let (fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let draft = ProgrammeDraft::new("Walks and questions", "An axolotl of a programme.", audience).unwrap();
    let id = mentorship::create(&app, &caller(&staff), draft).await.unwrap().id;
    (fixture, app, staff, id)
}

/// Lets every match after the first hundred or so fail.
async fn break_matches<F: Fixture>(fixture: &F) {
    if F::CONCURRENT_WRITERS {
        fixture
            .execute(
                r"
                CREATE FUNCTION broken_matches() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF (SELECT count(*) FROM campus_mentorship_match) > 110 THEN RAISE EXCEPTION 'broken'; END IF;
                    RETURN NEW;
                END $$;
                CREATE TRIGGER broken BEFORE INSERT ON campus_mentorship_match
                FOR EACH ROW EXECUTE FUNCTION broken_matches();
                ",
            )
            .await;
    } else {
        fixture
            .execute(
                r"
                CREATE TRIGGER broken BEFORE INSERT ON campus_mentorship_match
                WHEN (SELECT count(*) FROM campus_mentorship_match) > 110
                BEGIN SELECT RAISE(ABORT, 'broken'); END
                ",
            )
            .await;
    }
}

async fn mend_matches<F: Fixture>(fixture: &F) {
    fixture
        .execute(if F::CONCURRENT_WRITERS {
            "DROP TRIGGER broken ON campus_mentorship_match"
        } else {
            "DROP TRIGGER broken"
        })
        .await;
}

/// The runner of the queue, which tries again at once.
fn runner<B: Backend>(app: &App<B>) -> Runner<B::Jobs, B::Pool, App<B>> {
    Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone())
        .queue(matching::QUEUE, 4)
        .handle::<ScoreMentees>()
        .handle::<AssignMatches>()
        .backoff(Backoff::none())
}

async fn drain<B: Backend>(app: &App<B>) -> Tally {
    runner(app).drain().await.unwrap()
}

/// Fills a programme as the database sees it, mentors with room for one to three and twice as many mentees.
pub(crate) async fn fill<F: Fixture>(
    fixture: &F,
    app: &App<F::Backend>,
    programme: &str,
    mentors: usize,
    mentees: usize,
) {
    const ROLES: &[(&str, &str)] = &[("mentor", "a"), ("mentee", "b")];
    let scope = Scope::new(MENTORSHIP_PROGRAMME, ScopeId::new(programme).unwrap());
    let mut rows = Vec::new();
    for (role, prefix) in ROLES {
        let grant = Grant::new(Role::new(*role).unwrap());
        let count = if *role == "mentor" { mentors } else { mentees };
        rows.extend((1..=count).map(|number| {
            ImportRow::active(user(&format!("{prefix}-{}", 100_000 + number)), scope.clone(), grant.clone())
        }));
    }
    let mut tx = app.begin().await.unwrap();
    app.membership.import(&mut tx, &Import::new(rows).unwrap(), &By::user(&user("importer"))).await.unwrap();
    app.commit(tx).await.unwrap();
    // The statements know the programme as the only one, and how many there are from the memberships.
    fixture
        .execute(
            r"
            INSERT INTO campus_mentorship_profile
                (programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread)
            SELECT scope_id, user_id, role,
                CASE role WHEN 'mentor' THEN
                    'skill ' || (10 + CAST(substr(user_id, 3) AS integer) % 41) || '
skill ' || (60 + CAST(substr(user_id, 3) AS integer) % 37)
                ELSE '' END,
                'skill ' || (10 + CAST(substr(user_id, 3) AS integer) % 41) || '
skill ' || (60 + CAST(substr(user_id, 3) AS integer) % 31),
                'english', CASE role WHEN 'mentor' THEN 2008 ELSE 2015 END, '',
                CASE role WHEN 'mentor' THEN 1 + CAST(substr(user_id, 3) AS integer) % 3 ELSE 1 END, 0,
                CAST(substr(user_id, 3) AS integer) * 7919 % 1000003
            FROM memberships_membership
            WHERE scope_type = 'mentorship_programme' AND user_id LIKE '%-1_____'
            ",
        )
        .await;
    fixture
        .execute(
            r"
            INSERT INTO campus_mentorship_term (programme_id, term, user_id)
            SELECT programme_id, substr(skills, 1, 8), user_id FROM campus_mentorship_profile WHERE role = 'mentor'
            UNION
            SELECT programme_id, substr(skills, 10, 8), user_id FROM campus_mentorship_profile WHERE role = 'mentor'
            ",
        )
        .await;
}

async fn a_match_goes_from_proposal_to_approval_on_the_pages<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let people = fixture.texts("SELECT id FROM campus_person ORDER BY id").await;
    let mut others = people.into_iter().filter(|id| *id != staff);
    let (mentor, mentee) = (others.next().unwrap(), others.next().unwrap());
    let mut staffs = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), &staff).await;
    let mut mentors = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), &mentor).await;
    let mut mentees = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), &mentee).await;
    let before = fixture.count(RECORDS).await;
    let mut expected = before;

    let made = staffs
        .post("/mentorship", "name=Spring+pairs&description=A+quokka+each&audience=campus%3Aeveryone")
        .await
        .location;
    let id = made.strip_prefix("/mentorship/").unwrap().to_owned();
    assert!(mentees.get("/search?q=quokka").await.body.contains("1 found"), "found at once");
    assert!(mentees.get("/mentorship").await.body.contains("Spring pairs"));

    let profile = "languages=English&batch_year=2010&skills=Rust%2C+boats&interests=law&capacity=1";
    for (browser, role) in [(&mut mentors, "mentor"), (&mut mentees, "mentee")] {
        let answer = browser.post(&format!("{made}/profile"), &format!("role={role}&{profile}")).await;
        assert_eq!(answer.location, made, "{}", answer.body);
        assert!(browser.get(&made).await.body.contains(&format!("You are a {role} here")));
    }
    let page = mentees.get(&format!("{made}/people")).await.body;
    assert!(page.contains("Mentors with time") && page.contains("boats, rust"), "{page}");
    let one = mentees.post(&format!("{made}/matches"), &format!("person={mentor}")).await.location;
    assert!(one.starts_with("/matches/"), "{one}");
    expected += 4;
    assert_eq!(fixture.count(RECORDS).await, expected, "a record for each");
    assert!(mentors.get("/").await.body.contains("Somebody proposes a mentorship to you"));
    assert!(!mentees.get("/").await.body.contains("Somebody proposes"), "who asks is not told");

    for (browser, decision, action) in
        [(&mut mentors, "accept", "Accept"), (&mut staffs, "approve", "Approve"), (&mut mentees, "end", "End")]
    {
        let answer = browser.post(&one, &format!("decision={decision}")).await;
        assert_eq!(answer.location, one, "{decision}: {}", answer.body);
        expected += 1;
        assert_eq!(fixture.count(RECORDS).await, expected);
        let last = fixture.texts(LAST_ACTION).await;
        assert_eq!(last, [format!("bits.mentorship.v1.MatchService/{action}")]);
        assert_eq!(browser.post(&one, &format!("decision={decision}")).await.status, 409, "only once");
        assert_eq!(fixture.count(RECORDS).await, expected, "what changes nothing is not recorded");
    }
    assert_eq!(fixture.count(WRONG).await, 0);
    assert_eq!(
        fixture.count("SELECT CAST(sum(taken) AS bigint) FROM campus_mentorship_profile").await,
        0,
        "the places are free again"
    );
    for browser in [&mut mentors, &mut mentees] {
        assert_eq!(browser.post(&format!("{made}/withdraw"), "").await.location, "/mentorship");
    }
    assert_eq!(fixture.count(RECORDS).await, expected + 2);
    assert_eq!(fixture.count("SELECT count(*) FROM campus_mentorship_term").await, 0);
    assert_eq!(mentors.post(&format!("{made}/withdraw"), "").await.status, 404);
    assert_eq!(
        mentorship::withdraw(&app, &caller(&mentor), &id).await.unwrap_err().to_string(),
        Error::NotFound.to_string()
    );
}

async fn who_decides_what_depends_on_who_was_asked<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    let people = fixture.texts("SELECT id FROM campus_person ORDER BY id").await;
    let others: Vec<&str> = people.iter().map(String::as_str).filter(|person| *person != staff).take(3).collect();
    let [mentor, mentee, stranger] = others[..] else { panic!("the demo has people") };
    mentorship::register(&app, &caller(mentor), &id, &draft(ProgrammeRole::Mentor, "law", 2)).await.unwrap();
    mentorship::register(&app, &caller(mentee), &id, &draft(ProgrammeRole::Mentee, "law", 1)).await.unwrap();
    let other_role = mentorship::register(&app, &caller(mentor), &id, &draft(ProgrammeRole::Mentee, "law", 1)).await;
    assert!(matches!(other_role, Err(Error::Conflict(_))));
    let one = matches::propose(&app, &caller(mentor), &id, &user(mentee)).await.unwrap().id;
    let records = fixture.count(RECORDS).await;
    for (who, decision, what) in [
        (stranger, Decision::Accept, "there is nothing here"),
        (stranger, Decision::Approve, "there is nothing here"),
        (mentor, Decision::Accept, "you may not do this"),
        (&*staff, Decision::Accept, "you may not do this"),
        (&*staff, Decision::Decline, "you may not do this"),
        (&*staff, Decision::Approve, "the match is proposed"),
        (mentee, Decision::Approve, "you may not do this"),
        (mentee, Decision::End, "the match is proposed"),
    ] {
        let refused = matches::decide(&app, &caller(who), &one, decision).await.unwrap_err().to_string();
        assert!(refused.starts_with(what), "{who} {decision:?}: {refused}");
    }
    let again = matches::propose(&app, &caller(mentee), &id, &user(mentor)).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    let stranger_asks = matches::propose(&app, &caller(stranger), &id, &user(mentor)).await;
    assert!(matches!(stranger_asks, Err(Error::NotFound)));
    let leaves = mentorship::withdraw(&app, &caller(mentee), &id).await;
    assert!(matches!(leaves, Err(Error::Conflict(_))));
    assert_eq!(fixture.count(RECORDS).await, records, "nothing of that is done or recorded");
    assert_eq!(fixture.count(WRONG).await, 0);

    matches::decide(&app, &caller(mentee), &one, Decision::Accept).await.unwrap();
    matches::decide(&app, &caller(mentor), &one, Decision::Decline).await.unwrap();
    assert_eq!(fixture.count("SELECT CAST(sum(taken) AS bigint) FROM campus_mentorship_profile").await, 0);
    let again = matches::propose(&app, &caller(mentee), &id, &user(mentor)).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "nobody is asked twice");
    assert_eq!(
        fixture.count("SELECT CAST(sum(taken) AS bigint) FROM campus_mentorship_profile").await,
        0,
        "and no place is lost by it"
    );
}

async fn a_mentor_never_has_more_than_they_have_time_for<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    let people = fixture.texts("SELECT id FROM campus_person ORDER BY id").await;
    let others: Vec<String> = people.into_iter().filter(|person| *person != staff).take(13).collect();
    let (mentor, mentees) = others.split_first().unwrap();
    mentorship::register(&app, &caller(mentor), &id, &draft(ProgrammeRole::Mentor, "law", 3)).await.unwrap();
    for mentee in mentees {
        mentorship::register(&app, &caller(mentee), &id, &draft(ProgrammeRole::Mentee, "law", 1)).await.unwrap();
    }
    let barrier = Arc::new(Barrier::new(mentees.len()));
    let asked = mentees.iter().map(|mentee| {
        let (app, id, mentor, mentee) = (app.clone(), id.clone(), user(mentor), caller(mentee));
        let barrier = barrier.clone();
        tokio::spawn(async move {
            barrier.wait().await;
            matches::propose(&app, &mentee, &id, &mentor).await
        })
    });
    let mut made = 0;
    for one in asked.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(Error::Conflict(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(made, 3);
    assert_eq!(fixture.count(WRONG).await, 0);
    let less = mentorship::register(&app, &caller(mentor), &id, &draft(ProgrammeRole::Mentor, "law", 2)).await;
    assert!(matches!(less, Err(Error::Conflict(_))), "nor with less time than is taken");
}

async fn a_run_matches_everybody_there_is_room_for_and_the_next_one_changes_nothing<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    fill(&fixture, &app, &id, 20, 60).await;
    let records = fixture.count(RECORDS).await;
    matching::start(&app, &caller(&staff), &id).await.unwrap();
    assert_eq!(drain(&app).await.succeeded, 61, "a job a mentee, and one that assigns");
    let matches = fixture.texts(MATCHES).await;
    let room = fixture
        .count("SELECT CAST(sum(capacity) AS bigint) FROM campus_mentorship_profile WHERE role = 'mentor'")
        .await;
    assert_eq!(i64::try_from(matches.len()).unwrap(), room.min(60));
    assert_eq!(fixture.count(WRONG).await, 0);
    assert_eq!(fixture.count(RECORDS).await, records + 1 + room.min(60), "one for the run, one for each match");
    assert_eq!(fixture.count("SELECT count(*) FROM campus_mentorship_preference").await, 0);

    matching::start(&app, &caller(&staff), &id).await.unwrap();
    drain(&app).await;
    assert_eq!(fixture.texts(MATCHES).await, matches);

    // Whoever declined is matched with somebody else; nobody else is touched.
    let declined = fixture.texts("SELECT id FROM campus_mentorship_match ORDER BY id LIMIT 3").await;
    let whose = fixture.texts("SELECT mentee_user_id FROM campus_mentorship_match ORDER BY id LIMIT 3").await;
    for (one, mentee) in declined.iter().zip(&whose) {
        matches::decide(&app, &caller(mentee), one, Decision::Decline).await.unwrap();
    }
    matching::start(&app, &caller(&staff), &id).await.unwrap();
    drain(&app).await;
    let after = fixture.texts(MATCHES).await;
    let kept = matches.iter().filter(|one| after.contains(one)).count();
    assert_eq!(kept, matches.len() - 3);
    assert_eq!(fixture.count(WRONG).await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM campus_mentorship_run WHERE state = 'done'").await, 3);
}

async fn two_runs_at_once_are_one<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    fill(&fixture, &app, &id, 20, 60).await;
    let starts = (0..4).map(|_| {
        let (app, id, staff) = (app.clone(), id.clone(), caller(&staff));
        tokio::spawn(async move { matching::start(&app, &staff, &id).await.unwrap().id })
    });
    let mut runs = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        runs.push(start.await.unwrap());
    }
    runs.dedup();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM jobs_queue_job WHERE kind = 'mentorship.score'").await, 60);
    // The same jobs a second time, and two runners that share the work.
    let mut tx = app.begin().await.unwrap();
    for mentee in fixture.texts("SELECT mentee_user_id FROM campus_mentorship_preference").await {
        app.jobs.enqueue(&mut tx, &ScoreMentees { run_id: runs[0].clone(), mentees: vec![mentee] }).await.unwrap();
    }
    for _ in 0..3 {
        app.jobs.enqueue(&mut tx, &AssignMatches { run_id: runs[0].clone() }).await.unwrap();
    }
    app.commit(tx).await.unwrap();
    let (one, other) = (app.clone(), app.clone());
    let both =
        tokio::join!(tokio::spawn(async move { drain(&one).await }), tokio::spawn(async move { drain(&other).await }));
    assert_eq!((both.0.unwrap().dead, both.1.unwrap().dead), (0, 0));
    drain(&app).await;
    assert_eq!(fixture.count("SELECT count(*) FROM campus_mentorship_run WHERE state = 'done'").await, 1);
    assert_eq!(fixture.count(WRONG).await, 0);
    let room = fixture
        .count("SELECT CAST(sum(capacity) AS bigint) FROM campus_mentorship_profile WHERE role = 'mentor'")
        .await;
    let matches = fixture.texts(MATCHES).await;
    assert_eq!(i64::try_from(matches.len()).unwrap(), room.min(60));
    let proposed = "SELECT count(*) FROM audit_record WHERE action = 'bits.mentorship.v1.MatchService/Propose'";
    assert_eq!(fixture.count(proposed).await, room.min(60), "one record for each match");
}

async fn a_run_that_crashed_ends_as_if_it_had_not<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    fill(&fixture, &app, &id, 60, 150).await;
    matching::start(&app, &caller(&staff), &id).await.unwrap();
    assert_eq!(drain(&app).await.failed, 0);
    let whole = fixture.texts(MATCHES).await;
    assert!(whole.len() > 110, "more than a transaction of them");

    // The same again, where the second transaction of matches fails, and some mentees are never scored for at first.
    for table in [
        "DELETE FROM campus_mentorship_match",
        "DELETE FROM campus_mentorship_run",
        "UPDATE campus_mentorship_profile SET taken = 0",
    ] {
        fixture.execute(table).await;
    }
    break_matches(&fixture).await;
    matching::start(&app, &caller(&staff), &id).await.unwrap();
    let broken = drain(&app).await;
    assert!(broken.failed > 0 && broken.dead == 1, "{broken:?}");
    let half = fixture.texts(MATCHES).await;
    assert!(!half.is_empty() && half.len() < whole.len(), "{} of {}", half.len(), whole.len());
    assert_eq!(fixture.count(WRONG).await, 0, "half a run is as good as a whole one, if smaller");
    assert_eq!(fixture.count("SELECT count(*) FROM campus_mentorship_run WHERE state = 'running'").await, 1);

    mend_matches(&fixture).await;
    matching::start(&app, &caller(&staff), &id).await.unwrap();
    assert_eq!(drain(&app).await.failed, 0);
    assert_eq!(fixture.texts(MATCHES).await, whole);
    assert_eq!(fixture.count(WRONG).await, 0);
}

async fn a_programme_of_others_does_not_exist<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("batch:2018").await;
    let theirs =
        fixture.texts("SELECT user_id FROM memberships_membership WHERE scope_id = '2018' ORDER BY user_id").await;
    let others =
        fixture.texts("SELECT user_id FROM memberships_membership WHERE scope_id = '2014' AND user_id NOT IN (SELECT user_id FROM memberships_membership WHERE scope_type = 'platform') ORDER BY user_id").await;
    let (inside, outside) = (&theirs[0], others.iter().find(|other| **other != staff).unwrap());
    mentorship::register(&app, &caller(inside), &id, &draft(ProgrammeRole::Mentor, "law", 1)).await.unwrap();
    mentorship::register(&app, &caller(&theirs[1]), &id, &draft(ProgrammeRole::Mentee, "law", 1)).await.unwrap();
    let one = matches::propose(&app, &caller(inside), &id, &user(&theirs[1])).await.unwrap().id;
    let records = fixture.count(RECORDS).await;

    let mut insiders = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), inside).await;
    assert!(insiders.get("/mentorship").await.body.contains("Walks and questions"));
    assert!(insiders.get("/search?q=axolotl").await.body.contains("1 found"));
    let mut browser = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), outside).await;
    for list in ["/mentorship", "/api/v1/mentorship", "/api/v1/matches"] {
        let answer = browser.get(list).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("Walks and questions") && !answer.body.contains(&one), "{list}");
    }
    assert!(browser.get("/search?q=axolotl").await.body.contains("0 found"));
    let none = uuid_of_nothing();
    for (path, form) in [
        ("/mentorship/{}", None),
        ("/mentorship/{}/people", None),
        ("/api/v1/mentorship/{}", None),
        ("/api/v1/mentorship/{}/runs", None),
        ("/mentorship/{}/profile", Some("role=mentee&languages=English&interests=law&batch_year=2014")),
        ("/mentorship/{}/withdraw", Some("")),
        ("/mentorship/{}/runs", Some("")),
        ("/mentorship/{}/state", Some("state=closed")),
        ("/mentorship/{}/matches", Some("person=somebody")),
    ] {
        let (hidden, missing) = (path.replace("{}", &id), path.replace("{}", none));
        let (hidden, missing) = match form {
            Some(form) => (browser.post(&hidden, form).await, browser.post(&missing, form).await),
            None => (browser.get(&hidden).await, browser.get(&missing).await),
        };
        assert_eq!((hidden.status.as_u16(), &hidden.body), (404, &missing.body), "{path}");
    }
    for (hidden, missing) in [(format!("/matches/{one}"), format!("/matches/{none}"))] {
        assert_eq!(browser.get(&hidden).await.body, browser.get(&missing).await.body);
        let (hidden, missing) =
            (browser.post(&hidden, "decision=accept").await, browser.post(&missing, "decision=accept").await);
        assert_eq!((hidden.status.as_u16(), hidden.body), (404, missing.body));
    }
    assert_eq!(fixture.count(RECORDS).await, records, "nothing was done");
}

fn uuid_of_nothing() -> &'static str {
    "01890000-0000-7000-8000-000000000000"
}

async fn nonsense_is_refused_and_writes_nothing<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    let records = fixture.count(RECORDS).await;
    let mut browser = Browser::signed_in(router(app.clone(), campus::http::Options::demo()), &staff).await;
    let profile = format!("/mentorship/{id}/profile");
    let many = "a,".repeat(300);
    for (path, form) in [
        ("/mentorship", "name=&description=b&audience=campus%3Aeveryone".to_owned()),
        ("/mentorship", "name=a%00&description=b&audience=campus%3Aeveryone".into()),
        ("/mentorship", "name=a&description=b&audience=whoever".into()),
        ("/mentorship", format!("name={}&description=b&audience=campus%3Aeveryone", "x".repeat(121))),
        (&profile, "role=admin&languages=English&interests=law&batch_year=2014".into()),
        (&profile, "role=mentee&languages=&interests=law&batch_year=2014".into()),
        (&profile, "role=mentee&languages=English&interests=&batch_year=2014".into()),
        (&profile, "role=mentor&languages=English&skills=a&batch_year=14".into()),
        (&profile, "role=mentor&languages=English&skills=a&batch_year=2014&capacity=21".into()),
        (&profile, "role=mentor&languages=English&skills=a&batch_year=2014&capacity=99999999999999999999".into()),
        (&profile, format!("role=mentor&languages=English&skills={}&batch_year=2014", "x".repeat(41))),
        (&profile, format!("role=mentor&languages={many}b,c,d,e,f,g,h,i&skills=a&batch_year=2014")),
        ("/mentorship/%00/runs", String::new()),
        ("/mentorship/%FF/runs", String::new()),
        ("/matches/nothing", "decision=accept".into()),
        ("/matches/nothing", "decision=marry".into()),
    ] {
        let answer = browser.post(path, &form).await;
        assert!(answer.status.is_client_error(), "{path} {form:.60}: {}", answer.status);
    }
    for path in [
        "/mentorship?after=%00",
        "/mentorship/1",
        "/matches/%00",
        "/api/v1/matches?after=zz",
        "/api/v1/mentorship?limit=0",
    ] {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
    assert_eq!(fixture.count(RECORDS).await, records);
}

/// What two cores do in a minute: `cargo test -p campus --release --test campus -- --ignored --nocapture ten_thousand`.
async fn ten_thousand_jobs_match_ten_thousand_mentees<F: Fixture>() {
    let (fixture, app, staff, id) = programme::<F>("campus:everyone").await;
    fill(&fixture, &app, &id, 3_000, 10_000).await;
    let began = Instant::now();
    matching::start(&app, &caller(&staff), &id).await.unwrap();
    let started = began.elapsed();
    let tally = drain(&app).await;
    println!("{}: started in {started:?}, drained in {:?}: {tally:?}", std::any::type_name::<F>(), began.elapsed());
    assert_eq!(tally.succeeded, 10_001);
    assert_eq!(fixture.count(WRONG).await, 0);
    println!("{} matches", fixture.texts(MATCHES).await.len());
    let mut tx = app.read().await.unwrap();
    let failed =
        app.jobs.list(&mut tx, &Filter::default().state(State::Dead), &stoa_jobs_runner::PageRequest::first(1)).await;
    assert!(failed.unwrap().items.is_empty());
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
    a_match_goes_from_proposal_to_approval_on_the_pages
    who_decides_what_depends_on_who_was_asked
    a_mentor_never_has_more_than_they_have_time_for
    a_run_matches_everybody_there_is_room_for_and_the_next_one_changes_nothing
    two_runs_at_once_are_one
    a_run_that_crashed_ends_as_if_it_had_not
    a_programme_of_others_does_not_exist
    nonsense_is_refused_and_writes_nothing
    #[ignore = "a measurement"]
    ten_thousand_jobs_match_ten_thousand_mentees
}

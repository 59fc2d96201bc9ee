//! Campus in a real browser: headless Chromium against the real binary, on both databases.

mod album;
mod driver;

use driver::{Driver, Site};

/// The demo's staff person, who is in no group.
const STAFF: &str = "amara-okafor";

/// A mentee of the demo without a match, and a mentor with time.
const MENTEE: &str = "jonas-haddad";
const MENTOR: &str = "mei-okafor";

/// Who manages the deals of the bakery, a partner of the demo.
const AGENT: &str = "liam-sato";

/// Who owns the chess club.
const OWNER: &str = r"
    SELECT user_id
    FROM memberships_membership
    WHERE scope_type = 'group' AND scope_id = 'chess' AND role = 'owner' AND state = 'active'
    LIMIT 1
";

async fn somebody_joins_posts_finds_and_is_banned(site: &Site, owner: &str, name: &str) {
    let driver = Driver::start(name);
    let newcomer = driver.browser(site).await;
    newcomer.sign_in(STAFF).await;
    let home = newcomer.text().await;
    assert!(home.contains("Groups you may like"), "recommended from the first page on: {home}");

    newcomer.open("/groups/chess").await;
    newcomer.picture("group-outside").await;
    newcomer.press("Join this group").await;
    newcomer.type_into("title", "Zugzwang on a train").await;
    newcomer.type_into("body", "A pocket board, a long ride, and nobody wants to move.").await;
    newcomer.press("Post to the group").await;
    assert!(newcomer.text().await.contains("Zugzwang on a train"));
    newcomer.picture("group-inside").await;
    let found = newcomer.search("pocket board").await;
    assert!(found.contains("Zugzwang on a train"), "{found}");

    let moderator = driver.browser(site).await;
    moderator.sign_in(owner).await;
    moderator.open("/groups/chess/members").await;
    moderator.unfold(&format!("//details[.//input[@name='person' and @value='{STAFF}']]")).await;
    moderator.picture("members-unfolded").await;
    moderator
        .submit(
            &format!("//form[.//input[@value='ban'] and .//input[@value='{STAFF}']]"),
            "reason",
            "No boards on trains",
        )
        .await;
    moderator.open("/groups/chess/members?state=banned").await;
    moderator.picture("members-banned").await;
    moderator.close().await;

    let found = newcomer.search("pocket board").await;
    assert!(!found.contains("Zugzwang on a train"), "{found}");
    newcomer.picture("search-banned").await;
    newcomer.open("/groups/chess").await;
    assert!(newcomer.text().await.contains("You are banned from this group"));
    newcomer.picture("group-banned").await;
    newcomer.close().await;
}

async fn a_mentee_asks_a_mentor_accepts_and_the_staff_approves(site: &Site, driver: &Driver) {
    let mentee = driver.browser(site).await;
    mentee.sign_in(MENTEE).await;
    mentee.press("Mentorship").await;
    mentee.press("First steps").await;
    mentee.press("Look for a mentor").await;
    mentee.press("Propose to Mei Okafor").await;
    assert!(mentee.text().await.contains("The mentee has proposed; the mentor has not answered yet."));

    let mentor = driver.browser(site).await;
    mentor.sign_in(MENTOR).await;
    assert!(mentor.text().await.contains("Somebody proposes a mentorship to you"));
    mentor.press("Mentorship").await;
    mentor.press("You mentor Jonas Haddad").await;
    mentor.picture("match-to-accept").await;
    mentor.press("Accept").await;
    assert!(mentor.text().await.contains("The staff has a look at it before it begins."));

    let staff = driver.browser(site).await;
    staff.sign_in(STAFF).await;
    staff.press("Mentorship").await;
    staff.press("First steps").await;
    staff.picture("programme-to-approve").await;
    staff.press("Mei Okafor mentors Jonas Haddad").await;
    staff.press("Approve").await;
    assert!(staff.text().await.contains("Approved: write to each other, and find an hour."));

    for person in [&mentee, &mentor] {
        person.open("/").await;
        person.press("A mentorship of yours is approved").await;
        assert!(person.text().await.contains("Approved: write to each other"));
    }
    mentee.picture("match-approved").await;
    for browser in [mentee, mentor, staff] {
        browser.close().await;
    }
}

async fn somebody_takes_up_a_deal_and_the_partner_takes_the_code(site: &Site, driver: &Driver) {
    let person = driver.browser(site).await;
    person.sign_in(MENTEE).await;
    person.press("Deals").await;
    person.press("A coffee with every loaf").await;
    let deal = person.path().await;
    person.press("Get my code").await;
    let code = person.text_of("code.name").await;
    assert_eq!(person.path().await, deal);
    person.picture("deal-redeemed").await;
    person.press("Deals").await;
    person.press("My codes").await;
    assert!(person.text().await.contains(&code));

    let agent = driver.browser(site).await;
    agent.sign_in(AGENT).await;
    for (answer, name) in [("The code is good, and has been taken.", "code-taken"), ("taken before", "code-refused")] {
        agent.open("/partners").await;
        agent.press("Second Rise").await;
        agent.type_into("code", &code.to_lowercase()).await;
        agent.press("Take the code").await;
        let said = agent.text().await;
        assert!(said.contains(answer), "{said}");
        agent.picture(name).await;
    }
    person.open(&deal).await;
    assert!(person.text().await.contains("Used "));
    for browser in [person, agent] {
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_somebody_joins_posts_finds_and_is_banned() {
    let database = testkit::sqlite(&[]).await;
    let site = Site::start(database.url());
    let owner: String = sqlx::query_scalar(OWNER).fetch_one(database.pool()).await.unwrap();
    somebody_joins_posts_finds_and_is_banned(&site, &owner, "sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_somebody_joins_posts_finds_and_is_banned() {
    let database = testkit::postgres(&[]).await;
    let site = Site::start(database.url());
    let owner: String = sqlx::query_scalar(OWNER).fetch_one(database.pool()).await.unwrap();
    somebody_joins_posts_finds_and_is_banned(&site, &owner, "postgres").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_mentorship_begins_a_deal_is_taken_up_and_every_page_fits() {
    let database = testkit::sqlite(&[]).await;
    let site = Site::start(database.url());
    let driver = Driver::start("sqlite");
    a_mentee_asks_a_mentor_accepts_and_the_staff_approves(&site, &driver).await;
    somebody_takes_up_a_deal_and_the_partner_takes_the_code(&site, &driver).await;
    album::every_page_fits(&site, database.pool()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_mentorship_begins_and_a_deal_is_taken_up() {
    let database = testkit::postgres(&[]).await;
    let site = Site::start(database.url());
    let driver = Driver::start("postgres");
    a_mentee_asks_a_mentor_accepts_and_the_staff_approves(&site, &driver).await;
    somebody_takes_up_a_deal_and_the_partner_takes_the_code(&site, &driver).await;
}

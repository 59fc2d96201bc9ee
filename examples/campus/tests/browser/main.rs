//! Campus in a real browser: headless Chromium against the real binary, on both databases.

mod driver;

use driver::{Driver, Site};

/// The demo's staff person, who is in no group.
const NEWCOMER: &str = "amara-okafor";

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
    newcomer.open("/people").await;
    newcomer.picture("people").await;
    newcomer.sign_in(NEWCOMER).await;
    newcomer.picture("home").await;

    newcomer.open("/groups/chess").await;
    newcomer.picture("group-outside").await;
    newcomer.press("Join this group").await;
    newcomer.type_into("title", "Zugzwang on a train").await;
    newcomer.type_into("body", "A pocket board, a long ride, and nobody wants to move.").await;
    newcomer.press("Post to the group").await;
    assert!(newcomer.text().await.contains("Zugzwang on a train"));
    newcomer.picture("group-inside").await;
    let found = newcomer.search("zugzwang").await;
    assert!(found.contains("Zugzwang on a train"), "{found}");
    newcomer.picture("search").await;

    let moderator = driver.browser(site).await;
    moderator.sign_in(owner).await;
    moderator.open("/groups/chess/members").await;
    moderator.unfold(&format!("//details[.//input[@name='person' and @value='{NEWCOMER}']]")).await;
    moderator.picture("members").await;
    moderator
        .submit(
            &format!("//form[.//input[@value='ban'] and .//input[@value='{NEWCOMER}']]"),
            "reason",
            "No boards on trains",
        )
        .await;
    moderator.open("/groups/chess/members?state=banned").await;
    moderator.picture("members-banned").await;
    moderator.close().await;

    let found = newcomer.search("zugzwang").await;
    assert!(!found.contains("Zugzwang on a train"), "{found}");
    newcomer.picture("search-banned").await;
    newcomer.open("/groups/chess").await;
    assert!(newcomer.text().await.contains("You are banned from this group"));
    newcomer.picture("group-banned").await;
    newcomer.close().await;
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

//! A picture of every page: to be looked at by whoever changed one. That nothing is wider than a phone is looked at here.

use std::time::Duration;

use sqlx::SqlitePool;
use tokio::time::timeout;

use crate::driver::{Browser, Driver, Screen, Site};
use crate::{AGENT, MENTEE, STAFF};

/// Who pays the salaries in the demo.
const PAYROLL: &str = "chiara-iyer";

/// Who is of human resources, and who manages some of the others.
const HR: &str = "bilal-haddad";
const MANAGER: &str = "dmitri-petrov";

/// A page: as its picture is called, and its path. `{}` stands for what the statement finds.
type Page = (&'static str, &'static str, Option<&'static str>);

const GROUPS: &str = "SELECT id FROM campus_post WHERE group_id = 'chess' ORDER BY id DESC LIMIT 1";
const EVENT: &str =
    "SELECT id FROM campus_event WHERE scope = 'group:chess' AND waiting > 0 ORDER BY starts_at DESC LIMIT 1";
const NEWS: &str =
    "SELECT id FROM campus_announcement WHERE scope = 'campus:everyone' AND state = 'published' ORDER BY id LIMIT 1";
const DRAFT: &str = "SELECT id FROM campus_announcement WHERE state = 'draft'";
const OPENING: &str =
    "SELECT id FROM campus_opening WHERE audience = 'campus:everyone' AND is_remote ORDER BY id LIMIT 1";
const PROGRAMME: &str = "SELECT id FROM campus_mentorship_programme WHERE name = 'First steps'";
const MATCH: &str = "SELECT id FROM campus_mentorship_match WHERE mentee_user_id = 'jonas-haddad'";
const WAITING: &str = "SELECT id FROM campus_mentorship_match WHERE state = 'accepted' ORDER BY id LIMIT 1";
const DEAL: &str = "SELECT id FROM campus_deal WHERE title = 'One book in ten is free'";
const OWN_DEAL: &str = "SELECT id FROM campus_deal WHERE title = 'The Saturday bread class'";
const TAKEN: &str = "SELECT deal_id FROM campus_redemption WHERE person_id = 'jonas-haddad'";
const PARTNER: &str = "SELECT id FROM campus_partner WHERE name = 'Second Rise'";
const EMPLOYEE: &str = "SELECT id FROM campus_staff_employee ORDER BY id LIMIT 1";
const RUN: &str = "SELECT id FROM campus_staff_run";
const RECORD: &str = "SELECT lower(hex(id)) FROM audit_record ORDER BY id DESC LIMIT 1";
const JOB: &str = "SELECT CAST(id AS TEXT) FROM jobs_queue_history ORDER BY id DESC LIMIT 1";

/// The pages, by who looks at them.
const PAGES: [(&str, &[Page]); 6] = [
    (
        STAFF,
        &[
            ("staff-home", "/", None),
            ("mentorship-staff", "/mentorship", None),
            ("programme-staff", "/mentorship/{}", Some(PROGRAMME)),
            ("match-staff", "/matches/{}", Some(WAITING)),
            ("partners-staff", "/partners", None),
            ("partner-staff", "/partners/{}", Some(PARTNER)),
            ("announcements-all", "/announcements/all", None),
            ("announcement-new", "/announcements/new", None),
            ("announcement-draft", "/announcements/{}", Some(DRAFT)),
            ("announcement-edit", "/announcements/{}/edit", Some(DRAFT)),
            ("event-new", "/events/new", None),
            ("admin", "/admin", None),
            ("admin-search", "/admin/search", None),
            ("admin-audit", "/admin/audit", None),
            ("admin-audit-verify", "/admin/audit/verify", None),
            ("admin-audit-record", "/admin/audit/records/{}", Some(RECORD)),
            ("admin-jobs", "/admin/jobs", None),
            ("admin-jobs-list", "/admin/jobs/list", None),
            ("admin-jobs-job", "/admin/jobs/job/{}", Some(JOB)),
            ("admin-jobs-cron", "/admin/jobs/cron", None),
            ("admin-jobs-health", "/admin/jobs/health", None),
        ],
    ),
    (
        MENTEE,
        &[
            ("home", "/", None),
            ("people", "/people", None),
            ("feed", "/feed", None),
            ("groups", "/groups", None),
            ("group-new", "/groups/new", None),
            ("directory", "/directory", None),
            ("directory-found", "/directory?city=London", None),
            ("profile", "/directory/mei-okafor", None),
            ("me", "/me", None),
            ("notifications", "/notifications", None),
            ("notification-settings", "/settings/notifications", None),
            ("assistant", "/assistant", None),
            ("assistant-answer", "/assistant?q=Who+mentors+me", None),
            ("events", "/events", None),
            ("announcements", "/announcements", None),
            ("announcement", "/announcements/{}", Some(NEWS)),
            ("openings", "/openings", None),
            ("openings-none", "/openings?place=Atlantis", None),
            ("opening", "/openings/{}", Some(OPENING)),
            ("opening-new", "/openings/new", None),
            ("search", "/search?q=mentorship", None),
            ("search-nothing", "/search?q=xylophonist", None),
            ("search-misspelt", "/search?q=endgmae", None),
            ("mentorship", "/mentorship", None),
            ("programme", "/mentorship/{}", Some(PROGRAMME)),
            ("match", "/matches/{}", Some(MATCH)),
            ("deals", "/deals", None),
            ("codes", "/deals/codes", None),
            ("deal", "/deals/{}", Some(DEAL)),
            ("deal-taken", "/deals/{}", Some(TAKEN)),
            ("partners-nobody", "/partners", None),
            ("not-found", "/groups/nowhere", None),
            ("api-docs", "/api/docs", None),
        ],
    ),
    (
        AGENT,
        &[
            ("partners", "/partners", None),
            ("partner", "/partners/{}", Some(PARTNER)),
            ("deal-agent", "/deals/{}", Some(OWN_DEAL)),
            ("programme-outside", "/mentorship/{}", Some(PROGRAMME)),
            ("codes-none", "/deals/codes", None),
            ("staff-nobody", "/staff", None),
        ],
    ),
    (
        HR,
        &[
            ("staff-employees", "/staff/employees", None),
            ("staff-employee", "/staff/employees/{}", Some(EMPLOYEE)),
            ("staff-leave", "/staff/leave", None),
            ("staff-requests", "/staff/requests", None),
        ],
    ),
    (MANAGER, &[("staff", "/staff", None), ("staff-requests-manager", "/staff/requests", None)]),
    (
        PAYROLL,
        &[
            ("staff-structures", "/staff/structures", None),
            ("staff-payroll", "/staff/payroll", None),
            ("staff-payroll-run", "/staff/payroll/{}", Some(RUN)),
            ("staff-payslips", "/staff/payslips", None),
        ],
    ),
];

/// The pages of a group, for whoever owns it.
const OWNED: [Page; 7] = [
    ("group", "/groups/chess", None),
    ("group-edit", "/groups/chess/edit", None),
    ("members", "/groups/chess/members", None),
    ("members-history", "/groups/chess/members/history?person=amara-lindqvist", None),
    ("post", "/posts/{}", Some(GROUPS)),
    ("event", "/events/{}", Some(EVENT)),
    ("event-attendees", "/events/{}/attendees", Some(EVENT)),
];

/// What is also looked at in the dark.
const DARK: [&str; 12] = [
    "home",
    "people",
    "group",
    "search-misspelt",
    "event",
    "opening",
    "programme-staff",
    "match",
    "deals",
    "deal-taken",
    "admin-audit",
    "staff",
];

/// Takes a picture of every page on a desk and on a phone, and of some in the dark.
pub(crate) async fn every_page_fits(site: &Site, database: &SqlitePool) {
    let owner: String = sqlx::query_scalar(crate::OWNER).fetch_one(database).await.unwrap();
    let (desks, phones, nights) = (Driver::start("desk"), Driver::start("phone"), Driver::start("dark"));
    let (desk, phone, night) = (desks.browser(site).await, phones.browser(site).await, nights.browser(site).await);
    tokio::join!(desk.look_with(Screen::Light), phone.look_with(Screen::Phone), night.look_with(Screen::Dark));
    pay_salaries(&desk).await;
    let mut too_wide = Vec::new();
    for (person, pages) in PAGES.into_iter().chain([(&*owner, OWNED.as_slice())]) {
        tokio::join!(desk.sign_in(person), phone.sign_in(person), night.sign_in(person));
        for (name, path, id) in pages {
            let id: String = match id {
                Some(statement) => sqlx::query_scalar(*statement).fetch_one(database).await.unwrap(),
                None => String::new(),
            };
            let path = path.replace("{}", &id);
            let look = async |browser: &Browser| {
                browser.open(&path).await;
                browser.picture(name).await;
                browser.overflow().await
            };
            let in_the_dark = async { if DARK.contains(name) { look(&night).await } else { 0 } };
            let (on_desk, on_phone, _) = tokio::join!(look(&desk), look(&phone), in_the_dark);
            for (screen, overflow) in [("desk", on_desk), ("phone", on_phone)] {
                if overflow > 0 {
                    too_wide.push(format!("{name} on a {screen} by {overflow}"));
                }
            }
        }
    }
    assert!(too_wide.is_empty(), "wider than the screen: {too_wide:?}");
    for browser in [desk, phone, night] {
        browser.close().await;
    }
}

/// Begins a run, waits for the job that computes it, and closes it.
async fn pay_salaries(browser: &Browser) {
    browser.sign_in(PAYROLL).await;
    browser.open("/staff/payroll").await;
    browser.press("Begin a run").await;
    let computed = async {
        while !browser.text().await.contains("9 payslips") {
            browser.client.refresh().await.unwrap();
        }
    };
    timeout(Duration::from_mins(1), computed).await.expect("the job comes");
    browser.picture("staff-payroll-open").await;
    browser.press("Close for good").await;
    browser.open("/staff/payslips").await;
    browser.press_first("main a[href^='/staff/payslips/']").await;
    browser.picture("staff-payslip").await;
}

//! What [`SURFACES`] says of each surface is what there is: nothing of campus belongs to nobody, and nothing is only said.

use std::collections::BTreeSet;
use std::path::Path;

use campus::access::{GroupCapability, PartnerCapability, PlatformCapability};
use campus::app::App;
use campus::backend::Sqlite;
use campus::demo::{self, Plan, Size};
use campus::http::routes;
use campus::recommender;
use campus::staff::access::StaffCapability;
use campus::surface::{SURFACES, Surface};
use campus::worker::{JOBS, QUEUES};
use stoa_capabilities::Domain as _;

use crate::atomicity::until;
use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::routes::cases;

/// Tables of no surface: what was imported, and facts about the database.
const SHARED_TABLES: [&str; 2] = ["campus_document", "campus_meta"];

/// Addresses of no surface: home, sign-in, and what reads from all of them.
const SHARED_PATHS: [&str; 6] = ["/", "/people", "/sign-out", "/search", "/documents", "/api/v1/search"];

/// What is recorded by jobs, and of what people write by WhatsApp: no route that a session opens does.
const BY_JOBS: [&str; 8] = [
    "bits.marketplace.v1.DealService/ExpireDeal",
    "bits.openings.v1.OpeningService/ExpireOpening",
    "bits.staff.v1.LeaveService/AccrueLeave",
    "bits.staff.v1.PayrollService/ComputePayslips",
    "bits.whatsapp.v1.OptInService/OptIn",
    "bits.whatsapp.v1.OptInService/Start",
    "bits.whatsapp.v1.OptInService/Stop",
    "bits.whatsapp.v1.WebhookService/ReceiveMessage",
];

/// What the buttons of the jobs dashboard record; its routes are its own, and the tests of `admin` press them.
const BY_THE_DASHBOARD: &str = "bits.jobs.v1.";

/// Surfaces that the demo has nothing of: people are told when something happens, and nobody has a telephone.
const NOT_IN_THE_DEMO: [&str; 2] = ["notifications", "whatsapp"];

/// What surfaces list, with the names of those that list it.
fn listed(of: fn(&Surface) -> Vec<&'static str>) -> Vec<(&'static str, &'static str)> {
    SURFACES.iter().flat_map(|surface| of(surface).into_iter().map(|one| (one, surface.name))).collect()
}

/// Fails unless each of `there` is listed once, and nothing else is.
#[track_caller]
fn assert_listed_once<'a>(
    there: impl IntoIterator<Item = &'a str>,
    listed: &[(&'static str, &'static str)],
    what: &str,
) {
    let there: BTreeSet<_> = there.into_iter().collect();
    for (one, surface) in listed {
        assert!(there.contains(one), "{surface} lists the {what} {one}, and there is none");
        let surfaces: Vec<_> = listed.iter().filter(|(other, _)| other == one).map(|(_, surface)| surface).collect();
        assert_eq!(surfaces.len(), 1, "the {what} {one} belongs to {surfaces:?}");
    }
    for one in there {
        assert!(listed.iter().any(|(other, _)| *other == one), "the {what} {one} belongs to no surface");
    }
}

fn lies_under(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && beginning != "/"))
}

async fn every_table_belongs_to_a_surface<F: Fixture>() {
    let (fixture, _app) = F::demo().await;
    let tables = fixture.tables().await;
    let own = tables.iter().map(String::as_str).filter(|table| table.starts_with("campus_"));
    let listed = listed(|surface| surface.tables.to_vec());
    assert_listed_once(own.filter(|table| !SHARED_TABLES.contains(table)), &listed, "table");
}

async fn the_demo_shows_every_surface<F: Fixture>() {
    let fixture = F::empty().await;
    let app = App::open(fixture.backend()).await.unwrap();
    // As the small one is, only smaller.
    let plan = Plan { people: 120, posts: 60, ..Plan::of(Size::Small).unwrap() };
    assert!(demo::load(&app, &plan, |_| {}).await.unwrap());
    let is_there =
        |table: &str| -> &'static str { format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS one").leak() };
    for surface in SURFACES.iter().filter(|surface| !surface.tables.is_empty()) {
        let mut filled = 0;
        for table in surface.tables {
            filled += fixture.count(is_there(table)).await;
        }
        // Signals are read when every older transaction of the cluster has ended, whosever it is.
        if filled == 0 && surface.name == "recommender" && F::CONCURRENT_WRITERS {
            until(async || {
                recommender::run(&app, None, None, |_| {}).await.unwrap();
                filled = fixture.count(is_there("campus_taste")).await;
                filled > 0
            })
            .await;
        }
        let is_expected = !NOT_IN_THE_DEMO.contains(&surface.name);
        assert_eq!(filled > 0, is_expected, "whether the demo has something of {}", surface.name);
    }
    let found = fixture.texts("SELECT DISTINCT surface FROM search_document").await;
    for (documents, surface) in listed(|surface| surface.documents.into_iter().collect()) {
        let is_expected = !NOT_IN_THE_DEMO.contains(&surface);
        assert_eq!(
            found.iter().any(|one| one == documents),
            is_expected,
            "whether the demo finds something of {surface}"
        );
    }
    for one in &found {
        assert!(SURFACES.iter().any(|surface| surface.documents == Some(one)), "documents of no surface: {one}");
    }
    for kind in fixture.texts("SELECT DISTINCT scope_type FROM memberships_membership").await {
        assert!(SURFACES.iter().any(|surface| surface.scopes.contains(&&*kind)), "no surface is for a {kind}");
    }
}

#[test]
fn every_job_belongs_to_a_surface_and_to_a_queue_that_is_served() {
    assert_listed_once(JOBS.iter().map(|(kind, _)| *kind), &listed(|surface| surface.jobs.to_vec()), "kind of job");
    let served: BTreeSet<_> = QUEUES.iter().map(|(queue, _)| *queue).collect();
    let used: BTreeSet<_> = JOBS.iter().map(|(_, queue)| *queue).collect();
    assert_eq!(served, used, "the queues that are served are those that jobs are in");
    assert_eq!(served.len(), QUEUES.len(), "a queue is served twice");
}

#[test]
fn every_route_lies_under_a_path_of_a_surface() {
    let served = routes::<Sqlite>();
    let paths = listed(|surface| surface.paths.to_vec());
    for (path, surface) in paths.iter().copied().chain(SHARED_PATHS.map(|path| (path, "everybody"))) {
        assert!(served.iter().any(|(_, route)| lies_under(route, path)), "nothing is served under {path} of {surface}");
    }
    for (method, route) in &served {
        let owners: Vec<_> = paths.iter().filter(|(path, _)| lies_under(route, path)).collect();
        let is_shared = SHARED_PATHS.iter().any(|path| lies_under(route, path));
        assert_eq!(owners.len() + usize::from(is_shared), 1, "{method} {route} belongs to {owners:?}");
    }
}

#[test]
fn every_action_has_its_form_and_is_recorded_by_a_case() {
    let actions = listed(|surface| surface.actions.iter().map(stoa_audit::Action::as_str).collect());
    let recorded = cases().filter_map(|case| case.records);
    let of_dashboard = actions.iter().map(|(action, _)| *action).filter(|action| action.starts_with(BY_THE_DASHBOARD));
    assert_listed_once(recorded.chain(BY_JOBS).chain(of_dashboard), &actions, "action");
    for (action, surface) in actions {
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_uppercase())
                && word.bytes().all(|byte| byte.is_ascii_alphabetic())
        };
        let has_form =
            action.strip_prefix("bits.").and_then(|rest| rest.split_once(".v1.")).is_some_and(|(domain, rest)| {
                domain.bytes().all(|byte| byte.is_ascii_lowercase())
                    && rest.split_once("Service/").is_some_and(|(service, method)| is_word(service) && is_word(method))
            });
        assert!(has_form, "{action} of {surface} is not written as bits.<domain>.v1.<Service>/<Method>");
    }
}

#[test]
fn every_capability_belongs_to_a_surface() {
    let group = GroupCapability::ALL.iter().map(|one| one.name());
    let platform = PlatformCapability::ALL.iter().map(|one| one.name());
    let partner = PartnerCapability::ALL.iter().map(|one| one.name());
    let staff = StaffCapability::ALL.iter().map(|one| one.name());
    let all = group.chain(platform).chain(partner).chain(staff);
    assert_listed_once(all, &listed(|surface| surface.capabilities.to_vec()), "capability");
}

#[test]
fn every_surface_is_a_module_with_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for surface in SURFACES {
        for file in [format!("src/{}.rs", surface.name), format!("tests/campus/{}.rs", surface.name)] {
            assert!(root.join(&file).exists(), "there is no {file}");
        }
    }
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
    every_table_belongs_to_a_surface
    the_demo_shows_every_surface
}

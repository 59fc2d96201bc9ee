//! What the members of the chess club are offered, and offer each other: deals, and mentorship.

use super::case::{Case, mixed, open, read, write};

pub(super) const MARKETPLACE: &[Case] = &[
    write(
        "stan",
        "/partners",
        "name=Corner&description=Sells&agent=abe",
        "bits.marketplace.v1.PartnerService/CreatePartner",
    ),
    write("stan", "/api/v1/partners", PARTNER_JSON, "bits.marketplace.v1.PartnerService/CreatePartner"),
    write("stan", "/partners/{partner}/agents", "person=gus&role=clerk", "bits.marketplace.v1.PartnerService/SetAgent"),
    write(
        "stan",
        "/partners/{partner}/agents",
        "person=gus&role=none",
        "bits.marketplace.v1.PartnerService/RemoveAgent",
    ),
    write(
        "stan",
        "/api/v1/partners/{partner}/agents",
        r#"{"person": "gus", "role": "agent"}"#,
        "bits.marketplace.v1.PartnerService/SetAgent",
    ),
    mixed("abe", "/partners"),
    mixed("abe", "/api/v1/partners"),
    read("abe", "/partners/{partner}"),
    write("abe", "/partners/{partner}/deals", DEAL, "bits.marketplace.v1.DealService/DraftDeal").keeps("deal"),
    write("abe", "/api/v1/partners/{partner}/deals", DEAL_JSON, "bits.marketplace.v1.DealService/DraftDeal")
        .keeps("api_deal"),
    read("abe", "/api/v1/partners/{partner}/deals"),
    read("abe", "/deals/{deal}"),
    write("abe", "/deals/{deal}/publish", "", "bits.marketplace.v1.DealService/PublishDeal"),
    write("abe", "/api/v1/deals/{api_deal}/publish", "", "bits.marketplace.v1.DealService/PublishDeal"),
    read("mira", "/deals/{deal}"),
    read("mira", "/api/v1/deals/{deal}"),
    mixed("mira", "/deals"),
    mixed("mira", "/api/v1/deals"),
    write("mira", "/deals/{deal}/redeem", "", "bits.marketplace.v1.RedemptionService/Redeem"),
    write("mira", "/api/v1/deals/{api_deal}/redeem", "", "bits.marketplace.v1.RedemptionService/Redeem")
        .keeps_field("code", "code"),
    write("nora", "/api/v1/deals/{api_deal}/redeem", "", "bits.marketplace.v1.RedemptionService/Redeem")
        .keeps_field("code", "other_code"),
    mixed("mira", "/deals/codes"),
    open("mira", "/api/v1/deals/codes"),
    write("abe", "/partners/{partner}/verify", "code={code}", "bits.marketplace.v1.RedemptionService/Verify"),
    write(
        "abe",
        "/api/v1/partners/{partner}/verify",
        r#"{"code": "{other_code}"}"#,
        "bits.marketplace.v1.RedemptionService/Verify",
    ),
];

pub(super) const WITHDRAWN: &[Case] = &[
    write("abe", "/deals/{deal}/withdraw", "", "bits.marketplace.v1.DealService/WithdrawDeal"),
    write("abe", "/api/v1/deals/{api_deal}/withdraw", "", "bits.marketplace.v1.DealService/WithdrawDeal"),
];

const PARTNER_JSON: &str = r#"{"name": "Corner", "description": "Sells", "agent": "abe"}"#;
const DEAL: &str =
    "title=Half+a+quetzalcoatlus&body=Bring+a+lead&audience=group%3A{group}&from={today}&until={soon}&limit=2";
const DEAL_JSON: &str = r#"{"title": "The other half of the quetzalcoatlus", "body": "Bring a lead", "audience": ["group:{group}"],
    "starts_at": "{today}T00:00:00Z", "ends_at": "{soon}T00:00:00Z", "limit": 2}"#;

pub(super) const MENTORSHIP: &[Case] = &[
    write("stan", "/mentorship", PROGRAMME, "bits.mentorship.v1.ProgrammeService/CreateProgramme"),
    write("stan", "/api/v1/mentorship", PROGRAMME_JSON, "bits.mentorship.v1.ProgrammeService/CreateProgramme"),
    write("stan", "/mentorship/{programme}/state", "state=closed", "bits.mentorship.v1.ProgrammeService/SetState"),
    write(
        "stan",
        "/api/v1/mentorship/{programme}/state",
        r#"{"state": "open"}"#,
        "bits.mentorship.v1.ProgrammeService/SetState",
    ),
    write("stan", "/mentorship/{programme}/runs", "", "bits.mentorship.v1.MatchingService/StartRun"),
    write("stan", "/api/v1/mentorship/{programme}/runs", "", "bits.mentorship.v1.MatchingService/StartRun")
        .after_work(),
    read("stan", "/api/v1/mentorship/{programme}/runs").after_work(),
    mixed("mira", "/mentorship"),
    mixed("mira", "/api/v1/mentorship"),
    read("mira", "/mentorship/{programme}"),
    read("mira", "/api/v1/mentorship/{programme}"),
    write("olga", "/mentorship/{programme}/profile", MENTOR, "bits.mentorship.v1.ProfileService/Register"),
    write("mira", "/api/v1/mentorship/{programme}/profile", MENTEE_JSON, "bits.mentorship.v1.ProfileService/Register"),
    write("nora", "/mentorship/{programme}/profile", MENTEE, "bits.mentorship.v1.ProfileService/Register"),
    write(
        "nora",
        "/api/v1/mentorship/{programme}/profile",
        MENTEE_JSON,
        "bits.mentorship.v1.ProfileService/UpdateProfile",
    ),
    read("mira", "/mentorship/{programme}/people"),
    write("mira", "/mentorship/{programme}/matches", "person=olga", "bits.mentorship.v1.MatchService/Propose")
        .keeps("match"),
    write(
        "nora",
        "/api/v1/mentorship/{programme}/matches",
        r#"{"person": "olga"}"#,
        "bits.mentorship.v1.MatchService/Propose",
    )
    .keeps("other_match"),
    read("mira", "/matches/{match}"),
    read("mira", "/api/v1/matches/{match}"),
    open("mira", "/api/v1/matches"),
    write("olga", "/matches/{match}", "decision=accept", "bits.mentorship.v1.MatchService/Accept"),
    write("stan", "/api/v1/matches/{match}", r#"{"decision": "approve"}"#, "bits.mentorship.v1.MatchService/Approve"),
    write("mira", "/matches/{match}", "decision=end", "bits.mentorship.v1.MatchService/End"),
    write(
        "olga",
        "/api/v1/matches/{other_match}",
        r#"{"decision": "decline"}"#,
        "bits.mentorship.v1.MatchService/Decline",
    ),
    write("mira", "/mentorship/{programme}/withdraw", "", "bits.mentorship.v1.ProfileService/Withdraw"),
    write("nora", "/api/v1/mentorship/{programme}/withdraw", "", "bits.mentorship.v1.ProfileService/Withdraw"),
];

const PROGRAMME: &str = "name=A+hike&description=Uphill&audience=batch%3A2018";
const PROGRAMME_JSON: &str = r#"{"name": "A walk", "description": "Downhill", "audience": "batch:2018"}"#;
const MENTOR: &str =
    "role=mentor&skills=endgames&interests=openings&languages=English&batch_year=2008&goals=None&capacity=2";
const MENTEE: &str = "role=mentee&skills=cooking&interests=endgames&languages=English&batch_year=2015&goals=Many";
const MENTEE_JSON: &str = r#"{"role": "mentee", "skills": "cooking", "interests": "endgames, gambits", "languages": "English",
    "batch_year": 2015, "goals": "Many"}"#;

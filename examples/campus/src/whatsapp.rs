//! WhatsApp: people ask the assistant from their own telephone, and are told there what they asked to be told.
//!
//! A delivery of the provider (Meta's Cloud API) is stored and queued, and that is all that happens while the provider waits. A job finds
//! out who wrote, and stores the one reply together with the job that sends it; so each message has one reply, however often it is
//! delivered, and a reply that cannot be sent now is sent later. Nobody is written to who has not shown that the telephone is theirs.

pub mod inbound;
pub mod opt_in;
pub mod outbound;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;
pub(crate) mod webhook;

mod signature;

use std::sync::Arc;
use std::time::Duration;

use stoa_jobs_runner::Job as _;
use url::Url;

pub use self::outbound::send_template;
use crate::outgoing::{Endpoint, Secret, SettingError, link_base};
use crate::surface::Surface;

/// What WhatsApp brings.
pub const SURFACE: Surface = Surface {
    name: "whatsapp",
    tables: &["campus_whatsapp_opt_in", "campus_whatsapp_code", "campus_whatsapp_inbound", "campus_whatsapp_outbound"],
    scopes: &[],
    documents: None,
    actions: &[
        inbound::RECEIVED,
        opt_in::CODE_CREATED,
        opt_in::OPTED_IN,
        opt_in::STOPPED,
        opt_in::STARTED,
        opt_in::OPTED_OUT,
    ],
    jobs: &[inbound::AnswerMessage::KIND, outbound::SendMessage::KIND],
    capabilities: &[],
    paths: &["/webhooks/whatsapp", "/settings/whatsapp", "/api/v1/whatsapp"],
};

/// Where the provider is, unless the operator says otherwise.
pub const GRAPH_URL: &str = "https://graph.facebook.com/v23.0";

/// For so long after somebody wrote the provider takes free text to them; after that, templates only.
const WINDOW: Duration = Duration::from_hours(24);
/// For so long it is remembered what came in and what went out. The provider gives up delivering something sooner.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// When a process that is not configured looks again at a job it can do nothing about.
const UNCONFIGURED: Duration = Duration::from_mins(1);

/// How long a request to the provider may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// What connects campus with a number at the provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the provider is.
    pub url: String,
    /// Where people find campus: links in messages lead there.
    pub site: Url,
    /// The provider's id of the number that campus writes from.
    pub phone_number_id: String,
    /// What campus proves itself with.
    pub token: Secret,
    /// What the provider signs its deliveries with.
    pub app_secret: Secret,
    /// What the provider shows when it is told the address of the webhook.
    pub verify_token: Secret,
}

/// The connection with the provider.
#[derive(Clone, Debug)]
pub struct Sender {
    endpoint: Endpoint,
    site: Arc<str>,
    phone_number_id: Arc<str>,
    app_secret: Secret,
    verify_token: Secret,
}

impl Sender {
    /// Checks the settings; nothing is sent yet.
    ///
    /// # Errors
    /// If the number's id is not made of digits, an address is no plain HTTP address, or the machine has no certificates to trust.
    pub fn new(settings: Settings) -> Result<Self, SettingError> {
        let Settings { url, site, phone_number_id, token, app_secret, verify_token } = settings;
        if !(1..=32).contains(&phone_number_id.len()) || !phone_number_id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SettingError::new("the id of the number is made of digits"));
        }
        let endpoint = Endpoint::new(&url, &format!("/{phone_number_id}/messages"), Some(&token), TIME_LIMIT)?;
        let site = link_base(&site)?.into();
        Ok(Self { endpoint, site, phone_number_id: phone_number_id.into(), app_secret, verify_token })
    }

    /// Gives up a request after this time. 20 seconds without it.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { endpoint: self.endpoint.time_limit(time_limit), ..self }
    }

    /// What stands for a text where it must not be read: codes in the database, telephones in the names of jobs.
    fn hash(&self, text: &str) -> String {
        signature::hash(text, &self.app_secret)
    }
}

//! The application: one database, the crates composed over it.

use std::collections::HashMap;

use stoa_audit::{Audit, Verifier};
use stoa_capabilities::Capabilities;
use stoa_jobs_runner::Jobs;
use stoa_membership::{Membership, MembershipSet, Source as _, UserId};
use stoa_search::{Audience, Search, Tag};

use crate::access::{self, GroupCapability, MemberFacts, PartnerCapability, PlatformCapability};
use crate::assistant::model::Model;
use crate::backend::Backend;
use crate::directory::Person;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::flags::Flags;
use crate::notifications::mail::Mailer;
use crate::sql::MetaSql as _;
use crate::staff::access::{self as staff_access, StaffCapability};
use crate::staff::sql::StaffSql as _;
use crate::whatsapp::Sender;
use crate::{marketplace, mentorship, trace};

/// Everybody on campus sees what carries this audience tag.
pub const EVERYONE: &str = "campus:everyone";

/// The crates over one database. Cheap enough to clone for every request.
#[derive(Clone)]
pub struct App<B: Backend> {
    /// The database.
    pub backend: B,
    /// Who belongs to what.
    pub membership: Membership<B::Membership>,
    /// Who may, in a group.
    pub group_capabilities: Capabilities<MemberFacts<B::Membership>, GroupCapability>,
    /// Who may, for a partner.
    pub partner_capabilities: Capabilities<MemberFacts<B::Membership>, PartnerCapability>,
    /// Who may, on the platform.
    pub platform_capabilities: Capabilities<MemberFacts<B::Membership>, PlatformCapability>,
    /// Who may, with the staff.
    pub staff_capabilities: Capabilities<MemberFacts<B::Membership>, StaffCapability>,
    /// Who did what.
    pub audit: Audit<B::Audit>,
    /// Work to do later.
    pub jobs: Jobs<B::Jobs>,
    /// Find it.
    pub search: Search<B::Search>,
    /// Whose signature the sealed audit log has to bear; none where it is not sealed.
    pub verifier: Option<Verifier>,
    /// What new work is on for whom.
    pub flags: Flags,
    /// Sends e-mail; none where that is not set up.
    pub mailer: Option<Mailer>,
    /// The language model that the assistant asks; none if it answers by itself.
    pub model: Option<Model>,
    /// The connection with WhatsApp, if there is one.
    pub whatsapp: Option<Sender>,
}

/// Whoever is looking at a page.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The person.
    pub person: Person,
    /// Their id in every crate.
    pub user: UserId,
    /// Every scope they are an active member of.
    pub memberships: MembershipSet,
    /// Whether they are entered as an employee.
    pub is_employee: bool,
}

impl<B: Backend> App<B> {
    /// Composes the crates over the database and brings its schema up to date.
    ///
    /// # Errors
    /// If a migration fails: close the pool then, since the migrator may have left its lock behind.
    pub async fn open(backend: B) -> Result<Self> {
        backend.migrate().await?;
        let cursor_key = crate::search::cursor_key(&backend).await?;
        let (members, audit, jobs, search) = backend.stores();
        let membership = Membership::new(members)
            .with_kind(access::platform_kind()?)
            .with_kind(mentorship::programme_kind()?)
            .with_kind(marketplace::partner_kind()?);
        let facts = MemberFacts(membership.clone());
        Ok(Self {
            backend,
            membership,
            group_capabilities: Capabilities::new(facts.clone(), access::group_matrix()?),
            partner_capabilities: Capabilities::new(facts.clone(), access::partner_matrix()?),
            platform_capabilities: Capabilities::new(facts.clone(), access::platform_matrix()?),
            staff_capabilities: Capabilities::new(facts, staff_access::matrix()?),
            audit: Audit::new(audit),
            jobs: Jobs::new(jobs).trace(trace::current),
            search: Search::new(search).with_cache(crate::search::CACHE).with_cursor_key(cursor_key),
            verifier: None,
            flags: Flags::default(),
            mailer: None,
            model: None,
            whatsapp: None,
        })
    }

    /// Verifies the sealed audit log by this key.
    #[must_use]
    pub fn with_verifier(self, verifier: Verifier) -> Self {
        Self { verifier: Some(verifier), ..self }
    }

    /// Turns new work on and off as these say.
    #[must_use]
    pub fn with_flags(self, flags: Flags) -> Self {
        Self { flags, ..self }
    }

    /// Sends e-mail with this.
    #[must_use]
    pub fn with_mailer(self, mailer: Mailer) -> Self {
        Self { mailer: Some(mailer), ..self }
    }

    /// Lets the assistant ask this model.
    #[must_use]
    pub fn with_model(self, model: Model) -> Self {
        Self { model: Some(model), ..self }
    }

    /// Talks to people by WhatsApp as well.
    #[must_use]
    pub fn with_whatsapp(self, sender: Sender) -> Self {
        Self { whatsapp: Some(sender), ..self }
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn begin(&self) -> Result<B::Transaction> {
        Ok(self.backend.pool().begin().await?)
    }

    /// Begins a transaction that only reads, and sees one moment.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn read(&self) -> Result<B::Transaction> {
        Ok(self.backend.pool().begin_snapshot().await?)
    }

    /// Commits.
    ///
    /// # Errors
    /// If the database does not answer; then nothing was written, or all of it.
    pub async fn commit(&self, tx: B::Transaction) -> Result<()> {
        Ok(self.backend.pool().commit(tx).await?)
    }

    /// Begins to read as this person: whatever the transaction shows, it shows to who they are in the same moment.
    ///
    /// # Errors
    /// [`Error::NotSignedIn`] if there is no such person; [`Error::Internal`].
    pub async fn read_as(&self, user: &UserId) -> Result<(B::Transaction, Viewer)> {
        let mut tx = self.read().await?;
        let (person, is_employee) = tx.person_and_employee(user.as_str()).await?.ok_or(Error::NotSignedIn)?;
        let memberships = self.membership.of(&mut tx, user).await?;
        Ok((tx, Viewer { person, user: user.clone(), memberships, is_employee }))
    }

    /// Says whether the demo made this database.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_demo(&self) -> Result<bool> {
        let mut tx = self.read().await?;
        Ok(tx.meta("made_by").await?.as_deref() == Some("demo"))
    }

    /// Returns the names of the given people.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn names<'a>(
        &self,
        conn: &mut B::Connection,
        ids: impl Iterator<Item = &'a str> + Send,
    ) -> Result<HashMap<String, String>> {
        let mut names = HashMap::new();
        for id in ids {
            if !names.contains_key(id) {
                let person = conn.person(id).await?;
                names.insert(id.to_owned(), person.map_or_else(|| "somebody".to_owned(), |person| person.name));
            }
        }
        Ok(names)
    }
}

impl Viewer {
    /// What the viewer may find: what everybody may, and what their scopes may.
    ///
    /// # Errors
    /// If a scope's name is no tag; memberships and tags share their bounds, so that does not happen.
    pub fn audience(&self) -> Result<Audience> {
        let tags = self.memberships.tags().chain([EVERYONE.to_owned()]);
        Ok(Audience::tags(tags.map(Tag::try_from).collect::<Result<Vec<_>, _>>()?))
    }
}

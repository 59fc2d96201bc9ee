//! A profile: its fields, and who sees each.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::Audited;
use stoa_membership::{BATCH, CHAPTER, GROUP, Scope, ScopeId};
use stoa_search::{Document, Surface, Tag};
use utoipa::ToSchema;

use crate::app::{EVERYONE, Viewer};
use crate::error::{Error, Result};
use crate::text::{line, line_if_any, text_if_any};

/// Who sees a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Whoever is signed in.
    Everyone,
    /// Whoever is of the same batch.
    Batch,
    /// Whoever has a group or a chapter in common.
    Connections,
    /// The person alone.
    Nobody,
}

impl Visibility {
    /// Every one of them, the widest first.
    pub const ALL: [Self; 4] = [Self::Everyone, Self::Batch, Self::Connections, Self::Nobody];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Batch => "batch",
            Self::Connections => "connections",
            Self::Nobody => "nobody",
        }
    }
}

impl TryFrom<&str> for Visibility {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|visibility| visibility.as_str() == name);
        found.ok_or_else(|| Error::Invalid("an audience is everyone, batch, connections or nobody".into()))
    }
}

impl TryFrom<String> for Visibility {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.as_str().try_into()
    }
}

/// A field that has an audience of its own. Name and headline are for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Where they live.
    City,
    /// Whom they work for.
    Employer,
    /// When they graduated.
    Batch,
    /// What else there is to say.
    Bio,
    /// Where to write to.
    Email,
    /// What to dial.
    Phone,
}

impl Field {
    /// Every field, as a page shows them.
    pub const ALL: [Self; 6] = [Self::Batch, Self::City, Self::Employer, Self::Bio, Self::Email, Self::Phone];

    /// Returns its name in forms and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::City => "city",
            Self::Employer => "employer",
            Self::Batch => "batch",
            Self::Bio => "bio",
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// Everything about somebody. Never handed out: what a viewer may see of it is.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Profile {
    /// The person.
    pub id: String,
    /// As they want to be called.
    pub name: String,
    /// What they do, in a few words.
    pub headline: String,
    /// Where they live.
    pub city: String,
    /// Whom they work for.
    pub employer: String,
    /// When they graduated. The campus says so, not the person.
    pub batch_year: Option<i64>,
    /// What else there is to say.
    pub bio: String,
    /// Where to write to.
    pub email: String,
    /// What to dial.
    pub phone: String,
    /// Who sees the city.
    #[sqlx(try_from = "String")]
    pub city_audience: Visibility,
    /// Who sees the employer.
    #[sqlx(try_from = "String")]
    pub employer_audience: Visibility,
    /// Who sees the batch.
    #[sqlx(try_from = "String")]
    pub batch_audience: Visibility,
    /// Who sees the bio.
    #[sqlx(try_from = "String")]
    pub bio_audience: Visibility,
    /// Who sees the e-mail address.
    #[sqlx(try_from = "String")]
    pub email_audience: Visibility,
    /// Who sees the telephone number.
    #[sqlx(try_from = "String")]
    pub phone_audience: Visibility,
}

/// What of a profile an audit record holds, and what of that can be erased.
impl Audited for Profile {
    const FIELDS: &'static [&'static str] =
        &["city_audience", "employer_audience", "batch_audience", "bio_audience", "email_audience", "phone_audience"];
    const PERSONAL: &'static [&'static str] = &["name", "headline", "city", "employer", "bio", "email", "phone"];
}

impl Profile {
    /// Returns who sees the field.
    pub fn visibility(&self, field: Field) -> Visibility {
        match field {
            Field::City => self.city_audience,
            Field::Employer => self.employer_audience,
            Field::Batch => self.batch_audience,
            Field::Bio => self.bio_audience,
            Field::Email => self.email_audience,
            Field::Phone => self.phone_audience,
        }
    }

    /// Says whether the viewer is of the same batch, as the memberships say.
    pub(super) fn is_batch_of(&self, viewer: &Viewer) -> Result<bool> {
        let Some(year) = self.batch_year else { return Ok(false) };
        Ok(viewer.memberships.is_member(&Scope::new(BATCH, ScopeId::new(year.to_string())?)))
    }

    /// What is left of the profile for somebody to whom these audiences are open. A field that is empty looks like one that is
    /// not for them.
    pub(super) fn shown(&self, is_open: impl Fn(Visibility) -> bool) -> Shown {
        let show = |field: Field, text: &str| {
            Some(text).filter(|text| !text.is_empty() && is_open(self.visibility(field))).map(str::to_owned)
        };
        Shown {
            id: self.id.clone(),
            name: self.name.clone(),
            headline: self.headline.clone(),
            batch: self.batch_year.filter(|_| is_open(self.batch_audience)),
            city: show(Field::City, &self.city),
            employer: show(Field::Employer, &self.employer),
            bio: show(Field::Bio, &self.bio),
            email: show(Field::Email, &self.email),
            phone: show(Field::Phone, &self.phone),
        }
    }

    /// The person as everybody finds them: by what everybody may see. What is for fewer is not in the index at all.
    pub(crate) fn document(&self) -> Result<Document> {
        let shown = self.shown(|visibility| visibility == Visibility::Everyone);
        let batch = shown.batch.map(|year| format!("Class of {year}"));
        let lines = [Some(shown.headline), batch, shown.city, shown.employer, shown.bio, shown.email, shown.phone];
        let lines: Vec<_> = lines.into_iter().flatten().filter(|line| !line.is_empty()).collect();
        Ok(Document::new(Surface::DIRECTORY, self.id.as_str().try_into()?)
            .title(shown.name)
            .body(lines.join("\n"))
            // An id is any text, and a path is not.
            .url(path(&self.id))
            .audience([Tag::try_from(EVERYONE)?]))
    }

    /// The city as it is filtered by: by everybody, or by the batch; of others there is no such thing.
    pub(crate) fn city_key(&self) -> String {
        match self.city_audience {
            Visibility::Everyone | Visibility::Batch => city_key(&self.city),
            Visibility::Connections | Visibility::Nobody => String::new(),
        }
    }
}

/// Cities that differ in case or in spaces are one.
pub(super) fn city_key(city: &str) -> String {
    city.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The years of the viewer's batches, between commas: `,2012,2014,`.
pub(super) fn batches(viewer: &Viewer) -> String {
    let batches = viewer.memberships.scopes().filter(|scope| *scope.kind() == BATCH).map(|scope| scope.id().as_str());
    let years = batches.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
    years.fold(String::from(","), |list, year| list + year + ",")
}

/// Says whether two members of the scope know of each other.
pub(super) fn connects(scope: &Scope) -> bool {
    *scope.kind() == GROUP || *scope.kind() == CHAPTER
}

/// Where somebody's profile is shown.
pub(crate) fn path(id: &str) -> String {
    id.bytes().fold(String::from("/directory/"), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            path.push(byte.into());
        } else {
            // Writing to a string does not fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// What somebody may see of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Shown {
    /// The person.
    pub id: String,
    /// As they want to be called.
    pub name: String,
    /// What they do, in a few words.
    pub headline: String,
    /// When they graduated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<i64>,
    /// Where they live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Whom they work for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub employer: Option<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// Where to write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What to dial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// A profile as its owner writes it, all of it: a text that is left out is emptied, and no audience may be left out.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NewProfile {
    /// As they want to be called: one line.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What they do, in a few words.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub headline: String,
    /// Where they live.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub city: String,
    /// Whom they work for.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub employer: String,
    /// What else there is to say.
    #[serde(default)]
    #[schema(max_length = 4000)]
    pub bio: String,
    /// Where to write to.
    #[serde(default)]
    #[schema(max_length = 254)]
    pub email: String,
    /// What to dial.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub phone: String,
    /// Who sees the city: `everyone`, `batch`, `connections` or `nobody`.
    pub city_audience: String,
    /// Who sees the employer.
    pub employer_audience: String,
    /// Who sees the batch.
    pub batch_audience: String,
    /// Who sees the bio.
    pub bio_audience: String,
    /// Who sees the e-mail address.
    pub email_audience: String,
    /// Who sees the telephone number.
    pub phone_audience: String,
}

/// A profile to write, within its bounds.
#[derive(Clone, Debug)]
pub struct Update {
    profile: Profile,
}

impl Update {
    /// What is left of the profile before is who it is about, and the batch.
    pub(super) fn applied_to(self, before: &Profile) -> Profile {
        Profile { id: before.id.clone(), batch_year: before.batch_year, ..self.profile }
    }
}

impl TryFrom<&NewProfile> for Update {
    type Error = Error;

    fn try_from(new: &NewProfile) -> Result<Self> {
        let email = line_if_any("the e-mail address", &new.email, 254)?;
        let is_address = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        if !email.is_empty() && (!is_address || email.contains(char::is_whitespace)) {
            return Err(Error::Invalid("the e-mail address must look like name@example.org".into()));
        }
        let phone = line_if_any("the telephone number", &new.phone, 40)?;
        if !phone.chars().all(|letter| letter.is_ascii_digit() || "+-() ./".contains(letter)) {
            return Err(Error::Invalid("the telephone number must be made of digits, spaces and +-()./".into()));
        }
        let profile = Profile {
            id: String::new(),
            batch_year: None,
            name: line("the name", &new.name, 100)?,
            headline: line_if_any("the headline", &new.headline, 200)?,
            city: line_if_any("the city", &new.city, 100)?,
            employer: line_if_any("the employer", &new.employer, 100)?,
            bio: text_if_any("the bio", &new.bio, 4000)?,
            email,
            phone,
            city_audience: new.city_audience.as_str().try_into()?,
            employer_audience: new.employer_audience.as_str().try_into()?,
            batch_audience: new.batch_audience.as_str().try_into()?,
            bio_audience: new.bio_audience.as_str().try_into()?,
            email_audience: new.email_audience.as_str().try_into()?,
            phone_audience: new.phone_audience.as_str().try_into()?,
        };
        Ok(Self { profile })
    }
}

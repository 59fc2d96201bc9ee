//! Switches for new work, in one place: on for everybody, for nobody, or for a share of the people.
//!
//! A flag is for what is tried out. What has proven itself loses its flag, and the code without it goes.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use stoa_membership::UserId;

use crate::error::Error;

/// Something that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Digests end with what the recommender found.
    DigestRecommendations,
}

impl Flag {
    /// Every one of them.
    pub const ALL: [Self; 1] = [Self::DigestRecommendations];

    /// Returns its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DigestRecommendations => "digest_recommendations",
        }
    }

    /// Says what it is for.
    pub fn about(self) -> &'static str {
        match self {
            Self::DigestRecommendations => {
                "Ends each digest with posts that the recommender found. It goes out by e-mail, where nobody can mend it: so few get it first."
            }
        }
    }

    /// For how many of a hundred people it is on where nobody says otherwise.
    pub fn default_in(self, environment: Environment) -> u8 {
        match (self, environment) {
            (Self::DigestRecommendations, Environment::Demo) => 100,
            (Self::DigestRecommendations, Environment::Production) => 10,
        }
    }
}

/// Where campus runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Environment {
    /// With people who were made up.
    Demo,
    /// With people.
    #[default]
    Production,
}

/// One flag as the command line sets it: `NAME=on`, `NAME=off`, or `NAME=25` for a quarter of the people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    flag: Flag,
    percent: u8,
}

impl FromStr for Setting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = || Flag::ALL.map(Flag::as_str).join(", ");
        let (name, share) = text.split_once('=').unwrap_or((text, ""));
        let flag = Flag::ALL.into_iter().find(|flag| flag.as_str() == name);
        let flag = flag.ok_or_else(|| Error::Invalid(format!("there is no such flag: there are {}", known())))?;
        let percent = match share {
            "on" => Some(100),
            "off" => Some(0),
            number => number.parse().ok().filter(|percent| *percent <= 100),
        };
        let percent = percent.ok_or_else(|| Error::Invalid("a flag is NAME=on, NAME=off or NAME=PERCENT".into()))?;
        Ok(Self { flag, percent })
    }
}

/// What is on for whom.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    environment: Environment,
    settings: Vec<Setting>,
}

impl Flags {
    /// The defaults of the environment, where no setting says otherwise. Of several for one flag the last holds.
    pub fn new(environment: Environment, settings: Vec<Setting>) -> Self {
        Self { environment, settings }
    }

    /// For how many of a hundred people it is on.
    pub fn percent(&self, flag: Flag) -> u8 {
        let set = self.settings.iter().rfind(|setting| setting.flag == flag);
        set.map_or_else(|| flag.default_in(self.environment), |setting| setting.percent)
    }

    /// Says whether it is on for somebody: always the same, in every process, and still so for a greater share. Who is among the first for
    /// one flag is not for that among the first for another.
    pub fn is_on(&self, flag: Flag, user: &UserId) -> bool {
        let digest = Sha256::new().chain_update(flag.as_str()).chain_update([0]).chain_update(user.as_str()).finalize();
        let place = digest[..8].iter().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte)) % 100;
        place < self.percent(flag).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(percent: u8) -> Vec<usize> {
        let setting = format!("digest_recommendations={percent}").parse().unwrap();
        let flags = Flags::new(Environment::Demo, vec![setting]);
        let is_on = |number: &usize| {
            flags.is_on(Flag::DigestRecommendations, &UserId::new(format!("person-{number}")).unwrap())
        };
        (0..10_000).filter(is_on).collect()
    }

    #[test]
    fn a_greater_share_keeps_those_who_had_it() {
        let mut before = on(0);
        assert!(before.is_empty());
        for percent in [1, 10, 25, 50, 99, 100] {
            let now = on(percent);
            assert!(before.iter().all(|number| now.binary_search(number).is_ok()), "{percent}");
            assert!(now.len().abs_diff(usize::from(percent) * 100) < 200, "{percent}: {}", now.len());
            before = now;
        }
        assert_eq!(before.len(), 10_000);
        // Stored nowhere, and the same for ever: these are the first of the people above.
        assert_eq!(on(1)[..3], [56, 554, 735]);
    }

    #[test]
    fn settings_name_what_there_is() {
        let flags = |settings: &[&str]| {
            let settings = settings.iter().map(|setting| setting.parse().unwrap()).collect();
            Flags::new(Environment::Production, settings).percent(Flag::DigestRecommendations)
        };
        assert_eq!(flags(&[]), 10);
        assert_eq!(flags(&["digest_recommendations=on"]), 100);
        assert_eq!(flags(&["digest_recommendations=on", "digest_recommendations=off"]), 0);
        assert_eq!(flags(&["digest_recommendations=7"]), 7);
        for wrong in [
            "",
            "on",
            "digest",
            "digest=on",
            "digest_recommendations",
            "digest_recommendations=101",
            "digest_recommendations=-1",
            "digest_recommendations=ON",
            "digest_recommendations=1%",
        ] {
            assert!(matches!(wrong.parse::<Setting>(), Err(Error::Invalid(_))), "{wrong}");
        }
        assert!("digest=on".parse::<Setting>().unwrap_err().to_string().contains("digest_recommendations"));
    }
}

//! The transition table: what each verb makes of each state, decided here for every backend.

use crate::{By, Error, Grant, Member, Result, Role, ScopeKind, Standing, State};

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb<'a> {
    Add(&'a Grant),
    Ban,
    Join,
    Leave,
    Remove,
    SetRole(&'a Role),
    Unban,
}

/// Where a row counts as standing: an expired one has left.
enum From {
    None,
    Active,
    Left,
    Banned,
}

/// Says what the row becomes; `None` leaves it as it is.
#[expect(clippy::match_same_arms, reason = "an arm is a cell of the table, in the order of the table")]
pub(crate) fn next(verb: Verb<'_>, before: Option<&Member>, by: &By, kind: &ScopeKind) -> Result<Option<Standing>> {
    let from = match before {
        None => From::None,
        Some(member) if member.is_active() => From::Active,
        Some(member) if member.state() == State::Banned => From::Banned,
        Some(_) => From::Left,
    };
    let default_role = kind.default_role();
    let standing = |role: &Role, state| Standing { role: role.clone(), state, expires_at: None };
    let role = before.map_or(default_role, Member::role);

    let next = match (verb, from) {
        (Verb::Add(grant), _) => Standing { expires_at: grant.expires_at, ..standing(&grant.role, State::Active) },

        (Verb::Join, From::None | From::Left) => standing(default_role, State::Active),
        (Verb::Join, From::Active) => return Ok(None),
        (Verb::Join, From::Banned) => return Err(Error::Banned),

        (Verb::Leave | Verb::Remove, From::None) => return Err(Error::NotMember),
        (Verb::Leave | Verb::Remove, From::Active) => standing(role, State::Left),
        (Verb::Leave | Verb::Remove, From::Left | From::Banned) => return Ok(None),

        (Verb::Ban, From::None) => standing(default_role, State::Banned),
        (Verb::Ban, From::Active | From::Left) => standing(role, State::Banned),
        (Verb::Ban, From::Banned) if by.reason.is_none() => return Ok(None),
        (Verb::Ban, From::Banned) => standing(role, State::Banned),

        (Verb::Unban, From::Banned) => standing(role, State::Left),
        (Verb::Unban, From::None | From::Active | From::Left) => return Err(Error::NotBanned),

        (Verb::SetRole(_), From::None | From::Left) => return Err(Error::NotMember),
        (Verb::SetRole(_), From::Banned) => return Err(Error::Banned),
        (Verb::SetRole(role), From::Active) => {
            Standing { expires_at: before.and_then(Member::expires_at), ..standing(role, State::Active) }
        }
    };
    // A new reason alone is worth a write only where somebody is kept out for it.
    let is_same = next.state != State::Banned && before.is_some_and(|before| before.standing == next);
    Ok((!is_same).then_some(next))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::{GROUP, Reason, Scope, UserId};

    fn role(name: &str) -> Role {
        Role::new(name).unwrap()
    }

    fn member(state: State, expires_at: Option<DateTime<Utc>>) -> Member {
        let standing = Standing { role: role("owner"), state, expires_at };
        Member::new(UserId::new("ada").unwrap(), Scope::group("chess").unwrap(), standing, 1, Utc::now())
    }

    /// One row of the table: the outcomes from none, active, left, expired and banned.
    fn outcomes(verb: Verb<'_>) -> [String; 5] {
        let kind = ScopeKind::new(GROUP, role("member")).owned_by([role("owner")]);
        let by = By::user(&UserId::new("eve").unwrap()).because(Reason::new("why").unwrap());
        let long_ago = Utc::now() - TimeDelta::days(1);
        let befores = [
            None,
            Some(member(State::Active, None)),
            Some(member(State::Left, None)),
            Some(member(State::Active, Some(long_ago))),
            Some(member(State::Banned, None)),
        ];
        befores.map(|before| match next(verb, before.as_ref(), &by, &kind) {
            Ok(None) => "unchanged".into(),
            Ok(Some(next)) => format!("{} {}", next.state, next.role),
            Err(error) => format!("{error:?}"),
        })
    }

    #[test]
    fn the_table_is_the_documented_one() {
        let grant = Grant::new(role("admin"));
        let admin = role("admin");
        assert_eq!(outcomes(Verb::Add(&grant)), ["active admin"; 5]);
        assert_eq!(outcomes(Verb::Join), ["active member", "unchanged", "active member", "active member", "Banned"]);
        for verb in [Verb::Leave, Verb::Remove] {
            assert_eq!(outcomes(verb), ["NotMember", "left owner", "unchanged", "unchanged", "unchanged"]);
        }
        assert_eq!(
            outcomes(Verb::Ban),
            ["banned member", "banned owner", "banned owner", "banned owner", "banned owner"]
        );
        assert_eq!(outcomes(Verb::Unban), ["NotBanned", "NotBanned", "NotBanned", "NotBanned", "left owner"]);
        assert_eq!(outcomes(Verb::SetRole(&admin)), ["NotMember", "active admin", "NotMember", "NotMember", "Banned"]);
    }
}

//! The transition table: what each verb makes of each state, decided here for every backend.

use crate::{By, Error, Grant, Member, Result, Role, ScopeKind, Standing, State, Verb};

/// What a caller asks for: a verb and its object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    Add(&'a Grant),
    Ban,
    Join,
    Leave,
    Remove,
    SetRole(&'a Role),
    Unban,
}

impl Command<'_> {
    pub(crate) fn verb(self) -> Verb {
        match self {
            Self::Add(_) => Verb::Add,
            Self::Ban => Verb::Ban,
            Self::Join => Verb::Join,
            Self::Leave => Verb::Leave,
            Self::Remove => Verb::Remove,
            Self::SetRole(_) => Verb::SetRole,
            Self::Unban => Verb::Unban,
        }
    }
}

/// Says what the row becomes; `None` leaves it as it is.
#[expect(clippy::match_same_arms, reason = "an arm is a cell of the table, in the order of the table")]
pub(crate) fn next(
    command: Command<'_>,
    before: Option<&Member>,
    by: &By,
    kind: &ScopeKind,
) -> Result<Option<Standing>> {
    use Command as C;
    use State::{Active, Banned, Expired, Left};

    let default_role = kind.default_role();
    let standing = |role: &Role, state| Standing { role: role.clone(), state, expires_at: None };
    let role = before.map_or(default_role, Member::role);

    let next = match (command, before.map(Member::state)) {
        (C::Add(grant), _) => Standing { expires_at: grant.expires_at, ..standing(&grant.role, Active) },

        (C::Join, None | Some(Left | Expired)) => standing(default_role, Active),
        (C::Join, Some(Active)) => return Ok(None),
        (C::Join, Some(Banned)) => return Err(Error::Banned),

        (C::Leave | C::Remove, None) => return Err(Error::NotMember),
        (C::Leave | C::Remove, Some(Active)) => standing(role, Left),
        (C::Leave | C::Remove, Some(Left | Expired | Banned)) => return Ok(None),

        (C::Ban, None) => standing(default_role, Banned),
        (C::Ban, Some(Active | Left | Expired)) => standing(role, Banned),
        (C::Ban, Some(Banned)) if by.reason.is_none() => return Ok(None),
        (C::Ban, Some(Banned)) => standing(role, Banned),

        (C::Unban, Some(Banned)) => standing(role, Left),
        (C::Unban, None | Some(Active | Left | Expired)) => return Err(Error::NotBanned),

        (C::SetRole(_), None | Some(Left | Expired)) => return Err(Error::NotMember),
        (C::SetRole(_), Some(Banned)) => return Err(Error::Banned),
        (C::SetRole(role), Some(Active)) => {
            Standing { expires_at: before.and_then(Member::expires_at), ..standing(role, Active) }
        }
    };
    // A new reason alone is worth a write only where somebody is kept out for it.
    let is_same = next.state != Banned && before.is_some_and(|before| before.standing == next);
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
    fn outcomes(command: Command<'_>) -> [String; 5] {
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
        befores.map(|before| match next(command, before.as_ref(), &by, &kind) {
            Ok(None) => "unchanged".into(),
            Ok(Some(next)) => format!("{} {}", next.state, next.role),
            Err(error) => format!("{error:?}"),
        })
    }

    #[test]
    fn the_table_is_the_documented_one() {
        let grant = Grant::new(role("admin"));
        let admin = role("admin");
        assert_eq!(outcomes(Command::Add(&grant)), ["active admin"; 5]);
        assert_eq!(outcomes(Command::Join), ["active member", "unchanged", "active member", "active member", "Banned"]);
        for command in [Command::Leave, Command::Remove] {
            assert_eq!(outcomes(command), ["NotMember", "left owner", "unchanged", "unchanged", "unchanged"]);
        }
        assert_eq!(
            outcomes(Command::Ban),
            ["banned member", "banned owner", "banned owner", "banned owner", "banned owner"]
        );
        assert_eq!(outcomes(Command::Unban), ["NotBanned", "NotBanned", "NotBanned", "NotBanned", "left owner"]);
        assert_eq!(
            outcomes(Command::SetRole(&admin)),
            ["NotMember", "active admin", "NotMember", "NotMember", "Banned"]
        );
    }
}

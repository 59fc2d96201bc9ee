//! What the facade answers over roles of every kind: to check, to filter, to explain, and to have authority over somebody.

use std::collections::BTreeMap;
use std::convert::Infallible;

use stoa_capabilities::{Capabilities, Domain, Error, Explanation, Facts, Matrix, Rule, scoped};

stoa_capabilities::capabilities! {
    /// What one may do in a group.
    enum Can {
        /// Look.
        Read = "group.read",
        /// Write.
        Post = "group.post",
        /// Change members.
        Manage = "group.manage",
    }
}

/// Roles by actor and scope.
type Roles = BTreeMap<(&'static str, u32), &'static str>;

struct Table;

impl Facts for Table {
    type Connection = Roles;
    type Actor = &'static str;
    type Scope = u32;
    type Role = &'static str;
    type Error = Infallible;

    async fn role(
        &self,
        roles: &mut Roles,
        actor: &&'static str,
        scope: &u32,
    ) -> Result<Option<&'static str>, Infallible> {
        Ok(roles.get(&(*actor, *scope)).copied())
    }

    async fn role_many(
        &self,
        roles: &mut Roles,
        actor: &&'static str,
        scopes: &[u32],
    ) -> Result<Vec<Option<&'static str>>, Infallible> {
        Ok(scopes.iter().map(|scope| roles.get(&(*actor, *scope)).copied()).collect())
    }

    async fn hold(
        &self,
        roles: &mut Roles,
        actor: &&'static str,
        scope: &u32,
    ) -> Result<Option<&'static str>, Infallible> {
        self.role(roles, actor, scope).await
    }
}

const ACTORS: [&str; 6] = ["member", "muted", "admin", "owner", "ghost", "stranger"];

fn capabilities() -> Capabilities<Table, Can> {
    let matrix = Matrix::new([
        Rule::new("member").grants([Can::Read, Can::Post]),
        Rule::new("muted").inherits("member").denies([Can::Post]),
        Rule::new("admin").inherits("member").outranks("muted").grants([Can::Manage]),
        Rule::new("owner").inherits("admin"),
    ]);
    Capabilities::new(Table, matrix.unwrap())
}

/// In scope 1 everybody but the stranger has the role of their name; twice over, so that each has a peer.
fn roles() -> Roles {
    let peers = [("peer of member", "member"), ("peer of admin", "admin"), ("peer of owner", "owner")];
    let named = ACTORS.iter().filter(|name| **name != "stranger").map(|name| (*name, *name));
    named.chain(peers).map(|(actor, role)| ((actor, 1), role)).collect()
}

#[tokio::test]
async fn check_check_many_filter_explain_and_authorize_agree() {
    let capabilities = capabilities();
    for actor in ACTORS {
        scoped!(tx = Box::new(roles()));
        let many = capabilities.check_many(&mut tx, Can::ALL, &actor, &1).await.unwrap();
        for (&capability, &allowed) in Can::ALL.iter().zip(&many) {
            assert_eq!(capabilities.check(&mut tx, capability, &actor, &1).await.unwrap(), allowed);
            let why = capabilities.explain(&mut tx, capability, &actor, &1).await.unwrap();
            assert_eq!(why.is_allowed(), allowed, "{actor} {capability}: {why}");
            let places = capabilities.filter(&mut tx, capability, &actor, &[2, 1, 3, 1]).await.unwrap();
            assert_eq!(places, if allowed { vec![1, 1] } else { vec![] }, "{actor} {capability}");
        }
        assert_eq!(capabilities.authorize(&mut tx, Read, &actor, &1).await.is_ok(), many[0], "{actor}");
        assert_eq!(capabilities.authorize(&mut tx, Post, &actor, &1).await.is_ok(), many[1], "{actor}");
        assert_eq!(capabilities.authorize(&mut tx, Manage, &actor, &1).await.is_ok(), many[2], "{actor}");
    }
    let why = capabilities.explain(&mut roles(), Can::Post, &"muted", &1).await.unwrap();
    assert_eq!(why, Explanation::Denied { role: "muted".to_owned(), rule: "muted".to_owned() });
}

#[tokio::test]
async fn authority_reaches_down_only() {
    let capabilities = capabilities();
    let targets =
        ["member", "peer of member", "muted", "admin", "peer of admin", "owner", "peer of owner", "ghost", "stranger"];
    let mut reached = Vec::new();
    for actor in ACTORS {
        scoped!(tx = Box::new(roles()));
        for target in targets {
            match capabilities.authorize_over(&mut tx, Manage, &actor, &1, &target).await {
                Ok(may) => {
                    assert_eq!((may.actor(), may.scope().scope(), may.scope().target()), (&actor, &1, &target));
                    reached.push(format!("{actor} over {target}"));
                }
                Err(error) => assert!(matches!(error, Error::Denied)),
            }
        }
    }
    assert_eq!(
        reached,
        [
            "admin over member",
            "admin over peer of member",
            "admin over muted",
            "admin over stranger",
            "owner over member",
            "owner over peer of member",
            "owner over muted",
            "owner over admin",
            "owner over peer of admin",
            "owner over stranger",
        ]
    );
}

#[tokio::test]
async fn nobody_gives_a_role_above_their_own_nor_any_to_themselves() {
    let capabilities = capabilities();
    let mut given = Vec::new();
    for actor in ACTORS {
        scoped!(tx = Box::new(roles()));
        for target in ["stranger", "member", "admin", "owner"] {
            for role in ["member", "admin", "owner", "ghost"] {
                match capabilities.authorize_grant(&mut tx, Manage, &actor, &1, &target, &role).await {
                    Ok(may) => {
                        let place = may.scope();
                        assert_eq!((place.scope(), place.target(), place.role()), (&1, &target, &role));
                        given.push(format!("{actor} makes {target} {role}"));
                    }
                    Err(error) => assert!(matches!(error, Error::Denied)),
                }
            }
        }
    }
    assert_eq!(
        given,
        [
            "admin makes stranger member",
            "admin makes stranger admin",
            "admin makes member member",
            "admin makes member admin",
            "owner makes stranger member",
            "owner makes stranger admin",
            "owner makes stranger owner",
            "owner makes member member",
            "owner makes member admin",
            "owner makes member owner",
            "owner makes admin member",
            "owner makes admin admin",
            "owner makes admin owner",
        ]
    );
}

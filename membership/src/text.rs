//! What displays as text and parses from it, as that text in `serde`'s formats.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::{Cursor, PageToken, Reason, Role, Scope, ScopeId, ScopeType, State, UserId};

macro_rules! as_text {
    ($($type:ty)*) => {
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                }
            }
        )*
    };
}

as_text! { Cursor PageToken Reason Role Scope ScopeId ScopeType State UserId }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_parsed() {
        let scope: Scope = serde_json::from_str(r#""group:chess""#).unwrap();
        assert_eq!(serde_json::to_string(&scope).unwrap(), r#""group:chess""#);
        assert_eq!(serde_json::to_string(&State::Banned).unwrap(), r#""banned""#);
        assert!(serde_json::from_str::<UserId>(r#""""#).is_err());
        assert!(serde_json::from_str::<Role>(r#""a\nb""#).is_err());
        assert!(serde_json::from_str::<PageToken>(r#""00""#).is_err());
    }
}

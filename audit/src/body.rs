//! Bodies: what an entity looked like, through an allow-list, as the very bytes that are stored.

use std::fmt;
use std::io;

use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeStruct, Serializer};

use crate::{Error, Result};

/// An entity whose states may be recorded, and which of its fields.
///
/// A field that is not listed is not even serialized on the way to a record.
///
/// ```
/// # use serde::Serialize;
/// # use stoa_audit::{Audited, Body};
/// #[derive(Serialize)]
/// struct Member { name: &'static str, password_hash: &'static str }
///
/// impl Audited for Member {
///     const FIELDS: &'static [&'static str] = &["name"];
/// }
///
/// let body = Body::of(&Member { name: "Ada", password_hash: "5e88" })?;
/// assert_eq!(body.as_str(), r#"{"name":"Ada"}"#);
/// # Ok::<(), stoa_audit::Error>(())
/// ```
pub trait Audited: Serialize {
    /// The top-level fields that may reach a record, under the names they serialize to. A listed field goes with all it
    /// holds; a name that the value does not have is no error.
    const FIELDS: &'static [&'static str];

    /// The top-level fields that are personal data, for [`Record::personal`](crate::Record::personal): they are kept apart from
    /// the record and can be erased. Name none of them in [`FIELDS`](Self::FIELDS) as well.
    const PERSONAL: &'static [&'static str] = &[];
}

/// One JSON object, kept and given back byte for byte: order of keys, large integers, `1.0` beside `1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// The largest body, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// The deepest body, in nested objects and arrays: what every JSON reader can follow.
    pub const MAX_DEPTH: usize = 100;

    /// Serializes the listed fields of a struct or a map.
    ///
    /// # Errors
    /// [`Error::BodyTooLarge`], [`Error::BodyTooDeep`], or [`Error::BodyUnserializable`] if it is neither struct nor map or its
    /// `Serialize` fails; what that said is dropped, for it might quote a field that is not listed.
    pub fn of<T: Audited>(value: &T) -> Result<Self> {
        Self::listed(value, T::FIELDS)
    }

    /// Serializes the personal fields of a struct or a map.
    pub(crate) fn personal_of<T: Audited>(value: &T) -> Result<Self> {
        Self::listed(value, T::PERSONAL)
    }

    fn listed<T: Audited>(value: &T, fields: &'static [&'static str]) -> Result<Self> {
        let mut json = serde_json::Serializer::new(Bounded(Vec::new()));
        value.serialize(Listed { fields, inner: &mut json }).map_err(|error| match error.io_error_kind() {
            Some(_) => Error::BodyTooLarge,
            None => Error::BodyUnserializable,
        })?;
        let text = String::from_utf8(json.into_inner().0).map_err(|_| Error::BodyUnserializable)?;
        if depth(&text) > Self::MAX_DEPTH {
            return Err(Error::BodyTooDeep);
        }
        Ok(Self(text))
    }

    /// Takes a body as a backend read it. Nothing is checked: what comes from elsewhere goes through [`of`](Self::of).
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Keeps on either side what the other one does not have, in the bytes of [`of`](Self::of).
    pub(crate) fn diff(before: &Self, after: &Self) -> (Self, Self) {
        let (old, new) = (members(&before.0), members(&after.0));
        let only = |these: &[&str], those: &[&str]| {
            let changed: Vec<&str> = these.iter().copied().filter(|member| !those.contains(member)).collect();
            Self(format!("{{{}}}", changed.join(",")))
        };
        (only(&old, &new), only(&new, &old))
    }

    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Body {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Takes up to [`Body::MAX_BYTES`]; nothing larger is ever held.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > Body::MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts nested objects and arrays in valid JSON. The text is scanned, not the value, since a value may hold raw JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Cuts a JSON object, as [`Body::of`] writes it, into the texts of its members.
fn members(json: &str) -> Vec<&str> {
    let (mut members, mut depth, mut in_string, mut escaped, mut start) = (Vec::new(), 0_usize, false, false, 1);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => {
                members.push(&json[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = &json[start..json.len() - 1];
    members.extend((!last.is_empty()).then_some(last));
    members
}

/// Lets the listed fields of an object through to the inner serializer, and nothing else.
struct Listed<S> {
    fields: &'static [&'static str],
    inner: S,
}

/// Refuses one kind of value that is not an object.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, S::Error> { Err(not_an_object()) })*
    };
}

impl<S: Serializer> Serializer for Listed<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeMap = ListedObject<S::SerializeMap>;
    type SerializeStruct = ListedObject<S::SerializeMap>;
    type SerializeSeq = Impossible<S::Ok, S::Error>;
    type SerializeStructVariant = Impossible<S::Ok, S::Error>;
    type SerializeTuple = Impossible<S::Ok, S::Error>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Impossible<S::Ok, S::Error>;

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        // The length is left open: how many fields are listed is known only at the end.
        Ok(ListedObject { fields: self.fields, inner: self.inner.serialize_map(None)?, key: None })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.serialize_map(None)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, S::Error> {
        Err(not_an_object())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<S::Ok, S::Error> {
        Err(not_an_object())
    }

    refuse! {
        serialize_bool(bool) -> S::Ok;
        serialize_i8(i8) -> S::Ok;
        serialize_i16(i16) -> S::Ok;
        serialize_i32(i32) -> S::Ok;
        serialize_i64(i64) -> S::Ok;
        serialize_u8(u8) -> S::Ok;
        serialize_u16(u16) -> S::Ok;
        serialize_u32(u32) -> S::Ok;
        serialize_u64(u64) -> S::Ok;
        serialize_f32(f32) -> S::Ok;
        serialize_f64(f64) -> S::Ok;
        serialize_char(char) -> S::Ok;
        serialize_str(&str) -> S::Ok;
        serialize_bytes(&[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(&'static str) -> S::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> S::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

fn not_an_object<E: serde::ser::Error>() -> E {
    E::custom("not an object")
}

struct ListedObject<M> {
    fields: &'static [&'static str],
    inner: M,
    key: Option<&'static str>,
}

impl<M: SerializeMap> SerializeStruct for ListedObject<M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), M::Error> {
        if self.fields.contains(&key) { self.inner.serialize_entry(key, value) } else { Ok(()) }
    }

    fn end(self) -> Result<M::Ok, M::Error> {
        self.inner.end()
    }
}

impl<M: SerializeMap> SerializeMap for ListedObject<M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), M::Error> {
        let key = serde_json::to_value(key).map_err(|_| M::Error::custom("the key is no text"))?;
        self.key = self.fields.iter().copied().find(|&field| key == field);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), M::Error> {
        match self.key.take() {
            Some(key) => self.inner.serialize_entry(key, value),
            None => Ok(()),
        }
    }

    fn end(self) -> Result<M::Ok, M::Error> {
        self.inner.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Serialize)]
    struct Post<T> {
        title: T,
        #[serde(skip_serializing_if = "Option::is_none")]
        group_id: Option<u64>,
        secret: Untouchable,
    }

    impl<T: Serialize> Audited for Post<T> {
        const FIELDS: &'static [&'static str] = &["group_id", "title"];
    }

    /// Fails, with the secret in the message, if anything serializes it.
    struct Untouchable;

    impl Serialize for Untouchable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("hunter2"))
        }
    }

    fn post<T>(title: T) -> Post<T> {
        Post { title, group_id: None, secret: Untouchable }
    }

    #[test]
    fn only_listed_fields_are_serialized_in_the_order_of_the_value() {
        let mut post = post("a");
        assert_eq!(Body::of(&post).unwrap().as_str(), r#"{"title":"a"}"#);
        post.group_id = Some(u64::MAX);
        assert_eq!(Body::of(&post).unwrap().as_str(), r#"{"title":"a","group_id":18446744073709551615}"#);
    }

    #[test]
    fn maps_are_filtered_too() {
        #[derive(Serialize)]
        #[serde(transparent)]
        struct Map(BTreeMap<&'static str, f64>);
        impl Audited for Map {
            const FIELDS: &'static [&'static str] = &["b", "c"];
        }
        let map = Map([("a", 1.0), ("b", 1.0), ("c", 0.1)].into());
        assert_eq!(Body::of(&map).unwrap().as_str(), r#"{"b":1.0,"c":0.1}"#);
    }

    #[test]
    fn flattened_structs_are_filtered_too() {
        #[derive(Serialize)]
        struct Outer {
            #[serde(flatten)]
            inner: Post<bool>,
        }
        impl Audited for Outer {
            const FIELDS: &'static [&'static str] = &["title"];
        }
        assert_eq!(Body::of(&Outer { inner: post(true) }).unwrap().as_str(), r#"{"title":true}"#);
    }

    #[test]
    fn an_error_quotes_nothing() {
        let error = Body::of(&post(Untouchable)).unwrap_err();
        assert!(matches!(error, Error::BodyUnserializable));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        #[derive(Serialize)]
        struct Plain<T>(T);
        impl<T: Serialize> Audited for Plain<T> {
            const FIELDS: &'static [&'static str] = &["0"];
        }
        assert!(matches!(Body::of(&Plain("text")), Err(Error::BodyUnserializable)));
        assert!(matches!(Body::of(&Plain([1])), Err(Error::BodyUnserializable)));
        assert!(matches!(Body::of(&Plain(Some(1))), Err(Error::BodyUnserializable)));
        assert!(matches!(Body::of(&Plain(None::<u8>)), Err(Error::BodyUnserializable)));
    }

    #[test]
    fn a_difference_is_cut_between_members_only() {
        let body = |text: &str| Body(text.into());
        for (before, after, old, new) in [
            (r#"{}"#, r#"{}"#, "{}", "{}"),
            (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#, "{}", "{}"),
            (r#"{"a":1,"b":1}"#, r#"{"a":1.0,"b":1}"#, r#"{"a":1}"#, r#"{"a":1.0}"#),
            (
                r#"{"a":",\"b\":2","c":[1,2]}"#,
                r#"{"a":",\"b\":3","c":[1,3]}"#,
                r#"{"a":",\"b\":2","c":[1,2]}"#,
                r#"{"a":",\"b\":3","c":[1,3]}"#,
            ),
            (
                r#"{"a":{"x":1,"y":2},"z":0}"#,
                r#"{"a":{"x":1,"y":3},"z":0}"#,
                r#"{"a":{"x":1,"y":2}}"#,
                r#"{"a":{"x":1,"y":3}}"#,
            ),
            (r#"{"z":0}"#, r#"{"new":"\\","z":0}"#, "{}", r#"{"new":"\\"}"#),
            (r#"{"gone":"]}","z":0}"#, r#"{"z":0}"#, r#"{"gone":"]}"}"#, "{}"),
        ] {
            assert_eq!(Body::diff(&body(before), &body(after)), (body(old), body(new)));
        }
    }

    #[test]
    fn size_and_depth_are_bounded_to_the_unit() {
        let room = Body::MAX_BYTES - r#"{"title":""}"#.len();
        assert!(Body::of(&post("x".repeat(room))).is_ok());
        assert!(matches!(Body::of(&post("x".repeat(room + 1))), Err(Error::BodyTooLarge)));

        let nested = |levels| (0..levels).fold(serde_json::Value::Null, |value, _| [value].into_iter().collect());
        assert!(Body::of(&post(nested(Body::MAX_DEPTH - 1))).is_ok());
        assert!(matches!(Body::of(&post(nested(Body::MAX_DEPTH))), Err(Error::BodyTooDeep)));
        assert!(Body::of(&post("[{\\\"".repeat(200))).is_ok());
    }
}

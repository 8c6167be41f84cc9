use siphasher::sip128::{Hasher128, SipHasher24};
use std::fmt;
use std::hash::Hasher;

/// The key of the hash. It ends in the version of the encoding below: who changes one changes the other.
const KEY: &[u8; 16] = b"buttress-digest1";

/// A hash of a structured key that is the same on every machine, in every process and in every version.
///
/// Use it where a key is large or has no `Hash` of its own, such as the arguments of a call: a table then hashes 16
/// bytes. It is `SipHash-2-4` with 128 bits of output and the key `buttress-digest1`, over parts that are each marked
/// with their kind and length. `("ab", "c")` and `("a", "bc")`, the number 1 and the text "1" therefore differ.
///
/// **Equal digests do not prove equal keys.** They differ by chance only once in 2¹²⁸ pairs, but the key of the hash is
/// public, and `SipHash` promises nothing to those who know it: whoever chooses keys may look for two of one digest. A
/// cache key that carries a digest compares the whole key as well, as below. Nor does a digest hide what went in.
///
/// # Examples
///
/// A key that is hashed by its digest alone, and equal only if everything is:
///
/// ```
/// use buttress_cache::{Cache, Config, Digest, Digester};
/// use serde_json::{Value, json};
/// use std::hash::{Hash, Hasher};
///
/// #[derive(PartialEq, Eq)] // compares all fields
/// struct ToolCall {
///     digest: Digest,
///     tool: String,
///     args: Value,
/// }
///
/// impl Hash for ToolCall {
///     fn hash<H: Hasher>(&self, state: &mut H) {
///         self.digest.hash(state);
///     }
/// }
///
/// impl ToolCall {
///     fn new(tool: &str, args: Value) -> Self {
///         let digest = add(Digest::of("tool-call").text(tool), &args).finish();
///         Self { digest, tool: tool.into(), args }
///     }
/// }
///
/// fn add(digest: Digester, value: &Value) -> Digester {
///     match value {
///         Value::Null => digest.option(None::<()>, |digest, ()| digest),
///         Value::Bool(is) => digest.flag(*is),
///         Value::Number(number) => digest.text("number").text(&number.to_string()),
///         Value::String(text) => digest.text("string").text(text),
///         Value::Array(items) => digest.list(items, add),
///         Value::Object(entries) => digest.entries(entries, add),
///     }
/// }
///
/// let results: Cache<ToolCall, String> = Cache::new("tools", Config::default());
/// results.insert(ToolCall::new("search", json!({ "query": "tower", "page": 1 })), "found".into());
/// assert!(results.get(&ToolCall::new("search", json!({ "page": 1, "query": "tower" }))).is_some());
/// assert!(results.get(&ToolCall::new("search", json!({ "page": "1", "query": "tower" }))).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

impl Digest {
    /// Begins a digest of keys of this kind. Keys of two kinds have nothing to do with each other.
    pub fn of(kind: &str) -> Digester {
        Digester(SipHasher24::new_with_key(KEY)).text(kind)
    }

    /// The digest as a number, whose hexadecimal digits are those that are printed.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Digest {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes in the parts of a key one after the other, for a [`Digest`]. Their order matters.
///
/// # Examples
///
/// ```
/// use buttress_cache::Digest;
///
/// let page = |tenant, page: u32, filter| {
///     Digest::of("page").text(tenant).number(page).option(filter, |digest, filter| digest.text(filter)).finish()
/// };
/// assert_eq!(page("acme", 7, Some("new")), page("acme", 7, Some("new")));
/// assert_ne!(page("acme", 7, Some("")), page("acme", 7, None));
/// // Always the same: it may be written down.
/// assert_eq!(page("acme", 7, None).to_string(), "2901a0cd4061e70a18d223778cf5b6b8");
/// ```
#[derive(Clone, Debug)]
#[must_use = "finish() gives the digest"]
pub struct Digester(SipHasher24);

// One byte says what follows. What has a length says it next, and what holds other parts says where it ends, so that
// no two keys are encoded alike. Part of the format: what is here does not change.
const TEXT: u8 = b't';
const BYTES: u8 = b'b';
const NUMBER: u8 = b'n';
const FLAG: u8 = b'f';
const NONE: u8 = b'-';
const SOME: u8 = b'(';
const LIST: u8 = b'[';
const ENTRIES: u8 = b'{';
const ITEM: u8 = b',';
const END: u8 = b'.';

impl Digester {
    /// Takes in a text.
    pub fn text(self, text: &str) -> Self {
        self.sized(TEXT, text.as_bytes())
    }

    /// Takes in bytes. They differ from a text of the same bytes.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.sized(BYTES, bytes)
    }

    /// Takes in a number, whose type does not matter. A `usize` goes in as `n as u64`, and a `u128` or a float as
    /// bytes.
    pub fn number(self, number: impl Into<i128>) -> Self {
        let mut part = [NUMBER; 17];
        part[1..].copy_from_slice(&number.into().to_le_bytes());
        self.write(&part)
    }

    /// Takes in a yes or no.
    pub fn flag(self, is: bool) -> Self {
        self.write(&[FLAG, u8::from(is)])
    }

    /// Takes in something that may be missing; `part` takes in what it is.
    pub fn option<T>(self, value: Option<T>, part: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => part(self.write(&[SOME]), value).write(&[END]),
            None => self.write(&[NONE]),
        }
    }

    /// Takes in items in their order; `part` takes in one of them, in as many parts as it likes.
    pub fn list<T>(self, items: impl IntoIterator<Item = T>, mut part: impl FnMut(Self, T) -> Self) -> Self {
        let begun = self.write(&[LIST]);
        items.into_iter().fold(begun, |digest, item| part(digest.write(&[ITEM]), item)).write(&[END])
    }

    /// Takes in the entries of a map, whose order does not matter; `part` takes in one value. Allocates to sort them
    /// by key. Several of one key are taken in as they come.
    pub fn entries<K: AsRef<str>, V>(
        self,
        entries: impl IntoIterator<Item = (K, V)>,
        mut part: impl FnMut(Self, V) -> Self,
    ) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.sort_by(|(one, _), (other, _)| one.as_ref().cmp(other.as_ref()));
        let begun = self.write(&[ENTRIES]);
        let add = |digest: Self, (key, value): (K, V)| part(digest.write(&[ITEM]).text(key.as_ref()), value);
        entries.into_iter().fold(begun, add).write(&[END])
    }

    /// The digest of everything that was taken in.
    #[must_use]
    pub fn finish(self) -> Digest {
        // By bytes: `Hash128::as_u128` depends on the machine's byte order.
        Digest(u128::from_be_bytes(self.0.finish128().as_bytes()))
    }

    fn sized(self, kind: u8, bytes: &[u8]) -> Self {
        let mut head = [kind; 9];
        head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.write(&head).write(bytes)
    }

    // Bytes only: `write_u64` and its kin depend on the machine's byte order.
    fn write(mut self, bytes: &[u8]) -> Self {
        self.0.write(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashMap, HashSet};

    fn hash(key: &[u8; 16], message: &[u8]) -> String {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write(message);
        Digester(hasher).finish().to_string()
    }

    // From another implementation: `printf abc | openssl mac -macopt hexkey:.. -macopt size:16 -in - SipHash`.
    #[test]
    fn the_algorithm_is_siphash_2_4_with_128_bits() {
        let counting: [u8; 64] = std::array::from_fn(|i| i as u8);
        let reference: [u8; 16] = std::array::from_fn(|i| i as u8);
        for (length, theirs, ours) in [
            (0, "a3817f04ba25a8e66df67214c7550293", "99f580cd1a95cfe71b0acd5ca16d5084"),
            (1, "da87c1d86b99af44347659119b22fc45", "ab85c8a46decf0ba20b6226eee903f95"),
            (7, "a1f1ebbed8dbc153c0b84aa61ff08239", "0f88a53ff07589d20c892e58240368e1"),
            (8, "3b62a9ba6258f5610f83e264f31497b4", "b07fef2e96d4e917c797e0016e24ec7e"),
            (15, "5493e99933b0a8117e08ec0f97cfc3d9", "1e28912f9f6a3ee463a3d5d7f84d4be0"),
            (16, "6ee2a4ca67b054bbfd3315bf85230577", "ad46e77dafc4190be8b92c6c65fa9412"),
            (63, "5150d1772f50834a503e069a973fbd7c", "e52ffff5bb441571e86d8ca4a7120538"),
        ] {
            assert_eq!(hash(&reference, &counting[..length]), theirs, "{length}");
            assert_eq!(hash(KEY, &counting[..length]), ours, "{length}");
        }
    }

    /// An encoding spelled out, and its hash by `openssl`.
    #[test]
    fn what_a_key_is_encoded_as_does_not_change() {
        let digest = || Digest::of("k");
        let text = |digest: Digester, text: &str| digest.text(text);
        for (digest, encoded, hex) in [
            (digest(), &b""[..], "f4b1a07bba8849d4000fa596c6499f49"),
            (digest().text("search"), &b"t\x06\0\0\0\0\0\0\0search"[..], "0aa7641d5a3a65d112f80254509a1d07"),
            (
                digest().bytes(b"\0\xff"),
                &b"b\x02\0\0\0\0\0\0\0\0\xff"[..],
                "d046eb3a820231dd084c76411597e0a4",
            ),
            (
                digest().number(7),
                &b"n\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..],
                "7fe34d5ba3d510f28df7a328dc4ce009",
            ),
            (
                digest().number(-2),
                &b"n\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..],
                "af01a31e0cb1750e7228704790368f84",
            ),
            (digest().flag(false).flag(true), &b"f\0f\x01"[..], "6d1834ca5d8a3372bd091b2b620decc1"),
            (
                digest().option(None, text).option(Some("a"), text),
                &b"-(t\x01\0\0\0\0\0\0\0a."[..],
                "568f1eaa164208d5ca4d4cec63b3f230",
            ),
            (
                digest().list(["a", "b"], text),
                &b"[,t\x01\0\0\0\0\0\0\0a,t\x01\0\0\0\0\0\0\0b."[..],
                "1c2c901ba9ec08123bae6932eb989e4a",
            ),
            (
                digest().entries([("b", "y"), ("a", "x")], text),
                &b"{,t\x01\0\0\0\0\0\0\0at\x01\0\0\0\0\0\0\0x,t\x01\0\0\0\0\0\0\0bt\x01\0\0\0\0\0\0\0y."[..],
                "c86170790fa842e8cfa6fc4b2bba42b9",
            ),
        ] {
            let mut message = b"t\x01\0\0\0\0\0\0\0k".to_vec();
            message.extend_from_slice(encoded);
            let digest = digest.finish();
            assert_eq!(digest.to_string(), hash(KEY, &message), "{}", encoded.escape_ascii());
            assert_eq!(digest.to_string(), hex, "{}", encoded.escape_ascii());
        }
    }

    #[test]
    fn keys_that_look_alike_differ() {
        let digest = || Digest::of("k");
        let text = |digest: Digester, text: &str| digest.text(text);
        let none = None::<&str>;
        let all = [
            Digest::of("").finish(),
            digest().finish(),
            digest().text("").finish(),
            digest().text("").text("").finish(),
            digest().text("ab").text("c").finish(),
            digest().text("a").text("bc").finish(),
            digest().text("abc").finish(),
            digest().text("c").text("ab").finish(),
            digest().bytes(b"abc").finish(),
            digest().text("1").finish(),
            digest().number(1).finish(),
            digest().number(-1).finish(),
            digest().number(255).finish(),
            digest().flag(true).finish(),
            digest().flag(false).finish(),
            digest().option(none, text).finish(),
            digest().option(Some(""), text).finish(),
            digest().option(none, text).option(none, text).finish(),
            digest().option(none, text).text("").finish(),
            digest().list(none, text).finish(),
            digest().list([""], text).finish(),
            digest().list(["", ""], text).finish(),
            digest().list(["a", "b"], text).finish(),
            digest().list(["a"], text).list(["b"], text).finish(),
            digest().list([["a", "b"]], |digest, item| digest.list(item, text)).finish(),
            digest().list([["a"], ["b"]], |digest, item| digest.list(item, text)).finish(),
            digest().list([("a", "b")], |digest, item| digest.text(item.0).text(item.1)).finish(),
            digest().entries([("a", "b")], text).finish(),
            digest().entries([("b", "a")], text).finish(),
            digest().entries([("a", "b"), ("b", "a")], text).finish(),
            digest().entries([("a", "a"), ("b", "b")], text).finish(),
            digest().entries(None::<(&str, &str)>, text).finish(),
        ];
        let distinct: HashSet<Digest> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn the_type_of_a_number_and_the_order_of_a_map_do_not_matter() {
        let digest = || Digest::of("k");
        let seven = digest().number(7u8).finish();
        assert_eq!([digest().number(7i64).finish(), digest().number(7u64).finish()], [seven; 2]);
        let number = |digest: Digester, number: i32| digest.number(number);
        let forth = digest().entries([("a", 1), ("b", 2), ("ab", 3)], number).finish();
        assert_eq!(digest().entries([("ab", 3), ("b", 2), ("a", 1)], number).finish(), forth);
    }

    #[test]
    fn a_digest_prints_all_its_digits() {
        let small = Digest(0xab);
        assert_eq!(small.to_string(), "000000000000000000000000000000ab");
        assert_eq!((format!("{small:?}"), small.as_u128()), (small.to_string(), 0xab));
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Value {
        Text(String),
        Bytes(Vec<u8>),
        Number(i128),
        Flag(bool),
        Option(Option<Box<Value>>),
        List(Vec<Value>),
        Map(BTreeMap<String, Value>),
    }

    fn add(digest: Digester, value: &Value) -> Digester {
        match value {
            Value::Text(text) => digest.text(text),
            Value::Bytes(bytes) => digest.bytes(bytes),
            Value::Number(number) => digest.number(*number),
            Value::Flag(is) => digest.flag(*is),
            Value::Option(value) => digest.option(value.as_deref(), add),
            Value::List(values) => digest.list(values, add),
            // In an order that differs from one run to the next.
            Value::Map(entries) => digest.entries(entries.iter().collect::<HashMap<_, _>>(), add),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[a,.]{0,2}".prop_map(Value::Text),
            prop::collection::vec(prop_oneof![Just(b'a'), Just(b'.')], 0..2).prop_map(Value::Bytes),
            (-1..2i128).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag),
            Just(Value::Option(None)),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|value| Value::Option(Some(Box::new(value)))),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
                prop::collection::btree_map("[ab]{0,2}", inner, 0..3).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_keys_have_one_digest_exactly_if_they_are_equal(
            one in prop::collection::vec(value(), 0..3),
            other in prop::collection::vec(value(), 0..3),
        ) {
            let digest = |values: &[Value]| values.iter().fold(Digest::of("k"), add).finish();
            prop_assert_eq!(digest(&one), digest(&one.clone()));
            prop_assert_eq!(digest(&one) == digest(&other), one == other);
        }
    }
}

//! Which requests a stored response answers, of those for its URI (§4.1).

use super::fields::{elements, pair};
use http::header::{ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;
use std::io::Write;

/// What a response varies on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Vary {
    /// On the URI alone.
    Nothing,
    /// On these fields, in order, each once.
    Fields(Box<[HeaderName]>),
    /// On something that no request can say. It matches none.
    Star,
}

impl Vary {
    pub(crate) fn of(response: &HeaderMap) -> Self {
        let mut fields = Vec::new();
        for name in elements(response, &VARY) {
            match HeaderName::from_bytes(name) {
                Ok(name) if name.as_str() != "*" => fields.push(name),
                // `*`, or what is no name: nobody can tell what it varies on.
                _ => return Vary::Star,
            }
        }
        if fields.is_empty() {
            return Vary::Nothing;
        }
        fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        fields.dedup();
        Vary::Fields(fields.into())
    }

    /// What it takes of memory.
    pub(crate) fn weight(&self) -> usize {
        let fields = if let Vary::Fields(fields) = self { &fields[..] } else { &[] };
        size_of::<Self>()
            + fields.iter().map(|name| size_of::<HeaderName>() + name.as_str().len()).sum::<usize>()
    }

    /// What of a request selects the response: two requests with one key are answered alike. `None` for `*`.
    pub(crate) fn key(&self, request: &HeaderMap) -> Option<VaryKey> {
        let mut key = Vec::new();
        match self {
            Vary::Star => return None,
            Vary::Nothing => {}
            Vary::Fields(fields) => {
                for name in fields {
                    write_field(&mut key, request, name);
                }
            }
        }
        Some(VaryKey(key.into()))
    }
}

/// The normalised values of the fields that a response varies on, with their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VaryKey(Box<[u8]>);

impl VaryKey {
    /// To be hashed, or to be a part of another key. No two keys begin alike and end in the same place.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes `name\n` if it is absent, which is only like being absent; else `name: values\n`. A value has no line feed.
fn write_field(key: &mut Vec<u8>, request: &HeaderMap, name: &HeaderName) {
    key.extend_from_slice(name.as_str().as_bytes());
    if request.contains_key(name) {
        key.extend_from_slice(b": ");
        let ranked = [ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name);
        if ranked { write_ranked(key, request, name) } else { write_list(key, request, name) }
    }
    key.push(b'\n');
}

/// §4.1: lines are joined, and space between the elements does not count.
fn write_list(key: &mut Vec<u8>, request: &HeaderMap, name: &HeaderName) {
    for (index, element) in elements(request, name).enumerate() {
        if index > 0 {
            key.push(b',');
        }
        key.extend_from_slice(element);
    }
}

/// §4.1: in these fields (RFC 9110 §12.5), case does not count and order means nothing beside the weights.
fn write_ranked(key: &mut Vec<u8>, request: &HeaderMap, name: &HeaderName) {
    let mut ranks: Vec<(Cow<'_, [u8]>, Option<u16>)> = elements(request, name).map(ranked).collect();
    ranks.sort_unstable();
    ranks.dedup();
    for (index, (what, weight)) in ranks.iter().enumerate() {
        if index > 0 {
            key.push(b',');
        }
        key.extend_from_slice(what);
        match weight {
            Some(1000) => {}
            // Writing to a Vec does not fail.
            Some(weight) => drop(write!(key, ";q={weight}")),
            None => key.extend_from_slice(b";?"),
        }
    }
}

/// An element in lower case, and its weight in thousandths. One that is not well-formed is left as it is.
fn ranked(element: &[u8]) -> (Cow<'_, [u8]>, Option<u16>) {
    let mut parts = element.splitn(2, |&byte| byte == b';');
    let what = parts.next().unwrap_or_default().trim_ascii_end();
    let weight = match parts.next() {
        None => Some(1000),
        Some(weight) => match pair(weight.trim_ascii()) {
            (b"q" | b"Q", Some(weight)) => thousandths(weight),
            _ => None,
        },
    };
    match weight {
        None => (Cow::Borrowed(element), None),
        Some(_) if what.iter().any(u8::is_ascii_uppercase) => (what.to_ascii_lowercase().into(), weight),
        Some(_) => (Cow::Borrowed(what), weight),
    }
}

/// A weight (RFC 9110 §12.4.2).
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, fraction) = match weight {
        [whole] | [whole, b'.'] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] => (*whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u16::from(fraction.get(at).map_or(0, |byte| byte - b'0'));
    let fraction = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(fraction),
        b'1' if fraction == 0 => Some(1000),
        _ => None,
    }
}

//! What is stored, and under what.

use super::policy::Policy;
use super::vary::{Vary, VaryKey};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use std::mem::size_of;
use std::sync::Arc;
use std::time::SystemTime;

/// Under what something is stored. All that is stored of one URI begins with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HttpKey {
    /// The response itself, or what it varies on.
    Primary(String),
    /// The response to requests that say this.
    Variant(String, VaryKey),
}

impl HttpKey {
    pub(crate) fn uri(&self) -> &str {
        match self {
            HttpKey::Primary(uri) | HttpKey::Variant(uri, _) => uri,
        }
    }

    pub(crate) fn into_uri(self) -> String {
        match self {
            HttpKey::Primary(uri) | HttpKey::Variant(uri, _) => uri,
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        matches!(self, HttpKey::Primary(_))
    }

    /// Where the response to a request is stored that varies so. `None` for `*`.
    pub(crate) fn of(uri: &str, vary: &Vary, request: &HeaderMap) -> Option<Self> {
        Some(match vary {
            Vary::Nothing => HttpKey::Primary(uri.to_owned()),
            vary => HttpKey::Variant(uri.to_owned(), vary.key(request)?),
        })
    }
}

/// The tag of everything that is stored of one URI. No tag of a response has a space in it.
pub(crate) fn tag_of(uri: &str) -> String {
    format!(" {uri}")
}

/// What is stored.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Response(Arc<Stored>),
    /// It depends on these fields where the response is.
    Varies(Arc<Vary>),
}

impl Entry {
    pub(crate) fn is(&self, other: &Arc<Stored>) -> bool {
        matches!(self, Entry::Response(stored) if Arc::ptr_eq(stored, other))
    }

    /// What it takes of memory, more or less.
    pub(crate) fn weight(&self) -> u64 {
        let bytes = match self {
            Entry::Response(stored) => stored.weight(),
            Entry::Varies(_) => size_of::<Vary>(),
        };
        bytes as u64
    }
}

/// A response. A hit shares all of it but the fields.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) policy: Policy,
    /// When its head came.
    pub(crate) received: SystemTime,
    pub(crate) body: Arc<[Bytes]>,
    /// All of the body.
    pub(crate) length: u64,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Stored {
    fn weight(&self) -> usize {
        let fields = |headers: &HeaderMap| {
            // A field takes some room beside its name and value.
            headers.iter().map(|(name, value)| 64 + name.as_str().len() + value.len()).sum::<usize>()
        };
        let body = usize::try_from(self.length).unwrap_or(usize::MAX);
        let chunks = self.body.len() * size_of::<Bytes>();
        let head = size_of::<Self>() + fields(&self.headers) + self.trailers.as_ref().map_or(0, fields);
        body.saturating_add(head + chunks)
    }
}

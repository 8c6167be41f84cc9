//! `Cache-Status` (RFC 9211).

use super::structured::write_name;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::fmt::Write;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fwd {
    /// The cache was told not to handle it.
    Bypass,
    /// Its method is not cached.
    Method,
    /// Nothing was stored for its URI.
    UriMiss,
    /// Something was, for requests that say other things.
    VaryMiss,
    /// It is one of these two, and which is not known.
    Miss,
    /// What was stored is fresh, but the request wants more.
    Request,
    /// What was stored is stale.
    Stale,
    /// What was stored is only a part.
    Partial,
}

impl Fwd {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Fwd::Bypass => "bypass",
            Fwd::Method => "method",
            Fwd::UriMiss => "uri-miss",
            Fwd::VaryMiss => "vary-miss",
            Fwd::Miss => "miss",
            Fwd::Request => "request",
            Fwd::Stale => "stale",
            Fwd::Partial => "partial",
        }
    }
}

/// What a cache has done with a request: what is said of it in `Cache-Status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStatus {
    /// `None` is a hit (RFC 9211 §2.1): the two exclude each other.
    pub(crate) fwd: Option<Fwd>,
    /// What the origin has answered, if that is not what is sent (RFC 9211 §2.3).
    pub(crate) fwd_status: Option<StatusCode>,
    /// How long it is fresh yet; below zero, how long it has not been (RFC 9211 §2.6).
    pub(crate) ttl: Option<i64>,
    /// Stored now (RFC 9211 §2.5). Not said of a hit.
    pub(crate) stored: bool,
    /// Answered by what another request fetched (RFC 9211 §2.4). Not said of a hit.
    pub(crate) collapsed: bool,
    /// A word on why (RFC 9211 §2.8).
    pub(crate) detail: Option<&'static str>,
}

impl CacheStatus {
    /// Answered from the cache.
    pub(crate) fn hit(ttl: i64) -> Self {
        Self { ttl: Some(ttl), ..Self::default() }
    }

    /// Asked the origin.
    pub(crate) fn fwd(fwd: Fwd) -> Self {
        Self { fwd: Some(fwd), ..Self::default() }
    }

    /// As a member of the list, under this cache's name.
    pub(crate) fn render(&self, name: &str) -> String {
        let mut text = String::with_capacity(64);
        write_name(&mut text, name);
        // Writing to a String does not fail.
        let _ = match self.fwd {
            None => write!(text, "; hit"),
            Some(fwd) => write!(text, "; fwd={}", fwd.as_str()),
        };
        if let (Some(_), Some(status)) = (self.fwd, self.fwd_status) {
            let _ = write!(text, "; fwd-status={}", status.as_u16());
        }
        if let Some(ttl) = self.ttl {
            // RFC 9651 §3.3.1: an integer has 15 digits at most.
            let most = 999_999_999_999_999;
            let _ = write!(text, "; ttl={}", ttl.clamp(-most, most));
        }
        if self.fwd.is_some() && self.stored {
            text.push_str("; stored");
        }
        if self.fwd.is_some() && self.collapsed {
            text.push_str("; collapsed");
        }
        if let Some(detail) = self.detail {
            text.push_str("; detail=");
            write_name(&mut text, detail);
        }
        text
    }

    /// Adds it after those of the caches nearer to the origin (RFC 9211 §2), which are stored with the response.
    pub(crate) fn append(&self, headers: &mut HeaderMap, name: &str) {
        if let Ok(value) = HeaderValue::from_str(&self.render(name)) {
            headers.append(CACHE_STATUS, value);
        }
    }
}

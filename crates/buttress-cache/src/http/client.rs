//! A request as its client made it, and what is there for it.

use super::answer::Form;
use super::cache::HttpCache;
use super::directives::RequestDirectives;
use super::entry::{Entry, HttpKey, Stored};
use super::key::{Target, is_certain};
use super::policy::Verdict;
use super::request::{Way, way};
use super::status::Fwd;
use http::{HeaderMap, Method, Request, Uri};
use std::sync::Arc;
use std::time::SystemTime;

/// A request as its client made it: what is sent to the origin may say other things.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) directives: RequestDirectives,
    /// Why it goes past the cache.
    pub(crate) pass: Option<Fwd>,
    pub(crate) head: bool,
    pub(crate) ranged: bool,
    /// What responses to it are stored under.
    pub(crate) key: String,
}

/// What a request is, before it is looked up.
#[derive(Debug)]
pub(crate) struct Sort {
    pub(crate) directives: RequestDirectives,
    /// What it is stored under, whether only the head is wanted, and whether a part.
    pub(crate) way: Result<(String, bool, bool), Fwd>,
}

impl Sort {
    pub(crate) fn of<Q>(cache: &HttpCache, request: &Request<Q>) -> Self {
        let (method, headers) = (request.method(), request.headers());
        let directives = RequestDirectives::of(headers);
        let way = match way(method, headers, &directives) {
            Way::Pass(fwd) => Err(fwd),
            Way::Lookup { .. } if !is_certain(request.uri(), headers) => Err(Fwd::Bypass),
            Way::Lookup { ranged, head } => match Target::of(request.uri(), headers) {
                None => Err(Fwd::Bypass),
                Some(target) => Ok((target.key(cache.options().canonical_query), head, ranged)),
            },
        };
        Self { directives, way }
    }

    /// Keeps what is needed of a request that is not answered at once.
    pub(crate) fn client<Q>(self, request: &Request<Q>) -> Client {
        let (pass, (key, head, ranged)) = match self.way {
            Ok(way) => (None, way),
            Err(fwd) => (Some(fwd), (String::new(), false, false)),
        };
        Client {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            directives: self.directives,
            pass,
            head,
            ranged,
            key,
        }
    }
}

impl Client {
    /// Whether it wants the whole, so that what the origin answers may be for others too.
    pub(crate) fn is_whole(&self) -> bool {
        !self.head && !self.ranged
    }

    /// The request for the whole.
    pub(crate) fn whole(&self) -> Self {
        let Self { uri, headers, directives, pass, key, .. } = self;
        Self {
            method: Method::GET,
            uri: uri.clone(),
            headers: headers.clone(),
            directives: *directives,
            pass: *pass,
            head: false,
            ranged: false,
            key: key.clone(),
        }
    }
}

/// What is there for a request.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it is, or would be.
    pub(crate) key: HttpKey,
    pub(crate) stored: Option<(Arc<Stored>, Verdict)>,
    /// Why the origin would be asked.
    pub(crate) fwd: Fwd,
}

/// Looks a request up, by its URI and what it says. A hit is counted; `at_once` says whether a stale one is.
pub(crate) fn look(
    cache: &HttpCache,
    uri: String,
    form: Form<'_>,
    directives: &RequestDirectives,
    now: SystemTime,
    at_once: bool,
) -> Found {
    let whole = follow(cache, HttpKey::whole(uri), form, directives, now, at_once);
    if whole.stored.is_some() || !form.ranged || !cache.options().partial {
        return whole;
    }
    let part = follow(cache, HttpKey::part(whole.key.into_uri()), form, directives, now, at_once);
    let fwd = if part.fwd == Fwd::UriMiss { whole.fwd } else { part.fwd };
    Found { fwd, ..part }
}

/// Goes from a primary key to what is there for a request.
fn follow(
    cache: &HttpCache,
    mut key: HttpKey,
    form: Form<'_>,
    directives: &RequestDirectives,
    now: SystemTime,
    at_once: bool,
) -> Found {
    let mut fwd = Fwd::UriMiss;
    // What varies is one step away, and two if what it varies on has changed.
    for _ in 0..3 {
        match entry(cache, &key, form, directives, now, at_once) {
            Some(Entry::Response(stored)) if stored.suits(form, now) => {
                let verdict = stored.serve(now, directives);
                let fwd = match verdict {
                    Verdict::Revalidate { because_of_request: true, .. } => Fwd::Request,
                    _ => Fwd::Stale,
                };
                return Found { key, stored: Some((stored, verdict)), fwd };
            }
            Some(Entry::Response(_)) => {
                fwd = Fwd::Partial;
                break;
            }
            Some(Entry::Varies(vary)) => {
                fwd = Fwd::VaryMiss;
                match key.of(&vary, form.headers) {
                    Some(next) => key = next,
                    None => break,
                }
            }
            None => break,
        }
    }
    Found { key, stored: None, fwd }
}

/// An entry, counted if it answers.
fn entry(
    cache: &HttpCache,
    key: &HttpKey,
    form: Form<'_>,
    directives: &RequestDirectives,
    now: SystemTime,
    at_once: bool,
) -> Option<Entry> {
    cache.cache().shared.store.look(key, |entry| match entry {
        Entry::Response(stored) if stored.suits(form, now) => match stored.serve(now, directives) {
            Verdict::Fresh => Some(false),
            Verdict::MaxStale => Some(true),
            Verdict::StaleWhileRevalidate if at_once => Some(true),
            _ => None,
        },
        _ => None,
    })
}

/// An entry, without a count of it.
pub(crate) fn peek(cache: &HttpCache, key: &HttpKey) -> Option<Entry> {
    cache.cache().shared.store.look(key, |_| None)
}

//! Cache directives (§5.2): of requests, and of responses in `Cache-Control`, in targeted fields (RFC 9213) and in
//! `Surrogate-Control`.

use super::fields::{is_token, lines, list, pair, seconds, unquoted};
use super::options::{HttpOptions, Mode};
use super::structured::{Item, dictionary};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};
use std::time::Duration;

/// How this cache is called in `Surrogate-Capability` and `Surrogate-Control`: its targets are device tokens.
pub(crate) const SURROGATE: &str = "buttress";

const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// A directive's number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delta {
    #[default]
    Absent,
    Seconds(u32),
    /// It is no number, or there are several that differ.
    Invalid,
}

impl Delta {
    fn of(value: Option<&[u8]>) -> Self {
        // §5.2: both forms of an argument are read.
        let value = value.map(|value| unquoted(value).unwrap_or(value));
        value.and_then(seconds).map_or(Delta::Invalid, Delta::Seconds)
    }

    /// §4.2.1: of a directive that is there twice, the first may be used, or the response is stale. Stale is certainly
    /// right; the same number twice is no conflict.
    fn meet(&mut self, other: Delta) {
        *self = match *self {
            Delta::Absent => other,
            same if same == other => same,
            _ => Delta::Invalid,
        };
    }

    /// §4.2.1: freshness that is not valid makes the response stale.
    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Delta::Absent => None,
            Delta::Seconds(seconds) => Some(Duration::from_secs(u64::from(seconds))),
            Delta::Invalid => Some(Duration::ZERO),
        }
    }
}

/// What `no-cache` or `private` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    #[default]
    Absent,
    /// These fields only.
    Fields(Vec<HeaderName>),
    /// The response.
    All,
}

impl Scope {
    pub(crate) fn is_all(&self) -> bool {
        *self == Scope::All
    }

    pub(crate) fn fields(&self) -> &[HeaderName] {
        match self {
            Scope::Fields(fields) => fields,
            Scope::Absent | Scope::All => &[],
        }
    }

    /// Adds a directive. If what it names are no fields, it is about the response: that is the stricter reading.
    fn meet(&mut self, names: Option<&[u8]>) {
        let names = names.filter(|_| !self.is_all()).and_then(|names| {
            list(names).map(|name| HeaderName::from_bytes(name).ok()).collect::<Option<Vec<_>>>()
        });
        match (names, &mut *self) {
            (Some(names), Scope::Fields(fields)) => fields.extend(names),
            (Some(names), Scope::Absent) if !names.is_empty() => *self = Scope::Fields(names),
            _ => *self = Scope::All,
        }
    }
}

/// What a response says about caching it (§5.2.2, RFC 5861 §3 and §4, RFC 8246).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub(crate) max_age: Delta,
    pub(crate) s_maxage: Delta,
    pub(crate) stale_while_revalidate: Delta,
    pub(crate) stale_if_error: Delta,
    pub(crate) no_cache: Scope,
    pub(crate) private: Scope,
    pub(crate) no_store: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) immutable: bool,
    /// They are from a field in whose presence `Expires` does not count (RFC 9213 §2.2).
    pub(crate) targeted: bool,
}

impl ResponseDirectives {
    /// Those that count: of the first targeted field that is valid and not empty (RFC 9213 §2.2), else those of
    /// `Cache-Control`.
    pub(crate) fn of(headers: &HeaderMap, options: &HttpOptions) -> Self {
        let targeted = options.targeted.iter().find_map(|name| Self::targeted(headers, name));
        targeted
            .or_else(|| if options.surrogate_control { Self::surrogate(headers) } else { None })
            .unwrap_or_else(|| Self::cache_control(headers))
    }

    pub(crate) fn cache_control(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        for line in lines(headers, &CACHE_CONTROL) {
            let mut list = list(line);
            for directive in list.by_ref() {
                let (name, value) = pair(directive);
                all.add(name, value);
            }
            // A quoted string without an end: who can tell what it was to hold. What forbids, counts; what allows
            // to be fresh, does not.
            if list.is_torn() {
                all.max_age = Delta::Invalid;
                all.s_maxage = Delta::Invalid;
            }
        }
        all
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let names = value.map(|value| unquoted(value).unwrap_or(value));
        // Space before the `=` makes no directive that we know, and §5.2.3 has us ignore the others.
        match name {
            _ if is("max-age") => self.max_age.meet(Delta::of(value)),
            _ if is("s-maxage") => self.s_maxage.meet(Delta::of(value)),
            _ if is("stale-while-revalidate") => self.stale_while_revalidate.meet(Delta::of(value)),
            _ if is("stale-if-error") => self.stale_if_error.meet(Delta::of(value)),
            _ if is("no-cache") => self.no_cache.meet(names),
            _ if is("private") => self.private.meet(names),
            _ if is("no-store") => self.no_store = true,
            _ if is("public") => self.public = true,
            _ if is("must-revalidate") => self.must_revalidate = true,
            _ if is("proxy-revalidate") => self.proxy_revalidate = true,
            _ if is("must-understand") => self.must_understand = true,
            _ if is("immutable") => self.immutable = true,
            _ => {}
        }
    }

    /// RFC 9213 §2.1. Several lines are one value (RFC 9651 §4.2).
    fn targeted(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = lines(headers, name);
        let first = lines.next()?;
        let joined: Vec<u8>;
        let value = match lines.next() {
            None => first,
            Some(second) => {
                joined = [first, second].into_iter().chain(lines).collect::<Vec<_>>().join(&b","[..]);
                &joined
            }
        };
        let mut members: Vec<(&[u8], Item<'_>)> = Vec::new();
        dictionary(value, |key, item| {
            members.retain(|(known, _)| *known != key);
            // Bounded: a header with more directives than there are is not read to be remembered.
            if members.len() < 64 {
                members.push((key, item));
            }
        })?;
        if members.is_empty() {
            return None;
        }
        let mut all = Self { targeted: true, ..Self::default() };
        for (key, item) in members {
            all.add_item(key, item);
        }
        Some(all)
    }

    fn add_item(&mut self, key: &[u8], item: Item<'_>) {
        let delta = match item {
            Item::Seconds(seconds) => Delta::Seconds(seconds),
            _ => Delta::Invalid,
        };
        match key {
            b"max-age" => self.max_age = delta,
            b"s-maxage" => self.s_maxage = delta,
            b"stale-while-revalidate" => self.stale_while_revalidate = delta,
            b"stale-if-error" => self.stale_if_error = delta,
            // The rest are true or false, but for fields that are named. A value of another type is the directive all
            // the same: those that allow more with it than without are only true.
            b"public" => self.public = item == Item::Boolean(true),
            b"must-understand" => self.must_understand = item == Item::Boolean(true),
            b"immutable" => self.immutable = item == Item::Boolean(true),
            _ if item == Item::Boolean(false) => {}
            b"no-cache" | b"private" => {
                let names = if let Item::Text(names) = item { Some(names) } else { None };
                let scope = if key == b"private" { &mut self.private } else { &mut self.no_cache };
                scope.meet(names);
            }
            b"no-store" => self.no_store = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            _ => {}
        }
    }

    /// The Edge Architecture note: `no-store`, and `max-age` with an optional stale period (`max-age=60+30`), each for
    /// all or for the device that is named after a `;`. One that names us counts more than one for all.
    fn surrogate(headers: &HeaderMap) -> Option<Self> {
        let mut ours: [Option<Self>; 2] = [None, None];
        for line in lines(headers, &SURROGATE_CONTROL) {
            for directive in list(line) {
                let mut parts = directive.splitn(2, |&byte| byte == b';');
                let (name, value) = pair(parts.next().unwrap_or_default());
                let ours = match parts.next().map(<[u8]>::trim_ascii) {
                    None => &mut ours[1],
                    Some(device) if device == SURROGATE.as_bytes() => &mut ours[0],
                    Some(_) => continue,
                };
                if !is_token(name) {
                    continue;
                }
                if name.eq_ignore_ascii_case(b"no-store") {
                    ours.get_or_insert_default().no_store = true;
                } else if name.eq_ignore_ascii_case(b"max-age") {
                    let ours = ours.get_or_insert_default();
                    let mut times = value.unwrap_or_default().splitn(2, |&byte| byte == b'+');
                    ours.max_age.meet(Delta::of(times.next()));
                    if let Some(more) = times.next() {
                        ours.stale_while_revalidate.meet(Delta::of(Some(more)));
                    }
                }
            }
        }
        let [us, all] = ours;
        us.or(all).map(|directives| Self { targeted: true, ..directives })
    }

    /// The fields that must not be stored with the response (§5.2.2.4, §5.2.2.7). Those of `no-cache` might be, but
    /// not sent before they are validated: leaving them out is the simplest way to that.
    pub(crate) fn unstored(&self, mode: Mode) -> impl Iterator<Item = &HeaderName> {
        let private = if mode == Mode::Shared { self.private.fields() } else { &[] };
        private.iter().chain(self.no_cache.fields())
    }
}

/// How much staler than fresh a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MaxStale {
    Seconds(u32),
    Any,
}

/// What a request says about answering it from a cache (§5.2.1, RFC 5861 §4). They are advice: what is not valid is
/// not there. Of two with one name, the stricter counts. `Pragma` is not read: §5.4 deprecates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    pub(crate) max_age: Option<u32>,
    pub(crate) min_fresh: Option<u32>,
    pub(crate) max_stale: Option<MaxStale>,
    pub(crate) stale_if_error: Option<u32>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}

impl RequestDirectives {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        for directive in lines(headers, &CACHE_CONTROL).flat_map(list) {
            let (name, value) = pair(directive);
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let delta = match Delta::of(value) {
                Delta::Seconds(seconds) => Some(seconds),
                Delta::Absent | Delta::Invalid => None,
            };
            let least = |known: Option<u32>| [known, delta].into_iter().flatten().min();
            match name {
                _ if is("max-age") => all.max_age = least(all.max_age),
                _ if is("stale-if-error") => all.stale_if_error = least(all.stale_if_error),
                _ if is("min-fresh") => all.min_fresh = all.min_fresh.max(delta),
                _ if is("max-stale") => {
                    let new =
                        if value.is_none() { Some(MaxStale::Any) } else { delta.map(MaxStale::Seconds) };
                    all.max_stale = [all.max_stale, new].into_iter().flatten().min();
                }
                _ if is("no-cache") => all.no_cache = true,
                _ if is("no-store") => all.no_store = true,
                _ if is("only-if-cached") => all.only_if_cached = true,
                _ => {}
            }
        }
        all
    }
}

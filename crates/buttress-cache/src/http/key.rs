//! What responses are stored under (§2), and what a request invalidates that writes (§4.4).

use super::request::is_unsafe;
use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use std::borrow::Cow;
use std::fmt::Write;

/// A request's target URI (RFC 9110 §7.1), in parts.
///
/// The key is the URI alone. Only what answers GET is stored, so that the method, which §2 has in the key, would be
/// the same in all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// `None` if the request does not say: servers pass on the path only.
    scheme: Option<&'a str>,
    host: Cow<'a, str>,
    port: Option<u16>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `None` if `Host` or the port is not what it must be, so that nobody can tell whose response it would be.
    pub(crate) fn of(uri: &'a Uri, headers: &HeaderMap) -> Option<Self> {
        let (host, port) = match uri.authority() {
            // RFC 9112 §3.2.2: then Host does not count. The user's name and password are no part of it.
            Some(authority) => (Cow::Borrowed(authority.host()), port(authority)?),
            None => {
                let mut hosts = headers.get_all(HOST).iter();
                match (hosts.next(), hosts.next()) {
                    (None, _) => (Cow::Borrowed(""), None),
                    (Some(host), None) if host.is_empty() => (Cow::Borrowed(""), None),
                    (Some(host), None) if !host.as_bytes().contains(&b'@') => {
                        let authority = Authority::try_from(host.as_bytes()).ok()?;
                        (Cow::Owned(authority.host().to_owned()), port(&authority)?)
                    }
                    _ => return None,
                }
            }
        };
        let scheme = uri.scheme_str();
        let port = port.filter(|&port| default_port(scheme) != Some(port));
        Some(Self { scheme, host, port, path: uri.path(), query: uri.query() })
    }

    /// What it is stored under: `scheme://host/path?query`, without the scheme if that is not known. Scheme and host
    /// are in lower case, and the scheme's own port is left out (RFC 9110 §4.2.3).
    pub(crate) fn key(&self, canonical_query: bool) -> String {
        self.key_of(self.path, self.query, canonical_query)
    }

    fn key_of(&self, path: &str, query: Option<&str>, canonical_query: bool) -> String {
        let length = self.host.len() + path.len() + query.map_or(0, str::len);
        let mut key = String::with_capacity(length + 16);
        if let Some(scheme) = self.scheme {
            key.extend(scheme.chars().map(|char| char.to_ascii_lowercase()));
            key.push(':');
        }
        key.push_str("//");
        key.extend(self.host.chars().map(|char| char.to_ascii_lowercase()));
        if let Some(port) = self.port {
            // Writing to a String does not fail.
            let _ = write!(key, ":{port}");
        }
        if !path.starts_with('/') {
            key.push('/');
        }
        key.push_str(path);
        match query {
            None => {}
            Some(query) if canonical_query && query.contains('&') => {
                let mut parameters: Vec<&str> = query.split('&').collect();
                // By their names, so that those of one name keep their order, which may mean something.
                parameters.sort_by_key(|parameter| parameter.split('=').next());
                for (index, parameter) in parameters.iter().enumerate() {
                    key.push(if index == 0 { '?' } else { '&' });
                    key.push_str(parameter);
                }
            }
            Some(query) => {
                key.push('?');
                key.push_str(query);
            }
        }
        key
    }

    /// The key of what a reference in its response means (RFC 3986 §5.2), or `None` if that is of another origin (§4.4),
    /// or no URI.
    pub(crate) fn resolve(&self, reference: &str, canonical_query: bool) -> Option<String> {
        let reference = reference.split('#').next()?.trim_ascii();
        if let Some((scheme, rest)) = scheme(reference) {
            let known = self.scheme.map_or(is_http(scheme), |own| own.eq_ignore_ascii_case(scheme));
            let rest = rest.strip_prefix("//").filter(|_| known)?;
            return self.resolve_authority(rest, Some(scheme), canonical_query);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return self.resolve_authority(rest, self.scheme, canonical_query);
        }
        let (path, query) = divide(reference);
        match path {
            "" => Some(self.key_of(self.path, query.or(self.query), canonical_query)),
            _ if path.starts_with('/') => Some(self.key_of(&without_dots(path), query, canonical_query)),
            _ => {
                // RFC 3986 §5.2.3: it stands for the last segment.
                let folder = self.path.rfind('/').map_or("/", |slash| &self.path[..=slash]);
                Some(self.key_of(&without_dots(&format!("{folder}{path}")), query, canonical_query))
            }
        }
    }

    fn resolve_authority(&self, rest: &str, scheme: Option<&str>, canonical_query: bool) -> Option<String> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = Authority::try_from(authority).ok()?;
        let port = port(&authority)?.filter(|&port| default_port(scheme) != Some(port));
        // Where the request says no scheme, its port is as it was sent.
        let own = self.port.filter(|&port| default_port(scheme) != Some(port));
        if !authority.host().eq_ignore_ascii_case(&self.host) || port != own {
            return None;
        }
        let (path, query) = divide(rest);
        Some(self.key_of(&without_dots(path), query, canonical_query))
    }
}

/// The keys of what a request has made invalid (§4.4): its target, and what its response names of the same origin.
/// None if it was safe, or has failed.
pub(crate) fn invalidates(
    method: &Method,
    target: &Target<'_>,
    status: StatusCode,
    response: &HeaderMap,
    canonical_query: bool,
) -> Vec<String> {
    if !is_unsafe(method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut keys = vec![target.key(canonical_query)];
    for value in [LOCATION, CONTENT_LOCATION].iter().flat_map(|name| response.get_all(name)) {
        let key = value.to_str().ok().and_then(|reference| target.resolve(reference, canonical_query));
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
    keys
}

/// Whether a request says one thing only of whom it asks. If `Host` is not what its URI says, or that names a user, what is
/// behind the cache may go by what is not in the key.
pub(crate) fn is_certain(uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(authority) = uri.authority() else { return true };
    let own_port =
        |of: &Authority| Some(port(of)?.filter(|&port| default_port(uri.scheme_str()) != Some(port)));
    let is_same = |host: &HeaderValue| {
        host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
            || Authority::try_from(host.as_bytes()).is_ok_and(|host| {
                let is_host = host.host().eq_ignore_ascii_case(authority.host());
                is_host && !has_user(&host) && own_port(&host) == own_port(authority)
            })
    };
    !has_user(authority) && headers.get_all(HOST).iter().all(is_same)
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// The port, if there is one; or `None` if it is no number that a port can be. `Authority` takes that for no port.
fn port(authority: &Authority) -> Option<Option<u16>> {
    let whole = authority.as_str().rsplit('@').next().unwrap_or_default();
    match whole.strip_prefix(authority.host())?.strip_prefix(':') {
        None | Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        Some(_) => None,
    }
}

fn default_port(scheme: Option<&str>) -> Option<u16> {
    match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => Some(80),
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

fn is_http(scheme: &str) -> bool {
    default_port(Some(scheme)).is_some()
}

/// The scheme before the colon, if there is one (RFC 3986 §3.1).
fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then_some((scheme, rest))
}

fn divide(reference: &str) -> (&str, Option<&str>) {
    match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    }
}

/// RFC 3986 §5.2.4, for a path that begins with a slash or is empty.
fn without_dots(path: &str) -> Cow<'_, str> {
    if !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

//! Whether a response is stored (§3).

use super::directives::{RequestDirectives, ResponseDirectives};
use super::freshness::{Times, is_heuristic};
use super::headers::Exempt;
use super::options::{HttpOptions, Mode};
use super::policy::Policy;
use super::range::ContentRange;
use super::validate::update;
use super::vary::Vary;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPIRES, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};

/// A request and what came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    pub(crate) request: &'a HeaderMap,
    pub(crate) status: StatusCode,
    pub(crate) response: &'a HeaderMap,
    pub(crate) times: Times,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStored {
    /// Nothing but answers to GET is. Of POST some could be (RFC 9110 §9.3.3), but what they answer may have been
    /// changed by another write meanwhile, of which they would have to hear.
    Method,
    /// It is 206 or 304, or it must be understood and is not.
    Status,
    RequestNoStore,
    NoStore,
    Private,
    Authorization,
    VaryStar,
    SetCookie,
    TooBig,
    /// Nothing says that it may be.
    NotCacheable,
    /// It is stale already, and cannot be validated.
    Useless,
}

impl NotStored {
    /// For `detail` in `Cache-Status`.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            NotStored::Method => "method",
            NotStored::Status => "status",
            NotStored::RequestNoStore => "request-no-store",
            NotStored::NoStore => "no-store",
            NotStored::Private => "private",
            NotStored::Authorization => "authorization",
            NotStored::VaryStar => "vary-star",
            NotStored::SetCookie => "set-cookie",
            NotStored::TooBig => "too-big",
            NotStored::NotCacheable => "not-cacheable",
            NotStored::Useless => "stale-without-validator",
        }
    }
}

/// The policy of a response that is to be stored, or why it is not (§3).
pub(crate) fn store(exchange: &Exchange<'_>, options: &HttpOptions) -> Result<Policy, NotStored> {
    judge(exchange, options, exchange.response)
}

/// Updates a stored response by a 304 (§4.3.4) or by the answer to a HEAD that is about it (§4.3.5), which the exchange
/// has brought. Its new policy, or why it must not be stored any longer.
pub(crate) fn freshen(
    exchange: &Exchange<'_>,
    status: StatusCode,
    stored: &mut HeaderMap,
    options: &HttpOptions,
) -> Result<Policy, NotStored> {
    let newer = exchange.response;
    let directives = ResponseDirectives::of(newer, options);
    update(stored, newer, &Exempt::new(newer, &directives, options), exchange.times.response);
    judge(&Exchange { method: &Method::GET, status, response: stored, ..*exchange }, options, newer)
}

fn judge(exchange: &Exchange<'_>, options: &HttpOptions, came: &HeaderMap) -> Result<Policy, NotStored> {
    let &Exchange { method, request, status, response, times } = exchange;
    let directives = ResponseDirectives::of(response, options);
    let shared = options.mode == Mode::Shared;

    if *method != Method::GET {
        return Err(NotStored::Method);
    }
    match status.as_u16() {
        206 if options.partial && ContentRange::of(response).is_some() => {}
        // "The response status code is final", and understood if it must be. 412 and 416 answer the conditions and the
        // range of one request; the next one has others.
        ..=199 | 206 | 304 | 412 | 416 => return Err(NotStored::Status),
        _ if directives.must_understand && !is_understood(status) => return Err(NotStored::Status),
        _ => {}
    }
    // §5.2.1.5.
    if RequestDirectives::of(request).no_store {
        return Err(NotStored::RequestNoStore);
    }
    // §5.2.2.3: whoever understands the status may ignore the no-store that is there for those who do not.
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    // §5.2.2.7. With names of fields, it is only those that are not stored.
    if shared && directives.private.is_all() {
        return Err(NotStored::Private);
    }
    // §3.5.
    let may_share =
        directives.must_revalidate || directives.public || directives.s_maxage.duration().is_some();
    if shared && request.contains_key(AUTHORIZATION) && !may_share {
        return Err(NotStored::Authorization);
    }
    // §4.1: it never matches.
    if Vary::of(response) == Vary::Star {
        return Err(NotStored::VaryStar);
    }
    // §7.3. A cookie that is not stored is shared with nobody.
    if shared && !options.set_cookie && response.contains_key(SET_COOKIE) {
        let unstored = directives.unstored(options.mode).any(|name| *name == SET_COOKIE);
        if !unstored {
            return Err(NotStored::SetCookie);
        }
    }
    let length = response.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > options.max_body) {
        return Err(NotStored::TooBig);
    }
    // "The response contains at least one of the following."
    let allowed = directives.public
        || !shared && directives.private.is_all()
        || is_explicit(response, &directives, shared)
        || is_heuristic(status);
    if !allowed {
        return Err(NotStored::NotCacheable);
    }
    let policy = Policy::new(options, status, response, &directives, came, times);
    if policy.kept(times.response).is_zero() {
        return Err(NotStored::Useless);
    }
    Ok(policy)
}

/// Whether it says itself for how long it is fresh.
fn is_explicit(response: &HeaderMap, directives: &ResponseDirectives, shared: bool) -> bool {
    directives.max_age.duration().is_some()
        || shared && directives.s_maxage.duration().is_some()
        || !directives.targeted && response.contains_key(EXPIRES)
}

/// Statuses for which there is no more to do than what is done here (§3, §5.2.2.3).
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300..=303 | 307 | 308 | 400 | 403..=405 | 410 | 414 | 421 | 451 | 500..=504
    )
}

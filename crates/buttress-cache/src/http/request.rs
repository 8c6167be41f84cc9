//! What a request is to a cache, before anything is looked up.

use super::directives::RequestDirectives;
use super::fields::elements;
use super::status::Fwd;
use http::header::{CONTENT_LENGTH, IF_MATCH, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the cache first.
    Lookup {
        /// It asks for a part. On a miss it goes alone to the origin: what comes is for nobody who waits.
        ranged: bool,
        /// HEAD: a stored GET answers it. On a miss it goes alone.
        head: bool,
    },
    /// Past the cache, for this reason.
    Pass(Fwd),
}

/// Where a request goes (§4, RFC 9110 §9.2.3).
pub(crate) fn way(method: &Method, headers: &HeaderMap, directives: &RequestDirectives) -> Way {
    let head = *method == Method::HEAD;
    if !head && *method != Method::GET {
        return Way::Pass(Fwd::Method);
    }
    // §5.2.1.5 lets a stored response answer it all the same. But what else could whoever says so want?
    if directives.no_store {
        return Way::Pass(Fwd::Bypass);
    }
    // §4.3.2: a cache does not evaluate them.
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE) {
        return Way::Pass(Fwd::Bypass);
    }
    // RFC 9110 §9.3.1: nobody knows what content means in a GET. It is not part of the key, so it must not decide what
    // others are served.
    let empty = headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0");
    // RFC 9110 §7.8: an Upgrade may be ignored, and is if it is for a newer HTTP. Others want no response at all.
    let upgrades = elements(headers, &UPGRADE).any(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"));
    if !empty || headers.contains_key(TRANSFER_ENCODING) || upgrades {
        return Way::Pass(Fwd::Bypass);
    }
    // RFC 9110 §14.2: Range means something in a GET only.
    Way::Lookup { ranged: !head && headers.contains_key(RANGE), head }
}

/// Whether a method may change something (§4.4). Those that are not known may.
pub(crate) fn is_unsafe(method: &Method) -> bool {
    // The safe methods of IANA's registry.
    !matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PRI" | "PROPFIND" | "QUERY" | "REPORT" | "SEARCH"
    )
}

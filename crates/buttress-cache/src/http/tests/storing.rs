//! What is stored, of what fields, and by which directives.

use super::super::headers::{Exempt, is_hop_by_hop, strip_hop_by_hop, tags, to_send, to_store};
use super::super::policy::is_error;
use super::super::request::{Way, is_unsafe, way};
use super::super::status::{CACHE_STATUS, CacheStatus, Fwd};
use super::Then::*;
use super::*;
use NotStored as No;

#[test]
fn what_is_not_for_others_is_not_stored() {
    check(
        &HttpOptions::default(),
        r#"
        cc-resp-private-shared ~ Cache-Control: private, max-age=3600 ~ +0 ~ Private
        cc-resp-no-store ~ Cache-Control: no-store ~ +0 ~ NoStore
        cc-resp-no-store-case-insensitive ~ Cache-Control: No-StOrE ~ +0 ~ NoStore
        cc-resp-no-store-fresh ~ Cache-Control: max-age=10000, no-store | Expires: @10000 | Date: @0 ~ +0 ~ NoStore
        other-authorization ~ Expires: @2592000 | Date: @0 ~ +3 ~ Authorization ~ Authorization: FOO ~
        other-authorization-public ~ Cache-Control: max-age=3600, public ~ +3 ~ Hit ~ Authorization: FOO ~
        other-authorization-must-revalidate ~ Cache-Control: max-age=3600, must-revalidate ~ +3 ~ Hit ~ Authorization: FOO ~
        other-authorization-smaxage ~ Cache-Control: s-maxage=3600 ~ +3 ~ Hit ~ Authorization: FOO ~
        §3.5 not by proxy-revalidate ~ Cache-Control: max-age=60, proxy-revalidate ~ +3 ~ Authorization ~ Authorization: FOO ~
        §3.5 nor by a lifetime for all ~ Cache-Control: max-age=60, immutable, stale-if-error=60 ~ +3 ~ Authorization ~ Authorization: FOO ~
        §3.5 private is stronger ~ Cache-Control: max-age=60, public, private ~ +3 ~ Private ~ Authorization: FOO ~
        §3.5 allowed, and not fresh at once ~ Cache-Control: s-maxage=0 | ETag: "a" ~ +3 ~ Must ~ Authorization: FOO ~
        §3.5 a part ~ 206 Cache-Control: max-age=60 | Content-Range: bytes 0-1/4 ~ +3 ~ Authorization ~ Authorization: FOO ~
        §3.5 an error ~ 404 Cache-Control: max-age=60 ~ +3 ~ Authorization ~ Authorization: FOO ~
        §3.5 who asks later has none ~ Cache-Control: max-age=60 ~ +3 ~ Hit ~ ~ Authorization: FOO
        §5.2.1.5 ~ Cache-Control: max-age=60 ~ +0 ~ RequestNoStore ~ Cache-Control: no-store ~
        §5.2.2.7 names fields ~ Cache-Control: private="a", max-age=60 ~ +3 ~ Hit
        §5.2.2.7 names nothing ~ Cache-Control: private="", max-age=60 ~ +3 ~ Private
        §5.2.2.7 names no field ~ Cache-Control: private="a b", max-age=60 ~ +3 ~ Private
        §5.2.2.7 names one, and then all ~ Cache-Control: private=a, private, max-age=60 ~ +3 ~ Private
        §5.2.2.4 names fields ~ Cache-Control: no-cache="a" | Cache-Control: max-age=3600 ~ +3 ~ Hit
        §7.3 ~ Cache-Control: max-age=3600 | Set-Cookie: a=b ~ +0 ~ SetCookie
        §7.3 the cookie alone is not ~ Cache-Control: max-age=3600, no-cache="set-cookie" | Set-Cookie: a=b ~ +0 ~ Hit
        §7.3 the cookie of a part ~ 206 Cache-Control: max-age=60 | Content-Range: bytes 0-1/4 | Set-Cookie: a=b ~ +0 ~ SetCookie
        §7.3 public is not enough ~ Cache-Control: public, max-age=60 | Set-Cookie: a=b ~ +0 ~ SetCookie
        §7.3 nor are other fields ~ Cache-Control: private="a", max-age=60 | Set-Cookie: a=b ~ +0 ~ SetCookie
        §3 too long ~ Cache-Control: max-age=3600 | Content-Length: 5000000 ~ +0 ~ TooBig
        §3 nothing allows it ~ 500 ETag: "a" ~ +0 ~ NotCacheable
        other-fresh-content-disposition-attachment ~ Cache-Control: max-age=3600 | Content-Disposition: attachment ~ +0 ~ Hit
        pragma-response-no-cache ~ Cache-Control: max-age=3600 | Pragma: no-cache ~ +0 ~ Hit
    "#,
    );
    let open = HttpOptions::default().set_cookie(true);
    check(
        &open,
        r#"
        other-set-cookie ~ Cache-Control: max-age=3600 | Set-Cookie: a=b ~ +0 ~ Hit
    "#,
    );
}

#[test]
fn every_final_status_is_stored_if_it_says_how_long() {
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        let fresh = format!("{status} Expires: @100000 | Last-Modified: @0 | Date: @0");
        assert_eq!(then(&HttpOptions::default(), "", &fresh, secs(0), ""), Hit, "status-{status}-fresh");
        let stale = format!("{status} Expires: @-5000 | Last-Modified: @-100000 | Date: @0");
        assert_eq!(then(&HttpOptions::default(), "", &stale, secs(0), ""), Must, "status-{status}-stale");
    }
    for status in [100, 101, 206, 304, 412, 416] {
        let fresh = format!("{status} Cache-Control: max-age=60 | Content-Range: bytes 0-1/2");
        assert_eq!(
            then(&HttpOptions::default().partial(false), "", &fresh, secs(0), ""),
            Not(No::Status),
            "{status}"
        );
    }
    check(
        &HttpOptions::default(),
        r#"
        status-599-must-understand ~ 599 Cache-Control: max-age=3600, must-understand ~ +0 ~ Status
        §5.2.2.3 understood ~ Cache-Control: max-age=3600, must-understand, no-store ~ +0 ~ Hit
        §5.2.2.3 not understood ~ 599 Cache-Control: max-age=3600, must-understand, no-store ~ +0 ~ Status
        method-POST ~ Expires: @2592000 | Content-Location: /test/1 | Date: @0 ~ +3 ~ Method ~ POST ~
        RFC 9110 §9.3.4 ~ Cache-Control: max-age=60 | Content-Location: /test/1 ~ +3 ~ Method ~ PUT ~
        RFC 9110 §9.3.2 ~ Cache-Control: max-age=60 ~ +3 ~ Method ~ HEAD ~
    "#,
    );
    check(
        &HttpOptions::default(),
        r#"
        partial-store-partial-reuse-partial ~ 206 Cache-Control: max-age=3600 | Content-Range: bytes 4-9/10 ~ +0 ~ Hit
        §3.3 of what ~ 206 Cache-Control: max-age=3600 ~ +0 ~ Status
    "#,
    );
    assert_eq!(
        [200, 500, 501, 502, 503, 504, 505].map(|s| is_error(StatusCode::from_u16(s).unwrap())),
        [false, true, false, true, true, true, false]
    );
}

#[test]
fn targeted_fields_come_first() {
    let cdn = HttpOptions::default()
        .targeted(vec!["acme-cache-control".parse().unwrap(), "cdn-cache-control".parse().unwrap()]);
    check(
        &cdn,
        r#"
        RFC 9213 §2.2 ~ CDN-Cache-Control: max-age=60 | Cache-Control: no-store ~ +3 ~ Hit
        RFC 9213 §2.2 forbids ~ CDN-Cache-Control: no-store | Cache-Control: max-age=60 ~ +3 ~ NoStore
        RFC 9213 §2.2 the first of the list ~ CDN-Cache-Control: no-store | Acme-Cache-Control: max-age=60 ~ +3 ~ Hit
        RFC 9213 §2.2 Expires does not count ~ CDN-Cache-Control: must-revalidate | Expires: @60 | Date: @0 ~ +3 ~ Useless
        RFC 9213 §2.1 empty ~ CDN-Cache-Control: | Cache-Control: max-age=60 ~ +3 ~ Hit
        RFC 9213 §2.1 does not parse ~ CDN-Cache-Control: No-Store | Cache-Control: max-age=60 ~ +3 ~ Hit
        RFC 9213 §2.1 does not parse in part ~ CDN-Cache-Control: no-store, max-age= 1 | Cache-Control: max-age=60 ~ +3 ~ Hit
        RFC 9213 §2.1 no integer ~ CDN-Cache-Control: max-age="60" | Cache-Control: max-age=60 ~ +3 ~ Useless
        RFC 9651 §4.2.2 the later counts ~ CDN-Cache-Control: max-age=0, max-age=60 ~ +3 ~ Hit
        RFC 9651 §4.2.2 the later says no ~ CDN-Cache-Control: max-age=60, no-store, no-store=?0 ~ +3 ~ Hit
        RFC 9651 §4.2 lines are one ~ CDN-Cache-Control: max-age=60 | CDN-Cache-Control: private ~ +3 ~ Private
        RFC 9651 §3.2 not so ~ CDN-Cache-Control: max-age=60, no-store=?0 ~ +3 ~ Hit
        RFC 9213 §2.1 names fields ~ CDN-Cache-Control: max-age=60, private="a, b" ~ +3 ~ Hit
        RFC 9213 §2.1 parameters mean nothing ~ CDN-Cache-Control: max-age=60;x=1, public;y ~ +3 ~ Hit
        RFC 9213 §2.1 stale too ~ CDN-Cache-Control: max-age=1, stale-if-error=60, stale-while-revalidate=0 ~ +3 ~ Ask
        RFC 9213 §2.1 forbids stale ~ CDN-Cache-Control: max-age=1, stale-if-error=60, proxy-revalidate ~ +3 ~ Must
        RFC 8246 ~ CDN-Cache-Control: max-age=60, immutable ~ +3 ~ Hit ~ ~ Cache-Control: max-age=0
        §5.2.2.3 ~ 599 CDN-Cache-Control: max-age=60, must-understand ~ +3 ~ Status
        §5.2.2.10 ~ CDN-Cache-Control: max-age=1, s-maxage=60, no-cache=?0 ~ +3 ~ Hit
        §5.2.2.4 ~ CDN-Cache-Control: max-age=1, no-cache | ETag: "a" ~ +0 ~ Must
        not there ~ Cache-Control: max-age=60 ~ +3 ~ Hit
    "#,
    );
    assert_eq!(
        then(&HttpOptions::default(), "", "CDN-Cache-Control: max-age=60", secs(3), ""),
        Not(No::Useless)
    );

    check(
        &HttpOptions::default().surrogate_control(true),
        r#"
        surrogate-max-age ~ Surrogate-Control: max-age=3600 ~ +3 ~ Hit
        surrogate-max-age-me-target ~ Surrogate-Control: max-age=3600;buttress ~ +3 ~ Hit
        surrogate-max-age-other-target ~ Surrogate-Control: max-age=3600;not-for-you ~ +3 ~ Useless
        surrogate-max-age-age ~ Surrogate-Control: max-age=3600 | Age: 7200 ~ +3 ~ Useless
        surrogate-max-age-space-after-equals ~ Cache-Control: max-age=1 | Surrogate-Control: max-age= 100 ~ +3 ~ Useless
        surrogate-max-age-0 ~ Surrogate-Control: max-age=0 ~ +3 ~ Useless
        surrogate-max-age-extension ~ Surrogate-Control: foobar, max-age=3600 ~ +3 ~ Hit
        surrogate-max-age-case-insensitive ~ Surrogate-Control: MaX-aGe=3600 ~ +3 ~ Hit
        surrogate-max-age-expires ~ Surrogate-Control: max-age=3600 | Expires: @-10000 | Date: @0 ~ +3 ~ Hit
        surrogate-max-age-0-expires ~ Surrogate-Control: max-age=0 | Expires: @10000 | Date: @0 ~ +3 ~ Useless
        surrogate-max-age-short-cc-max-age ~ Cache-Control: max-age=1 | Surrogate-Control: max-age=3600 ~ +3 ~ Hit
        surrogate-no-store ~ Surrogate-Control: no-store ~ +3 ~ NoStore
        surrogate-no-store-cc-fresh ~ Cache-Control: max-age=10000 | Surrogate-Control: no-store ~ +3 ~ NoStore
        surrogate-fresh-cc-nostore ~ Cache-Control: no-store | Surrogate-Control: max-age=10000;buttress ~ +3 ~ Hit
        one that names us ~ Surrogate-Control: no-store, max-age=60;buttress ~ +3 ~ Hit
        with a stale period ~ Surrogate-Control: max-age=2+60 ~ +3 ~ Swr
        surrogate-remove-header ~ Cache-Control: max-age=60 | Surrogate-Control: foo ~ +3 ~ Hit
    "#,
    );
}

#[test]
fn fields_of_the_connection_are_not_stored() {
    let stored = |text: &str, options: &HttpOptions| {
        let headers = fields(text);
        let directives = ResponseDirectives::of(&headers, options);
        to_store(&headers, &directives, options, start())
    };
    // All that the suite has in `headers-store-*`.
    for (name, kept) in [
        ("Test-Header", true),
        ("X-Test-Header", true),
        ("Content-Foo", true),
        ("X-Content-Foo", true),
        ("Cache-Control", true),
        ("Connection", false),
        ("Content-Encoding", true),
        ("Content-Length", true),
        ("Content-Location", true),
        ("Content-MD5", true),
        ("Content-Range", true),
        ("Content-Security-Policy", true),
        ("Content-Type", true),
        ("Clear-Site-Data", true),
        ("ETag", true),
        ("Expires", true),
        ("Keep-Alive", false),
        ("Proxy-Authenticate", false),
        ("Proxy-Authentication-Info", false),
        ("Proxy-Authorization", false),
        ("Proxy-Connection", false),
        ("Public-Key-Pins", true),
        ("Set-Cookie", true),
        ("Set-Cookie2", true),
        ("TE", false),
        ("Trailer", false),
        ("Transfer-Encoding", false),
        ("Upgrade", false),
        ("X-Frame-Options", true),
        ("X-XSS-Protection", true),
        ("Age", false),
        ("Date", true),
    ] {
        let open = HttpOptions::default().set_cookie(true);
        let stored = stored(&format!("{name}: 1 | {name}: 2"), &open);
        let values: Vec<_> = stored.get_all(name).iter().collect();
        assert_eq!(values, if kept { &["1", "2"][..] } else { &[] }, "headers-store-{name}");
    }
    let listed =
        stored("Connection: a, b | Connection: C | a: 1 | b: 2 | c: 3 | d: 4", &HttpOptions::default());
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["d", "date"], "headers-omit-headers-listed-in-Connection");
    let named = "Cache-Control: no-cache=\"a, b\", private=c | a: 1 | b: 2 | c: 3 | d: 4";
    let shared = stored(named, &HttpOptions::default());
    assert_eq!(shared.keys().collect::<Vec<_>>(), ["cache-control", "d", "date"], "§5.2.2.4, §5.2.2.7");
    let private = stored(named, &HttpOptions::default().mode(super::super::options::Mode::Private));
    assert!(private.contains_key("c") && !private.contains_key("a"));

    // RFC 9110 §6.6.1, and other-date-update: its own Date is left alone, whatever it is.
    assert_eq!(stored("", &HttpOptions::default())["date"], fields("Date: @0")["date"]);
    assert_eq!(stored("Date: foo", &HttpOptions::default())["date"], "foo");
    assert!(is_hop_by_hop(&"te".parse().unwrap()));
    let headers = fields("Set-Cookie: a=b");
    let directives = ResponseDirectives::default();
    assert!(Exempt::new(&headers, &directives, &HttpOptions::default()).holds(&http::header::SET_COOKIE));
}

#[test]
fn what_is_sent_has_its_age() {
    let stored = fields("Date: @0 | a: 1 | a: 2");
    let sent = to_send(&stored, Duration::from_millis(32_999));
    assert_eq!(sent["age"], "32", "other-age-update-max-age");
    assert_eq!((sent.get_all("a").iter().count(), &sent["date"]), (2, &stored["date"]));
    let mut asked = fields("Connection: close, x | TE: trailers | x: 1 | y: 2");
    strip_hop_by_hop(&mut asked);
    assert_eq!(asked, fields("y: 2"));
    let tagged = fields("Cache-Tag: a,b , c | Surrogate-Key: d  e | Other: f");
    assert_eq!(tags(&tagged, &HttpOptions::default()).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn requests_go_to_the_cache_or_past_it() {
    let looked_up = |ranged, head| Way::Lookup { ranged, head };
    for (text, expected) in [
        ("", looked_up(false, false)),
        ("HEAD", looked_up(false, true)),
        ("Range: bytes=0-1", looked_up(true, false)),
        ("HEAD Range: bytes=0-1", looked_up(false, true)),
        ("If-None-Match: \"a\"", looked_up(false, false)),
        ("Content-Length: 0", looked_up(false, false)),
        ("Upgrade: h2c", looked_up(false, false)),
        ("Cache-Control: no-store", Way::Pass(Fwd::Bypass)),
        ("Content-Length: 3", Way::Pass(Fwd::Bypass)),
        ("Transfer-Encoding: chunked", Way::Pass(Fwd::Bypass)),
        ("Upgrade: websocket", Way::Pass(Fwd::Bypass)),
        ("If-Match: \"a\"", Way::Pass(Fwd::Bypass)),
        ("If-Unmodified-Since: @0", Way::Pass(Fwd::Bypass)),
        ("POST", Way::Pass(Fwd::Method)),
        ("M-SEARCH", Way::Pass(Fwd::Method)),
        ("OPTIONS", Way::Pass(Fwd::Method)),
    ] {
        let (method, headers) = request(text);
        assert_eq!(way(&method, &headers, &RequestDirectives::of(&headers)), expected, "{text}");
    }
    for (method, changes) in
        [("GET", false), ("SEARCH", false), ("POST", true), ("M-SEARCH", true), ("get", true)]
    {
        assert_eq!(is_unsafe(&method.parse().unwrap()), changes, "{method}");
    }
}

#[test]
fn cache_status_says_what_was_done() {
    let ok = Some(StatusCode::NOT_MODIFIED);
    for (status, expected) in [
        (CacheStatus::hit(376), "b; hit; ttl=376"),
        (CacheStatus { detail: Some("stale"), ..CacheStatus::hit(-412) }, "b; hit; ttl=-412; detail=stale"),
        (
            CacheStatus { stored: true, collapsed: true, ..CacheStatus::hit(i64::MAX) },
            "b; hit; ttl=999999999999999",
        ),
        (CacheStatus::fwd(Fwd::UriMiss), "b; fwd=uri-miss"),
        (
            CacheStatus { fwd_status: ok, stored: true, ttl: Some(60), ..CacheStatus::fwd(Fwd::Stale) },
            "b; fwd=stale; fwd-status=304; ttl=60; stored",
        ),
        (CacheStatus { collapsed: true, ..CacheStatus::fwd(Fwd::VaryMiss) }, "b; fwd=vary-miss; collapsed"),
        (
            CacheStatus { detail: Some(No::VaryStar.detail()), ..CacheStatus::fwd(Fwd::Miss) },
            "b; fwd=miss; detail=vary-star",
        ),
        (CacheStatus::fwd(Fwd::Method), "b; fwd=method"),
        (CacheStatus::fwd(Fwd::Bypass), "b; fwd=bypass"),
        (CacheStatus::fwd(Fwd::Request), "b; fwd=request"),
        (CacheStatus::fwd(Fwd::Partial), "b; fwd=partial"),
    ] {
        assert_eq!(status.render("b"), expected, "RFC 9211 §2");
    }
    let mut headers = fields("Cache-Status: origin; hit");
    CacheStatus::hit(1).append(&mut headers, "my \"own\"");
    let all: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
    assert_eq!(all, ["origin; hit", "\"my \\\"own\\\"\"; hit; ttl=1"]);
    // Each is a token, so that nothing need be escaped in a hurry.
    let reasons = [
        No::Method,
        No::Status,
        No::RequestNoStore,
        No::NoStore,
        No::Private,
        No::Authorization,
        No::VaryStar,
        No::SetCookie,
        No::TooBig,
        No::NotCacheable,
        No::Useless,
    ];
    assert!(
        reasons
            .iter()
            .all(|reason| reason.detail().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
    );
}

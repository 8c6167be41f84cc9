//! Conditions of both sides, and what a 304 or the answer to HEAD changes.

use super::super::headers::{Exempt, to_store};
use super::super::storing::freshen;
use super::super::validate::{
    Condition, conditions, if_range, is_same_head, make_conditional, not_modified, update,
};
use super::*;
use Condition::{NotModified, Send};

#[test]
fn a_client_that_has_it_gets_304() {
    let etag = |tag: &str| format!("ETag: {tag} | Date: @0");
    for (name, stored, asked, expected) in [
        ("conditional-etag-strong-respond", &*etag("\"abcdef\""), "If-None-Match: \"abcdef\"", NotModified),
        ("conditional-etag-weak-respond", &etag("W/\"abcdef\""), "If-None-Match: W/\"abcdef\"", NotModified),
        ("RFC 9110 §13.1.2 weakly", &etag("\"abcdef\""), "If-None-Match: W/\"abcdef\"", NotModified),
        (
            "conditional-etag-strong-respond-multiple-first",
            &etag("\"abcdef\""),
            "If-None-Match: \"abcdef\", \"1234\", \"5678\"",
            NotModified,
        ),
        (
            "conditional-etag-strong-respond-multiple-second",
            &etag("\"abcdef\""),
            "If-None-Match: \"1234\", \"abcdef\", \"5678\"",
            NotModified,
        ),
        (
            "conditional-etag-strong-respond-multiple-last",
            &etag("\"abcdef\""),
            "If-None-Match: \"1234\", \"5678\", \"abcdef\"",
            NotModified,
        ),
        (
            "RFC 9110 §5.3 on two lines",
            &etag("\"abcdef\""),
            "If-None-Match: \"1234\" | If-None-Match: \"abcdef\"",
            NotModified,
        ),
        (
            "conditional-etag-strong-respond-obs-text",
            &etag("\"abcdefü\""),
            "If-None-Match: \"abcdefü\"",
            NotModified,
        ),
        (
            "RFC 9110 §8.8.3 a comma, a backslash",
            &etag("\"a,b\\\""),
            "If-None-Match: \"x\\\", \"a,b\\\"",
            NotModified,
        ),
        ("RFC 9110 §13.1.2 any", &etag("\"abcdef\""), "If-None-Match: *", NotModified),
        ("RFC 9110 §13.1.2 any, without a tag", "Date: @0", "If-None-Match: *", NotModified),
        ("RFC 9110 §13.1.2 another", &etag("\"abcdef\""), "If-None-Match: \"ABCDEF\"", Send),
        ("RFC 9110 §13.1.2 nothing to compare", "Date: @0", "If-None-Match: \"abcdef\"", Send),
        ("conditional-etag-unquoted-respond-quoted", &etag("abcdef"), "If-None-Match: \"abcdef\"", Send),
        ("conditional-etag-quoted-respond-unquoted", &etag("\"abcdef\""), "If-None-Match: abcdef", Send),
        (
            "conditional-etag-weak-respond-lowercase",
            &etag("w/\"abcdef\""),
            "If-None-Match: w/\"abcdef\"",
            Send,
        ),
        (
            "conditional-etag-precedence",
            "Last-Modified: @-5000 | ETag: \"abcdef\"",
            "If-None-Match: \"abcdef\" | If-Modified-Since: @-9999",
            NotModified,
        ),
        (
            "RFC 9110 §13.1.3 does not count",
            "Last-Modified: @-5000 | ETag: \"abcdef\"",
            "If-None-Match: \"x\" | If-Modified-Since: @-1",
            Send,
        ),
        (
            "conditional-lm-fresh",
            "Last-Modified: @-3000 | Date: @0",
            "If-Modified-Since: @-3000",
            NotModified,
        ),
        (
            "conditional-lm-fresh-earlier",
            "Last-Modified: @-3000 | Date: @0",
            "If-Modified-Since: @-2000",
            NotModified,
        ),
        ("§4.3.2 modified later", "Last-Modified: @-3000 | Date: @0", "If-Modified-Since: @-3001", Send),
        (
            "conditional-lm-fresh-rfc850",
            "Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT",
            "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
            NotModified,
        ),
        ("§4.3.2 by its Date", "Date: @-3000", "If-Modified-Since: @-3000", NotModified),
        // The suite has 304 here; §4.3.2 has it only if the Date is not after the condition, as it is.
        ("conditional-lm-fresh-no-lm", "Date: @0", "If-Modified-Since: @-3000", Send),
        ("§4.3.2 by when it came", "", "If-Modified-Since: @0", NotModified),
        ("§4.3.2 before it came", "", "If-Modified-Since: @-1", Send),
        ("RFC 9110 §13.1.3 no date", "Last-Modified: @-3000", "If-Modified-Since: x", Send),
        (
            "RFC 9110 §13.1.3 two dates",
            "Last-Modified: @-3000",
            "If-Modified-Since: @0 | If-Modified-Since: @1",
            Send,
        ),
        ("no condition", "Last-Modified: @-3000 | ETag: \"a\"", "", Send),
    ] {
        let came = conditions(&fields(asked), StatusCode::OK, &fields(stored), start(), start());
        assert_eq!(came, expected, "{name}");
    }
    // RFC 9110 §13.2.1.
    let asked = fields("If-None-Match: *");
    assert_eq!(conditions(&asked, StatusCode::NOT_FOUND, &HeaderMap::new(), start(), start()), Send);

    let mut sent = fields(
        "ETag: \"a\" | Age: 3 | Vary: b | Content-Type: c | Content-Length: 4 | Cache-Status: d | Set-Cookie: e",
    );
    not_modified(&mut sent);
    let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(sent["etag"], "\"a\"", "conditional-304-etag");
}

#[test]
fn if_range_compares_strongly() {
    for (name, stored, asked, expected) in [
        ("RFC 9110 §13.1.5", "ETag: \"a\"", "If-Range: \"a\"", true),
        ("RFC 9110 §13.1.5 another", "ETag: \"b\"", "If-Range: \"a\"", false),
        ("RFC 9110 §13.1.5 weak", "ETag: W/\"a\"", "If-Range: W/\"a\"", false),
        ("RFC 9110 §13.1.5 weak and strong", "ETag: W/\"a\"", "If-Range: \"a\"", false),
        ("RFC 9110 §13.1.5 no tag", "", "If-Range: \"a\"", false),
        ("RFC 9110 §13.1.5 date", "Last-Modified: @-60 | Date: @0", "If-Range: @-60", true),
        ("RFC 9110 §8.8.2.2 too young", "Last-Modified: @-59 | Date: @0", "If-Range: @-59", false),
        ("RFC 9110 §13.1.5 not later either", "Last-Modified: @-60 | Date: @0", "If-Range: @-50", false),
        ("RFC 9110 §13.1.5 neither", "Last-Modified: @-60 | Date: @0", "If-Range: a", false),
        ("RFC 9110 §14.2 no condition", "", "", true),
    ] {
        assert_eq!(if_range(&fields(asked), &fields(stored), start()), expected, "{name}");
    }
}

#[test]
fn the_origin_is_asked_about_what_is_stored() {
    for (name, stored, asked, expected, can) in [
        (
            "conditional-etag-strong-generate",
            "ETag: \"abcdef\"",
            "a: b",
            "a: b | If-None-Match: \"abcdef\"",
            true,
        ),
        (
            "conditional-etag-weak-generate-weak",
            "ETag: W/\"abcdef\"",
            "",
            "If-None-Match: W/\"abcdef\"",
            true,
        ),
        ("ccreq-no-cache-lm", "Last-Modified: @-10", "", "If-Modified-Since: @-10", true),
        (
            "§4.3.1 both",
            "ETag: \"a\" | Last-Modified: @-10",
            "",
            "If-None-Match: \"a\" | If-Modified-Since: @-10",
            true,
        ),
        (
            "conditional-etag-vary-headers",
            "ETag: \"a\" | Vary: Abc",
            "Abc: 123",
            "Abc: 123 | If-None-Match: \"a\"",
            true,
        ),
        (
            "§4.3.2 the client's own are kept apart",
            "ETag: \"a\"",
            "If-None-Match: \"b\" | If-Modified-Since: @0",
            "If-None-Match: \"a\"",
            true,
        ),
        (
            "RFC 9110 §13.2.2 a range counts if it has changed",
            "ETag: \"a\"",
            "If-None-Match: \"b\" | Range: bytes=0-1 | If-Range: \"b\"",
            "If-None-Match: \"a\" | Range: bytes=0-1 | If-Range: \"b\"",
            true,
        ),
        ("§4.3.1 nothing to ask with", "Date: @0", "If-None-Match: \"b\" | a: b", "a: b", false),
    ] {
        let mut asked = fields(asked);
        assert_eq!(make_conditional(&mut asked, &fields(stored)), can, "{name}");
        assert_eq!(asked, fields(expected), "{name}");
    }
}

fn updated(stored: &str, newer: &str, options: &HttpOptions) -> HeaderMap {
    let mut headers = fields(stored);
    let newer = fields(newer);
    let directives = ResponseDirectives::of(&newer, options);
    update(&mut headers, &newer, &Exempt::new(&newer, &directives, options), start());
    headers
}

#[test]
fn a_304_changes_what_is_not_about_the_body() {
    let open = HttpOptions::default().set_cookie(true);
    // All that the suite has in `304-etag-update-response-*`.
    for (name, changes) in [
        ("Test-Header", true),
        ("X-Test-Header", true),
        ("Content-Foo", true),
        ("X-Content-Foo", true),
        ("Cache-Control", true),
        ("Content-Encoding", false),
        ("Content-Length", false),
        ("Content-Location", true),
        ("Content-MD5", false),
        ("Content-Range", false),
        ("Content-Security-Policy", true),
        ("Content-Type", true),
        ("Clear-Site-Data", true),
        ("ETag", false),
        ("Expires", true),
        ("Public-Key-Pins", true),
        ("Set-Cookie", true),
        ("Set-Cookie2", true),
        ("X-Frame-Options", true),
        ("X-XSS-Protection", true),
        // §3.2: those that are not stored are not updated.
        ("Keep-Alive", false),
        ("TE", false),
        ("Age", false),
    ] {
        let now = updated(&format!("{name}: a | {name}: b"), &format!("{name}: c | {name}: d"), &open);
        let values: Vec<_> = now.get_all(name).iter().collect();
        assert_eq!(values, if changes { ["c", "d"] } else { ["a", "b"] }, "304-etag-update-response-{name}");
    }
    let now = updated("Test-Header: a | Date: @-99", "Last-Modified: @-9999", &open);
    assert_eq!(now["test-header"], "a", "304-lm-use-stored-Test-Header");
    assert_eq!(now["date"], fields("Date: @0")["date"], "§4.2.3: it is as old as the 304");
    let now = updated("a: 1 | b: 1", "a: 2 | b: 2 | Connection: b", &open);
    assert_eq!(
        (&now["a"], &now["b"]),
        (&HeaderValue::from_static("2"), &HeaderValue::from_static("1")),
        "§3.1"
    );
    let now = updated("a: 1", "Cache-Control: no-cache=\"a\"", &open);
    assert!(!now.contains_key("a"), "§5.2.2.4");
    let now = updated("a: 1", "Set-Cookie: a=b", &HttpOptions::default());
    assert!(!now.contains_key("set-cookie"), "§7.3");
}

#[test]
fn a_304_makes_it_as_fresh_as_it_says() {
    let options = HttpOptions::default();
    let later = start() + secs(100);
    let ttl = |asked: &str, stored: &str, newer: &str| {
        let mut headers = to_store(&fields(stored), &ResponseDirectives::default(), &options, start());
        let (asked, newer) = (fields(asked), fields(newer));
        let exchange = Exchange {
            method: &Method::HEAD,
            request: &asked,
            status: StatusCode::NOT_MODIFIED,
            response: &newer,
            times: Times { request: later, response: later },
        };
        freshen(&exchange, StatusCode::OK, &mut headers, &options).map(|policy| policy.ttl_seconds(later))
    };
    for (name, stored, newer, expected) in [
        ("§4.3.4 it says nothing new", "Cache-Control: max-age=60 | Date: @0", "", Ok(60)),
        ("§4.2.3 its age was the old one's", "Cache-Control: max-age=60 | Age: 50", "Date: @100", Ok(60)),
        ("§4.2.3 this one's age", "Cache-Control: max-age=60", "Age: 20", Ok(40)),
        ("§4.2.3 by its Date", "Cache-Control: max-age=60", "Date: @90", Ok(50)),
        ("§3.2 another lifetime", "Cache-Control: max-age=60", "Cache-Control: max-age=5", Ok(5)),
        ("§5.3 it has expired all the same", "Expires: @60 | Date: @0 | ETag: \"a\"", "", Ok(0)),
        ("§3.2 another Expires", "Expires: @60 | Date: @0", "Expires: @160", Ok(60)),
        ("§5.2.2.5", "Cache-Control: max-age=60", "Cache-Control: no-store", Err(NotStored::NoStore)),
        ("§5.2.2.7", "Cache-Control: max-age=60", "Cache-Control: private", Err(NotStored::Private)),
        ("§4.1", "Cache-Control: max-age=60", "Vary: *", Err(NotStored::VaryStar)),
    ] {
        assert_eq!(ttl("", stored, newer), expected, "{name}");
    }
    let of_one = ttl("Authorization: x", "Cache-Control: max-age=60", "");
    assert_eq!(of_one, Err(NotStored::Authorization), "§3.5");
}

#[test]
fn the_answer_to_head_says_whether_it_has_changed() {
    for (name, stored, head, expected) in [
        ("head-200-update", "", "Content-Length: 10", true),
        ("§4.3.5 nothing to compare", "ETag: \"a\"", "", true),
        ("§4.3.5 same tag", "ETag: \"a\"", "ETag: \"a\"", true),
        ("§4.3.5 another tag", "ETag: \"a\"", "ETag: \"b\"", false),
        ("§4.3.5 a tag where none was", "", "ETag: \"b\"", false),
        ("§4.3.5 another date", "Last-Modified: @0", "Last-Modified: @1", false),
        ("§4.3.5 another length", "", "Content-Length: 11", false),
        ("§4.3.5 no length", "", "Content-Length: x", false),
    ] {
        assert_eq!(is_same_head(&fields(stored), 10, &fields(head)), expected, "{name}");
    }
}

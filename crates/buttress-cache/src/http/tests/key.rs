//! What it is stored under, and what writing makes invalid.

use super::super::key::{invalidates, is_certain};
use super::*;

fn key(uri: &str, headers: &str, canonical: bool) -> Option<String> {
    let uri: Uri = uri.parse().unwrap();
    Target::of(&uri, &fields(headers)).map(|target| target.key(canonical))
}

#[test]
fn uris_that_are_the_same_have_one_key() {
    for (uri, headers, expected) in [
        ("/a?b=c", "Host: x.y", "//x.y/a?b=c"),
        ("/a", "Host: X.Y:8080", "//x.y:8080/a"),
        ("/a", "", "///a"),
        ("http://X.y/a", "Host: other", "http://x.y/a"),
        ("HTTP://x.y:80", "", "http://x.y/"),
        ("https://x.y:443/?", "", "https://x.y/?"),
        ("https://x.y:80/A%2fb", "", "https://x.y:80/A%2fb"),
        ("http://me:secret@x.y/", "", "http://x.y/"),
        ("http://[::1]:8080/", "", "http://[::1]:8080/"),
    ] {
        assert_eq!(key(uri, headers, false).as_deref(), Some(expected), "RFC 9110 §4.2.3 {uri}");
    }
    for wrong in ["Host: a | Host: b", "Host: a b", "Host: a@b", "Host: a/b", "Host: \u{fc}"] {
        assert_eq!(key("/", wrong, false), None, "RFC 9112 §3.2 {wrong}");
    }
    assert_ne!(key("/?test=1", "", false), key("/?test=2", "", false), "query-args-different");
    assert_ne!(key("/?", "", false), key("/", "", false));
    assert_ne!(key("/?a=1&b=2", "", false), key("/?b=2&a=1", "", false));
    assert_eq!(key("/?a=1&b=2", "", true), key("/?b=2&a=1", "", true));
    assert_eq!(key("/?b&a=2&a=1", "", true).as_deref(), Some("///?a=2&a=1&b"));
    assert_ne!(
        key("/?a=1&a=2", "", true),
        key("/?a=2&a=1", "", true),
        "order within a name may mean something"
    );
}

#[test]
fn a_successful_write_invalidates_what_it_names() {
    let target = "///test/1";
    for (name, method, answer, expected) in [
        ("invalidate-POST", "POST", "", &[target][..]),
        ("invalidate-PUT", "PUT", "204", &[target]),
        ("invalidate-DELETE", "DELETE", "", &[target]),
        ("invalidate-M-SEARCH", "M-SEARCH", "", &[target]),
        ("invalidate-POST-failed", "POST", "500", &[]),
        ("invalidate-PUT-failed", "PUT", "500", &[]),
        ("invalidate-DELETE-failed", "DELETE", "404", &[]),
        ("invalidate-M-SEARCH-failed", "M-SEARCH", "500", &[]),
        (
            "invalidate-POST-location",
            "POST",
            "Location: /test/1/location_target",
            &[target, "///test/1/location_target"],
        ),
        ("invalidate-POST-cl", "POST", "Content-Location: /test/1/cl", &[target, "///test/1/cl"]),
        ("§4.4 a redirection", "POST", "303 Location: /x", &[target, "///x"]),
        ("§4.4 both", "POST", "201 Location: /x | Content-Location: /y", &[target, "///x", "///y"]),
        ("§4.4 the same", "POST", "201 Location: /x | Content-Location: /test/1", &[target, "///x"]),
        ("§4.4 another origin", "POST", "201 Location: http://evil.example/x", &[target]),
        ("§4.4 safe", "OPTIONS", "", &[]),
        ("§4.4 safe HEAD", "HEAD", "", &[]),
    ] {
        let (method, _) = request(method);
        let (status, headers) = response(answer);
        let uri = Uri::from_static("/test/1");
        let target = Target::of(&uri, &HeaderMap::new()).unwrap();
        assert_eq!(invalidates(&method, &target, status, &headers, false), expected, "{name}");
    }
}

#[test]
fn references_are_resolved_within_the_origin() {
    let host = fields("Host: x.y:8080");
    let (bare, full): (Uri, Uri) = ("/a/b?q".parse().unwrap(), "https://x.y/a/b?q".parse().unwrap());
    let (bare, full) = (Target::of(&bare, &host).unwrap(), Target::of(&full, &host).unwrap());
    for (reference, by_host, by_uri) in [
        ("/c", Some("//x.y:8080/c"), Some("https://x.y/c")),
        ("c", Some("//x.y:8080/a/c"), Some("https://x.y/a/c")),
        ("c/../d?e#f", Some("//x.y:8080/a/d?e"), Some("https://x.y/a/d?e")),
        ("../../../c/.", Some("//x.y:8080/c/"), Some("https://x.y/c/")),
        ("/c/./d/..", Some("//x.y:8080/c/"), Some("https://x.y/c/")),
        ("/.well-known", Some("//x.y:8080/.well-known"), Some("https://x.y/.well-known")),
        ("?r", Some("//x.y:8080/a/b?r"), Some("https://x.y/a/b?r")),
        ("", Some("//x.y:8080/a/b?q"), Some("https://x.y/a/b?q")),
        ("#f", Some("//x.y:8080/a/b?q"), Some("https://x.y/a/b?q")),
        ("//X.y:8080/c", Some("//x.y:8080/c"), None),
        ("http://x.y:8080/c", Some("//x.y:8080/c"), None),
        ("https://x.y:443", None, Some("https://x.y/")),
        ("HTTPS://X.Y/c?d", None, Some("https://x.y/c?d")),
        ("https://x.y.z/c", None, None),
        ("ftp://x.y:8080/c", None, None),
        ("mailto:a@x.y", None, None),
        ("https:///c", None, None),
        ("https://x.y\\@evil/c", None, None),
    ] {
        assert_eq!(bare.resolve(reference, false).as_deref(), by_host, "RFC 3986 §5.2 {reference}");
        assert_eq!(full.resolve(reference, false).as_deref(), by_uri, "RFC 3986 §5.2 {reference}");
    }
}

#[test]
fn whose_host_is_said_twice_or_with_a_user_is_not_certain() {
    for (uri, headers, certain) in [
        ("/a", "Host: x.y", true),
        ("http://x.y/a", "", true),
        ("http://x.y/a", "Host: X.Y:80", true),
        ("http://x.y:8080/a", "Host: x.y:8080", true),
        ("http://x.y/a", "Host: evil", false),
        ("http://x.y/a", "Host: x.y:8080", false),
        ("http://x.y/a", "Host: x.y | Host: evil", false),
        ("http://x.y/a", "Host: me@x.y", false),
        ("http://x.y/a", "Host: x.y:x", false),
        ("http://me:secret@x.y/a", "", false),
    ] {
        let uri: Uri = uri.parse().unwrap();
        assert_eq!(is_certain(&uri, &fields(headers)), certain, "RFC 9112 §3.2.2 {uri} {headers}");
    }
}

#[test]
fn what_has_no_port_is_not_the_key_of_what_has_a_wrong_one() {
    for wrong in ["a:99999", "a:x", "a:+80", "a:80x"] {
        assert_eq!(key("/", &format!("Host: {wrong}"), false), None, "RFC 9110 §4.2.1 {wrong}");
        assert_eq!(key(&format!("http://{wrong}/"), "", false), None, "RFC 9110 §4.2.1 {wrong}");
    }
    for (right, expected) in [("a", "//a/"), ("a:", "//a/"), ("a:080", "//a:80/"), ("[::1]", "//[::1]/")] {
        assert_eq!(key("/", &format!("Host: {right}"), false).as_deref(), Some(expected), "{right}");
    }
}

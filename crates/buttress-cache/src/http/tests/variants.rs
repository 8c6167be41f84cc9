//! Which requests a response answers, of those for one URI.

use super::Then::*;
use super::*;
use NotStored as No;

#[test]
fn a_variant_answers_requests_like_its_own() {
    let stored = |vary: &str| format!("Expires: @5000 | Last-Modified: @-3000 | Date: @0 | {vary}");
    let three = "Vary: Foo, Bar, Baz";
    for (name, vary, first, second, expected) in [
        ("vary-match", "Vary: Foo", "Foo: 1", "Foo: 1", Hit),
        ("vary-no-match", "Vary: Foo", "Foo: 1", "Foo: 2", OtherVariant),
        ("vary-omit-stored", "Vary: Foo", "", "Foo: 1", OtherVariant),
        ("vary-omit", "Vary: Foo", "Foo: 1", "", OtherVariant),
        ("§4.1 empty is not absent", "Vary: Foo", "Foo:", "", OtherVariant),
        ("vary-cache-key", "Vary: Foo", "Foo: 1 | Other: 2", "Foo: 1 | Other: 3", Hit),
        ("vary-2-match", "Vary: Foo, Bar", "Foo: 1 | Bar: abc", "Foo: 1 | Bar: abc", Hit),
        ("vary-2-no-match", "Vary: Foo, Bar", "Foo: 1 | Bar: abc", "Foo: 2 | Bar: abc", OtherVariant),
        ("vary-2-match-omit", "Vary: Foo, Bar", "Foo: 1", "", OtherVariant),
        ("vary-3-match", three, "Foo: 1 | Bar: abc | Baz: 789", "Foo: 1 | Bar: abc | Baz: 789", Hit),
        (
            "vary-3-no-match",
            three,
            "Foo: 1 | Bar: abc | Baz: 789",
            "Foo: 2 | Bar: abc | Baz: 789",
            OtherVariant,
        ),
        (
            "vary-3-order",
            three,
            "Foo: 1 | Bar: abc4 | Baz: 789",
            "Foo: 1 | Bar: abc | Baz: 789",
            OtherVariant,
        ),
        ("vary-3-omit", three, "Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789", Hit),
        ("§4.1 of two lines", "Vary: foo | Vary: BAR, Foo", "Foo: 1 | Bar: 2", "Bar: 2 | Foo: 1", Hit),
        ("§4.1 a value in another's place", "Vary: Foo, Bar", "Foo: 1", "Bar: 1", OtherVariant),
        ("vary-normalise-combine", "Vary: Foo", "Foo: 1, 2", "Foo: 1 | Foo: 2", Hit),
        ("vary-normalise-space", "Vary: Foo", "Foo: 1,2", "Foo:  1, 2 ", Hit),
        ("§4.1 order counts", "Vary: Foo", "Foo: 1, 2", "Foo: 2, 1", OtherVariant),
        ("§4.1 case counts", "Vary: Foo", "Foo: a", "Foo: A", OtherVariant),
        ("§4.1 space within does too", "Vary: Foo", "Foo: a b", "Foo: ab", OtherVariant),
        ("§4.1 quotes are left alone", "Vary: Foo", "Foo: \"a, b\"", "Foo: \"a,b\"", OtherVariant),
        (
            "vary-normalise-lang-order",
            "Vary: Accept-Language",
            "Accept-Language: en, de",
            "Accept-Language: de, en",
            Hit,
        ),
        (
            "vary-normalise-lang-case",
            "Vary: Accept-Language",
            "Accept-Language: en, de",
            "Accept-Language: eN, De",
            Hit,
        ),
        (
            "vary-normalise-lang-space",
            "Vary: Accept-Language",
            "Accept-Language: en, de",
            "Accept-Language:  en ,   de",
            Hit,
        ),
        (
            "RFC 9110 §12.4.2 weights",
            "Vary: Accept-Language",
            "Accept-Language: en;q=0.50, de",
            "Accept-Language: de;q=1.0, en; q=0.5",
            Hit,
        ),
        (
            "RFC 9110 §12.4.2 count",
            "Vary: Accept-Language",
            "Accept-Language: en;q=0.5, de",
            "Accept-Language: en, de;q=0.5",
            OtherVariant,
        ),
        (
            "RFC 9110 §12.4.2 no weight",
            "Vary: Accept-Language",
            "Accept-Language: en;q=2",
            "Accept-Language: en",
            OtherVariant,
        ),
        (
            "RFC 9110 §12.5.3",
            "Vary: Accept-Encoding",
            "Accept-Encoding: gzip, br",
            "Accept-Encoding: BR,GZIP",
            Hit,
        ),
        (
            "RFC 9110 §12.5.1 is not touched",
            "Vary: Accept",
            "Accept: a/b, c/d",
            "Accept: c/d, a/b",
            OtherVariant,
        ),
        ("no vary", "a: b", "Foo: 1", "Foo: 2", Hit),
        ("an empty vary", "Vary:", "Foo: 1", "Foo: 2", Hit),
    ] {
        assert_eq!(then(&HttpOptions::default(), first, &stored(vary), secs(0), second), expected, "{name}");
    }
    for (name, vary) in [
        ("vary-star", "Vary: *"),
        ("vary-syntax-star-star", "Vary: *, *"),
        ("vary-syntax-star-star-lines", "Vary: * | Vary: *"),
        ("vary-syntax-empty-star", "Vary: , *"),
        ("vary-syntax-empty-star-lines", "Vary: | Vary: *"),
        ("vary-syntax-star-foo", "Vary: *, Foo"),
        ("vary-syntax-foo-star", "Vary: Foo, *"),
        ("§4.1 no name", "Vary: Foo Bar"),
    ] {
        let same = "Foo: 1 | Baz: 789";
        assert_eq!(
            then(&HttpOptions::default(), same, &stored(vary), secs(0), same),
            Not(No::VaryStar),
            "{name}"
        );
    }
}

#[test]
fn two_variants_have_two_keys() {
    let vary = Vary::of(&fields("Vary: Foo"));
    let (one, two) = (vary.key(&fields("Foo: 1")).unwrap(), vary.key(&fields("Foo: 2")).unwrap());
    assert_ne!(one, two, "vary-invalidate");
    assert_eq!(one.as_bytes(), b"foo: 1\n");
    assert_eq!(Vary::Nothing.key(&fields("Foo: 1")).unwrap().as_bytes(), b"");
    assert_eq!(Vary::of(&fields("Vary: B, a | Vary: b")), Vary::of(&fields("Vary: A,b")));
    assert_eq!(Vary::Star.key(&fields("")), None);
}

//! Parts of what is stored.

use super::super::range::{ContentRange, Cut, Wanted, partial, unsatisfiable};
use super::*;

#[test]
fn a_range_is_cut_from_the_whole() {
    for (name, asked, length, expected) in [
        ("partial-store-complete-reuse-partial", "bytes=0-1", 11, Cut::Part(0..2)),
        ("partial-store-complete-reuse-partial-no-last", "bytes=1-", 11, Cut::Part(1..11)),
        ("partial-store-complete-reuse-partial-suffix", "bytes=-1", 11, Cut::Part(10..11)),
        ("RFC 9110 §14.1.2 past the end", "bytes=9-99", 11, Cut::Part(9..11)),
        ("RFC 9110 §14.1.2 more than all", "bytes=-99", 11, Cut::Part(0..11)),
        ("RFC 9110 §14.1.2 one byte", "bytes=10-10", 11, Cut::Part(10..11)),
        ("RFC 9110 §14.1.2 behind the end", "bytes=11-", 11, Cut::Unsatisfiable),
        ("RFC 9110 §14.1.2 nothing", "bytes=-0", 11, Cut::Unsatisfiable),
        ("RFC 9110 §14.1.2 of nothing", "bytes=0-", 0, Cut::Unsatisfiable),
        ("RFC 9110 §14.1.2 the end of nothing", "bytes=-5", 0, Cut::All),
        ("RFC 9110 §14.1.2 numbers without end", "bytes=1-99999999999999999999999", 11, Cut::Part(1..11)),
        ("RFC 9110 §14.1 case", "Bytes=0-0", 11, Cut::Part(0..1)),
        ("RFC 9110 §14.1.1 backwards", "bytes=5-4", 11, Cut::All),
        ("RFC 9110 §14.1 another unit", "pages=0-1", 11, Cut::All),
        ("RFC 9110 §14.2 several", "bytes=0-1,3-4", 11, Cut::All),
        ("RFC 9110 §14.1.1 no range", "bytes=-", 11, Cut::All),
        ("RFC 9110 §14.1.1 no number", "bytes=a-b", 11, Cut::All),
        ("RFC 9110 §14.1.1 a sign", "bytes=+1-2", 11, Cut::All),
        ("RFC 9110 §14.1.1 no set", "bytes", 11, Cut::All),
        ("RFC 9110 §14.1.1 an empty set", "bytes=", 11, Cut::All),
    ] {
        assert_eq!(Wanted::of(&fields(&format!("Range: {asked}"))).of_full(length), expected, "{name}");
    }
    assert_eq!(Wanted::of(&fields("Range: bytes=0-1 | Range: bytes=2-3")), Wanted::All);
    assert_eq!(Wanted::of(&fields("")), Wanted::All);
}

#[test]
fn a_part_says_which_it_is() {
    let mut headers =
        fields("Content-Type: a/b | Content-Length: 11 | A: 1 | Content-Digest: b | Content-MD5: c");
    partial(&mut headers, &(1..5), Some(11));
    assert_eq!(headers, fields("Content-Type: a/b | Content-Length: 4 | A: 1 | Content-Range: bytes 1-4/11"));
    partial(&mut headers, &(2..5), None);
    assert_eq!(headers["content-range"], "bytes 2-4/*");
    let mut headers = fields(
        "Content-Type: a/b | Content-Length: 11 | A: 1 | Cache-Control: max-age=60 | CDN-Cache-Control: max-age=60 | \
         Surrogate-Control: max-age=60 | Expires: Thu, 01 Jan 2099 00:00:00 GMT",
    );
    unsatisfiable(&mut headers, 11);
    let sent = "A: 1 | Content-Range: bytes */11 | Content-Length: 0 | Cache-Control: no-store | Accept-Ranges: bytes";
    assert_eq!(headers, fields(sent));
}

#[test]
fn a_stored_part_answers_what_is_in_it() {
    let part = |text: &str| ContentRange::of(&fields(&format!("Content-Range: {text}")));
    let middle = part("bytes 4-9/20").unwrap();
    for (asked, body, expected) in [
        ("bytes=4-9", 6, Some(0..6)),
        ("bytes=6-8", 6, Some(2..5)),
        ("bytes=4-10", 6, None),
        ("bytes=3-5", 6, None),
        ("bytes=6-", 6, None),
        ("bytes=-1", 6, None),
        // It was cut off.
        ("bytes=6-8", 3, None),
        ("bytes=4-6", 3, Some(0..3)),
        ("bytes=99-", 6, None),
        ("", 6, None),
    ] {
        let wanted = Wanted::of(&fields(&format!("Range: {asked}")));
        assert_eq!(middle.cut(wanted, body), expected, "§3.3 {asked}");
    }
    let end = part("bytes 4-9/10").unwrap();
    assert_eq!(end.cut(Wanted::Last(6), 6), Some(0..6), "partial-store-partial-reuse-partial");
    assert_eq!(end.cut(Wanted::Last(1), 6), Some(5..6), "partial-store-partial-reuse-partial-suffix");
    assert_eq!(end.cut(Wanted::From(6, None), 6), Some(2..6), "partial-store-partial-reuse-partial-absent");
    let unknown = part("bytes 0-9/*").unwrap();
    assert_eq!(unknown.cut(Wanted::From(2, Some(3)), 10), Some(2..4));
    assert_eq!(unknown.cut(Wanted::From(2, None), 10), None);
    assert_eq!(part("bytes 0-9/10").unwrap().cut(Wanted::All, 10), None, "a part is not the whole");

    for wrong in [
        "bytes 4-3/10",
        "bytes 0-9/9",
        "bytes */9",
        "bytes 0-1",
        "pages 0-1/2",
        "bytes a-1/2",
        "bytes",
        "",
        "bytes 1/2-3",
    ] {
        assert_eq!(part(wrong), None, "RFC 9110 §14.4 {wrong}");
    }
    assert_eq!(ContentRange::of(&fields("Content-Range: bytes 0-1/2 | Content-Range: bytes 0-1/2")), None);
}

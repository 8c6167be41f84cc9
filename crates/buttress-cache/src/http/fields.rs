//! Reading field values: lists, quotes, tokens. All of it borrows.

use http::{HeaderMap, HeaderName};

/// The values of a field, line by line.
pub(super) fn lines<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers.get_all(name).iter().map(http::HeaderValue::as_bytes)
}

/// The elements of a field that is a list, over all its lines (RFC 9110 §5.3), with quoted strings.
pub(super) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    lines(headers, name).flat_map(list)
}

/// What stands between the commas of a value, without the space around it. Empty elements are left out (RFC 9110
/// §5.6.1.2). Commas in quoted strings do not count.
pub(super) fn list(value: &[u8]) -> List<'_> {
    List { rest: value, quotes: Quotes::Strings }
}

/// The same for entity tags, in which a backslash is a character like any other (RFC 9110 §8.8.3).
pub(super) fn tag_list(value: &[u8]) -> List<'_> {
    List { rest: value, quotes: Quotes::Tags }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Strings,
    Tags,
    /// One was never closed. From there on, quotes mean nothing: what the rest says counts, and is not hidden.
    Torn,
}

#[derive(Clone)]
pub(super) struct List<'a> {
    rest: &'a [u8],
    quotes: Quotes,
}

impl List<'_> {
    /// Whether a quoted string so far was never closed.
    pub(super) fn is_torn(&self) -> bool {
        self.quotes == Quotes::Torn
    }

    /// Where the element at the start of the rest ends.
    fn end(&mut self) -> usize {
        if self.quotes != Quotes::Torn {
            let (mut quoted, mut at) = (false, 0);
            while let Some(&byte) = self.rest.get(at) {
                match byte {
                    b'"' => quoted = !quoted,
                    b'\\' if quoted && self.quotes == Quotes::Strings => at += 1,
                    b',' if !quoted => return at,
                    _ => {}
                }
                at += 1;
            }
            if !quoted {
                return self.rest.len();
            }
            self.quotes = Quotes::Torn;
        }
        self.rest.iter().position(|&byte| byte == b',').unwrap_or(self.rest.len())
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (element, rest) = self.rest.split_at(self.end());
            self.rest = rest.get(1..).unwrap_or_default();
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// Divides at the first `=`. The space round it belongs to the parts.
pub(super) fn pair(element: &[u8]) -> (&[u8], Option<&[u8]>) {
    match element.iter().position(|&byte| byte == b'=') {
        Some(at) => (&element[..at], Some(&element[at + 1..])),
        None => (element, None),
    }
}

/// What is between the quotes of a quoted string, escapes and all, or `None` if it is none.
pub(super) fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut escaped = false;
    for &byte in inner {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return None,
            _ => {}
        }
    }
    (!escaped).then_some(inner)
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(value: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !value.is_empty() && value.iter().all(tchar)
}

/// A whole number of seconds (§1.2.2); what is too great is 2^31. `None` if it is no such number.
pub(super) fn seconds(value: &[u8]) -> Option<u32> {
    const MOST: u32 = 1 << 31;
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |sum: u32, byte: &u8| sum.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    Some(value.iter().fold(0, digit).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_divided_at_commas_outside_of_quotes() {
        for (value, expected) in [
            ("", &[][..]),
            (" , ,", &[]),
            ("a", &["a"]),
            (" a ,b,, c ", &["a", "b", "c"]),
            (r#"a="b, c", d"#, &[r#"a="b, c""#, "d"]),
            (r#"a="b\", c", d"#, &[r#"a="b\", c""#, "d"]),
            (r#"a="b, c, d"#, &[r#"a="b"#, "c", "d"]),
            (r#"a", b", c"#, &[r#"a", b""#, "c"]),
        ] {
            let list: Vec<_> =
                list(value.as_bytes()).map(|part| std::str::from_utf8(part).unwrap()).collect();
            assert_eq!(list, expected, "{value}");
        }
        let tags: Vec<_> = tag_list(br#""a\", "b,c""#).collect();
        assert_eq!(tags, [&br#""a\""#[..], br#""b,c""#]);
        let mut torn = list(br#"a, "b"#);
        assert!(!torn.is_torn() && torn.by_ref().count() == 2 && torn.is_torn());
    }

    #[test]
    fn many_open_quotes_are_read_once() {
        let value = br#""\",\","#.repeat(20_000);
        assert!(list(&value).count() > 1);
    }

    #[test]
    fn seconds_saturate_and_are_digits_only() {
        for (value, expected) in [
            ("0", Some(0)),
            ("003600", Some(3600)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(1 << 31)),
            ("2147483649", Some(1 << 31)),
            ("99999999999999999999999999", Some(1 << 31)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1s", None),
            (" 1", None),
            ("0x1", None),
        ] {
            assert_eq!(seconds(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_quoted_string_ends_where_it_ends() {
        assert_eq!(unquoted(br#""a\"b""#), Some(&br#"a\"b"#[..]));
        for wrong in [&br#"""#[..], br#""a"b""#, br#""a\""#, b"a", br#"'a'"#, b""] {
            assert_eq!(unquoted(wrong), None);
        }
    }
}

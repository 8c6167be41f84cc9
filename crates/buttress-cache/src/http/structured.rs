//! As much of structured fields (RFC 9651) as RFC 9213 and RFC 9211 need: a dictionary is read, an identifier written.

use super::fields::seconds;

/// A member's value, without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Boolean(bool),
    /// A whole number of seconds; see [`seconds`].
    Seconds(u32),
    /// What is between the quotes, escapes and all.
    Text(&'a [u8]),
    /// Anything else: no directive has such a value.
    Other,
}

/// Reads a dictionary (§4.2.2). `member` is told of each in order; of two with one key the later counts. `None` if
/// anything in it is not as it must be.
pub(super) fn dictionary<'a>(value: &'a [u8], mut member: impl FnMut(&'a [u8], Item<'a>)) -> Option<()> {
    let mut input = Input(value);
    input.skip(b" ");
    while !input.0.is_empty() {
        let key = input.key()?;
        let item = if input.eat(b'=') { input.item_or_list()? } else { Item::Boolean(true) };
        input.parameters()?;
        member(key, item);
        input.skip(b" \t");
        if input.0.is_empty() {
            return Some(());
        }
        if !input.eat(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            // A comma at the end.
            return None;
        }
    }
    Some(())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        let is = self.0.first() == Some(&byte);
        if is {
            self.0 = &self.0[1..];
        }
        is
    }

    fn skip(&mut self, bytes: &[u8]) {
        while self.0.first().is_some_and(|byte| bytes.contains(byte)) {
            self.0 = &self.0[1..];
        }
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !belongs(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.0.first().filter(|byte| byte.is_ascii_lowercase() || **byte == b'*')?;
        Some(self.take(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eat(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn item_or_list(&mut self) -> Option<Item<'a>> {
        if !self.eat(b'(') {
            return self.item();
        }
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                return Some(Item::Other);
            }
            self.item()?;
            self.parameters()?;
            self.0.first().filter(|byte| b" )".contains(byte))?;
        }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text(),
            b'?' => {
                let value = match self.0.get(1)? {
                    b'0' => false,
                    b'1' => true,
                    _ => return None,
                };
                self.0 = &self.0[2..];
                Some(Item::Boolean(value))
            }
            b':' => {
                self.0 = &self.0[1..];
                self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.eat(b':').then_some(Item::Other)
            }
            b'@' => {
                self.0 = &self.0[1..];
                self.number()?;
                Some(Item::Other)
            }
            b'%' => {
                self.0 = &self.0[1..];
                self.text()?;
                Some(Item::Other)
            }
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                self.take(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Item::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item<'a>> {
        let negative = self.eat(b'-');
        let digits = self.take(|byte| byte.is_ascii_digit());
        let decimal = self.eat(b'.');
        let fraction = if decimal { self.take(|byte| byte.is_ascii_digit()) } else { &[] };
        if digits.is_empty() || (decimal && !(1..=3).contains(&fraction.len())) {
            return None;
        }
        match (decimal, negative) {
            // The type's limits: 15 digits, or 12 before the point.
            (false, _) if digits.len() > 15 => None,
            (true, _) if digits.len() > 12 => None,
            (false, false) => seconds(digits).map(Item::Seconds),
            _ => Some(Item::Other),
        }
    }

    fn text(&mut self) -> Option<Item<'a>> {
        self.0 = self.0.strip_prefix(b"\"")?;
        let mut at = 0;
        loop {
            match *self.0.get(at)? {
                b'"' => break,
                b'\\' => {
                    self.0.get(at + 1).filter(|byte| b"\\\"".contains(byte))?;
                    at += 1;
                }
                0x20..=0x7e => {}
                _ => return None,
            }
            at += 1;
        }
        let text = &self.0[..at];
        self.0 = &self.0[at + 1..];
        Some(Item::Text(text))
    }
}

/// Writes a name as a token if it is one, else as a string (RFC 9211 §2 allows both). What neither can hold is `?`.
pub(super) fn write_name(to: &mut String, name: &str) {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    if starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))
    {
        return to.push_str(name);
    }
    to.push('"');
    for char in name.chars() {
        match char {
            '"' | '\\' => to.extend(['\\', char]),
            ' '..='~' => to.push(char),
            _ => to.push('?'),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Vec<(String, Item<'_>)>> {
        let mut members = Vec::new();
        dictionary(value.as_bytes(), |key, item| members.push((String::from_utf8_lossy(key).into(), item)))?;
        Some(members)
    }

    #[test]
    fn a_dictionary_is_read_as_a_whole_or_not_at_all() {
        let good = "max-age=60, must-revalidate, no-cache=\"a, b\", s-maxage=?0;x=1;y, *z=(a \"b\";c 1.5), \
                    t=tok/en:x, b=:aGk=:, d=@-5, n=-1, f=1.5, u=%\"f%c3\"";
        let members = read(good).unwrap();
        assert_eq!(members.len(), 11);
        assert_eq!(members[0], ("max-age".into(), Item::Seconds(60)));
        assert_eq!(members[1].1, Item::Boolean(true));
        assert_eq!(members[2].1, Item::Text(b"a, b"));
        assert_eq!(members[3].1, Item::Boolean(false));
        assert!(members[4..].iter().all(|(_, item)| *item == Item::Other));
        assert_eq!(read(""), Some(vec![]));
        for bad in [
            "Max-Age=60",
            "max-age=",
            "max-age =60",
            "max-age= 60",
            "a,",
            ",a",
            "a,,b",
            "a b",
            "a=\"",
            "a=\"\\n\"",
            "a=(b",
            "a=(b\"c\")",
            "a=1.",
            "a=1.2345",
            "a=1234567890123456",
            "a=?2",
            "a=:x",
            "a;",
            "a=@",
            "a=é",
            "=1",
            "a=--1",
            "a='1'",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_is_a_token_or_a_string() {
        for (name, expected) in [
            ("buttress", "buttress"),
            ("Example:cache/1", "Example:cache/1"),
            ("9lives", "\"9lives\""),
            ("my \"cache\"\\", "\"my \\\"cache\\\"\\\\\""),
            ("café\n", "\"caf??\""),
            ("", "\"\""),
        ] {
            let mut written = String::new();
            write_name(&mut written, name);
            assert_eq!(written, expected);
        }
    }
}

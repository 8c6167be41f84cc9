use std::fmt;
use std::str::{Chars, FromStr};

/// Says which texts are meant by what they look like, such as `user:*`.
///
/// - `*` is any run of characters, an empty one too.
/// - `?` is exactly one character: a `char`, however many bytes it has.
/// - `\` takes away the meaning of the character after it: `\*` is a star, `\\` a backslash, `\a` an `a`.
///
/// Every other character is itself: there are no brackets and no braces, and `*` goes across `/` and line ends. A
/// pattern means the whole text, and upper and lower case differ. Matching allocates nothing and takes time
/// proportional to the length of the text, times that of the pattern at worst.
///
/// Two globs are equal if their patterns are the same text.
///
/// # Examples
///
/// ```
/// use buttress_cache::{Cache, Config, Glob};
///
/// let cache: Cache<String, u32> = Cache::new("pages", Config::default());
/// for key in ["user:1", "user:2", "user2:1"] {
///     cache.insert(key.into(), 0);
/// }
/// let users = Glob::new("user:*")?;
/// assert_eq!(cache.invalidate_if(|key, _| users.matches(key)), 2);
///
/// // What somebody typed is text, and not a pattern.
/// let typed = Glob::new(&format!("{}:*", Glob::escape("a*b")))?;
/// assert!(typed.matches("a*b:1") && !typed.matches("acb:1"));
/// # Ok::<(), buttress_cache::BadGlob>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob {
    pattern: Box<str>,
    tokens: Box<[Token]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    Any,
    One,
    Char(char),
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it ends in a backslash that nothing follows.
    pub fn new(pattern: &str) -> Result<Self, BadGlob> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            let token = match char {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().ok_or_else(|| BadGlob { pattern: pattern.into() })?),
                _ => Token::Char(char),
            };
            // Two stars in a row are one.
            if token != Token::Any || tokens.last() != Some(&Token::Any) {
                tokens.push(token);
            }
        }
        Ok(Self { pattern: pattern.into(), tokens: tokens.into() })
    }

    /// A pattern that matches exactly this text.
    #[must_use]
    pub fn escape(text: &str) -> String {
        let mut pattern = String::with_capacity(text.len());
        for char in text.chars() {
            if matches!(char, '*' | '?' | '\\') {
                pattern.push('\\');
            }
            pattern.push(char);
        }
        pattern
    }

    /// Whether all of `text` looks like the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut tokens = &*self.tokens;
        let mut text = text.chars();
        // What follows the last star, and where in the text that was last tried. No star before it is tried again:
        // whatever a longer run there would take, this one can skip.
        let mut star: Option<(&[Token], Chars<'_>)> = None;
        loop {
            let after = match tokens {
                [] if text.as_str().is_empty() => return true,
                [Token::Any] => return true,
                [Token::Any, after @ ..] => {
                    star = Some((after, text.clone()));
                    Some(after)
                }
                // The text is too short, and after another try less of it would be left. So the tries end.
                [_, ..] if text.as_str().is_empty() => return false,
                [Token::One, after @ ..] => text.next().map(|_| after),
                [Token::Char(char), after @ ..] => text.next().filter(|next| next == char).map(|_| after),
                [] => None,
            };
            tokens = match (after, &mut star) {
                (Some(after), _) => after,
                (None, Some((after, from))) => {
                    from.next();
                    text = from.clone();
                    after
                }
                (None, None) => return false,
            };
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl FromStr for Glob {
    type Err = BadGlob;

    fn from_str(pattern: &str) -> Result<Self, BadGlob> {
        Self::new(pattern)
    }
}

/// Says which pattern is not a [`Glob`], and why.
///
/// # Examples
///
/// ```
/// use buttress_cache::Glob;
///
/// let bad = Glob::new(r"user:\").unwrap_err();
/// assert_eq!(bad.to_string(), r"glob 'user:\' ends in a single '\', which needs a character after it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadGlob {
    pattern: Box<str>,
}

impl fmt::Display for BadGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "glob '{}' ends in a single '\\', which needs a character after it", self.pattern)
    }
}

impl std::error::Error for BadGlob {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn a_pattern_means_the_whole_text() {
        for (pattern, fits, differs) in [
            (
                "user:*",
                &["user:", "user:1", "user:1:*\n/x"][..],
                &["user2:", "user", "a user:1", "USER:1"][..],
            ),
            ("", &[""], &["a"]),
            ("*", &["", "a", "ü\0"], &[]),
            ("**", &["", "a"], &[]),
            ("?", &["a", "ü", "\u{1f600}", "*"], &["", "ab"]),
            ("a?c*", &["abc", "aüc", "abcd"], &["ac", "abd"]),
            ("*:7", &[":7", "a:7", ":7:7"], &["a:70", "7"]),
            ("*ab*ab", &["abab", "xabxab", "ababab"], &["ab", "aba", "xabx"]),
            (r"\*\?\\\a", &[r"*?\a"], &[r"x?\a", r"*x\a", r"\*\?\\\a"]),
            ("[ab]{c}", &["[ab]{c}"], &["a{c}", "[ab]c"]),
        ] {
            for text in fits {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in differs {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_backslash_with_nothing_after_it_is_an_error_that_names_the_pattern() {
        for bad in ["\\", r"a*\", r"\\\"] {
            let error = bad.parse::<Glob>().unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("single '\\'"), "{error}");
        }
        assert!(matches(r"a\\", r"a\"));
    }

    #[test]
    fn a_glob_prints_as_it_was_written() {
        for pattern in ["", "user:*", "**", r"\a\*?"] {
            assert_eq!(Glob::new(pattern).unwrap().to_string(), pattern);
        }
    }

    #[test]
    fn many_stars_do_not_multiply_the_time() {
        let text = "a".repeat(100_000);
        for last in ["b", "?b", "ab"] {
            assert!(!matches(&format!("{}*{last}", "*a".repeat(50)), &text));
        }
        assert!(matches(&"*a".repeat(50), &text));
    }

    /// The rules as they are written, tried one by one.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ['?', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
            ['\\', char, rest @ ..] | [char, rest @ ..] => {
                text.first() == Some(char) && naive(rest, &text[1..])
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn it_agrees_with_trying_everything(pattern in r"[abü*?*\\]{0,9}", texts in prop::collection::vec(r"[abü*\\]{0,9}", 8)) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let open = pattern.chars().rev().take_while(|&char| char == '\\').count() % 2 == 1;
            match Glob::new(&pattern) {
                Err(_) => prop_assert!(open),
                Ok(glob) => {
                    prop_assert!(!open);
                    for text in texts {
                        prop_assert_eq!(glob.matches(&text), naive(&chars(&pattern), &chars(&text)), "{}", text);
                    }
                }
            }
        }

        #[test]
        fn an_escaped_text_matches_itself_and_nothing_else(text in r"[ab*?\\]{0,4}", other in r"[ab*?\\]{0,4}", any in any::<String>()) {
            let glob = Glob::new(&Glob::escape(&text)).unwrap();
            prop_assert!(glob.matches(&text));
            prop_assert_eq!(glob.matches(&other), text == other);
            prop_assert!(Glob::new(&Glob::escape(&any)).unwrap().matches(&any));
        }
    }
}

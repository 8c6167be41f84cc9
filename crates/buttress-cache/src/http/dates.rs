//! Dates in header fields (RFC 9110 §5.6.7).

use super::fields::lines;
use http::{HeaderMap, HeaderName};
use std::time::{Duration, SystemTime};

/// The moment of an HTTP date in any of its three formats. Case counts, and the day of the week has to be right.
pub(super) fn parse(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let text = std::str::from_utf8(value).ok()?;
    // Only RFC 850 spells the day of the week out.
    match text.split_once(", ") {
        Some((day, rest)) if day.len() > 3 => rfc_850(day, rest, now),
        _ => httpdate::parse_http_date(text).ok(),
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`: of this century, or of the last one if that would be more than 50 years ahead. The
/// library that reads the other formats has a rule of its own here, by the year alone.
fn rfc_850(day: &str, rest: &str, now: SystemTime) -> Option<SystemTime> {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    const YEARS_50: Duration = Duration::from_secs(50 * 31_556_952);

    let (date, time) = rest.split_once(' ')?;
    let mut parts = date.split('-');
    let (Some(day_of_month), Some(month), Some(year), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    if !DAYS.contains(&day) || year.len() != 2 {
        return None;
    }
    let of_century = |century: u8| {
        let text = format!("{}, {day_of_month} {month} {century}{year} {time}", day.get(..3)?);
        httpdate::parse_http_date(&text).ok()
    };
    let near = |date: &SystemTime| since(now, *date) <= YEARS_50;
    of_century(20).filter(near).or_else(|| of_century(19))
}

/// A date field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dated {
    Absent,
    /// It is there, but is no date, or there are several that differ.
    Invalid,
    At(SystemTime),
}

impl Dated {
    pub(super) fn of(headers: &HeaderMap, name: &HeaderName, now: SystemTime) -> Self {
        let mut lines = lines(headers, name);
        let Some(first) = lines.next() else { return Dated::Absent };
        match parse(first, now) {
            // §4.2.1: of a field that is there twice, the first may be used, or the response is stale. Stale is
            // certainly right; the same value twice is no conflict.
            Some(date) if lines.all(|line| line == first) => Dated::At(date),
            _ => Dated::Invalid,
        }
    }

    pub(super) fn at(self) -> Option<SystemTime> {
        match self {
            Dated::At(date) => Some(date),
            Dated::Absent | Dated::Invalid => None,
        }
    }
}

/// The seconds since 1970, for moments that are compared with dates: those have no fractions.
pub(super) fn whole(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => time,
    }
}

/// How long after `earlier` it is, or zero.
pub(super) fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_are_read_and_no_other() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let at = |text: &str| {
            parse(text.as_bytes(), now).map(|date| httpdate::fmt_http_date(date).replace(" 00:00:00 GMT", ""))
        };
        for (text, expected) in [
            ("Sun, 06 Nov 1994 00:00:00 GMT", Some("Sun, 06 Nov 1994")),
            ("Sunday, 06-Nov-94 00:00:00 GMT", Some("Sun, 06 Nov 1994")),
            ("Sun Nov  6 00:00:00 1994", Some("Sun, 06 Nov 1994")),
            // Less than 50 years ahead of 2026, and more.
            ("Thursday, 18-Aug-50 00:00:00 GMT", Some("Thu, 18 Aug 2050")),
            ("Sunday, 18-Aug-75 00:00:00 GMT", Some("Sun, 18 Aug 2075")),
            ("Thursday, 18-Aug-77 00:00:00 GMT", Some("Thu, 18 Aug 1977")),
            // The right day for 2077, which is more than 50 years ahead.
            ("Wednesday, 18-Aug-77 00:00:00 GMT", None),
            // The wrong day of the week, in each of them.
            ("Mon, 06 Nov 1994 00:00:00 GMT", None),
            ("Monday, 06-Nov-94 00:00:00 GMT", None),
            ("Mon Nov  6 00:00:00 1994", None),
            ("Sunnyday, 06-Nov-94 00:00:00 GMT", None),
            ("Sunday, 06-Nov-1994 00:00:00 GMT", None),
            ("Sunday, 06-11-94 00:00:00 GMT", None),
            ("Sunday, 06-Nov-94", None),
            ("0", None),
            ("-1", None),
            ("", None),
            ("foo", None),
            ("Sun, 06 Nov 1994 00:00:00 +0000", None),
            ("Sun, 06 Nov 1994 00:00:00 AEST", None),
            ("Sun, 06-Nov-1994 00:00:00 GMT", None),
            ("Sun, 06 Nov 94 00:00:00 GMT", None),
            ("Sun 06 Nov 1994 00:00:00 GMT", None),
            ("1994-11-06T00:00:00Z", None),
        ] {
            assert_eq!(at(text).as_deref(), expected, "{text}");
        }
        assert_eq!(parse(b"\xff\xfe", now), None);
    }
}

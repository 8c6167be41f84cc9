//! The closed labels of HTTP: methods, schemes and statuses.

use crate::label::Label;
use http::{Method, StatusCode, Uri, uri};

/// A method that is known, or `_OTHER`: whoever calls may send any word as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MethodLabel(pub(super) u8);

impl MethodLabel {
    pub(super) const HEAD: Self = Self(2);
    pub(super) const CONNECT: Self = Self(7);

    #[inline]
    pub(crate) fn of(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 0,
            Method::POST => 1,
            Method::HEAD => 2,
            Method::PUT => 3,
            Method::DELETE => 4,
            Method::PATCH => 5,
            Method::OPTIONS => 6,
            Method::CONNECT => 7,
            Method::TRACE => 8,
            _ => 9,
        })
    }
}

impl Label for MethodLabel {
    const NAME: &'static str = "http_request_method";
    const VALUES: &'static [&'static str] =
        &["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "_OTHER"];

    #[inline]
    fn index(self) -> usize {
        self.0.into()
    }
}

/// The scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// Of a URI that says it.
    #[inline]
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme()?;
        if *scheme == uri::Scheme::HTTPS { Some(Self::Https) } else { Some(Self::Http) }
    }

    pub(crate) fn port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

impl Label for Scheme {
    const NAME: &'static str = "url_scheme";
    const VALUES: &'static [&'static str] = &["http", "https"];

    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

/// The status of a response: one that is registered or met in the wild, or else its class; or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusLabel(pub(super) u8);

/// None, none of any class, the classes by their hundreds, and then those that are listed.
const STATUSES: [&str; 82] = [
    "", "1xx", "2xx", "3xx", "4xx", "5xx", "_OTHER", "100", "101", "102", "103", "104", "200", "201", "202",
    "203", "204", "205", "206", "207", "208", "226", "300", "301", "302", "303", "304", "305", "306", "307",
    "308", "400", "401", "402", "403", "404", "405", "406", "407", "408", "409", "410", "411", "412", "413",
    "414", "415", "416", "417", "418", "421", "422", "423", "424", "425", "426", "428", "429", "431", "451",
    "499", "500", "501", "502", "503", "504", "505", "506", "507", "508", "510", "511", "520", "521", "522",
    "523", "524", "525", "526", "527", "529", "530",
];
const OTHER: u8 = 6;

/// For each status below 600 its place in [`STATUSES`].
const PLACES: [u8; 600] = {
    let mut places = [OTHER; 600];
    let mut status = 100;
    while status < 600 {
        places[status] = (status / 100) as u8;
        status += 1;
    }
    let mut place = OTHER as usize + 1;
    while place < STATUSES.len() {
        let digits = STATUSES[place].as_bytes();
        let hundreds = (digits[0] - b'0') as usize * 100;
        places[hundreds + (digits[1] - b'0') as usize * 10 + (digits[2] - b'0') as usize] = place as u8;
        place += 1;
    }
    places
};

impl StatusLabel {
    /// There was no response.
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn of(status: StatusCode) -> Self {
        Self(PLACES.get(usize::from(status.as_u16())).copied().unwrap_or(OTHER))
    }
}

impl Label for StatusLabel {
    const NAME: &'static str = "http_response_status_code";
    const VALUES: &'static [&'static str] = &STATUSES;

    #[inline]
    fn index(self) -> usize {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_itself_if_it_is_listed_or_else_its_class() {
        let label =
            |status: u16| StatusLabel::VALUES[StatusLabel::of(StatusCode::from_u16(status).unwrap()).index()];
        for status in 100..1000_u16 {
            let (text, class) = (status.to_string(), format!("{}xx", status / 100));
            let expected = match label(status) {
                label if status >= 600 => label == "_OTHER",
                label if STATUSES.contains(&&*text) => label == text,
                label => label == class,
            };
            assert!(expected, "{status}: {}", label(status));
        }
        assert_eq!((label(200), label(299), label(404), label(599)), ("200", "2xx", "404", "5xx"));
    }

    #[test]
    fn a_method_that_nobody_knows_is_other() {
        let label = |method: &str| {
            MethodLabel::VALUES[MethodLabel::of(&Method::from_bytes(method.as_bytes()).unwrap()).index()]
        };
        for known in &MethodLabel::VALUES[..9] {
            assert_eq!(label(known), *known);
        }
        assert_eq!(MethodLabel::of(&Method::HEAD), MethodLabel::HEAD);
        assert_eq!(MethodLabel::of(&Method::CONNECT), MethodLabel::CONNECT);
        for unknown in ["get", "PROPFIND", "X", "_OTHER"] {
            assert_eq!(label(unknown), "_OTHER");
        }
    }
}

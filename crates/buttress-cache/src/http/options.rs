use buttress_core::Ratio;
use http::HeaderName;
use std::time::Duration;

/// What an HTTP cache does where RFC 9111 leaves the choice to it.
///
/// # Examples
///
/// ```
/// use buttress_cache::http::{Heuristic, HttpOptions, Mode};
/// use std::time::Duration;
///
/// let options = HttpOptions::default()
///     .heuristic(Heuristic::default())
///     .stale_if_error(Duration::from_secs(600));
/// assert_eq!(options.mode, Mode::Shared);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct HttpOptions {
    /// For whom it stores. Default [`Mode::Shared`].
    pub mode: Mode,
    /// How long a response is fresh that does not say so itself. Default `None`: not at all.
    pub heuristic: Option<Heuristic>,
    /// Whether a shared cache stores responses with `Set-Cookie`. Default no: whoever is served such a response gets
    /// the cookie of the one who asked first. RFC 9111 §7.3 leaves it to the origin to say so; many do not.
    pub set_cookie: bool,
    /// Response fields that are read in place of `Cache-Control`, the first that is there and well-formed (RFC 9213),
    /// such as `cdn-cache-control`. Default none.
    #[cfg_attr(feature = "serde", serde(with = "names"))]
    pub targeted: Vec<HeaderName>,
    /// Whether `Surrogate-Control`, their forerunner, is read after those and before `Cache-Control`. Default no.
    pub surrogate_control: bool,
    /// Whether requests are the same that differ only in the order of their query's parameters. Those of one name keep
    /// theirs. Default no.
    pub canonical_query: bool,
    /// Response fields that list tags, divided by commas or spaces. Default `cache-tag` and `surrogate-key`.
    #[cfg_attr(feature = "serde", serde(with = "names"))]
    pub tag_headers: Vec<HeaderName>,
    /// What `stale-while-revalidate` is for responses that do not say, but are `public` or were fresh for some time.
    /// Default zero.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::forever"))]
    pub stale_while_revalidate: Duration,
    /// What `stale-if-error` is for responses that do not say, but are `public` or were fresh for some time.
    /// Default zero.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::forever"))]
    pub stale_if_error: Duration,
    /// A response with a validator is kept for this long after it was fresh, so that the origin can say that it has
    /// not changed. It is not served without asking. Default one day.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::forever"))]
    pub validate_for: Duration,
    /// The longest body that is stored, in bytes. Default 4 MiB.
    pub max_body: u64,
    /// Whether a response to a request for a range is stored, and serves the ranges within it; one for each URI, or for
    /// each variant, of at most [`max_body`](Self::max_body) bytes. Default yes.
    pub partial: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Shared,
            heuristic: None,
            set_cookie: false,
            targeted: Vec::new(),
            surrogate_control: false,
            canonical_query: false,
            tag_headers: vec![HeaderName::from_static("cache-tag"), HeaderName::from_static("surrogate-key")],
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            validate_for: Duration::from_secs(86_400),
            max_body: 4 << 20,
            partial: true,
        }
    }
}

buttress_core::__setters! { HttpOptions;
    mode: Mode;
    heuristic: impl Into<Option<Heuristic>>, into;
    set_cookie: bool;
    targeted: Vec<HeaderName>;
    surrogate_control: bool;
    canonical_query: bool;
    tag_headers: Vec<HeaderName>;
    stale_while_revalidate: Duration;
    stale_if_error: Duration;
    validate_for: Duration;
    max_body: u64;
    partial: bool;
}

/// For whom a cache stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Mode {
    /// For many users, as a proxy or a gateway does.
    #[default]
    Shared,
    /// For one user, as a client does. What is `private` is stored, and `s-maxage` means nothing.
    Private,
}

/// How long a response is fresh that only says when it was last modified (RFC 9111 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Heuristic {
    /// This share of how long it has not been modified. Default 10 %, which is what the RFC calls typical.
    pub share: Ratio,
    /// But no longer than this. Default one day.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::forever"))]
    pub most: Duration,
}

impl Default for Heuristic {
    fn default() -> Self {
        Self { share: Ratio::percent(10), most: Duration::from_secs(86_400) }
    }
}

/// Names of header fields, as texts.
#[cfg(feature = "serde")]
mod names {
    use http::HeaderName;
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(names: &[HeaderName], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(HeaderName::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HeaderName>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let name = |text: &String| {
            HeaderName::from_bytes(text.as_bytes())
                .map_err(|_| D::Error::invalid_value(Unexpected::Str(text), &"the name of a header field"))
        };
        texts.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_what_was_set() {
        let options = HttpOptions::default().mode(Mode::Private).heuristic(Heuristic::default()).max_body(1);
        assert_eq!((options.mode, options.max_body), (Mode::Private, 1));
        assert_eq!(options.heuristic(None).heuristic, None);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn options_come_back_from_a_file() {
        let text = r#"{"mode":"private","heuristic":{"most":"1h"},"targeted":["CDN-Cache-Control"],"stale_if_error":"forever"}"#;
        let options: HttpOptions = serde_json::from_str(text).unwrap();
        let expected = HttpOptions::default()
            .mode(Mode::Private)
            .heuristic(Heuristic { most: Duration::from_secs(3600), ..Heuristic::default() })
            .targeted(vec![HeaderName::from_static("cdn-cache-control")])
            .stale_if_error(Duration::MAX);
        assert_eq!(options, expected);
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<HttpOptions>(&text).unwrap(), expected);
        assert!(serde_json::from_str::<HttpOptions>(r#"{"targeted":["a b"]}"#).is_err());
        assert!(serde_json::from_str::<HttpOptions>(r#"{"max_boby":1}"#).is_err());
    }
}

//! What a scraper asks for (RFC 9110 §12.5). Nonsense is left alone: it must not cost a scrape.

use super::Format;

/// One element of a list: a name in lower case, its parameters, and how much it is wanted, in thousandths.
struct Wanted<'a> {
    name: String,
    parameters: Vec<(String, &'a str)>,
    quality: u16,
}

fn wanted<'a>(values: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Wanted<'a>> {
    values.into_iter().flat_map(|value| value.split(',')).filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let mut parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        let quality = match parameters.iter().position(|(name, _)| name == "q") {
            Some(at) => {
                let quality: f32 = parameters.swap_remove(at).1.parse().ok()?;
                (0.0..=1.0).contains(&quality).then_some((quality * 1000.0) as u16)?
            }
            None => 1000,
        };
        Some(Wanted { name, parameters, quality })
    })
}

pub(super) fn format<'a>(accept: impl IntoIterator<Item = &'a str>) -> Format {
    let (mut open_metrics, mut text, mut any) = (0, None, 0);
    for Wanted { name, parameters, quality } in wanted(accept) {
        let version = parameters.iter().find(|(name, _)| name == "version").map(|(_, version)| *version);
        match (&*name, version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => {
                open_metrics = quality.max(open_metrics);
            }
            ("text/plain", None | Some("0.0.4")) => text = Some(quality.max(text.unwrap_or(0))),
            ("text/*" | "*/*", _) => any = quality.max(any),
            _ => {}
        }
    }
    // Where both are wanted as much, the one that was named for this.
    if open_metrics > 0 && open_metrics >= text.unwrap_or(any) { Format::OpenMetrics } else { Format::Text }
}

/// How the answer may be coded.
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only the service compresses"))]
pub(super) struct Codings {
    pub(super) gzip: bool,
    /// As it is: unless that was refused.
    pub(super) identity: bool,
}

#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only the service compresses"))]
pub(super) fn codings<'a>(accept_encoding: impl IntoIterator<Item = &'a str>) -> Codings {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for Wanted { name, quality, .. } in wanted(accept_encoding) {
        let known = match &*name {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *known = Some(quality.max(known.unwrap_or(0)));
    }
    Codings { gzip: gzip.or(any).unwrap_or(0) > 0, identity: identity.or(any).unwrap_or(1) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_that_it_asks_for_and_never_none() {
        // What Prometheus 2.42 and 3 send.
        const TWO: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                           text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        const THREE: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, open_metrics) in [
            (&[TWO][..], true),
            (&[THREE], true),
            (&[], false),
            (&[""], false),
            (&["*/*"], false),
            (&["text/plain"], false),
            (&["text/html, */*;q=0.8"], false),
            (&["application/openmetrics-text"], true),
            (&["Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8"], true),
            (&["application/openmetrics-text; version=\"1.0.0\""], true),
            (&["application/openmetrics-text;version=2.0.0"], false),
            (&["application/openmetrics-text;version=0.0.1"], false),
            (&["application/openmetrics-text;q=0"], false),
            (&["application/openmetrics-text;q=0, */*"], false),
            (&["application/openmetrics-text;q=0.5, text/plain;q=0.5"], true),
            (&["application/openmetrics-text;q=0.4, text/plain;q=0.5"], false),
            (&["application/openmetrics-text;q=0.4, */*;q=0.5"], false),
            (&["application/openmetrics-text;q=0.4, text/plain;q=0, */*;q=0.5"], true),
            (&["text/plain;q=0.1", "application/openmetrics-text"], true),
            (&["application/openmetrics-text;q=many"], false),
            (&["application/openmetrics-text;q=2"], false),
            (&["application/openmetrics-text;q=NaN"], false),
            (&[";;;=,,q=1;q"], false),
            (&["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.9"], false),
        ] {
            let expected = if open_metrics { Format::OpenMetrics } else { Format::Text };
            assert_eq!(format(accept.iter().copied()), expected, "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_say_so() {
        for (accept, gzip) in [
            (&["gzip"][..], true),
            (&["deflate, GZIP;q=0.1"], true),
            (&["x-gzip"], true),
            (&["*"], true),
            (&["identity", "gzip"], true),
            (&[], false),
            (&["identity"], false),
            (&["gzip;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*;q=0"], false),
            (&["gzip;q=x"], false),
            (&["br, zstd"], false),
        ] {
            assert_eq!(codings(accept.iter().copied()).gzip, gzip, "{accept:?}");
        }
    }
}

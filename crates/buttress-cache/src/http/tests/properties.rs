//! For all there is: nothing panics, and freshness is what another reading of the RFC says.

use super::super::headers::{Exempt, tags, to_send, to_store};
use super::super::key::invalidates;
use super::super::options::Mode;
use super::super::range::{ContentRange, Cut, Wanted, partial, unsatisfiable};
use super::super::request::way;
use super::super::validate::{conditions, if_range, is_same_head, make_conditional, not_modified, update};
use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// Every field that some rule reads.
const NAMES: &[&str] = &[
    "accept-encoding",
    "accept-language",
    "age",
    "authorization",
    "cache-control",
    "cache-tag",
    "cdn-cache-control",
    "connection",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "date",
    "etag",
    "expires",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "last-modified",
    "location",
    "range",
    "set-cookie",
    "surrogate-control",
    "transfer-encoding",
    "vary",
];

/// Pieces that values are made of, so that some of them nearly mean something.
const PIECES: &[&str] = &[
    "max-age=",
    "s-maxage",
    "no-cache=",
    "private",
    "no-store",
    "stale-if-error=9",
    "60",
    "99999999999999999999",
    "-1",
    "\"",
    "\\",
    ",",
    ";",
    "=",
    " ",
    "\t",
    "q=0.5",
    "bytes=",
    "bytes ",
    "-",
    "/",
    "*",
    "W/",
    "\"a\"",
    "?1",
    "(a b)",
    ":aa:",
    "@1",
    "1.5",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "http://",
    "//",
    "..",
    "/./",
    "#",
    "[",
    "@",
    "max-age",
    "buttress",
    "é",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(prop::sample::select(PIECES), 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![pieces, vec(any::<u8>(), 0..24)]
}

fn soup() -> impl Strategy<Value = HeaderMap> {
    vec((prop::sample::select(NAMES), value()), 0..12).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

/// Moments at both ends of time, and in between.
fn moment() -> impl Strategy<Value = SystemTime> {
    prop_oneof![
        Just(SystemTime::UNIX_EPOCH),
        (0..4_000_000_000_u64).prop_map(|at| SystemTime::UNIX_EPOCH + secs(at)),
        (0..u64::MAX / 4)
            .prop_map(|at| SystemTime::UNIX_EPOCH.checked_add(secs(at)).unwrap_or(SystemTime::UNIX_EPOCH)),
        (1..9_000_000_000_u64).prop_map(|at| SystemTime::UNIX_EPOCH - secs(at)),
    ]
}

fn options() -> impl Strategy<Value = HttpOptions> {
    (any::<[bool; 6]>(), any::<bool>()).prop_map(
        |([private, guess, cookie, cdn, surrogate, parts], forever)| {
            let window = if forever { Duration::MAX } else { secs(30) };
            HttpOptions::default()
                .mode(if private { Mode::Private } else { Mode::Shared })
                .heuristic(guess.then(|| Heuristic { most: window, ..Heuristic::default() }))
                .set_cookie(cookie)
                .targeted(if cdn { vec![HeaderName::from_static("cdn-cache-control")] } else { vec![] })
                .surrogate_control(surrogate)
                .partial(parts)
                .stale_if_error(window)
                .stale_while_revalidate(window)
                .validate_for(window)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_sent_makes_a_rule_panic(
        asked in soup(), answer in soup(), again in soup(), options in options(),
        times in (moment(), moment(), moment()), status in 100_u16..=999, size in any::<u64>(), uri in "/[ -~]{0,20}",
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let uri = uri.parse::<Uri>().unwrap_or_default();
        let received = Times { request: times.0, response: times.1 };
        let now = times.2;
        let directives = ResponseDirectives::of(&answer, &options);
        let wants = RequestDirectives::of(&again);
        let policy = Policy::new(&options, status, &answer, &directives, &again, received);
        let verdict = policy.serve(now, &wants);
        prop_assert_eq!(verdict == Verdict::Fresh && !policy.is_fresh(now), false);
        policy.kept(now);
        policy.ttl_seconds(now);
        policy.staleness(now);
        let _ = way(&Method::GET, &asked, &wants);
        if let Some(target) = Target::of(&uri, &asked) {
            for method in [Method::GET, Method::POST] {
                let exchange = Exchange { method: &method, request: &asked, status, response: &answer, times: received };
                let _ = store(&exchange, &options);
                invalidates(&method, &target, status, &answer, true);
            }
        }
        let mut stored = to_store(&answer, &directives, &options, received.response);
        conditions(&again, status, &stored, received.response, now);
        if_range(&again, &stored, now);
        is_same_head(&stored, size, &again);
        Vary::of(&answer).key(&again);
        tags(&answer, &options).count();
        make_conditional(&mut again.clone(), &stored);
        update(&mut stored, &again, &Exempt::new(&again, &directives, &options), now);
        let mut sent = to_send(&stored, policy.age(now));
        not_modified(&mut sent);
        unsatisfiable(&mut sent, size);
        let wanted = Wanted::of(&again);
        if let Cut::Part(part) = wanted.of_full(size) {
            prop_assert!(part.start < part.end && part.end <= size);
            partial(&mut sent, &part, Some(size));
        }
        if let Some(range) = ContentRange::of(&answer) {
            let body = size % 1000;
            if let Some(part) = range.cut(wanted, body) {
                prop_assert!(part.start < part.end && part.end <= body);
            }
        }
    }

    #[test]
    fn freshness_is_what_a_second_reading_says(
        shared in any::<bool>(), guess in any::<bool>(),
        max_age in of(0..200_i64), s_maxage in of(0..200_i64), expires in of(-200..200_i64), date in of(-200..200_i64),
        modified in of(-2000..0_i64), age in of(0..200_i64), delay in 0..20_i64, later in 0..400_i64,
    ) {
        let mut text: Vec<String> = Vec::new();
        let mut add = |name: &str, value: Option<String>| text.extend(value.map(|value| format!("{name}: {value}")));
        add("Cache-Control", max_age.map(|age| format!("max-age={age}")));
        add("Cache-Control", s_maxage.map(|age| format!("s-maxage={age}")));
        add("Expires", expires.map(|at| format!("@{at}")));
        add("Date", date.map(|at| format!("@{at}")));
        add("Last-Modified", modified.map(|at| format!("@{at}")));
        add("Age", age.map(|age| age.to_string()));
        let headers = fields(&text.join(" | "));
        let mut options = if guess { guessing() } else { HttpOptions::default() };
        if !shared {
            options = options.mode(Mode::Private);
        }
        // Seconds round the moment in which the response came.
        let times = Times { request: start() - secs(delay as u64), response: start() };
        let policy = policy(&options, &headers, times);

        let date_value = date.unwrap_or(0);
        let freshness_lifetime = match (shared, s_maxage, max_age, expires, modified) {
            (true, Some(s_maxage), ..) => s_maxage,
            (_, _, Some(max_age), ..) => max_age,
            (_, _, _, Some(expires), _) => expires - date_value,
            (.., Some(modified)) if guess => (date_value - modified).max(0) / 10,
            _ => 0,
        };
        let apparent_age = 0.max(0 - date_value);
        let corrected_age_value = age.unwrap_or(0) + delay;
        let current_age = apparent_age.max(corrected_age_value) + later;
        let now = start() + secs(later as u64);
        prop_assert_eq!(policy.age(now).as_secs() as i64, current_age);
        prop_assert_eq!(policy.is_fresh(now), freshness_lifetime > current_age);
        prop_assert_eq!(policy.ttl_seconds(now), freshness_lifetime.max(0) - current_age);
    }

    #[test]
    fn requests_alike_have_one_key_and_others_do_not(
        one in vec("[a-c]{1,2}", 1..4), two in vec("[a-c]{1,2}", 1..4), line in any::<bool>(),
    ) {
        let vary = Vary::of(&fields("Vary: foo"));
        let first = fields(&format!("foo: {}", one.join(",")));
        let divider = if line { " | foo: " } else { " ,  " };
        let second = fields(&format!("foo: {}", two.join(divider)));
        prop_assert_eq!(vary.key(&first) == vary.key(&second), one == two);
    }
}

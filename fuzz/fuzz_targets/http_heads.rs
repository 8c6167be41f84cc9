//! Two requests and the response to them, with any bytes that a head may hold, through an HTTP cache.
//!
//! The first byte sets options. The rest is lines: of the first request, of the response, of the second request, each up
//! to an empty line. A byte past ASCII stands for one of [`WORDS`], so that few bytes say much.
#![no_main]

use buttress_cache::Config;
use buttress_cache::http::{Heuristic, HttpCache, HttpCacheLayer, HttpOptions, Mode};
use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_RANGE, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use std::cell::Cell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

type Error = buttress_core::Error<Infallible>;

const BODY: &[u8] = b"0123456789";
const NAME: &str = "edge";

const WORDS: [&str; 61] = [
    "Cache-Control: ",
    "Vary: ",
    "Age: ",
    "Date: ",
    "Expires: ",
    "Last-Modified: ",
    "ETag: ",
    "If-None-Match: ",
    "If-Modified-Since: ",
    "If-Range: ",
    "If-Match: ",
    "Range: ",
    "Content-Range: ",
    "Content-Length: ",
    "Content-Location: ",
    "Location: ",
    "Set-Cookie: ",
    "Authorization: ",
    "Connection: ",
    "Pragma: ",
    "Cache-Status: ",
    "Cache-Tag: ",
    "Surrogate-Control: ",
    "CDN-Cache-Control: ",
    "Host: ",
    "Accept-Language: ",
    "accept-language",
    "no-store",
    "no-cache",
    "private",
    "public",
    "max-age=",
    "s-maxage=",
    "max-stale",
    "min-fresh=",
    "only-if-cached",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "stale-while-revalidate=",
    "stale-if-error=",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "bytes=",
    "bytes ",
    "\"a\"",
    "W/\"a\"",
    "GET /",
    "HEAD /",
    "POST /",
    "http://a.test/",
    "18446744073709551616",
    "2147483648",
    "3600",
    ", ",
    "; ",
    "*",
];

fuzz_target!(|input: &[u8]| {
    let Some((&flags, heads)) = input.split_first() else { return };
    let mut heads = Heads { lines: expand(heads) };
    let (first, answer, second) = (heads.request(), heads.response(), heads.request());

    let is_set = |bit: u8| flags & 1 << bit != 0;
    let mut options =
        HttpOptions::default().partial(is_set(0)).canonical_query(is_set(1)).set_cookie(is_set(2));
    if is_set(3) {
        options = options.mode(Mode::Private).heuristic(Heuristic::default());
    }
    if is_set(4) {
        options =
            options.surrogate_control(true).targeted(vec![HeaderName::from_static("cdn-cache-control")]);
    }
    if is_set(5) {
        options = options.stale_if_error(Duration::from_secs(60)).stale_while_revalidate(Duration::MAX);
    }
    let cache = HttpCache::new(NAME, Config::default(), options);
    let calls = Rc::new(Cell::new(0));
    let origin = Origin { answer: answer.clone(), validates: is_set(6), calls: Rc::clone(&calls) };
    let mut site = HttpCacheLayer::new(&cache).layer(origin);

    let must_not_store = !is_set(4) && is_forbidden(&answer.1);
    for (index, request) in [&first, &second, &first].into_iter().enumerate() {
        let before = calls.get();
        let (head, body) = now(site.call(request.clone())).expect("nothing fails").into_parts();
        let body = now(body.collect()).expect("no body fails").to_bytes();
        assert_eq!(cache.stats().loading, 0);
        let is_hit = check_status(&head.headers, answer.1.contains_key("cache-status"));
        if head.status == StatusCode::NOT_MODIFIED {
            let headers = request.headers();
            assert!(headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE));
        }
        if must_not_store {
            assert!(!is_hit && cache.stats().entries == 0);
            let only = head.status == StatusCode::GATEWAY_TIMEOUT;
            assert!(calls.get() == before + 1 || only, "it was served from somewhere");
        }
        if index == 0 && is_forbidden(first.headers()) {
            assert_eq!(cache.stats().entries, 0);
        }
        if is_hit {
            let mut ages = head.headers.get_all(AGE).iter();
            let age = ages.next().and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
            assert!(age.is_some() && ages.next().is_none(), "{:?}", head.headers);
            check_body(request.method(), answer.0, head.status, &head.headers, &body);
        }
    }
});

/// Words for bytes past ASCII.
fn expand(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in bytes {
        match byte.checked_sub(0x80).and_then(|index| WORDS.get(usize::from(index))) {
            Some(word) => text.extend_from_slice(word.as_bytes()),
            None => text.push(byte),
        }
    }
    text
}

struct Heads {
    lines: Vec<u8>,
}

impl Heads {
    /// The lines up to an empty one.
    fn next(&mut self) -> Vec<u8> {
        let end = self.lines.windows(2).position(|pair| pair == b"\n\n");
        let rest = end.map_or(Vec::new(), |end| self.lines[end + 2..].to_vec());
        let mut head = std::mem::replace(&mut self.lines, rest);
        head.truncate(end.unwrap_or(head.len()));
        head
    }

    fn request(&mut self) -> Request<()> {
        let head = self.next();
        let (line, headers) = fields(&head);
        let mut words = line.split(|&byte| byte == b' ');
        let method = words.next().and_then(|word| Method::from_bytes(word).ok());
        let uri = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let mut request = Request::new(());
        *request.method_mut() = method.unwrap_or_default();
        *request.uri_mut() = uri.unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    fn response(&mut self) -> (StatusCode, HeaderMap) {
        let head = self.next();
        let (line, headers) = fields(&head);
        let status = StatusCode::from_bytes(line).ok();
        // The rest is no final response, or is for the origin alone to say.
        let is_final = |status: &StatusCode| (200..600).contains(&status.as_u16()) && *status != 304;
        (status.filter(is_final).unwrap_or_default(), headers)
    }
}

/// The first line, and those of the others that are fields.
fn fields(head: &[u8]) -> (&[u8], HeaderMap) {
    let mut lines = head.split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (first, headers)
}

#[derive(Clone)]
struct Origin {
    answer: (StatusCode, HeaderMap),
    /// Whether it answers conditions by 304.
    validates: bool,
    calls: Rc<Cell<usize>>,
}

impl Service<Request<()>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = Ready<Result<Response<Full<Bytes>>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        let headers = request.headers();
        let is_conditional = headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
        let mut response = Response::new(Full::from(BODY));
        (*response.status_mut(), *response.headers_mut()) = self.answer.clone();
        if self.validates && is_conditional {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Full::default();
        }
        ready(Ok(response))
    }
}

/// Nothing waits here.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits, and nobody else is there"),
    }
}

/// Whether `no-store` is certain to count: a naive reader, which leaves quoted strings alone.
fn is_forbidden(headers: &HeaderMap) -> bool {
    let lines: Vec<_> = headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes).collect();
    let line = String::from_utf8_lossy(&lines.join(&b","[..])).to_ascii_lowercase();
    let directives: HashSet<_> = line.split(',').map(str::trim).collect();
    let ignores = directives.iter().any(|directive| directive.starts_with("must-understand"));
    !line.contains('"') && directives.contains("no-store") && !ignores
}

/// Checks what the cache says of itself, and whether that is a hit.
fn check_status(headers: &HeaderMap, before: bool) -> bool {
    let all = headers.get_all("cache-status");
    let own = all.iter().next_back().and_then(|value| value.to_str().ok()).expect("it says what it did");
    assert!(before || all.iter().count() == 1, "{headers:?}");
    let mut parameters = own.split("; ");
    assert_eq!(parameters.next(), Some(NAME));
    let mut seen = HashSet::new();
    for parameter in parameters {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_token =
            !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let holds = match key {
            "hit" | "stored" | "collapsed" => parameter == key,
            "fwd" | "detail" => is_token,
            "fwd-status" => value.parse::<u16>().is_ok(),
            "ttl" => value.parse::<i64>().is_ok(),
            _ => false,
        };
        assert!(holds && seen.insert(key), "{own}");
    }
    assert!(seen.contains("hit") != seen.contains("fwd"), "{own}");
    seen.contains("hit")
}

/// Checks that what comes from the store is what the origin has sent, or the part that the head says.
fn check_body(method: &Method, stored: StatusCode, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    if *method == Method::HEAD || [304, 416].contains(&status.as_u16()) && status != stored {
        assert!(body.is_empty());
    } else if status == StatusCode::PARTIAL_CONTENT && stored == StatusCode::OK {
        let range = headers[CONTENT_RANGE].to_str().expect("it is ours");
        let (first, last) = range
            .strip_prefix("bytes ")
            .and_then(|range| range.strip_suffix("/10")?.split_once('-'))
            .expect("it says which part of ten bytes it is");
        let (first, last): (usize, usize) =
            (first.parse().expect("a number"), last.parse().expect("a number"));
        assert_eq!(body, &BODY[first..=last]);
    } else if stored != StatusCode::PARTIAL_CONTENT {
        assert_eq!((status, body), (stored, BODY));
    }
}

//! `Retry-After` with any bytes that a header may hold: read or left alone, and never a panic.
#![no_main]

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
        let _ = buttress_core::http::retry_after(&headers);
    }
});

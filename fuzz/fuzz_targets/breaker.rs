//! The breaker and its naive model through the same history; they must agree at every step.
#![no_main]

libfuzzer_sys::fuzz_target!(|history: &[u8]| buttress_breaker::fuzz(history));

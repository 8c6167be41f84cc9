//! Our layers and their opponents under the workloads of `buttress-benches`, one suite per file in
//! `suites/`, and their hit ratios on traces. Started by `cargo xtask compare`.

mod batchers;
mod hit_ratio;
mod pools;
mod suites {
    pub mod batcher;
    pub mod breaker;
    pub mod cache;
    pub mod http_cache;
    pub mod limit;
    pub mod metrics;
    pub mod pool;
    pub mod stack;
}

use buttress_benches::{Suite, command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &arguments[..] {
        match first.as_str() {
            "hit-ratio" => return hit_ratio::run(rest),
            name if name.starts_with("batcher-") => return batchers::run(name, rest),
            name if name.starts_with("pool-") => return pools::run(name, rest),
            _ => {}
        }
    }
    command::run(&[
        Suite { name: "batcher", contenders: suites::batcher::contenders(), facts: batchers::load::facts() },
        Suite { name: "breaker", contenders: suites::breaker::contenders(), facts: Vec::new() },
        Suite { name: "cache", contenders: suites::cache::contenders(), facts: suites::cache::facts() },
        Suite {
            name: "http-cache",
            contenders: suites::http_cache::contenders(),
            facts: suites::http_cache::facts(),
        },
        Suite { name: "limit", contenders: suites::limit::contenders(), facts: Vec::new() },
        Suite { name: "metrics", contenders: suites::metrics::contenders(), facts: suites::metrics::facts() },
        Suite { name: "pool", contenders: suites::pool::contenders(), facts: Vec::new() },
        Suite { name: "stack", contenders: suites::stack::contenders(), facts: Vec::new() },
    ])
}

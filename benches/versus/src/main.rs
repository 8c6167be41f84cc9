//! Our layers and their opponents under the workloads of `buttress-benches`, one suite per file in
//! `suites/`. Started by `cargo xtask compare`.

mod suites {
    pub mod breaker;
    pub mod limit;
}

use buttress_benches::{Suite, command};
use std::process::ExitCode;

fn main() -> ExitCode {
    command::run(&[
        Suite { name: "breaker", contenders: suites::breaker::contenders() },
        Suite { name: "limit", contenders: suites::limit::contenders() },
    ])
}

//! Our timeouts, one thread. With opponents and two threads: `cargo xtask compare limit`.

mod common;

fn main() {
    common::run("limit", buttress_benches::limit::contenders());
}

//! Our metrics, one thread. With opponents, two threads and memory: `cargo xtask compare metrics`.

mod common;

fn main() {
    common::run("metrics", buttress_benches::metrics::contenders());
}

//! Our caches, one thread. With opponents and two threads: `cargo xtask compare cache`.

mod common;

fn main() {
    common::run("cache", buttress_benches::cache::contenders());
}

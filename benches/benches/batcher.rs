//! Our batcher, one thread. With opponents, ten thousand callers and a real server: `cargo xtask compare batcher`.

mod common;

fn main() {
    common::run("batcher", buttress_benches::batcher::contenders());
}

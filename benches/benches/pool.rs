//! Our pools, one thread. With opponents, two threads and real servers: `cargo xtask compare pool`.

mod common;

fn main() {
    common::run("pool", buttress_benches::pool::contenders());
}

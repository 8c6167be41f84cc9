//! Our breakers, one thread. With opponents and two threads: `cargo xtask compare breaker`.

mod common;

fn main() {
    common::run("breaker", buttress_benches::breaker::contenders());
}

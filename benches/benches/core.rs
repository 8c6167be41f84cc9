//! The histogram, one thread. With two threads it is among the references of every `cargo xtask compare`.

mod common;

fn main() {
    common::run("core", vec![buttress_benches::reference::histogram()]);
}

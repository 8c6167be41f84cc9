use crate::run::{cargo, run};
use crate::{Command, Outcome, setup};

pub(crate) const COMMAND: Command = Command {
    name: "test",
    usage: "test [arguments of cargo test]",
    about: "Sets up, then runs all tests, doctests and examples",
    details: "
The same as `cargo xtask setup` and `cargo test --workspace --all-features`; its exit code is cargo's.

  cargo xtask test                    everything
  cargo xtask test -- a_part_of_names only some",
    run: command,
};

fn command(_: &Command, arguments: &[String]) -> Outcome {
    setup::ensure("test")?;
    run(cargo().args(["test", "--workspace", "--all-features"]).args(arguments))
}

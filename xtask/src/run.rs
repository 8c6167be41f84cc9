//! Starting other programs.

use crate::{Failure, Outcome};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// Where cargo puts what it builds for the workspace.
pub(crate) fn target() -> PathBuf {
    // Relative to where cargo was started, which for the alias is where the user is; made absolute, since
    // what is started from here runs in the root.
    let set = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.and_then(|set| std::path::absolute(set).ok()).unwrap_or_else(|| root().join("target"))
}

/// The cargo that started this, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs to the end; its output is the user's.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| cannot(command, &error))?;
    match status.code() {
        Some(0) => Ok(()),
        // What failed has said so; its code is ours.
        Some(code) => Err(Failure::quiet(u8::try_from(code).unwrap_or(1))),
        None => Err(Failure::new(format_args!("`{}` was killed", name(command)))),
    }
}

/// Runs to the end and returns what it printed; its errors are the user's.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| cannot(command, &error))?;
    if !output.status.success() {
        return Err(Failure::quiet(
            output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it can be started and succeeds; its output is nobody's.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn cannot(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("cannot run `{}`: {error}", name(command)))
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The names, without their ending, of the Rust files in a folder of the repository.
pub(crate) fn rust_files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

//! Examples as their users run them: the real programs.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Builds an example, and says where it is.
pub(crate) fn built(example: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(["--package", env!("CARGO_PKG_NAME"), "--example", example])
        .args(if cfg!(debug_assertions) { &[][..] } else { &["--release"][..] })
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "the example does not build");
    let messages = String::from_utf8(built.stdout).expect("cargo writes UTF-8");
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = built.filter(|message| message["target"]["name"] == example);
    let executable = built.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo says where it put the example")
}

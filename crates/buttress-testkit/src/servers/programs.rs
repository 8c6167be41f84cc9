use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is said where a server is missing.
pub(super) fn missing(name: &str) -> String {
    format!("{name} is not installed: `cargo xtask setup` installs it")
}

/// The directories that the shell would look in.
pub(super) fn path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// Where the programs of PostgreSQL may be: many systems keep them off the path, so that there can be many versions.
pub(super) fn of_postgres() -> Vec<PathBuf> {
    let mut directories = path();
    if let Some(said) = output("pg_config", &["--bindir"]) {
        directories.push(said.into());
    }
    for (parent, below) in [
        ("/usr/lib/postgresql", "bin"), // Debian
        ("/usr/libexec", ""),           // Alpine: postgresql17
        ("/usr", "bin"),                // from postgresql.org, for Fedora: pgsql-17
        ("/opt/homebrew/opt", "bin"),   // postgresql@17
        ("/usr/local/opt", "bin"),
    ] {
        let found = fs::read_dir(parent).into_iter().flatten().flatten();
        directories.extend(found.map(|entry| entry.path().join(below)));
    }
    directories
}

/// The first of these directories that has all of these programs.
pub(super) fn with_all<'a>(directories: &'a [PathBuf], programs: &[&str]) -> Option<&'a Path> {
    let has_all = |directory: &&PathBuf| programs.iter().all(|program| directory.join(program).is_file());
    directories.iter().find(has_all).map(PathBuf::as_path)
}

/// The numbers of a user and of its group.
pub(super) fn account(name: &str) -> Option<(u32, u32)> {
    let number = |what| output("id", &[what, name])?.parse().ok();
    Some((number("-u")?, number("-g")?))
}

/// The one line that a program prints, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

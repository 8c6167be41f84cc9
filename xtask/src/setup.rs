//! What other programs the chores need, and how to get them.

use crate::run::{run, succeeds};
use crate::{Command, Failure, Outcome};
use std::process;

pub(crate) const COMMAND: Command = Command {
    name: "setup",
    usage: "setup [compare|conformance|fuzz|all]",
    about: "Installs what the tests need, and nothing that is there already",
    details: "
Without a word it sees to what `cargo xtask test` needs; with the name of another command, to what that one
needs. What is missing is installed through the system's package manager (apt-get, dnf, pacman, apk or
brew) if that is possible without a password; otherwise it prints the command and fails. It says what it does.
Some systems start a server when they install it: the tests use none of those, but private ones.",
    run: command,
};

/// A program that is not built from this repository.
struct Tool {
    name: &'static str,
    /// Which commands need it; what is needed to `build`, all need.
    needed_by: &'static [&'static str],
    what_for: &'static str,
    /// Any of these shows that it is there.
    found_by: &'static [&'static [&'static str]],
    packages: Packages,
}

/// What the package is called; empty where there is none.
struct Packages {
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    apk: &'static str,
    brew: &'static str,
}

const TOOLS: [Tool; 11] = [
    Tool {
        name: "a C compiler",
        needed_by: &["build"],
        what_for: "the examples bring SQLite along as source",
        found_by: &[&["cc", "--version"], &["gcc", "--version"], &["clang", "--version"]],
        // With brew it is part of Apple's tools: `xcode-select --install`.
        packages: Packages { apt: "gcc libc6-dev", dnf: "gcc", pacman: "gcc", apk: "gcc musl-dev", brew: "" },
    },
    Tool {
        name: "redis-server",
        needed_by: &["test", "compare"],
        what_for: "pools are tried on it: it is killed and started again",
        found_by: &[&["redis-server", "--version"], &["valkey-server", "--version"]],
        packages: Packages {
            apt: "redis-server",
            dnf: "valkey",
            pacman: "valkey",
            apk: "valkey",
            brew: "redis",
        },
    },
    Tool {
        name: "PostgreSQL",
        needed_by: &["test", "compare"],
        what_for: "the pool's tests kill it and start it again, and batches are compared on it",
        // Mostly not on the path; the tests look in the same places.
        found_by: &[
            &["sh", "-c", "command -v postgres && command -v initdb"],
            &["sh", "-c", "ls \"$(pg_config --bindir)/initdb\""],
            &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"],
            &["sh", "-c", "ls /usr/libexec/postgresql*/initdb"],
            &["sh", "-c", "ls /usr/pgsql-*/bin/initdb"],
            &["sh", "-c", "ls /opt/homebrew/opt/postgresql*/bin/initdb"],
            &["sh", "-c", "ls /usr/local/opt/postgresql*/bin/initdb"],
        ],
        packages: Packages {
            apt: "postgresql",
            dnf: "postgresql-server",
            pacman: "postgresql",
            apk: "postgresql",
            brew: "postgresql",
        },
    },
    Tool {
        name: "valgrind",
        needed_by: &["compare"],
        what_for: "it counts instructions; `compare` does without them where it is missing",
        found_by: &[&["valgrind", "--version"]],
        packages: Packages {
            apt: "valgrind",
            dnf: "valgrind",
            pacman: "valgrind",
            apk: "valgrind",
            brew: "",
        },
    },
    Tool {
        name: "a C++ compiler",
        needed_by: &["fuzz"],
        what_for: "libFuzzer comes as source",
        found_by: &[&["c++", "--version"], &["g++", "--version"], &["clang++", "--version"]],
        packages: Packages { apt: "g++", dnf: "gcc-c++", pacman: "gcc", apk: "g++", brew: "" },
    },
    Tool {
        name: "node",
        needed_by: &["conformance"],
        what_for: "the suite for HTTP caches runs in it",
        found_by: &[&["node", "--version"]],
        packages: Packages { apt: "nodejs", dnf: "nodejs", pacman: "nodejs", apk: "nodejs", brew: "node" },
    },
    Tool {
        name: "npm",
        needed_by: &["conformance"],
        what_for: "it installs the suite for HTTP caches",
        found_by: &[&["npm", "--version"]],
        packages: Packages { apt: "npm", dnf: "npm", pacman: "npm", apk: "npm", brew: "node" },
    },
    Tool {
        name: "nginx",
        needed_by: &["conformance", "compare"],
        what_for: "what the gateway is set beside",
        found_by: &[&["nginx", "-v"]],
        packages: Packages { apt: "nginx", dnf: "nginx", pacman: "nginx", apk: "nginx", brew: "nginx" },
    },
    Tool {
        name: "wrk",
        needed_by: &["compare"],
        what_for: "it asks servers as fast as they answer",
        found_by: &[&["sh", "-c", "command -v wrk"]],
        packages: Packages { apt: "wrk", dnf: "wrk", pacman: "wrk", apk: "wrk", brew: "wrk" },
    },
    Tool {
        name: "Prometheus",
        needed_by: &["test"],
        what_for: "it scrapes the gateway, and its promtool reads what our metrics write",
        found_by: &[&["sh", "-c", "prometheus --version && promtool --version"]],
        packages: Packages {
            apt: "prometheus",
            dnf: "golang-github-prometheus",
            pacman: "prometheus",
            apk: "prometheus",
            brew: "prometheus",
        },
    },
    Tool {
        name: "prometheus_client for Python",
        needed_by: &["test"],
        what_for: "its parser is as strict as the standard of OpenMetrics",
        found_by: &[
            &["python3", "-c", "import prometheus_client"],
            &["/usr/bin/python3", "-c", "import prometheus_client"],
        ],
        packages: Packages {
            apt: "python3-prometheus-client",
            dnf: "python3-prometheus_client",
            pacman: "python-prometheus_client",
            apk: "py3-prometheus-client",
            // `python3 -m pip install prometheus_client`.
            brew: "",
        },
    },
];

struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    /// Run when an installation failed: its lists may be old, or were never fetched.
    refresh: &'static [&'static str],
    as_root: bool,
    package: fn(&Packages) -> &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes", "--no-install-recommends"],
        refresh: &["update"],
        as_root: true,
        package: |packages| packages.apt,
    },
    Manager {
        program: "dnf",
        install: &["install", "--assumeyes"],
        refresh: &["makecache"],
        as_root: true,
        package: |packages| packages.dnf,
    },
    Manager {
        program: "pacman",
        install: &["--sync", "--needed", "--noconfirm"],
        refresh: &["--sync", "--refresh"],
        as_root: true,
        package: |packages| packages.pacman,
    },
    Manager {
        program: "apk",
        install: &["add"],
        refresh: &["update"],
        as_root: true,
        package: |packages| packages.apk,
    },
    Manager {
        program: "brew",
        install: &["install"],
        refresh: &["update"],
        as_root: false,
        package: |packages| packages.brew,
    },
];

fn command(command: &Command, arguments: &[String]) -> Outcome {
    let wanted = match arguments {
        [] => "test",
        [one] if one == "all" || TOOLS.iter().any(|tool| tool.needed_by.contains(&one.as_str())) => one,
        _ => return Err(Failure::usage(command, format_args!("cannot set up {}", arguments.join(" ")))),
    };
    for tool in needed(wanted).filter(|tool| tool.is_there()) {
        println!("{}: there", tool.name);
    }
    ensure(wanted)
}

/// Installs what `command` needs and what is missing; says nothing if there is nothing to do.
pub(crate) fn ensure(command: &str) -> Outcome {
    for tool in needed(command).filter(|tool| !tool.is_there()) {
        println!("{}: missing ({})", tool.name, tool.what_for);
        tool.install()?;
        if !tool.is_there() {
            return Err(Failure::new(format_args!("{} was installed and is not found", tool.name)));
        }
    }
    Ok(())
}

/// Fails if `command` cannot do without this one of its tools, and installs nothing.
pub(crate) fn require(command: &str, name: &str) -> Outcome {
    match needed(command).find(|tool| tool.name == name) {
        Some(tool) if !tool.is_there() => Err(Failure::new(format_args!(
            "{name} is missing ({}): `cargo xtask setup {command}`",
            tool.what_for
        ))),
        _ => Ok(()),
    }
}

fn needed(command: &str) -> impl Iterator<Item = &'static Tool> {
    let is_needed = move |tool: &&Tool| ["build", command].iter().any(|by| tool.needed_by.contains(by));
    TOOLS.iter().filter(move |tool| command == "all" || is_needed(tool))
}

impl Tool {
    fn is_there(&self) -> bool {
        self.found_by.iter().any(|check| succeeds(check[0], &check[1..]))
    }

    fn install(&self) -> Outcome {
        let Some(manager) = MANAGERS.iter().find(|manager| succeeds(manager.program, &["--version"])) else {
            let known = MANAGERS.map(|manager| manager.program).join(", ");
            return Err(Failure::new(format_args!(
                "install {} by hand: there is none of {known} here",
                self.name
            )));
        };
        let packages = (manager.package)(&self.packages);
        if packages.is_empty() {
            let by_hand = if self.name.ends_with("compiler") { ": `xcode-select --install`" } else { "" };
            return Err(Failure::new(format_args!(
                "{} has no package of {}{by_hand}",
                manager.program, self.name
            )));
        }
        let install = manager.command_line(manager.install, packages);
        let Some(rights) = manager.rights() else {
            return Err(Failure::new(format_args!("run `sudo {install}` and try again")));
        };
        println!("running `{rights}{install}`");
        if start(rights, &install).is_err() {
            let refresh = manager.command_line(manager.refresh, "");
            println!("running `{rights}{refresh}` and once more");
            start(rights, &refresh)?;
            start(rights, &install)?;
        }
        Ok(())
    }
}

impl Manager {
    fn command_line(&self, arguments: &[&str], packages: &str) -> String {
        format!("{} {} {packages}", self.program, arguments.join(" ")).trim_end().to_owned()
    }

    /// What to put before the command line, or `None` where only the user can give the password.
    fn rights(&self) -> Option<&'static str> {
        if !self.as_root || is_root() {
            Some("")
        } else if succeeds("sudo", &["-n", "true"]) {
            Some("sudo -n ")
        } else {
            None
        }
    }
}

fn is_root() -> bool {
    process::Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs a command line whose words hold no spaces.
fn start(rights: &str, line: &str) -> Outcome {
    let line = format!("{rights}{line}");
    let mut words = line.split_whitespace();
    let program = words.next().expect("a command line begins with a program");
    run(process::Command::new(program).args(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_need_less_than_everything() {
        let names = |command| needed(command).map(|tool| tool.name).collect::<Vec<_>>();
        let test =
            ["a C compiler", "redis-server", "PostgreSQL", "Prometheus", "prometheus_client for Python"];
        assert_eq!(names("test"), test);
        assert_eq!(
            names("compare"),
            ["a C compiler", "redis-server", "PostgreSQL", "valgrind", "nginx", "wrk"]
        );
        assert_eq!(names("conformance"), ["a C compiler", "node", "npm", "nginx"]);
        assert_eq!(names("all").len(), TOOLS.len());
    }

    #[test]
    fn command_lines_are_what_one_would_type() {
        let lines = MANAGERS
            .map(|manager| manager.command_line(manager.install, (manager.package)(&TOOLS[3].packages)));
        assert_eq!(lines[0], "apt-get install --yes --no-install-recommends valgrind");
        assert_eq!(lines[3], "apk add valgrind");
    }
}

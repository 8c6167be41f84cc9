//! Runs public conformance suites against the examples.

mod argued;
mod verdict;

use crate::run::{run, target};
use crate::running::{Running, Voice};
use crate::servers::{self, START};
use crate::{Command, Failure, Outcome, setup};
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, process};
use verdict::{Kind, Report};

pub(crate) const COMMAND: Command = Command {
    name: "conformance",
    usage: "conformance http [--all] [--only TEXT] [--nginx]
       cargo xtask conformance http [--all] [--only TEXT] --url URL --origin-port PORT",
    about: "Runs the public suite for HTTP caches against the gateway",
    details: "
  cargo xtask conformance http               the gateway before the suite's origin, both on free ports; fails if a
                                             required or optimal row is no pass and not argued in
                                             examples/gateway/CONFORMANCE.md, or is argued there and passes, or
                                             if the counts there are others
  cargo xtask conformance http --nginx       and nginx with `proxy_cache` before the same origin, beside it
  cargo xtask conformance http --only vary   only rows with that in their ids
  cargo xtask conformance http --all         shows every row, not only required and optimal ones that are no pass
  cargo xtask conformance http --url http://127.0.0.1:8080 --origin-port 8000
                                             a cache that runs already and whose origin is port 8000 of this
                                             machine; nothing is compared with the page

The last column of the table is what the suite says of the leftmost cache for which the row is no pass.
The suite is the npm package http-cache-tests without its rows for browsers; npm installs it below the target
folder. `cargo xtask setup conformance` installs node, npm and nginx. Where a package of nginx starts a server of
its own, as Debian's does, that one is not used.",
    run: command,
};

const MANIFEST: &str = include_str!("../conformance/http/package.json");
const LOCK: &str = include_str!("../conformance/http/package-lock.json");
const ORIGIN: &str = include_str!("../conformance/http/origin.mjs");
const CLIENT: &str = include_str!("../conformance/http/client.mjs");
const NGINX: &str = include_str!("../conformance/http/nginx.conf");

/// For all rows. They wait for responses to become stale, a hundred rows at a time; one answer may take half a minute.
const SUITE: Duration = Duration::from_secs(600);

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Wanted<'a> {
    all: bool,
    only: &'a str,
    against: Against<'a>,
}

#[derive(Debug, PartialEq)]
enum Against<'a> {
    Gateway { and_nginx: bool },
    Url { url: &'a str, origin_port: u16 },
}

impl<'a> Wanted<'a> {
    fn parse(arguments: &'a [String]) -> Outcome<Self> {
        let wrong = |message: &dyn Display| Err(Failure::usage(&COMMAND, message));
        let (mut all, mut only, mut nginx, mut url, mut port) = (false, "", false, None, None);
        let mut words = arguments.iter().map(String::as_str);
        if words.next() != Some("http") {
            return wrong(&"there is one suite: `http`");
        }
        while let Some(word) = words.next() {
            match word {
                "--all" => all = true,
                "--nginx" => nginx = true,
                "--only" | "--url" | "--origin-port" => {
                    let Some(value) = words.next().filter(|value| !value.starts_with("--")) else {
                        return wrong(&format_args!("`{word}` needs a value"));
                    };
                    match word {
                        "--only" => only = value,
                        "--url" => url = Some(value.trim_end_matches('/')),
                        _ => match value.parse() {
                            Ok(number) => port = Some(number),
                            Err(_) => return wrong(&format_args!("`{value}` is no port")),
                        },
                    }
                }
                _ => return wrong(&format_args!("cannot make sense of `{word}`")),
            }
        }
        let against = match (url, port, nginx) {
            (None, None, and_nginx) => Against::Gateway { and_nginx },
            (Some(url), Some(origin_port), false) => Against::Url { url, origin_port },
            (Some(_), Some(_), true) => return wrong(&"`--nginx` goes with the gateway, not with `--url`"),
            _ => return wrong(&"`--url` and `--origin-port` need each other"),
        };
        Ok(Self { all, only, against })
    }
}

/// What the suite says of one cache.
struct Column {
    cache: String,
    report: Report,
}

fn command(_: &Command, arguments: &[String]) -> Outcome {
    let Wanted { all, only, against } = Wanted::parse(arguments)?;
    setup::require("conformance", "node")?;
    setup::require("conformance", "npm")?;
    let folder = install()?;
    match against {
        Against::Url { url, origin_port } => {
            let _origin = origin(&folder, origin_port)?;
            let column = ask(&folder, url.to_owned(), url, only)?;
            print!("{}", table(&[column], all));
            Ok(())
        }
        Against::Gateway { and_nginx } => {
            let page = argued::read()?;
            if and_nginx {
                setup::require("conformance", "nginx")?;
            }
            // In the dev profile, which optimises our own crates.
            let gateway = servers::built("buttress-examples", "gateway", &[])?;
            let (_origin, port) = origin(&folder, 0)?;
            let mut columns = vec![ask_gateway(&folder, &gateway, port, only)?];
            if and_nginx {
                columns.push(ask_nginx(&folder, port, only)?);
            }
            print!("{}", table(&columns, all));
            argued::judge(&columns[0].report, &page, only.is_empty())
        }
    }
}

/// The suite, ready to run, where it was installed.
fn install() -> Outcome<PathBuf> {
    let folder = target().join("conformance").join("http");
    let cannot =
        |error: io::Error| Failure::new(format_args!("cannot write to {}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(cannot)?;
    for (name, text) in [
        ("package.json", MANIFEST),
        ("package-lock.json", LOCK),
        ("origin.mjs", ORIGIN),
        ("client.mjs", CLIENT),
    ] {
        fs::write(folder.join(name), text).map_err(cannot)?;
    }
    // Written last, so that what was begun and not ended is begun again.
    let done = folder.join("installed");
    if fs::read_to_string(&done).is_ok_and(|lock| lock == LOCK) {
        return Ok(folder);
    }
    println!("installing the suite in {}", folder.display());
    let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    run(process::Command::new("npm").args(quiet).current_dir(&folder))?;
    fs::write(&done, LOCK).map_err(cannot)?;
    Ok(folder)
}

/// The suite's origin server and its port: this one, or a free one if it is 0.
fn origin(folder: &Path, port: u16) -> Outcome<(Running, u16)> {
    let mut command = process::Command::new("node");
    command
        .args(["--no-warnings", "origin.mjs"])
        .current_dir(folder)
        .env("npm_config_protocol", "http")
        .env("npm_config_port", port.to_string())
        .env("npm_config_pidfile", "origin.pid");
    let origin = Running::start("the suite's origin", &mut command, &Voice::Output)?;
    let line = origin.line_with("Listening on", START)?;
    let port = line.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    let port = port.ok_or_else(|| Failure::new(format_args!("no port in `{line}`")))?;
    Ok((origin, port))
}

/// Asks the cache at `url` all that the suite has to ask.
fn ask(folder: &Path, cache: String, url: &str, only: &str) -> Outcome<Column> {
    println!("asking {cache}");
    let mut command = process::Command::new("node");
    command.args(["--no-warnings", "client.mjs", url, only]).current_dir(folder);
    let client = Running::start("the suite's client", &mut command, &Voice::Output)?;
    let report = Report::parse(&client.line_with("{\"version\":", SUITE)?)?;
    if report.rows.is_empty() {
        return Err(Failure::new(format_args!("there is no row with `{only}` in its id")));
    }
    Ok(Column { cache, report })
}

fn ask_gateway(folder: &Path, gateway: &Path, origin: u16, only: &str) -> Outcome<Column> {
    let origin = format!("http://127.0.0.1:{origin}");
    let flags = [
        "--upstream",
        &origin,
        // The suite wants them stored; nginx is told so too.
        "--cache-set-cookie",
        // Rows in which the origin fails run beside others, which an open breaker would refuse.
        "--failures",
        "1000000",
        // A hundred rows begin at once, on whatever machine this is.
        "--attempt-timeout",
        "20s",
        "--deadline",
        "25s",
    ];
    let gateway = servers::gateway(gateway, &flags)?;
    ask(folder, "gateway".to_owned(), &gateway.url, only)
}

fn ask_nginx(folder: &Path, origin: u16, only: &str) -> Outcome<Column> {
    let config = NGINX.replace("ORIGIN", &format!("127.0.0.1:{origin}"));
    let nginx = servers::nginx(&folder.join("nginx"), &config)?;
    ask(folder, nginx.version, &nginx.server.url, only)
}

/// Counts, and the rows that any of them missed; every row with `all`.
fn table(columns: &[Column], all: bool) -> String {
    let Some(Column { report: first, .. }) = columns.first() else {
        return String::new();
    };
    let width = columns.iter().map(|column| column.cache.len()).max().unwrap_or(0).max("dependency".len());
    let mut text = format!("\nhttp-cache-tests {}\n\n{:<8}", first.version, "");
    // Writing to a string cannot fail.
    for Column { cache, .. } in columns {
        let _ = write!(text, "  {cache:>width$}");
    }
    for kind in Kind::ALL {
        let _ = write!(text, "\n{:<8}", kind.name());
        for Column { report, .. } in columns {
            let (passed, of) = report.count(kind);
            let _ = write!(text, "  {:>width$}", format!("{passed}/{of}"));
        }
    }

    let missed = |id: &str| columns.iter().find(|column| !column.report.verdict(id).is_pass());
    let shown = |row: &&verdict::Row| all || (row.kind != Kind::Check && missed(&row.id).is_some());
    let rows: Vec<_> = first.rows.iter().filter(shown).collect();
    let ids = rows.iter().map(|row| row.id.len()).max().unwrap_or(0);
    text += "\n\n";
    for row in rows {
        let mut line = format!("{:<ids$}  {:<8}", row.id, row.kind.name());
        for Column { report, .. } in columns {
            let _ = write!(line, "  {:<width$}", report.verdict(&row.id).name());
        }
        let said = missed(&row.id).map(|column| column.report.said(&row.id)).unwrap_or_default();
        text = text + &line + "  " + &said;
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let full = words("http --only vary --nginx --all");
        let gateway = Against::Gateway { and_nginx: true };
        assert_eq!(
            Wanted::parse(&full).expect("sense"),
            Wanted { all: true, only: "vary", against: gateway }
        );
        let other = words("http --url http://[::1]:80/ --origin-port 8000");
        let url = Against::Url { url: "http://[::1]:80", origin_port: 8000 };
        assert_eq!(Wanted::parse(&other).expect("sense"), Wanted { all: false, only: "", against: url });
        for nonsense in [
            "",
            "grpc",
            "--all http",
            "http --only",
            "http --only --all",
            "http vary",
            "http --url http://a",
            "http --origin-port 80",
            "http --url http://a --origin-port 70000",
            "http --url http://a --origin-port 80 --nginx",
        ] {
            assert!(Wanted::parse(&words(nonsense)).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn the_table_shows_what_any_cache_missed() {
        let column = |cache: &str, results: &str| {
            let row = |id, kind| format!(r#"{{"id":"{id}","kind":"{kind}","asked":true}}"#);
            let rows = [row("first", "required"), row("second", "optimal"), row("third", "check")].join(",");
            let report = format!(r#"{{"version":"1.2.3","rows":[{rows}],"results":{{{results}}}}}"#);
            Column { cache: cache.to_owned(), report: Report::parse(&report).expect("a report") }
        };
        let columns = [
            column("ours", r#""first":true,"second":true,"third":["Assertion","never mind"]"#),
            column("theirs", r#""first":true,"second":["Assertion","from cache"],"third":true"#),
        ];
        let expected = "
http-cache-tests 1.2.3

                ours      theirs
required         1/1         1/1
optimal          1/1         0/1
check            0/1         1/1

second  optimal   pass        fail        from cache
";
        assert_eq!(table(&columns, false), expected);
        assert!(table(&columns, true).contains("third   check     no          yes         never mind\n"));
        assert_eq!(table(&columns[..1], false).lines().last(), Some(""));
    }
}

//! The gateway beside a bare handler and nginx, and what its clients see while its upstream fails and dies.

use crate::run::{output, run, target};
use crate::servers::{self, Server};
use crate::{Failure, Outcome, setup};
use std::path::Path;
use std::process::Command;
use std::{fs, io};

const NGINX: &str = include_str!("nginx.conf");

/// For `wrk`.
const POST: &str = r#"
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"content": "what there is to remember of it", "tags": ["a", "b"]}'
"#;

/// How often each server is asked, in turns with the others; the median counts.
const ROUNDS: usize = 3;
const SECONDS: &str = "-d4s";

pub(super) fn compare() -> Outcome {
    setup::require("compare", "wrk")?;
    setup::require("compare", "nginx")?;
    let release = ["--release"];
    let program = servers::built("buttress-examples", "gateway", &release)?;
    let phases = servers::built("buttress-benches", "phases", &release)?;
    let bare = servers::built("buttress-benches", "bare", &release)?;

    println!("gateway: its clients, {}", program.display());
    run(Command::new(phases).arg(&program))?;

    let bare = servers::server("the bare handler", &mut Command::new(bare), "bare on ")?;
    let gateway = servers::gateway(&program, &["--upstream", &bare.url])?;
    let origin = bare.url.trim_start_matches("http://");
    let nginx = servers::nginx(&target().join("compare").join("nginx"), &NGINX.replace("ORIGIN", origin))?;
    let servers = [("bare axum handler", &bare), ("gateway, hit", &gateway), (&nginx.version, &nginx.server)];
    print!("\n{}", table("1 kB", "of bare", &servers, &Ask { path: "/1", script: None })?);
    writes(&program, &release)
}

/// How new memories get to a database, each by itself and in batches.
fn writes(program: &Path, release: &[&str]) -> Outcome {
    let postgres = servers::built("buttress-testkit", "postgres", release)?;
    let postgres = servers::server("PostgreSQL", &mut Command::new(postgres), "postgres on ")?;
    let folder = target().join("compare").join("memories");
    let cannot = |error: io::Error| Failure::new(format_args!("cannot set up {}: {error}", folder.display()));
    // What an earlier run has written would be there again.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => fs::create_dir_all(&folder).map_err(cannot)?,
    }
    let script = folder.join("post.lua");
    fs::write(&script, POST).map_err(cannot)?;
    let ask = Ask { path: "/memories", script: Some(&script) };
    for (database, url) in [("PostgreSQL", Some(&*postgres.url)), ("SQLite, a file", None)] {
        let gateway = |max_batch| {
            let file = folder.join(format!("{max_batch}.sqlite"));
            let file = file.to_string_lossy();
            let flags = ["--max-batch", max_batch, "--database", &*file];
            servers::gateway_at(program, &flags[..if url.is_some() { 2 } else { 4 }], url)
        };
        let (single, batched) = (gateway("1")?, gateway("64")?);
        let servers = [("writes, one by one", &single), ("writes, up to 64", &batched)];
        print!("\n{}", table(database, "of single", &servers, &ask)?);
    }
    Ok(())
}

/// What `wrk` says of one server and a number of connections.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    per_second: f64,
    /// Milliseconds.
    p99: f64,
}

/// What is asked of each server.
struct Ask<'a> {
    path: &'static str,
    /// In Lua, where it is not a GET.
    script: Option<&'a Path>,
}

/// The first server is what the others are measured by.
fn table(about: &str, measure: &str, servers: &[(&str, &Server)], ask: &Ask<'_>) -> Outcome<String> {
    let mut loads = vec![[(); 2].map(|()| Vec::new()); servers.len()];
    for _ in 0..ROUNDS {
        for (connections, flag) in ["-c64", "-c1000"].into_iter().enumerate() {
            for ((_, server), loads) in servers.iter().zip(&mut loads) {
                loads[connections].push(wrk(&server.url, ask, flag)?);
            }
        }
    }
    let medians: Vec<_> = loads.iter_mut().map(|loads| loads.each_mut().map(|loads| median(loads))).collect();
    let mut text = format!(
        "{about:<24}{:>12}{measure:>11}{:>9}{:>15}{measure:>11}{:>11}{measure:>11}\n",
        "64 conn: /s", "p99 ms", "1000 conn: /s", "p99 ms"
    );
    let Some([few_first, many_first]) = medians.first() else { return Ok(text) };
    for ((name, _), [few, many]) in servers.iter().zip(&medians) {
        let percent = |part: f64, whole: f64| format!("{:.0} %", 100.0 * part / whole);
        text += &format!(
            "{name:<24}{:>12.0}{:>11}{:>9.2}{:>15.0}{:>11}{:>11.1}{:>11.2}\n",
            few.per_second,
            percent(few.per_second, few_first.per_second),
            few.p99,
            many.per_second,
            percent(many.per_second, many_first.per_second),
            many.p99,
            many.p99 / many_first.p99,
        );
    }
    Ok(text)
}

/// Each figure's own.
fn median(loads: &[Load]) -> Load {
    let middle = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Load {
        per_second: middle(loads.iter().map(|load| load.per_second).collect()),
        p99: middle(loads.iter().map(|load| load.p99).collect()),
    }
}

fn wrk(url: &str, ask: &Ask<'_>, connections: &str) -> Outcome<Load> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", connections, SECONDS, "--latency"]);
    if let Some(script) = ask.script {
        wrk.arg("-s").arg(script);
    }
    let said = output(wrk.arg(format!("{url}{}", ask.path)))?;
    parse(&said).map_err(|what| Failure::new(format_args!("wrk on {url}: {what}\n{said}")))
}

fn parse(said: &str) -> Result<Load, &'static str> {
    if said.contains("Socket errors") || said.contains("Non-2xx") {
        return Err("not every request was answered as it should be");
    }
    let after = |mark: &str| said.lines().find_map(|line| line.trim().strip_prefix(mark)).map(str::trim);
    let per_second =
        after("Requests/sec:").and_then(|figure| figure.parse().ok()).ok_or("no requests per second")?;
    let p99 = after("99%").and_then(milliseconds).ok_or("no 99th percentile")?;
    Ok(Load { per_second, p99 })
}

/// Reads `455.00us`, `1.13ms` or `1.20s`.
fn milliseconds(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let scale = match &text[number.len()..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "  Latency Distribution\n     50%  581.00us\n     99%    1.13ms\n  382582 requests in 4.00s\nRequests/sec:  95645.45\n";

    #[test]
    fn what_wrk_says_is_read() {
        assert_eq!(parse(SAID), Ok(Load { per_second: 95645.45, p99: 1.13 }));
        assert_eq!(["455.00us", "2.00s", "1"].map(milliseconds), [Some(0.455), Some(2000.0), None]);
        assert!(parse("Requests/sec: 1").is_err());
        assert!(parse(&format!("{SAID}  Socket errors: connect 0, read 5, write 0, timeout 0")).is_err());
    }

    #[test]
    fn the_middle_of_each_figure_counts() {
        let loads = [(1.0, 9.0), (3.0, 8.0), (2.0, 7.0)].map(|(per_second, p99)| Load { per_second, p99 });
        assert_eq!(median(&loads), Load { per_second: 2.0, p99: 8.0 });
    }
}

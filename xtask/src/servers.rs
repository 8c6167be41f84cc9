//! The servers that chores set side by side.

use crate::run::{cargo, output};
use crate::running::{Running, Voice};
use crate::{Failure, Outcome};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

/// How long a server may take to start.
pub(crate) const START: Duration = Duration::from_secs(30);

/// A server that ends with this.
pub(crate) struct Server {
    _running: Running,
    /// Such as `http://127.0.0.1:port`.
    pub(crate) url: String,
}

/// Builds an example, and says where it is.
pub(crate) fn built(package: &str, example: &str, flags: &[&str]) -> Outcome<PathBuf> {
    let build = ["build", "--package", package, "--example", example];
    let messages = output(
        cargo().args(build).args(["--quiet", "--message-format", "json-render-diagnostics"]).args(flags),
    )?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = built.filter(|message| message["target"]["name"] == example);
    let path = built.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).next();
    path.ok_or_else(|| Failure::new(format_args!("cargo does not say where `{example}` is")))
}

/// The gateway on a free port, with more flags.
pub(crate) fn gateway(program: &Path, flags: &[&str]) -> Outcome<Server> {
    gateway_at(program, flags, None)
}

/// The same; its memories are on this PostgreSQL server, if there is one.
pub(crate) fn gateway_at(program: &Path, flags: &[&str], database: Option<&str>) -> Outcome<Server> {
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0"]).args(flags).env_remove("DATABASE_URL");
    command.envs(database.map(|url| ("DATABASE_URL", url)));
    server("the gateway", &mut command, "gateway on ")
}

/// A server of ours, which prints its address first.
pub(crate) fn server(what: &'static str, command: &mut Command, says: &str) -> Outcome<Server> {
    let running = Running::start(what, command, &Voice::Output)?;
    let line = running.line_with(says, START)?;
    let url = line.split([' ', ',']).find(|word| word.contains("://"));
    let url = url.ok_or_else(|| Failure::new(format_args!("no address in `{line}`")))?.to_owned();
    Ok(Server { _running: running, url })
}

pub(crate) struct Nginx {
    pub(crate) server: Server,
    /// `nginx/1.2.3`
    pub(crate) version: String,
}

/// nginx with this configuration, in which `LISTEN` is where it is to listen. Its folder is emptied before.
pub(crate) fn nginx(folder: &Path, config: &str) -> Outcome<Nginx> {
    let cannot = |error: io::Error| Failure::new(format_args!("cannot set up {}: {error}", folder.display()));
    // What an earlier run has cached would be there again.
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => fs::create_dir_all(folder).map_err(cannot)?,
    }
    // nginx cannot be told to take a free port, so one that was free a moment ago is as good as it gets.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let listen = free.map_err(|error| Failure::new(format_args!("there is no free port: {error}")))?;
    fs::write(folder.join("nginx.conf"), config.replace("LISTEN", &listen.to_string())).map_err(cannot)?;

    let command = |more: &[&str]| {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]).args(more);
        command
    };
    let mut stop = command(&["-s", "stop"]);
    stop.stderr(std::process::Stdio::null());
    let running = Running::start("nginx", &mut command(&[]), &Voice::Errors)?.ended_by(stop);
    // It names its version when its sockets listen.
    let line = running.line_with(": nginx/", START)?;
    let version = line.rsplit(' ').next().unwrap_or("nginx").to_owned();
    Ok(Nginx { server: Server { _running: running, url: format!("http://{listen}") }, version })
}

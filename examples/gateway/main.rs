//! A resilient reverse proxy in front of any HTTP server: a template to start from.
//!
//! [`stack`] is the page to read first, and to change first.
//!
//! ```text
//! cargo run --release --example gateway                                    # with an upstream of its own
//! cargo run --release --example gateway -- --upstream http://127.0.0.1:8080    # or before yours
//! cargo run --release --example gateway -- --database memories.sqlite      # memories in a file
//! DATABASE_URL=postgres://user@host/name cargo run --release --example gateway    # or on a server
//! cargo run --release --example gateway -- --help                          # every flag
//!
//! curl localhost:5057/memories --json '{"content": "the first"}'
//! curl localhost:5057/chaos --json '{"mode": "fail"}'      # or "stall", or "ok"
//! for i in 1 2 3 4 5 6; do curl -i localhost:5057/memories; done
//! curl localhost:5057/status
//! curl localhost:5057/metrics              # the same for Prometheus, and every request
//!
//! curl -i localhost:5057/memories/1      # twice: `cache-status` says that the second is a hit, and so it is while
//!                                        # the upstream fails, for ten minutes
//! curl localhost:5057/cache/purge --json '{"uri": "/memories/1"}'
//! ```
//!
//! The sixth `GET /memories` is refused without asking the upstream. So is then a `POST /chaos` that would put it
//! right, until the breaker lets a probe through; the upstream's own address, printed at the start, always
//! takes one.
//!
//! It is a template for what stands *behind* something that faces clients: it bounds neither the number of connections
//! nor the time that a request's head, or a response's body, takes. Whoever reaches it can purge its cache and read its
//! metrics, unless `--admin` gives these an address of their own.

mod admin;
mod chaos;
mod memories;
mod parts;
mod problem;
mod proxy;
mod stack;
mod status;
mod upload;

use axum::Router;
use axum::serve::{ListenerExt, TapIo};
use buttress::breaker;
use buttress::metrics::RegisterError;
use buttress::pool::InvalidVar;
use buttress::pool::postgres::{self, Postgres};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use memories::{Database, Memories};
use parts::Parts;
use proxy::Upstream;
use std::env;
use std::fmt;
use std::future::IntoFuture;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A resilient reverse proxy in front of any HTTP server.
///
/// GET /status shows every part live, GET /metrics shows them to Prometheus; everything else goes to the upstream.
/// Times are texts such as `2s`, `500ms` or `1m 30s`.
#[derive(Debug, Parser)]
#[command(name = "gateway", version)]
struct Args {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5057")]
    listen: SocketAddr,
    /// The server to stand before, http://host:port; without it, an embedded memory service
    #[arg(long, value_name = "URL")]
    upstream: Option<Upstream>,
    /// SQLite file of the embedded memory service; without it memories are on the PostgreSQL server of `DATABASE_URL`, or
    /// else end with the process
    #[arg(long, value_name = "PATH", conflicts_with = "upstream")]
    database: Option<PathBuf>,
    /// How many reads or writes of memories go to the database together at most; 1 sends each by itself
    #[arg(long, value_name = "COUNT", default_value = "64", conflicts_with = "upstream")]
    max_batch: NonZeroU32,
    /// How long a request may take in all, until its response begins
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// How long one attempt may take, the upload of the request included; less than the deadline
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    attempt_timeout: Duration,
    /// How long a client may take to send its body; half the attempt unless told, and less than the attempt
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    upload_timeout: Option<Duration>,
    /// Failures in a row that open the breaker
    #[arg(long, value_name = "COUNT", default_value = "5")]
    failures: NonZeroU32,
    /// How long the breaker stays open the first time; twice as long after each failed recovery
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    open_for: Duration,
    /// The longest that the breaker stays open
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    open_max: Duration,
    /// Mebibytes of responses to keep; 0 turns the cache off
    #[arg(long, value_name = "COUNT", default_value = "256", value_parser = clap::value_parser!(u64).range(..1 << 20))]
    cache_mib: u64,
    /// Keep responses with Set-Cookie too, for all: only for upstreams whose cookies are for everybody
    #[arg(long)]
    cache_set_cookie: bool,
    /// How long a response may be served past its time while the upstream fails, unless it says so itself
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    stale_if_error: Duration,
    /// Where to serve /status, /metrics and /cache/purge in place of the address that clients use; port 0 takes any free
    /// one
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// How long requests in flight may take to end after Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    drain: Duration,
}

impl Args {
    fn checked() -> Result<Self, clap::Error> {
        let args = Self::try_parse()?;
        let wrong = |message| Err(Self::command().error(ErrorKind::ValueValidation, message));
        if args.attempt_timeout >= args.deadline {
            // The deadline would end every stalled call, and a cancelled call tells the breaker nothing.
            return wrong("--attempt-timeout must be less than --deadline");
        }
        if args.upload() >= args.attempt_timeout {
            return wrong("--upload-timeout must be less than --attempt-timeout");
        }
        if args.upstream == Some(Upstream::from(args.listen)) {
            return wrong("--upstream must not be the gateway itself");
        }
        Ok(args)
    }

    /// A flag is for this process, and wins over what the environment says to all.
    fn database(&self) -> Result<Database, InvalidVar> {
        if let Some(path) = &self.database {
            return Ok(Database::File(path.clone()));
        }
        if env::var_os("DATABASE_URL").is_none_or(|url| url.is_empty()) {
            return Ok(Database::Memory);
        }
        let server = Postgres::from_vars(env::var)?.statement_timeout(self.attempt_timeout);
        Ok(Database::Postgres(Box::new(server), postgres::size(env::var)?))
    }

    fn upload(&self) -> Duration {
        self.upload_timeout.unwrap_or(self.attempt_timeout / 2)
    }

    fn breaker(&self) -> breaker::Config {
        breaker::Config::default()
            .consecutive_failures(self.failures)
            .open_for(self.open_for)
            .open_max(self.open_max)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::checked() {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => error.exit(), // --help, --version
        Err(error) => {
            // Its first line says it all; the others are usage and hints.
            let error = error.to_string();
            log(error.lines().next().unwrap_or("error: bad flags"));
            return ExitCode::from(2);
        }
    };
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), String> {
    let (listener, address) = listen(args.listen).await?;
    let admin = match args.admin {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let mut stop = Stop::listen().map_err(|error| format!("cannot wait for signals: {error}"))?;

    let (upstream, memories) = match &args.upstream {
        Some(upstream) => (upstream.clone(), None),
        None => {
            let memories = {
                let database = args.database().map_err(|error| error.to_string())?;
                Memories::start(database, args.max_batch).await?
            };
            (memories.address().into(), Some(memories))
        }
    };
    let about = if memories.is_some() { " (embedded)" } else { "" };
    let mut ready = format!("gateway on http://{address}, upstream {upstream}{about}");

    let mut parts = Parts::new();
    let cannot_measure = |error: RegisterError| format!("cannot measure: {error}");
    let service = stack::stack(&args, upstream, &mut parts).map_err(cannot_measure)?;
    if let Some(memories) = &memories {
        parts.show(memories.clone()).map_err(cannot_measure)?;
        parts.show_all(memories.parts()).map_err(cannot_measure)?;
    }
    let mut router = Router::new().fallback_service(service);
    match admin {
        None => router = router.merge(admin::router(parts)),
        Some((listener, address)) => {
            ready += &format!(", admin on http://{address}");
            // It ends with the process: it shows how the rest drains.
            tokio::spawn(axum::serve(without_delay(listener), admin::router(parts)).into_future());
        }
    }

    let (drain, draining) = oneshot::channel();
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(without_delay(listener), router)
        .with_graceful_shutdown(async { draining.await.unwrap_or_default() });
    let mut server = tokio::spawn(server.into_future());
    // Whoever started the gateway may not care for the line, and have closed the pipe.
    let _ = writeln!(io::stdout(), "{ready}");

    tokio::select! {
        () = stop.asked() => {}
        ended = &mut server => return Err(format!("the server ended by itself: {ended:?}")),
    }
    log(format_args!(
        "draining for at most {}; again to stop at once",
        humantime::format_duration(args.drain)
    ));
    let _ = drain.send(());
    if let Some(memories) = &memories {
        memories.recover();
    }
    tokio::select! {
        _ = &mut server => log("drained"),
        () = tokio::time::sleep(args.drain) => log("stopped with requests in flight"),
        () = stop.asked() => log("stopped at once"),
    }
    Ok(())
}

/// Listens on `address`, and says which one that is if its port was 0.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let cannot_listen = |error: io::Error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    Ok((listener, address))
}

/// Waits for Ctrl-C and SIGTERM, from the moment it is made.
struct Stop {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn asked(&mut self) {
        // It fails only where there is no such signal; then there is none to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Small answers go out at once instead of waiting for more (`TCP_NODELAY`).
fn without_delay(listener: TcpListener) -> TapIo<TcpListener, fn(&mut TcpStream)> {
    listener.tap_io(|stream| {
        // A connection that is gone already shows it when it is read.
        let _ = stream.set_nodelay(true);
    })
}

/// One line to standard error. Unlike `eprintln!` it does not panic where nobody reads it.
fn log(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "gateway: {line}");
}

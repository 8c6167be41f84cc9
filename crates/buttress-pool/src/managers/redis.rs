//! Redis, through the `redis` crate.
//!
//! [`Redis`] connects. Its connections carry many requests at once: in a [shared](crate::Pool::shared) pool a few of them
//! serve many users, and commands of one that leaves are answered to nobody else. What holds a connection up or changes
//! what it is (`BLPOP`, `WATCH`, `MULTI` on its own, `SELECT`) wants one to itself, from a pool made by
//! [`new`](crate::Pool::new).
//!
//! # Examples
//!
//! ```no_run
//! use buttress_pool::redis::{Redis, size};
//! use buttress_pool::{Config, Pool};
//! use redis::AsyncCommands;
//! use std::env;
//! use std::num::NonZeroU32;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! const LEASES_EACH: NonZeroU32 = NonZeroU32::new(64).unwrap();
//! let config = Config::default().size(size(env::var)?);
//! let pool = Pool::shared("sessions", config, Redis::from_vars(env::var)?, LEASES_EACH);
//!
//! let name: Option<String> = pool.get().await?.get("name").await?;
//! # Ok(())
//! # }
//! ```

use crate::vars::{self, InvalidVar};
use crate::{Manager, Size};
use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, Value,
};
use std::env::VarError;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connects to a Redis server. With the feature `redis-rustls` a `rediss://` URL is one, too.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    response_timeout: Duration,
}

impl Redis {
    /// As this client says. The time that a connect may take is the pool's business.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, response_timeout: Duration::from_millis(500) }
    }

    /// As the variable `REDIS_URL` says, such as `redis://user:password@host:6379/0`; or else `REDIS_HOST`, with
    /// `REDIS_PORT` (6379) and `REDIS_PASSWORD` (none). An empty variable is as if it were not there.
    ///
    /// # Errors
    ///
    /// If there is neither a URL nor a host, or one of them cannot be. What may be a password is not shown.
    pub fn from_vars(look_up: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, InvalidVar> {
        const URL: &str = "REDIS_URL";
        // Not with the reason: nobody promises what it quotes.
        let invalid =
            || InvalidVar::secret(URL, "like redis://user:password@host:6379/0, unless REDIS_HOST is a host");
        let info = match vars::text(&look_up, URL)? {
            Some(url) => url.into_connection_info().map_err(|_| invalid())?,
            None => from_parts(&look_up)?.ok_or_else(invalid)?,
        };
        Client::open(info).map(Self::new).map_err(|_| invalid())
    }

    /// How long a command may take. One that takes longer fails, and its connection is given to nobody else. Default
    /// 500 ms, as in the crate; `Duration::MAX` is never.
    #[must_use]
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.response_timeout = limit;
        self
    }
}

fn from_parts(
    look_up: &impl Fn(&'static str) -> Result<String, VarError>,
) -> Result<Option<ConnectionInfo>, InvalidVar> {
    let Some(host) = vars::text(look_up, "REDIS_HOST")? else { return Ok(None) };
    let port: Option<NonZeroU16> = vars::number(look_up, "REDIS_PORT", "a port, from 1 to 65535")?;
    let mut settings = RedisConnectionInfo::default();
    if let Some(password) = vars::text(look_up, "REDIS_PASSWORD")? {
        settings = settings.set_password(password);
    }
    let invalid = InvalidVar::new("REDIS_HOST", &host, "a host");
    let addr = ConnectionAddr::Tcp(host, port.map_or(6379, NonZeroU16::get));
    let info = addr.into_connection_info().map_err(|_| invalid)?;
    Ok(Some(info.set_redis_settings(settings)))
}

/// The [`Size`] that the variable `REDIS_MAX_CONNECTIONS` (20) says; the least is five, or what it says if that is less.
///
/// # Errors
///
/// If it is no number from 1 to a million.
pub fn size(look_up: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Size, InvalidVar> {
    vars::size(&look_up, None, "REDIS_MAX_CONNECTIONS")
}

impl Manager for Redis {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<Connection> {
        let limit = Some(self.response_timeout).filter(|limit| *limit != Duration::MAX);
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(limit);
        let inner = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Connection { inner, is_dead: Arc::default() })
    }

    async fn check(&self, connection: &mut Connection) -> RedisResult<()> {
        ::redis::cmd("PING").exec_async(connection).await
    }

    fn is_broken(&self, connection: &mut Connection) -> bool {
        // Relaxed: it publishes nothing.
        connection.is_dead.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Redis {
    /// Where it is, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("addr", &format_args!("{}", self.client.get_connection_info().addr()))
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

/// A connection to a Redis server, or one of several users of it. It is what commands of the `redis` crate are sent to.
#[derive(Clone)]
pub struct Connection {
    inner: MultiplexedConnection,
    /// One of those who share it has seen that it is.
    is_dead: Arc<AtomicBool>,
}

impl Connection {
    fn seen<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        // Also where time was over: nobody can tell whether an answer will come.
        if result.as_ref().is_err_and(|error| error.is_io_error() || error.is_unrecoverable_error()) {
            self.is_dead.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let result = self.inner.send_packed_command(cmd).await;
            self.seen(result)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let result = self.inner.send_packed_commands(cmd, offset, count).await;
            self.seen(result)
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("is_dead", &self.is_dead.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

//! PostgreSQL, through `tokio-postgres`.
//!
//! [`Postgres`] connects; a lease derefs to [`tokio_postgres::Client`].
//!
//! - **A query that is dropped runs on.** Its answer is read and thrown away, so that no reply reaches the wrong user, but
//!   until the server has answered, what comes next on that connection waits. Set a
//!   [statement timeout](Postgres::statement_timeout), or mark the lease [dirty](crate::Lease::mark_dirty) where a long
//!   query is left: then the connection is closed, and the server finds out when the query is done.
//! - **A transaction** that is a [`Transaction`](tokio_postgres::Transaction) is rolled back when it is dropped. One that was
//!   begun by a text of yours is not: mark the lease dirty, or end it.
//! - **Settings of a session**, prepared statements and temporary tables stay with the connection, for whoever has it next.
//!
//! # Examples
//!
//! ```no_run
//! use buttress_pool::postgres::{Postgres, size};
//! use buttress_pool::{Config, Pool};
//! use std::env;
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Postgres::from_vars(env::var)?.statement_timeout(Duration::from_secs(30));
//! let config = Config::default().size(size(env::var)?);
//! let pool = Pool::new("orders", config, manager);
//!
//! let client = pool.get().await?;
//! let orders: i64 = client.query_one("SELECT count(*) FROM orders", &[]).await?.get(0);
//! # Ok(())
//! # }
//! ```

use crate::vars::{self, InvalidVar};
use crate::{Manager, Size};
use std::env::VarError;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{MakeTlsConnect, NoTls, TlsConnect};
use tokio_postgres::{Client, Error, Socket};

/// Connects to a PostgreSQL server.
///
/// Each connection has a task that reads and writes for it, and ends with it.
#[derive(Clone)]
pub struct Postgres<T = NoTls> {
    config: tokio_postgres::Config,
    tls: T,
}

impl Postgres {
    /// As this says, and without TLS. The time that a connect may take is the pool's business.
    #[must_use]
    pub fn new(config: tokio_postgres::Config) -> Self {
        Self { config, tls: NoTls }
    }

    /// As the variable `DATABASE_URL` says, such as `postgres://user:password@host:5432/database`.
    ///
    /// # Errors
    ///
    /// If it is not there, or no such URL. What it says is not shown.
    pub fn from_vars(look_up: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, InvalidVar> {
        const NAME: &str = "DATABASE_URL";
        // Not with the reason: that may quote a password with an `@` in it.
        let invalid = || InvalidVar::secret(NAME, "like postgres://user:password@host:5432/database");
        let url = vars::text(&look_up, NAME)?.ok_or_else(invalid)?;
        let config: tokio_postgres::Config = url.parse().map_err(|_| invalid())?;
        let is_none = config.get_hosts().is_empty() && config.get_hostaddrs().is_empty();
        // Where there are two, what is between them is of the password.
        let is_torn = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if is_none || config.get_hosts().iter().any(is_torn) {
            return Err(invalid());
        }
        Ok(Self::new(config))
    }
}

impl<T> Postgres<T> {
    /// Encrypts by this, where the configuration's `sslmode` and the server let it: it is `prefer` unless told, and `require`
    /// makes sure.
    #[must_use]
    pub fn tls<U>(self, tls: U) -> Postgres<U> {
        Postgres { config: self.config, tls }
    }

    /// Encrypts by `rustls` with `ring`, and trusts whom the system trusts, or those in the file that the variable
    /// `SSL_CERT_FILE` names. Whose certificate is not good is not connected to, also where `sslmode` is `prefer`.
    ///
    /// # Errors
    ///
    /// If nobody is trusted.
    #[cfg(feature = "postgres-rustls")]
    pub fn rustls(self) -> std::io::Result<Postgres<tokio_postgres_rustls::MakeRustlsConnect>> {
        use std::io;
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the system trusts no certificate"));
        }
        // Named, since a program that has another one, too, would have to choose.
        let ring = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls(tokio_postgres_rustls::MakeRustlsConnect::new(config)))
    }

    /// The server ends a statement that takes this long. Whole milliseconds, at least one; `Duration::MAX` is never. Unless
    /// told it is as the server is set up. It is what the session begins with: some poolers between here and the server
    /// refuse that.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        // Zero is never; and more than 24 days are too many for it.
        let millis = match limit {
            Duration::MAX => 0,
            limit => limit.as_millis().clamp(1, i32::MAX as u128),
        };
        let options = self.config.get_options().unwrap_or_default();
        let options = format!("{options} -c statement_timeout={millis}");
        self.config.options(options.trim_start());
        self
    }
}

/// The [`Size`] that the variables `POSTGRES_MIN_SIZE` (5) and `POSTGRES_MAX_SIZE` (20) say. If only the most is set, and is
/// less than five, it is the least, too.
///
/// # Errors
///
/// If one is no number from 0 or 1 to a million, or the least is more than the most.
pub fn size(look_up: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Size, InvalidVar> {
    vars::size(&look_up, Some("POSTGRES_MIN_SIZE"), "POSTGRES_MAX_SIZE")
}

impl<T> Manager for Postgres<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        // What it ends with reaches the queries, too.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { client, driver: driver.abort_handle() })
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), Error> {
        connection.client.check_connection().await
    }

    fn is_broken(&self, connection: &mut Connection) -> bool {
        connection.client.is_closed()
    }
}

impl<T> fmt::Debug for Postgres<T> {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A connection to a PostgreSQL server, with the task that reads and writes for it. Both end together.
pub struct Connection {
    client: Client,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It would wait for the queries that nobody waits for any more.
        self.driver.abort();
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_closed", &self.client.is_closed()).finish_non_exhaustive()
    }
}

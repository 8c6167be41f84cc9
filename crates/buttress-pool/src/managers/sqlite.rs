//! SQLite on blocking threads: a pool for what is embedded.
//!
//! [`Sqlite`] opens connections, and [`Connection::with`] lends one to a closure that runs where it may block. Links to
//! the SQLite of your `rusqlite`: add its feature `bundled` to bring it along.
//!
//! # Examples
//!
//! ```
//! use buttress_pool::sqlite::Sqlite;
//! use buttress_pool::{Config, Pool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new("notes", Config::default(), Sqlite::memory());
//! let mut sqlite = pool.get().await?;
//! let notes: u32 = sqlite
//!     .with(|sqlite| {
//!         let transaction = sqlite.transaction()?;
//!         transaction.execute("CREATE TABLE notes (text TEXT NOT NULL)", [])?;
//!         transaction.execute("INSERT INTO notes VALUES (?1)", ["buy milk"])?;
//!         transaction.commit()?;
//!         sqlite.query_row("SELECT count(*) FROM notes", [], |row| row.get(0))
//!     })
//!     .await?;
//! assert_eq!(notes, 1);
//! # Ok(())
//! # }
//! ```

use crate::Manager;
use rusqlite::OpenFlags;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Opens connections to one SQLite database, in a file or in memory.
///
/// Connections do not die, so that a check asks nothing. One that comes back with a transaction left open is closed, which
/// rolls that back.
///
/// # Examples
///
/// ```
/// use buttress_pool::sqlite::Sqlite;
///
/// // Readers do not wait for the writer, nor it for them.
/// let notes = Sqlite::file("notes.db").pragma("journal_mode", "wal").pragma("synchronous", "normal");
/// ```
#[derive(Clone)]
pub struct Sqlite {
    options: Options,
    /// Held while one is opened: those who turn a file to `wal` at the same time get in each other's way. And where that
    /// takes for ever, one thread is stuck, not one for each try. A database in memory is kept in being here.
    opening: Arc<Mutex<Option<rusqlite::Connection>>>,
}

#[derive(Clone)]
struct Options {
    path: PathBuf,
    is_in_memory: bool,
    flags: OpenFlags,
    busy_timeout: Duration,
    pragmas: Vec<(&'static str, String)>,
}

impl Sqlite {
    /// The database in this file, which is made if it is not there.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::new(path.as_ref().to_owned(), false)
    }

    /// A new database in memory, which all connections see, and which lasts as long as this, its clones and its
    /// connections.
    #[must_use]
    pub fn memory() -> Self {
        // The `memdb` file system locks as files do. A shared cache has locks that no busy timeout waits for.
        Self::new(format!("file:/buttress-{:016x}?vfs=memdb", fastrand::u64(..)).into(), true)
    }

    fn new(path: PathBuf, is_in_memory: bool) -> Self {
        let options = Options {
            path,
            is_in_memory,
            flags: OpenFlags::default(),
            busy_timeout: Duration::from_secs(5),
            pragmas: vec![("foreign_keys", "on".to_owned())],
        };
        Self { options, opening: Arc::default() }
    }

    /// How the file is opened. Default: to read and to write, made if need be, `file:` is a URI.
    #[must_use]
    pub fn flags(mut self, flags: OpenFlags) -> Self {
        self.options.flags = flags;
        self
    }

    /// How long a statement waits for a lock that another connection has. Default 5 s.
    #[must_use]
    pub fn busy_timeout(mut self, limit: Duration) -> Self {
        self.options.busy_timeout = limit;
        self
    }

    /// Sets this on every new connection, in the order of the calls. `foreign_keys` is `on` unless told: SQLite looks at
    /// them only where it is asked to.
    #[must_use]
    pub fn pragma(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.options.pragmas.push((name, value.to_string()));
        self
    }
}

impl Options {
    fn open(&self) -> rusqlite::Result<rusqlite::Connection> {
        // Where it is in memory, the path is a URI whatever the flags say.
        let uri = if self.is_in_memory { OpenFlags::SQLITE_OPEN_URI } else { OpenFlags::empty() };
        let connection = rusqlite::Connection::open_with_flags(&self.path, self.flags | uri)?;
        // More than 24 days are too many for it.
        connection.busy_timeout(self.busy_timeout.min(Duration::from_millis(i32::MAX as u64)))?;
        for (name, value) in &self.pragmas {
            connection.pragma_update(None, name, value)?;
        }
        Ok(connection)
    }
}

impl Manager for Sqlite {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        let (options, runtime) = (self.options.clone(), Handle::current());
        let mut opening = Arc::clone(&self.opening).lock_owned().await;
        let opened = spawn_blocking(move || {
            if options.is_in_memory && opening.is_none() {
                *opening = Some(options.open()?);
            }
            Ok(Open::new(options.open()?, runtime))
        });
        opened.await.map_err(|error| Error::from_join(&error))?.map(|open| Connection { open: Some(open) })
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), Error> {
        connection.open.as_ref().map(|_| ()).ok_or(Error::Gone)
    }

    fn recycle(&self, connection: &mut Connection) -> Result<(), Error> {
        let open = connection.open.as_ref().ok_or(Error::Gone)?;
        if open.get().is_autocommit() { Ok(()) } else { Err(Error::Unfinished) }
    }
}

impl fmt::Debug for Sqlite {
    /// Without the values of pragmas: one may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { path, is_in_memory: _, flags, busy_timeout, pragmas } = &self.options;
        let pragmas: Vec<_> = pragmas.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sqlite")
            .field("path", path)
            .field("flags", flags)
            .field("busy_timeout", busy_timeout)
            .field("pragmas", &pragmas)
            .finish_non_exhaustive()
    }
}

/// A connection that is used on blocking threads.
pub struct Connection {
    /// Not here while a call has it; after one that was dropped or panicked, for ever.
    open: Option<Open>,
}

impl Connection {
    /// Runs a closure on a blocking thread, with the connection. A transaction that it leaves open goes on in the next
    /// call.
    ///
    /// # Errors
    ///
    /// What the closure returns; [`Error::Panicked`] if it panics, and [`Error::Gone`] if it cannot be run. The connection
    /// is closed after these, and the pool makes another.
    ///
    /// # Cancel safety
    ///
    /// Dropped, a closure that has not begun never will. One that has is not waited for: whatever it does from then on is
    /// not committed, and a statement that takes long is interrupted, but not while it waits for a lock, which ends within
    /// [`Sqlite::busy_timeout`]. Nobody else gets its connection: that is closed when the closure ends. None of this holds
    /// for a closure that replaces the connection's progress handler and commit hook.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn with<T, F>(&mut self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let mut open = self.open.take().ok_or(Error::Gone)?;
        let is_left = Arc::clone(&open.is_left);
        let task = spawn_blocking(move || {
            let result = work(open.get_mut());
            (open, result)
        });
        let mut call = Call { task, is_left };
        let (open, result) = (&mut call.task).await.map_err(|error| Error::from_join(&error))?;
        self.open = Some(open);
        result.map_err(Error::Sqlite)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_gone", &self.open.is_none()).finish_non_exhaustive()
    }
}

/// A closure that runs, or is about to.
struct Call<T> {
    task: JoinHandle<T>,
    is_left: Arc<AtomicBool>,
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if !self.task.is_finished() {
            self.task.abort();
            // Relaxed: it publishes nothing, and is seen soon.
            self.is_left.store(true, Ordering::Relaxed);
        }
    }
}

/// An open connection. To close it may write to the disk, so that it is done on a blocking thread, too.
struct Open {
    /// There until this is dropped.
    connection: Option<rusqlite::Connection>,
    /// Nobody waits any more for the call that has this.
    is_left: Arc<AtomicBool>,
    runtime: Handle,
}

impl Open {
    fn new(connection: rusqlite::Connection, runtime: Handle) -> Self {
        let is_left = Arc::new(AtomicBool::new(false));
        let seen = || {
            let is_left = Arc::clone(&is_left);
            Some(move || is_left.load(Ordering::Relaxed))
        };
        // Asked within statements. An interrupt from outside would miss the statement that is about to begin.
        connection.progress_handler(1000, seen());
        // And where a statement ends before it is asked.
        connection.commit_hook(seen());
        Self { connection: Some(connection), is_left, runtime }
    }

    fn get(&self) -> &rusqlite::Connection {
        self.connection.as_ref().expect("there until it is dropped")
    }

    fn get_mut(&mut self) -> &mut rusqlite::Connection {
        self.connection.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let connection = self.connection.take();
        // Where the runtime has ended, the closure is dropped, which closes it here.
        self.runtime.spawn_blocking(move || drop(connection));
    }
}

/// Why SQLite did not do what it was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It says so itself.
    Sqlite(rusqlite::Error),
    /// The closure panicked.
    Panicked,
    /// An earlier call was dropped before its end or panicked, or the runtime has ended.
    Gone,
    /// A connection came back with a transaction left open. Nobody is told but
    /// [`Pool::last_error`](crate::Pool::last_error).
    Unfinished,
}

impl Error {
    fn from_join(error: &JoinError) -> Self {
        if error.is_panic() { Self::Panicked } else { Self::Gone }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Panicked => f.write_str("the closure that had the connection panicked"),
            Self::Gone => f.write_str("the connection was lost by an earlier call, or with its runtime"),
            Self::Unfinished => f.write_str("a transaction was left open"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite(error) => error.source(),
            Self::Panicked | Self::Gone | Self::Unfinished => None,
        }
    }
}

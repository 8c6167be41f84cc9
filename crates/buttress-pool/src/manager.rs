use std::error::Error;
use std::future::Future;

/// Makes the connections of a pool, says whether they still work, and readies them for their next users.
///
/// Implementors write `async fn`. Deadlines and panics are the pool's business.
///
/// # Examples
///
/// ```
/// use buttress_pool::Manager;
/// use std::io;
/// use std::net::SocketAddr;
/// use tokio::net::TcpStream;
///
/// struct Tcp(SocketAddr);
///
/// impl Manager for Tcp {
///     type Connection = TcpStream;
///     type Error = io::Error;
///
///     async fn connect(&self) -> io::Result<TcpStream> {
///         TcpStream::connect(self.0).await
///     }
///
///     async fn check(&self, stream: &mut TcpStream) -> io::Result<()> {
///         stream.writable().await
///     }
/// }
/// ```
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Connection: Send + 'static;
    /// Why a connect or a check failed.
    type Error: Error + Send + Sync + 'static;

    /// Makes a new connection. Dropped when [`Config::connect_timeout`](crate::Config::connect_timeout) is over.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Asks the server whether a connection works. If this fails, takes too long, or is dropped, the connection is closed;
    /// if it was not dropped, every connection that was last proved before it began is checked, too.
    fn check(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether a connection that comes back is known to be dead. If so, it is closed, and every connection that was last
    /// proved before is checked: say so where the server or the way to it is to blame. What spoils this one alone is for
    /// [`recycle`](Self::recycle), or for the user of the lease to [mark](crate::Lease::mark_dirty). Called in `Drop`, so
    /// that it can neither wait nor ask the server. A panic counts as yes. Default no.
    fn is_broken(&self, connection: &mut Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Makes a connection that comes back ready for its next user: empties buffers, forgets settings. If this fails or
    /// panics, that connection is closed, and no other is suspected. Called in `Drop`, so that it can neither wait nor ask
    /// the server; what has to, belongs into [`check`](Self::check), or is done while there is a lease. Not called if the
    /// connection is broken or dirty, nor for one that is shared, since others use it still. Default nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be made ready. [`Pool::last_error`](crate::Pool::last_error) says why.
    fn recycle(&self, connection: &mut Self::Connection) -> Result<(), Self::Error> {
        let _ = connection;
        Ok(())
    }
}

use std::error::Error;
use std::future::Future;

/// Makes the connections of a pool, and says whether they still work.
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

    /// Whether a connection that comes back is known to be dead; it may be made ready for the next one here. Called in
    /// `Drop`, so that it can neither wait nor ask the server. A panic counts as yes. Default no.
    fn is_broken(&self, connection: &mut Self::Connection) -> bool {
        let _ = connection;
        false
    }
}

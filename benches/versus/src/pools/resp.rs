//! Redis without a client library: one question, one answer, in order. What a pool hands out too early answers the
//! question of another.

use buttress_pool::Manager;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Makes connections, and counts the connects that came to nothing.
#[derive(Clone, Debug)]
pub struct Resp {
    server: SocketAddr,
    begun: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
}

impl Resp {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, begun: Arc::default(), made: Arc::default() }
    }

    /// How many failed, were given up, or are not done yet.
    pub fn failed(&self) -> u64 {
        // Relaxed, as below: counts.
        self.begun.load(Ordering::Relaxed) - self.made.load(Ordering::Relaxed)
    }
}

impl Manager for Resp {
    type Connection = Connection;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Connection> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, is_broken: false };
        // The system takes connections for a server that stands still.
        self.check(&mut connection).await?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }

    async fn check(&self, connection: &mut Connection) -> io::Result<()> {
        connection.ask(b"PING\r\n", b"+PONG\r\n").await
    }

    fn is_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Failed, or nobody has read its last answer.
    is_broken: bool,
}

impl Connection {
    /// Has the server repeat a number, and finds out whether it was this one.
    pub async fn echo(&mut self, number: u64) -> io::Result<()> {
        let question = format!("ECHO {number:020}\r\n");
        self.ask(question.as_bytes(), format!("$20\r\n{number:020}\r\n").as_bytes()).await
    }

    async fn ask(&mut self, question: &[u8], answer: &[u8]) -> io::Result<()> {
        self.is_broken = true;
        self.stream.write_all(question).await?;
        let mut found = vec![0; answer.len()];
        self.stream.read_exact(&mut found).await?;
        if found != answer {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to another question"));
        }
        self.is_broken = false;
        Ok(())
    }
}

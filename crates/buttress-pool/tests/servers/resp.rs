//! Redis' protocol, one request at a time: whoever reads what another has asked gets it.

use buttress_pool::Manager;
use buttress_testkit::servers::Redis;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Connects to a server at this address.
pub(crate) struct Resp(pub(crate) SocketAddr);

pub(crate) struct Conn {
    stream: BufReader<TcpStream>,
    is_dead: bool,
}

impl Conn {
    async fn open(at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let mut conn = Self { stream: BufReader::new(stream), is_dead: false };
        // A server that stands still takes connections, and one at its limit hangs up at once.
        conn.ask(&["PING"]).await?;
        Ok(conn)
    }

    /// The next reply, which is the one to these words if all earlier ones were read.
    pub(crate) async fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let reply = self.exchange(words).await;
        self.is_dead |= reply.is_err();
        reply
    }

    async fn exchange(&mut self, words: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(request.as_bytes()).await?;
        let line = self.line().await?;
        match line.split_at_checked(1) {
            Some(("+" | ":", said)) => Ok(said.to_owned()),
            Some(("$", length)) => {
                let mut said = vec![0; length.parse::<usize>().map_err(io::Error::other)? + 2];
                self.stream.read_exact(&mut said).await?;
                said.truncate(said.len() - 2);
                String::from_utf8(said).map_err(io::Error::other)
            }
            _ => Err(io::Error::other(line)),
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Manager for Resp {
    type Connection = Conn;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Conn> {
        Conn::open(self.0).await
    }

    /// Any reply will do: it is for the pool to see that there is no other to come.
    async fn check(&self, conn: &mut Conn) -> io::Result<()> {
        conn.ask(&["PING"]).await.map(drop)
    }

    fn is_broken(&self, conn: &mut Conn) -> bool {
        conn.is_dead
    }
}

/// One who asks the server what it has counted.
pub(crate) struct Admin(Conn);

impl Admin {
    pub(crate) async fn of(redis: &Redis) -> Self {
        let mut conn = Conn::open(redis.addr()).await.unwrap();
        conn.ask(&["CLIENT", "SETNAME", "admin"]).await.unwrap();
        Self(conn)
    }

    pub(crate) async fn ask(&mut self, words: &[&str]) -> String {
        self.0.ask(words).await.unwrap()
    }

    /// How many are connected besides this one.
    pub(crate) async fn clients(&mut self) -> u32 {
        let list = self.ask(&["CLIENT", "LIST"]).await;
        list.lines().filter(|line| !line.contains(" name=admin ")).count() as u32
    }

    /// A number of `INFO stats`, such as `total_connections_received`.
    pub(crate) async fn stat(&mut self, name: &str) -> u64 {
        let info = self.ask(&["INFO", "stats"]).await;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap().trim().parse().unwrap()
    }
}

//! A server that can be switched off: it answers each line with a line, as long as it runs.

use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Spawns a task, which ends when this is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            // Its end ends all of them.
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client));
            }
        });
        Ok(Self { address, task: task.abort_handle() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    while client.read_line(&mut line).await? > 0 {
        let answer = match line.trim_end() {
            "ping" => "pong\n".to_owned(),
            question => format!("all about {question}\n"),
        };
        client.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

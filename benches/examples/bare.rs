//! A bare axum handler: what the gateway is measured against, and stands before; see `cargo xtask compare gateway`.
//!
//! It answers every request with a kilobyte that may be kept for an hour.

use axum::Router;
use axum::body::Bytes;
use axum::serve::ListenerExt;
use http::header::CACHE_CONTROL;
use std::io::{self, Write};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let body = Bytes::from(vec![b'x'; 1024]);
    let answer = async move || ([(CACHE_CONTROL, "max-age=3600")], body.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "bare on http://{}", listener.local_addr()?)?;
    // As the gateway does.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().fallback(answer)).await
}

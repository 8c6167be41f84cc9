//! A PostgreSQL server of one's own, for as long as this program runs: `DATABASE_URL` for whatever wants one.

use buttress_testkit::servers::Postgres;
use std::future::pending;
use std::io::{self, Write};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let postgres = Postgres::start().await;
    writeln!(io::stdout(), "postgres on {}", postgres.url())?;
    pending().await
}

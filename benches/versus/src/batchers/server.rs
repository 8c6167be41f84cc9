//! A PostgreSQL server for another program of this crate, which counts no allocations.

use crate::pools::on_runtime;
use buttress_testkit::servers::Postgres;
use std::future::pending;

/// Says where it is and which process it is, and lets it live until this one is killed.
pub fn run() -> Result<(), String> {
    on_runtime(1, async {
        let postgres = Postgres::start().await;
        let pid = postgres.pid().ok_or("it has ended")?;
        println!("{} {pid}", postgres.url());
        pending().await
    })
}

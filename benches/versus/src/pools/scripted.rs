//! A server that is not there: what becomes of connects and checks is in a script.

use buttress_pool::Manager;
use parking_lot::Mutex;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What a connect or a check does, after the time that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Does {
    #[default]
    Works,
    Fails,
    Hangs,
    Panics,
}

#[derive(Debug, Default)]
pub struct Script {
    pub connect: Does,
    pub connect_time: Duration,
    /// How many of the next connects do otherwise, and what.
    pub exceptions: (u32, Does),
    pub check_time: Duration,
    /// Checks of connections that were made before this many others hang.
    pub dead_before: u32,
    /// Connections made.
    pub made: u32,
    /// Connects that run, and the most that ever did.
    pub running: u32,
    pub most_running: u32,
    /// How often a connection was used whose last answer nobody had read.
    pub mixed_up: u32,
}

/// The server, and the manager of connections to it.
#[derive(Clone, Debug, Default)]
pub struct Server(Arc<Mutex<Script>>);

#[derive(Debug)]
pub struct Line {
    number: u32,
    /// An answer is on its way that the next one would take for its own.
    is_waiting: bool,
    /// Set by who found out that it is dead.
    pub is_broken: bool,
    server: Server,
}

impl Server {
    pub fn new(script: Script) -> Self {
        Self(Arc::new(Mutex::new(script)))
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock())
    }
}

impl Line {
    /// Asks, and waits for the answer.
    pub async fn ask(&mut self) -> io::Result<()> {
        let (time, is_dead) = self.server.change(|script| {
            script.mixed_up += u32::from(self.is_waiting);
            (script.check_time, self.number < script.dead_before)
        });
        self.is_waiting = true;
        if is_dead {
            pending::<()>().await;
        }
        if !time.is_zero() {
            sleep(time).await;
        }
        self.is_waiting = false;
        Ok(())
    }
}

impl Manager for Server {
    type Connection = Line;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Line> {
        let (does, time) = self.change(|script| {
            script.running += 1;
            script.most_running = script.most_running.max(script.running);
            let (left, does) = &mut script.exceptions;
            let does = if *left > 0 { *does } else { script.connect };
            *left = left.saturating_sub(1);
            (does, script.connect_time)
        });
        let _running = Running(self);
        if !time.is_zero() {
            sleep(time).await;
        }
        match does {
            Does::Works => {}
            Does::Fails => return Err(io::ErrorKind::ConnectionRefused.into()),
            Does::Hangs => pending().await,
            Does::Panics => panic!("as the script says"),
        }
        let number = self.change(|script| {
            script.made += 1;
            script.made - 1
        });
        Ok(Line { number, is_waiting: false, is_broken: false, server: self.clone() })
    }

    async fn check(&self, line: &mut Line) -> io::Result<()> {
        line.ask().await
    }

    fn is_broken(&self, line: &mut Line) -> bool {
        line.is_broken
    }
}

struct Running<'a>(&'a Server);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.change(|script| script.running -= 1);
    }
}

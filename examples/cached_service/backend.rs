//! What is slow or fails: a store of conversations, a model, and tools. They count their calls.

use crate::keys::{AnswerKey, ToolKey};
use buttress::Rejected;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The application's error. One `From`, and every layer fits.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Down,
    NoSuchTool,
    Refused(Rejected),
}

impl From<Rejected> for Fault {
    fn from(rejected: Rejected) -> Self {
        Fault::Refused(rejected)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Down => f.write_str("the backend is down"),
            Fault::NoSuchTool => f.write_str("there is no such tool"),
            Fault::Refused(rejected) => rejected.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

/// A conversation as it is read. `is_stale` is for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) turns: Arc<[String]>,
    pub(crate) is_stale: bool,
}

/// What is asked of the store of conversations.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Read(u64),
    Append(u64, String),
}

/// All backends; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Backend(Arc<State>);

#[derive(Default)]
struct State {
    is_down: AtomicBool,
    calls: [AtomicU64; 3],
    conversations: Mutex<HashMap<u64, Vec<String>>>,
}

/// How long a backend takes.
const SLOW: Duration = Duration::from_millis(20);

impl Backend {
    pub(crate) fn set_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Calls of the store, the model and the tools.
    pub(crate) fn calls(&self) -> [u64; 3] {
        self.0.calls.each_ref().map(|calls| calls.load(Ordering::Relaxed))
    }

    async fn work(&self, which: usize) -> Result<(), Fault> {
        self.0.calls[which].fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(SLOW).await;
        if self.0.is_down.load(Ordering::Relaxed) { Err(Fault::Down) } else { Ok(()) }
    }

    pub(crate) async fn conversation(self, ask: Ask) -> Result<Conversation, Fault> {
        self.work(0).await?;
        let mut conversations = self.0.conversations.lock();
        let turns = match ask {
            Ask::Read(id) => conversations.entry(id).or_default(),
            Ask::Append(id, turn) => {
                let turns = conversations.entry(id).or_default();
                turns.push(turn);
                turns
            }
        };
        Ok(Conversation { turns: turns.clone().into(), is_stale: false })
    }

    pub(crate) async fn answer(self, key: AnswerKey) -> Result<Arc<str>, Fault> {
        self.work(1).await?;
        let AnswerKey { user, message, context, .. } = key;
        Ok(format!("to {user}, after {} turns: {message}? Certainly.", context.len()).into())
    }

    pub(crate) async fn tool(self, key: ToolKey) -> Result<Arc<str>, Fault> {
        self.work(2).await?;
        match &*key.name {
            "search" | "dice" => Ok(format!("{} {}", key.name, key.arguments).into()),
            _ => Err(Fault::NoSuchTool),
        }
    }
}

//! Keys of structure: hashed once, by a digest that is the same on every machine, and compared as a whole.

use buttress::cache::Digest;
use serde_json::Value;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What an answer of the model depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerKey {
    digest: Digest,
    pub(crate) user: u64,
    pub(crate) message: Arc<str>,
    pub(crate) context: Arc<[Arc<str>]>,
}

impl AnswerKey {
    pub(crate) fn new(user: u64, message: &str, context: &[&str]) -> Self {
        let digest = Digest::of("answer")
            .number(user)
            .text(message)
            .list(context, |digest, turn| digest.text(turn))
            .finish();
        let context = context.iter().map(|&turn| turn.into()).collect();
        Self { digest, user, message: message.into(), context }
    }
}

impl Hash for AnswerKey {
    /// The digest alone: a long message is hashed once. Two keys with one digest are told apart by `Eq`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// A tool and its arguments, of which the order does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolKey {
    digest: Digest,
    pub(crate) name: Arc<str>,
    pub(crate) arguments: Arc<Value>,
}

impl ToolKey {
    pub(crate) fn new(name: &str, arguments: Value) -> Self {
        let digest = json(Digest::of("tool").text(name), &arguments).finish();
        Self { digest, name: name.into(), arguments: arguments.into() }
    }
}

impl Hash for ToolKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

type Digester = buttress::cache::Digester;

fn json(digest: Digester, value: &Value) -> Digester {
    match value {
        Value::Null => digest.option(None::<()>, |digest, ()| digest),
        Value::Bool(value) => digest.flag(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => digest.number(number),
            None => digest.text(&number.to_string()),
        },
        Value::String(text) => digest.text(text),
        Value::Array(values) => digest.list(values, json),
        Value::Object(entries) => digest.entries(entries, json),
    }
}

//! A service of three namespaces behind caches, driven and printed:
//! `cargo run --release --example cached_service`.
//!
//! - *conversations*: reads and writes of one store. A write invalidates what it touches, and a store that is down
//!   leaves the last value it gave, marked as stale.
//! - *answers* of a model, keyed by user, message and context. What is stale is answered at once, while a task asks
//!   the model again; an answer can be invalidated with everything of its user.
//! - *tool results*, keyed by name and arguments. How long one is kept depends on the tool, dice are not kept at all,
//!   and that a tool does not exist is remembered.

mod backend;
mod keys;

use backend::{Ask, Backend, Conversation, Fault};
use buttress::cache::{Cache, CacheLayer, Config, Fate, NameTaken, Namespaces, Served, Touch};
use buttress::{Distribution, Labels, Metric, Ratio, Sink};
use keys::{AnswerKey, ToolKey};
use serde_json::json;
use std::error::Error;
use std::fmt::Display;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt, service_fn};

/// The three services, as the rest of an application sees them.
struct Assistant {
    conversations: BoxCloneService<Ask, Conversation, Fault>,
    answers: BoxCloneService<AnswerKey, Arc<str>, Fault>,
    tools: BoxCloneService<ToolKey, Arc<str>, Fault>,
    conversation_cache: Cache<u64, Conversation>,
    spaces: Namespaces,
}

/// So short that the example need not wait long for it.
const FRESH: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_secs(60);

impl Assistant {
    fn new(backend: &Backend) -> Result<Self, NameTaken> {
        let spaces = Namespaces::new();

        let config = Config::default().ttl(FRESH).stale_if_error(10 * MINUTE);
        let conversation_cache = spaces.add(Cache::new("conversation", config))?;
        let layer = CacheLayer::new(&conversation_cache, |ask: &Ask| match ask {
            Ask::Read(id) => Some(*id),
            Ask::Append(..) => None, // past the cache
        })
        .invalidate_on(|ask: &Ask| match ask {
            Ask::Read(_) => vec![],
            Ask::Append(id, _) => vec![Touch::Key(*id)],
        })
        .mark(|conversation: &mut Conversation, served: Served| conversation.is_stale = served.is_stale());
        let store = backend.clone();
        let conversations = layer.layer(service_fn(move |ask| store.clone().conversation(ask)));

        // Sixteen mebibytes of answers, by the lengths of their texts.
        let config = Config::default()
            .ttl(FRESH)
            .stale_while_revalidate(10 * MINUTE)
            .max_weight(NonZeroU64::new(16 << 20));
        let answer_cache = spaces.add(Cache::new("answer", config).weigh(weigh_answer))?;
        let layer = CacheLayer::new(&answer_cache, |key: &AnswerKey| Some(key.clone()))
            .rule_by(|key: &AnswerKey| {
                let tag = format!("user:{}", key.user);
                move |_: &Arc<str>| Fate::store().tag(tag).into()
            })
            .background();
        let model = backend.clone();
        let answers = layer.layer(service_fn(move |key| model.clone().answer(key)));

        let tool_cache = spaces.add(Cache::new("tool_result", Config::default()))?;
        let layer = CacheLayer::new(&tool_cache, |key: &ToolKey| Some(key.clone()))
            .rule_by(|key: &ToolKey| {
                let fate = match &*key.name {
                    "dice" => Fate::Refuse, // each caller throws its own
                    _ => Fate::store().ttl(10 * MINUTE).into(),
                };
                move |_: &Arc<str>| fate
            })
            .remember_errors(|fault: &Fault| matches!(fault, Fault::NoSuchTool).then_some(MINUTE))
            .share_errors();
        let shed = backend.clone();
        let tools = layer.layer(service_fn(move |key| shed.clone().tool(key)));

        Ok(Self {
            conversations: BoxCloneService::new(conversations),
            answers: BoxCloneService::new(answers),
            tools: BoxCloneService::new(tools),
            conversation_cache,
            spaces,
        })
    }
}

fn weigh_answer(key: &AnswerKey, answer: &Arc<str>) -> u64 {
    let context: usize = key.context.iter().map(|turn| turn.len()).sum();
    (key.message.len() + context + answer.len()) as u64
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let backend = Backend::default();
    let mut assistant = Assistant::new(&backend)?;
    conversations(&mut assistant, &backend).await?;
    answers(&mut assistant, &backend).await?;
    tools(&mut assistant, &backend).await?;

    let [store, model, tools] = backend.calls();
    println!("\ncalls of the backends: {store} of the store, {model} of the model, {tools} of the tools");
    for part in assistant.spaces.inspect() {
        println!("\n{} {}", part.kind(), part.name());
        part.inspect(&mut Print);
    }
    Ok(())
}

async fn conversations(assistant: &mut Assistant, backend: &Backend) -> Result<(), Fault> {
    println!("conversations");
    let load = |id: &u64| backend.clone().conversation(Ask::Read(*id));
    let warmed =
        assistant.conversation_cache.warm(0..32, const { NonZeroUsize::new(8).unwrap() }, load).await;
    println!("  warmed, 8 at a time: {} of 32", warmed.loaded);

    call(&mut assistant.conversations, Ask::Append(7, "Hello".to_owned())).await?;
    let read = call(&mut assistant.conversations, Ask::Read(7)).await?;
    println!("  read after a write: {:?}", read.turns);

    tokio::time::sleep(2 * FRESH).await;
    backend.set_down(true);
    let read = call(&mut assistant.conversations, Ask::Read(7)).await?;
    println!("  read while the store is down: {:?}, stale: {}", read.turns, read.is_stale);
    let write = call(&mut assistant.conversations, Ask::Append(7, "Lost?".to_owned())).await;
    println!("  a write that fails: {}", shown(write));
    let read = call(&mut assistant.conversations, Ask::Read(7)).await;
    println!("  and it has invalidated what it may have touched: {}", shown(read));
    backend.set_down(false);
    Ok(())
}

async fn answers(assistant: &mut Assistant, backend: &Backend) -> Result<(), Fault> {
    println!("answers");
    let key = AnswerKey::new(1, "Is it raining", &["Hello", "Hi"]);
    let calls = || backend.calls()[1];
    let before = calls();
    let crowd: Vec<_> =
        (0..100).map(|_| tokio::spawn(assistant.answers.clone().oneshot(key.clone()))).collect();
    let mut answered = 0;
    for one in crowd {
        answered += u32::from(one.await.is_ok_and(|answer| answer.is_ok()));
    }
    println!("  {answered} who ask at once: {} call of the model", calls() - before);

    tokio::time::sleep(2 * FRESH).await;
    let before = calls();
    for _ in 0..10 {
        call(&mut assistant.answers, key.clone()).await?;
    }
    println!("  10 who ask when it is stale: none waits");
    while assistant.spaces.stats().iter().any(|(_, stats)| stats.loading > 0) {
        tokio::time::sleep(FRESH / 10).await;
    }
    println!("  a task has asked again: {} call of the model", calls() - before);

    let gone = assistant.spaces.invalidate_tag("user:1");
    println!("  everything of user 1 invalidated: {gone}");
    Ok(())
}

async fn tools(assistant: &mut Assistant, backend: &Backend) -> Result<(), Fault> {
    println!("tools");
    let calls = || backend.calls()[2];
    let before = calls();
    for arguments in [json!({ "q": "rain", "page": 1 }), json!({ "page": 1, "q": "rain" })] {
        call(&mut assistant.tools, ToolKey::new("search", arguments)).await?;
    }
    println!("  the same arguments in another order: {} call", calls() - before);

    let before = calls();
    let throw = || assistant.tools.clone().oneshot(ToolKey::new("dice", json!(null)));
    let (one, two, three) = tokio::join!(throw(), throw(), throw());
    for thrown in [one, two, three] {
        thrown?;
    }
    println!("  dice, three at once: {} calls", calls() - before);

    let before = calls();
    for _ in 0..3 {
        let unknown = call(&mut assistant.tools, ToolKey::new("telepathy", json!({}))).await;
        println!("  telepathy: {}", shown(unknown));
    }
    println!("  and that was {} call", calls() - before);
    Ok(())
}

async fn call<S, Req>(service: &mut S, request: Req) -> Result<S::Response, S::Error>
where
    S: Service<Req>,
{
    service.ready().await?.call(request).await
}

fn shown<T>(result: Result<T, Fault>) -> String {
    result.map_or_else(|fault| fault.to_string(), |_| "done".to_owned())
}

/// Prints every count that is not zero.
struct Print;

impl Sink for Print {
    fn counter(&mut self, metric: &Metric, labels: Labels<'_>, total: u64) {
        if total > 0 {
            println!("  {}{} {total}", metric.name, shown_labels(labels));
        }
    }

    fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        println!("  {}{} {value}", metric.name, shown_labels(labels));
    }

    fn state(&mut self, metric: &Metric, all: &[&'static str], now: usize) {
        println!("  {} {}", metric.name, all.get(now).copied().unwrap_or_default());
    }

    fn histogram(&mut self, metric: &Metric, labels: Labels<'_>, durations: &Distribution) {
        if let (Some(p99), Some(max)) = (durations.quantile(Ratio::percent(99)), durations.max()) {
            let (name, labels, count) = (metric.name, shown_labels(labels), durations.count());
            println!("  {name}{labels} {count}, 99 % within {p99:?}, all within {max:?}");
        }
    }

    fn note(&mut self, key: &'static str, value: &dyn Display) {
        println!("  {key} {value}");
    }
}

fn shown_labels(labels: Labels<'_>) -> String {
    labels.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

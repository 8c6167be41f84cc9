use crate::store::Patience;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// When a caller has waited long enough. Without limits there is nothing here.
#[derive(Default)]
pub(super) struct Deadlines {
    soft: Option<Pin<Box<Sleep>>>,
    hard: Option<Pin<Box<Sleep>>>,
}

pub(super) enum Due {
    Not,
    Soft,
    Hard,
}

impl Deadlines {
    /// Begins with the first wait; what a caller waits for later is within the same time.
    #[inline]
    pub(super) fn start(&mut self, patience: Option<Patience>) {
        if let Some(patience) = patience {
            self.start_timers(patience);
        }
    }

    #[cold]
    fn start_timers(&mut self, Patience { soft, hard }: Patience) {
        let timer = |time| (time != Duration::MAX).then(|| Box::pin(sleep(time)));
        if self.soft.is_none() && self.hard.is_none() {
            (self.soft, self.hard) = (timer(soft), timer(hard));
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Due {
        if self.poll_hard(cx) {
            return Due::Hard;
        }
        if self.soft.as_mut().is_some_and(|soft| soft.as_mut().poll(cx).is_ready()) {
            self.soft = None;
            return Due::Soft;
        }
        Due::Not
    }

    pub(super) fn poll_hard(&mut self, cx: &mut Context<'_>) -> bool {
        self.hard.as_mut().is_some_and(|hard| hard.as_mut().poll(cx).is_ready())
    }
}

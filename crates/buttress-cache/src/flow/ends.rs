//! How a call ends: with a value, a failure, or out of time.

use super::{FlowOf, Slot};
use crate::load::{OnPanic, Waiter, Who};
use crate::rules::{Fate, Found, Served, SharedError, Terms};
use crate::source::Source;
use buttress_core::{Error, Reason, Rejected};
use std::hash::Hash;

/// What a caller gets.
pub(super) type Answer<V, E> = Result<Found<V>, Error<E>>;

impl<K, V, C, P, M> FlowOf<K, V, C, P, M>
where
    K: Hash + Eq + Clone,
    V: Clone,
    C: Source<K, Value = V>,
    P: Terms<C::Request, K, V, C::Error>,
{
    /// A call has brought a value.
    pub(super) fn loaded(
        guard: OnPanic<K, V>,
        value: V,
        judge: P::Judge,
        slot: Option<Slot<V, C::Error>>,
    ) -> Answer<V, C::Error> {
        let fate = match guard.who() {
            Who::Lead(_) | Who::Alone(_) => judge(&value),
            Who::Past | Who::Write(_) => Fate::Share,
        };
        let value = match (guard.disarm(), fate) {
            (Who::Lead(lead), Fate::Store(keep)) => lead.complete(value, &keep),
            (Who::Lead(lead), Fate::Refuse) => {
                let Some(slot) = slot else {
                    lead.scatter();
                    return Ok(Found { value, served: Served::Loaded });
                };
                // The caller that started the task finds it there when it is woken.
                *slot.lock() = Some(Ok(value.clone()));
                lead.scatter();
                value
            }
            (Who::Lead(lead), Fate::Failed) => {
                if let Some(slot) = slot {
                    // For the caller that started the task, should what is stale now be invalidated before it looks.
                    *slot.lock() = Some(Ok(value.clone()));
                }
                match lead.share(&value, true) {
                    Some(found) => return Ok(found),
                    None => value,
                }
            }
            (Who::Lead(lead), _) => match lead.share(&value, false) {
                Some(found) => return Ok(found),
                None => value,
            },
            (Who::Alone(waiter), Fate::Failed) => match waiter.fallback() {
                Some(found) => return Ok(found),
                None => value,
            },
            _ => value,
        };
        Ok(Found { value, served: Served::Loaded })
    }

    /// A call has failed, or was never ready.
    pub(super) fn failed(
        guard: OnPanic<K, V>,
        error: C::Error,
        slot: Option<Slot<V, C::Error>>,
        rules: &P,
    ) -> Answer<V, C::Error> {
        let (shared, remember) = match guard.who() {
            Who::Lead(_) => (rules.share(&error), rules.remember(&error)),
            _ => (None, None),
        };
        let found = match (guard.disarm(), slot) {
            (Who::Lead(lead), None) => lead.fail(shared, remember),
            (Who::Lead(lead), Some(slot)) => {
                // The caller that started the task finds it there when it is woken.
                let rejected = lead.shared().rejected(Reason::Failed);
                *slot.lock() = Some(Err(error));
                return lead.fail(shared, remember).ok_or(Error::Rejected(rejected));
            }
            (Who::Alone(waiter), _) => waiter.fallback(),
            (Who::Past | Who::Write(_), _) => None,
        };
        found.ok_or(Error::Inner(error))
    }

    /// The time is over for one that makes a call itself.
    pub(super) fn timed_out(who: Who<K, V>) -> Answer<V, C::Error> {
        match who {
            Who::Lead(lead) => {
                let rejected = lead.shared().rejected(Reason::TimedOut);
                lead.fail(None, None).ok_or(Error::Rejected(rejected))
            }
            Who::Alone(waiter) => Self::give_up(&waiter, false),
            Who::Past | Who::Write(_) => unreachable!("what goes past a cache has no time limit"),
        }
    }

    /// The time is over for one that waits.
    pub(super) fn give_up(waiter: &Waiter<K, V>, detach: bool) -> Answer<V, C::Error> {
        if detach {
            // Or else every later caller would wait as long as this one has.
            waiter.detach();
        }
        waiter.fallback().ok_or_else(|| Error::Rejected(waiter.shared().rejected(Reason::TimedOut)))
    }

    pub(super) fn error_of(rules: &P, error: Option<&SharedError>, rejected: Rejected) -> Error<C::Error> {
        error.and_then(|error| rules.unshare(error)).map_or(Error::Rejected(rejected), Error::Inner)
    }
}

pub(super) fn answer<V, E>(own: Result<V, E>) -> Answer<V, E> {
    own.map(|value| Found { value, served: Served::Loaded }).map_err(Error::Inner)
}

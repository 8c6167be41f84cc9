//! What is read from a request before it is sent on.

use crate::trace::TraceId;

/// Finds the word that a request is counted under: its route, its operation. Never what a caller chose, such as a path: of
/// that there is no end.
///
/// A closure `|request| -> Option<&str>` is one; `()` finds none.
pub trait WordOf<Req> {
    /// The word; `None` leaves the label away.
    fn word_of<'a>(&'a self, request: &'a Req) -> Option<&'a str>;
}

impl<Req> WordOf<Req> for () {
    fn word_of<'a>(&'a self, _: &'a Req) -> Option<&'a str> {
        None
    }
}

impl<Req, F> WordOf<Req> for F
where
    F: for<'a> Fn(&'a Req) -> Option<&'a str>,
{
    fn word_of<'a>(&'a self, request: &'a Req) -> Option<&'a str> {
        self(request)
    }
}

/// Finds the trace that a request belongs to, for exemplars.
///
/// A closure `|request| -> Option<TraceId>` is one; `()` finds none.
pub trait TraceOf<Req> {
    /// The trace, if it is sampled.
    fn trace_of(&self, request: &Req) -> Option<TraceId>;
}

impl<Req> TraceOf<Req> for () {
    fn trace_of(&self, _: &Req) -> Option<TraceId> {
        None
    }
}

impl<Req, F: Fn(&Req) -> Option<TraceId>> TraceOf<Req> for F {
    fn trace_of(&self, request: &Req) -> Option<TraceId> {
        self(request)
    }
}

//! What the origin was asked and what it has sent, kept whole, and what must be true of what clients get.

use super::Failure;
use buttress_core::{Error, Reason};
use std::collections::VecDeque;
use std::task::Waker;

/// The longest body that is stored: three chunks.
pub(crate) const MOST: u64 = 12;
pub(crate) const CHUNK: u64 = 4;
/// The hard timeout, in seconds.
pub(crate) const PATIENCE: u64 = 3;
/// For how many seconds a short-lived page is fresh.
pub(crate) const BRIEF: u64 = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// Pages vary on a field that clients send in one of two ways.
    pub(crate) varies: bool,
    /// Pages are fresh for a few seconds, and may be served stale for some more.
    pub(crate) brief: bool,
    /// Who has been woken is polled some steps later.
    pub(crate) lazy: bool,
    /// Who has stopped reading does not go on before all others are done.
    pub(crate) stalls: bool,
    pub(crate) apart: bool,
}

/// What the origin answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// How many chunks it says there are.
    pub(crate) chunks: Option<u64>,
    /// Whether the body knows that it has ended before it is asked.
    pub(crate) knows_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Page,
    Unstorable,
    Unavailable,
    Error,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Piece {
    Chunk,
    End,
    Torn,
    Panic,
}

/// One call to the origin.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) client: usize,
    pub(crate) variant: bool,
    began: usize,
    began_at: u64,
    pub(crate) head: Option<Head>,
    head_taken: bool,
    pub(crate) pieces: VecDeque<Piece>,
    /// All that the cache has taken.
    pub(crate) sent: Vec<u8>,
    chunks: u64,
    ended: Option<Piece>,
    /// Whether nobody else was asking when its head came.
    alone: bool,
    /// Whether its future, or its body, is gone.
    pub(crate) gone: bool,
    pub(crate) waker: Waker,
}

impl Call {
    /// Whether it waits to be told what to answer.
    pub(crate) fn wants_head(&self) -> bool {
        self.head.is_none() && !self.gone
    }

    /// Whether it waits to be told what more to send.
    pub(crate) fn wants_pieces(&self) -> bool {
        let ends = self.pieces.iter().any(|piece| *piece != Piece::Chunk);
        self.head.is_some() && self.ended.is_none() && !ends && !self.gone
    }

    fn declared(&self) -> Option<u64> {
        self.head?.chunks.map(|chunks| chunks * CHUNK)
    }

    fn length(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Whether all has come that there is to come: also where nobody has asked for the end of what has a length.
    fn is_whole(&self) -> bool {
        match self.declared() {
            None => self.ended == Some(Piece::End),
            Some(declared) => self.length() == declared && self.ended != Some(Piece::Torn),
        }
    }

    fn is_storable(&self) -> bool {
        self.head.is_some_and(|head| head.kind == Kind::Page) && self.is_whole() && self.length() <= MOST
    }
}

/// One who has asked.
#[derive(Debug)]
pub(crate) struct Client {
    asked: usize,
    asked_at: u64,
    /// Whether it has neither called the origin itself nor got a head, nor left.
    pub(crate) waits: bool,
    /// The call whose response it has got.
    from: Option<usize>,
}

/// What must happen to one who asks, if that is certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    Hit(usize),
    /// Another one's call is under way.
    NoCall,
    /// Nothing is there, and nothing on its way.
    Call,
    Anything,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    events: usize,
    pub(crate) seconds: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) clients: Vec<Client>,
    purges: Vec<usize>,
    failures: Vec<usize>,
    /// The call that is certain to be made for all who ask.
    leader: Option<usize>,
    /// Whether all was purged, or given up by those who waited, and nobody has called since.
    is_empty: bool,
    /// Whether it is once this step is over.
    will_be_empty: bool,
    /// The call whose page is certain to be stored, by variant.
    stored: [Option<usize>; 2],
    /// Whether a whole page has come: what it varies on may be known.
    may_know: bool,
    /// How many calls were allowed and made in this step.
    allowed: usize,
    made: usize,
    /// Those who were certain to wait for what has turned out in this step not to be for them.
    freed: Vec<usize>,
    /// Whether more has happened in this step than that calls were given up.
    more: bool,
    /// What was not as it must be. Kept, since a panic in a call is part of the history.
    pub(crate) wrong: Vec<String>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, ..Self::default() }
    }

    fn next(&mut self) -> usize {
        self.events += 1;
        self.events
    }

    pub(crate) fn demand(&mut self, holds: bool, what: impl FnOnce(&Self) -> String) {
        if !holds {
            let what = what(self);
            self.wrong.push(what);
        }
    }

    fn waiting(&self) -> usize {
        self.clients.iter().filter(|client| client.waits).count()
    }

    /// So many of those who wait may call the origin now.
    fn allow(&mut self, most: usize) {
        self.allowed += most.min(self.waiting());
    }

    pub(crate) fn begin_step(&mut self) {
        (self.allowed, self.made, self.more) = (0, 0, false);
        self.freed.clear();
    }

    /// Whoever has been woken has been polled.
    pub(crate) fn end_step(&mut self) {
        let (allowed, made) = (self.allowed, self.made);
        self.demand(made <= allowed || self.setup.lazy, |_| {
            format!("the origin was called {made} times where {allowed} is enough")
        });
        let left: Vec<_> = self.freed.iter().filter(|client| self.clients[**client].waits).copied().collect();
        self.demand(left.is_empty() || self.setup.lazy, |_| format!("{left:?} still wait"));
        self.is_empty |= std::mem::take(&mut self.will_be_empty);
    }

    /// A client asks.
    pub(crate) fn arrive(&mut self, variant: bool) -> (usize, Plan) {
        let asked = self.next();
        let plan = self.plan(variant);
        if let Plan::Anything | Plan::Call = plan {
            self.allowed += 1;
        }
        self.clients.push(Client { asked, asked_at: self.seconds, waits: true, from: None });
        (self.clients.len() - 1, plan)
    }

    pub(crate) fn plan(&self, variant: bool) -> Plan {
        let index = usize::from(self.setup.varies && variant);
        if let Some(id) = self.stored[index] {
            if !self.setup.brief || self.seconds < self.calls[id].began_at + BRIEF {
                return Plan::Hit(id);
            }
        }
        let waits_for =
            |leader: usize| !self.setup.varies || self.calls[leader].variant == variant || !self.may_know;
        match self.leader {
            Some(leader) if waits_for(leader) => Plan::NoCall,
            _ if self.is_empty => Plan::Call,
            _ => Plan::Anything,
        }
    }

    /// A client has been polled for the first time.
    pub(crate) fn arrived(&mut self, client: usize, plan: Plan, calls: usize) {
        let got = self.clients[client].from;
        let made = self.calls.len() - calls;
        match plan {
            Plan::Hit(id) => self.demand(made == 0 && got == Some(id), |_| {
                format!("client {client} got {got:?} and called {made} times, though {id} is stored")
            }),
            Plan::NoCall => self.demand(made == 0, |world| {
                format!("client {client} called although {:?} was on its way", world.leader)
            }),
            Plan::Call if made != 1 => self.wrong.push(format!("client {client} waits for what was purged")),
            Plan::Anything | Plan::Call if made == 1 && !self.setup.lazy => self.leader = Some(calls),
            Plan::Anything | Plan::Call => {}
        }
    }

    /// The origin is called.
    pub(crate) fn call(&mut self, client: usize, variant: bool) -> usize {
        let began = self.next();
        self.made += 1;
        self.is_empty = false;
        self.clients[client].waits = false;
        self.calls.push(Call {
            client,
            variant,
            began,
            began_at: self.seconds,
            head: None,
            head_taken: false,
            pieces: VecDeque::new(),
            sent: Vec::new(),
            chunks: 0,
            ended: None,
            alone: false,
            gone: false,
            waker: Waker::noop().clone(),
        });
        let id = self.calls.len() - 1;
        // One who has waited takes over.
        if !self.more && self.made == 1 && self.allowed == 1 && !self.setup.varies && !self.setup.lazy {
            self.leader = Some(id);
        }
        id
    }

    /// The cache takes the head.
    pub(crate) fn take_head(&mut self, id: usize, head: Head) {
        let now = self.next();
        self.more = true;
        let others = self.calls.iter().enumerate().filter(|(other, call)| *other != id && !call.gone);
        (self.calls[id].alone, self.calls[id].head_taken) = (others.count() == 0, true);
        match head.kind {
            Kind::Page if head.chunks.is_some_and(|chunks| chunks * CHUNK > MOST) => self.not_stored(id),
            Kind::Page => {}
            Kind::Unstorable | Kind::Unavailable => {
                self.not_stored(id);
                if self.setup.brief {
                    self.stored = [None; 2];
                }
            }
            Kind::Error => {
                self.failures.push(now);
                self.forget_leader(id);
            }
            Kind::Panic => {
                self.failures.push(now);
                self.calls[id].ended = Some(Piece::Panic);
            }
        }
    }

    /// The cache takes a piece.
    pub(crate) fn take_piece(&mut self, id: usize, piece: Piece) -> Vec<u8> {
        let now = self.next();
        self.more = true;
        let call = &mut self.calls[id];
        if piece == Piece::Chunk {
            let chunk = format!("{:02}.{}", id % 100, call.chunks % 10).into_bytes();
            call.chunks += 1;
            call.sent.extend_from_slice(&chunk);
            let most = call.declared().unwrap_or(MOST).min(MOST);
            if call.length() > most {
                self.not_stored(id);
            }
            return chunk;
        }
        if call.ended.is_some() {
            return Vec::new();
        }
        call.ended = Some(piece);
        match piece {
            Piece::End if call.is_storable() => self.whole(id),
            Piece::Panic => self.failures.push(now),
            _ => self.not_stored(id),
        }
        Vec::new()
    }

    /// Whoever waits for it asks for itself, all at once.
    fn not_stored(&mut self, id: usize) {
        if self.leader == Some(id) && !self.setup.varies {
            let began = self.calls[id].began;
            let waits = |client: &usize| self.clients[*client].waits && self.clients[*client].asked > began;
            self.freed.extend((0..self.clients.len()).filter(waits));
        }
        self.forget_leader(id);
        self.allow(usize::MAX);
    }

    fn whole(&mut self, id: usize) {
        let call = &self.calls[id];
        let (began, began_at, alone) = (call.began, call.began_at, call.alone);
        let index = usize::from(self.setup.varies && call.variant);
        let is_sure = self.leader == Some(id) && (alone || !self.setup.varies);
        self.stored[index] = is_sure.then_some(id);
        self.forget_leader(id);
        self.may_know = true;
        let was_purged = self.purges.iter().any(|at| *at > began);
        let is_stale = self.setup.brief && self.seconds >= began_at + BRIEF;
        self.allow(match (is_stale, self.setup.varies) {
            (true, _) => usize::MAX,
            // For each of the two variants one.
            (false, true) => 2,
            (false, false) => usize::from(was_purged),
        });
    }

    fn forget_leader(&mut self, id: usize) {
        self.leader = self.leader.filter(|leader| *leader != id);
    }

    /// The cache, or a client, has dropped the call.
    pub(crate) fn leave(&mut self, id: usize) {
        self.next();
        let call = &mut self.calls[id];
        call.gone = true;
        let is_over = call.ended.is_some_and(|ended| ended != Piece::Panic);
        let is_storable = call.is_storable();
        let task_reads =
            self.setup.apart && self.leader == Some(id) && call.head_taken && call.ended.is_none();
        self.demand(!task_reads, |_| format!("{id} is given up by the task that reads it"));
        self.forget_leader(id);
        if is_over {
            return;
        }
        if is_storable {
            // Nobody need ask for the end of it.
            self.more = true;
            self.whole(id);
        }
        self.allow(if self.setup.varies { 2 } else { 1 });
    }

    /// A tag may be one of what is on its way; a purge by anything else ends that.
    pub(crate) fn purge(&mut self, by_tag: bool) {
        let now = self.next();
        self.purges.push(now);
        self.is_empty = !by_tag;
        (self.leader, self.stored) = (None, [None; 2]);
    }

    pub(crate) fn advance(&mut self, by: u64) {
        self.seconds += by;
        self.more = true;
        let now = self.seconds;
        let impatient = |client: &&Client| client.waits && now >= client.asked_at + PATIENCE;
        let impatient: Vec<_> = self.clients.iter().filter(impatient).map(|client| client.asked).collect();
        let count = impatient.len();
        if let (Some(leader), false) = (self.leader, impatient.is_empty()) {
            // Whoever has asked since waits for this one.
            let began = self.calls[leader].began;
            let plain = !self.setup.varies && !self.setup.brief && !self.setup.lazy;
            self.will_be_empty = plain && impatient.iter().any(|asked| *asked > began);
            self.leader = None;
        }
        self.allow(count);
    }

    /// A client has got a head, of this call, either from the store or from a call that it has waited for.
    pub(crate) fn check_head(&mut self, client: usize, status: u16, from: Option<usize>, is_of_store: bool) {
        let now = self.next();
        let it = &mut self.clients[client];
        (it.waits, it.from) = (false, from);
        let asked = it.asked;
        let Some(id) = from else {
            self.wrong.push(format!("client {client} got a {status} from nowhere"));
            return;
        };
        let call = &self.calls[id];
        let is_own = call.client == client && call.began > asked;
        let (began, kind) = (call.began, call.head.map(|head| head.kind));
        let is_storable = call.is_storable();
        let expected = if kind == Some(Kind::Unavailable) { 503 } else { 200 };
        self.demand(status == expected, |_| format!("client {client} got {status} of {kind:?}"));
        let until = if is_of_store { now } else { asked };
        let purge = self.purges.iter().copied().find(|purge| began < *purge && *purge < until);
        self.demand(is_own || purge.is_none(), |_| {
            format!("client {client} of {asked} got {id} of {began}, purged by {purge:?}")
        });
        self.demand(is_own || is_storable, |world| {
            format!("client {client} got what is not to be stored: {:?}", world.calls[id])
        });
    }

    /// A client has got this far.
    pub(crate) fn check_frames(&mut self, client: usize, id: usize, got: &[u8]) {
        let holds = self.calls[id].sent.starts_with(got);
        self.demand(holds, |_| format!("client {client} got of {id}: {:?}", String::from_utf8_lossy(got)));
    }

    /// A client has got all there is, as it was told.
    pub(crate) fn check_whole(&mut self, client: usize, id: usize, got: &[u8]) {
        let call = &self.calls[id];
        let ended = call.ended == Some(Piece::End);
        let holds = call.sent == got && (ended || call.client != client && call.is_storable());
        self.demand(holds, |world| {
            format!("client {client} got {:?} of {:?}", String::from_utf8_lossy(got), world.calls[id])
        });
    }

    pub(crate) fn check_error(&mut self, client: usize, error: &Error<Failure>) {
        let asked = self.clients[client].asked;
        let holds = match error {
            Error::Inner(Failure(id)) => self.calls[*id].client == client,
            Error::Rejected(rejected) => {
                rejected.reason() == Reason::Failed && self.failures.iter().any(|at| *at > asked)
            }
        };
        self.demand(holds, |_| format!("client {client} of {asked} failed: {error:?}"));
    }

    pub(crate) fn check_torn(&mut self, client: usize, id: usize) {
        let call = &self.calls[id];
        let holds = call.client == client && call.ended == Some(Piece::Torn);
        self.demand(holds, |world| format!("client {client} got a torn {:?}", world.calls[id]));
    }

    pub(crate) fn check_panic(&mut self, client: usize) {
        let mut own = self.calls.iter().filter(|call| call.client == client);
        let holds = own.any(|call| call.ended == Some(Piece::Panic));
        self.demand(holds, |_| format!("client {client} panicked"));
    }
}

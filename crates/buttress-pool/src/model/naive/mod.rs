//! The pool as one would write it to be read: vectors, in the order of what they mean; exclusive leases, no ages.

mod outage;

use crate::config::Config;
use crate::core::{Close, Counts, Nanos, News, Why, nanos};
use outage::Outage;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) used: Nanos,
    pub(super) proved: Nanos,
    pub(super) doomed: Option<Close>,
}

#[derive(Clone, Debug)]
struct Waiting {
    number: u64,
    since: Nanos,
    until: Nanos,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Granted { conn: u64, check: bool },
    Wait,
    Refused(Why<u32>),
}

#[derive(Debug)]
pub(super) struct Naive {
    config: Config,
    /// The last one is the next to be had.
    pub(super) idle: Vec<Conn>,
    /// Granted, checked by its getter, or leased.
    pub(super) busy: Vec<Conn>,
    /// To be checked; and being checked.
    pub(super) to_check: Vec<Conn>,
    pub(super) in_check: Vec<Conn>,
    waiting: Vec<Waiting>,
    /// What became of those who waited, and since when they had.
    decided: BTreeMap<u64, (Reply, Waiting)>,
    proving: BTreeMap<u64, (u64, Waiting)>,
    /// Connects that nobody has begun; and those that run.
    starts: Vec<u64>,
    running: Vec<u64>,
    last_start: u64,
    outage: Option<Outage>,
    demand: bool,
    suspect_before: Nanos,
    pub(super) last_error: Option<(Nanos, u32)>,
    closed: bool,
    pub(super) places: u32,
    pub(super) counts: Counts,
    /// Since the last step: what is told, who was woken, and which connections are closed by the pool.
    pub(super) news: Vec<News<u32>>,
    pub(super) woken: Vec<u64>,
    pub(super) dropped: Vec<u64>,
}

impl Naive {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            idle: vec![],
            busy: vec![],
            to_check: vec![],
            in_check: vec![],
            waiting: vec![],
            decided: BTreeMap::new(),
            proving: BTreeMap::new(),
            starts: vec![],
            running: vec![],
            last_start: 0,
            outage: None,
            demand: false,
            suspect_before: 0,
            last_error: None,
            closed: false,
            places: 0,
            counts: Counts::default(),
            news: vec![],
            woken: vec![],
            dropped: vec![],
        }
    }

    pub(super) fn size(&self) -> crate::Size {
        self.config.size
    }

    fn all(&self) -> impl Iterator<Item = &Conn> {
        self.idle.iter().chain(&self.busy).chain(&self.to_check).chain(&self.in_check)
    }

    pub(super) fn live(&self) -> u32 {
        self.all().count() as u32
    }

    pub(super) fn doomed(&self) -> u32 {
        self.all().filter(|conn| conn.doomed.is_some()).count() as u32
    }

    fn alive(&self) -> u32 {
        self.live() - self.doomed()
    }

    pub(super) fn connecting(&self) -> u32 {
        (self.starts.len() + self.running.len()) as u32
    }

    pub(super) fn waiters(&self) -> u32 {
        self.waiting.len() as u32
    }

    pub(super) fn granted(&self) -> u32 {
        self.decided.values().filter(|(reply, _)| matches!(reply, Reply::Granted { .. })).count() as u32
    }

    pub(super) fn proving(&self) -> u32 {
        self.proving.len() as u32
    }

    pub(super) fn oldest(&self, now: Nanos) -> Option<Nanos> {
        self.waiting.first().map(|first| now - first.since)
    }

    fn why_timeout(&mut self, waiting: &Waiting, now: Nanos) -> Why<u32> {
        self.counts.timeouts += 1;
        let failed = self.last_error.filter(|&(at, _)| at >= waiting.since);
        let cause = self.outage.as_ref().map(|outage| outage.cause).or(failed.map(|(_, cause)| cause));
        let (in_use, waiters) = (self.busy.len() as u64, self.waiters());
        Why::Timeout { waited: now - waiting.since, in_use, waiters, cause }
    }

    fn grant(&mut self, waiting: &Waiting, conn: Conn, now: Nanos) -> Reply {
        let age = now - conn.used.max(conn.proved);
        let is_stale = age >= nanos(self.config.check_after) && now < waiting.until;
        let check = conn.proved < self.suspect_before || is_stale;
        let id = conn.id;
        self.busy.push(conn);
        if check {
            self.counts.checks += 1;
            self.proving.insert(waiting.number, (id, waiting.clone()));
        } else {
            self.counts.served += 1;
        }
        Reply::Granted { conn: id, check }
    }

    pub(super) fn get(&mut self, is_placed: bool, now: Nanos, until: Nanos) -> Reply {
        self.places -= u32::from(is_placed);
        self.counts.gets += 1;
        let waiting = Waiting { number: self.counts.gets, since: now, until };
        if let Some(conn) = self.idle.pop() {
            return self.grant(&waiting, conn, now);
        }
        if self.closed {
            self.counts.refused_closed += 1;
            return Reply::Refused(Why::Closed);
        }
        let can_wait = until > now && (self.waiters() > 0 || self.is_quiet(now));
        if self.alive() == 0 && !can_wait {
            if let Some(why) = self.why_down() {
                return Reply::Refused(why);
            }
        }
        if !is_placed && self.waiters() + self.places >= self.config.max_waiters.get() {
            self.counts.refused_full += 1;
            return Reply::Refused(Why::QueueFull { waiters: self.waiters() });
        }
        if until <= now {
            return Reply::Refused(self.why_timeout(&waiting, now));
        }
        self.waiting.push(waiting);
        self.probe(now);
        self.settle();
        Reply::Wait
    }

    pub(super) fn poll(&mut self, number: u64, now: Nanos) -> Reply {
        match self.decided.remove(&number) {
            None => Reply::Wait,
            Some((Reply::Granted { conn, .. }, waiting)) => {
                let conn = take(&mut self.busy, conn);
                self.grant(&waiting, conn, now)
            }
            Some((refused, _)) => refused,
        }
    }

    pub(super) fn take_place(&mut self) -> bool {
        let most = self.config.max_waiters.get() + self.idle.len() as u32;
        let is_free = !self.closed && self.waiters() + self.places < most;
        self.places += u32::from(is_free);
        is_free
    }

    pub(super) fn turn_away(&mut self) -> Why<u32> {
        self.counts.gets += 1;
        if self.closed {
            self.counts.refused_closed += 1;
            return Why::Closed;
        }
        self.counts.refused_full += 1;
        Why::QueueFull { waiters: self.waiters() }
    }

    /// Dropped while it waited, or with an answer that it has not seen, or in the midst of its check.
    pub(super) fn leave(&mut self, number: u64) {
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.number == number) {
            self.waiting.remove(at);
            self.counts.cancelled += 1;
        } else if let Some((conn, _)) = self.proving.remove(&number) {
            self.counts.cancelled += 1;
            let mut conn = take(&mut self.busy, conn);
            conn.doomed.get_or_insert(Close::Cancelled);
            self.place(conn, false);
            self.settle();
        } else if let Some((Reply::Granted { conn, .. }, _)) = self.decided.remove(&number) {
            self.counts.cancelled += 1;
            let conn = take(&mut self.busy, conn);
            self.place(conn, true);
            self.settle();
        }
    }

    pub(super) fn passed(&mut self, number: u64, now: Nanos) {
        let (conn, _) = self.proving.remove(&number).expect("it checks");
        self.counts.served += 1;
        self.busy.iter_mut().find(|other| other.id == conn).expect("it is leased").proved = now;
    }

    pub(super) fn failed(&mut self, number: u64, cause: u32, began: Nanos, now: Nanos) -> Reply {
        let (conn, waiting) = self.proving.remove(&number).expect("it checks");
        self.counts.checks_failed += 1;
        let mut conn = take(&mut self.busy, conn);
        conn.doomed.get_or_insert(Close::Unfit);
        self.place(conn, false);
        self.last_error = Some((now, cause));
        self.accuse(began);
        self.settle();
        if self.closed {
            self.counts.refused_closed += 1;
            return Reply::Refused(Why::Closed);
        }
        if waiting.until <= now {
            return Reply::Refused(self.why_timeout(&waiting, now));
        }
        if let Some(conn) = self.idle.pop() {
            return self.grant(&waiting, conn, now);
        }
        if self.alive() + self.connecting() == 0 && !self.is_quiet(now) {
            if let Some(why) = self.why_down() {
                return Reply::Refused(why);
            }
        }
        self.waiting.push(waiting);
        self.waiting.sort_by_key(|waiting| waiting.number);
        self.probe(now);
        self.settle();
        Reply::Wait
    }

    pub(super) fn put(&mut self, conn: u64, end: Option<Close>, now: Nanos) {
        let mut conn = take(&mut self.busy, conn);
        conn.used = now;
        if let Some(close) = end {
            conn.doomed.get_or_insert(close);
        }
        if end == Some(Close::Broken) {
            self.accuse(now);
        }
        self.place(conn, end.is_none());
        self.settle();
    }

    /// Takes the next connect that nobody has begun.
    pub(super) fn take_start(&mut self) -> Option<u64> {
        if self.starts.is_empty() {
            return None;
        }
        let start = self.starts.remove(0);
        self.running.push(start);
        self.counts.connects += 1;
        Some(start)
    }

    pub(super) fn take_check(&mut self, conn: u64) {
        let conn = take(&mut self.to_check, conn);
        self.counts.checks += 1;
        self.in_check.push(conn);
    }

    pub(super) fn connected(&mut self, start: u64, id: u64, now: Nanos) {
        let fits = self.alive() + self.connecting() <= self.config.size.max();
        self.running.retain(|&other| other != start);
        self.counts.created += 1;
        self.is_over(now);
        let mut conn = Conn { id, used: now, proved: now, doomed: None };
        if self.closed {
            conn.doomed = Some(Close::Closed);
        } else if !fits {
            conn.doomed = Some(Close::Surplus);
        }
        self.place(conn, true);
        self.settle();
    }

    pub(super) fn checked(&mut self, conn: u64, result: Result<(), u32>, began: Nanos, now: Nanos) {
        let mut conn = take(&mut self.in_check, conn);
        match result {
            Ok(()) => {
                conn.proved = now;
                self.place(conn, true);
            }
            Err(cause) => {
                self.counts.checks_failed += 1;
                self.last_error = Some((now, cause));
                conn.doomed.get_or_insert(Close::Unfit);
                self.place(conn, false);
                self.accuse(began);
            }
        }
        self.settle();
    }

    pub(super) fn check_dropped(&mut self, conn: u64) {
        let mut conn = take(&mut self.in_check, conn);
        conn.doomed.get_or_insert(Close::Cancelled);
        self.place(conn, false);
        self.settle();
    }

    /// The time has come for whatever it has come for.
    pub(super) fn tick(&mut self, now: Nanos) {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.until <= now) {
            let waiters = self.waiters();
            let why = self.why_timeout(&self.waiting[at].clone(), now);
            assert_eq!(waiters, self.waiters());
            self.decide(at, Reply::Refused(why));
        }
        self.probe(now);
        self.settle();
    }

    pub(super) fn resize(&mut self, size: crate::Size) {
        self.config.size = size;
        let excess = |naive: &Self| (naive.alive() + naive.connecting()).saturating_sub(size.max());
        for _ in 0..excess(self).min(self.starts.len() as u32) {
            self.starts.pop();
        }
        self.forget_probe();
        while excess(self) > 0 && self.alive() > 0 {
            if self.idle.is_empty() {
                let everyone = self.busy.iter_mut().chain(&mut self.to_check).chain(&mut self.in_check);
                let alive = everyone.filter(|conn| conn.doomed.is_none());
                let oldest = alive.min_by_key(|conn| conn.id).expect("one is alive");
                oldest.doomed = Some(Close::Surplus);
            } else {
                let mut conn = self.idle.remove(0);
                conn.doomed = Some(Close::Surplus);
                self.place(conn, true);
            }
        }
        self.settle();
    }

    pub(super) fn close(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.starts.clear();
        self.forget_probe();
        let at_once: Vec<_> = self.to_check.drain(..).chain(self.idle.drain(..)).collect();
        for mut conn in at_once {
            conn.doomed.get_or_insert(Close::Closed);
            self.place(conn, true);
        }
        for conn in self.busy.iter_mut().chain(&mut self.in_check) {
            conn.doomed.get_or_insert(Close::Closed);
        }
        while !self.waiting.is_empty() {
            self.counts.refused_closed += 1;
            self.decide(0, Reply::Refused(Why::Closed));
        }
    }

    fn decide(&mut self, at: usize, reply: Reply) {
        let waiting = self.waiting.remove(at);
        self.woken.push(waiting.number);
        self.decided.insert(waiting.number, (reply, waiting));
    }

    fn place(&mut self, conn: Conn, is_here: bool) {
        if let Some(close) = conn.doomed {
            self.counts.closed[close as usize] += 1;
            if is_here {
                self.dropped.push(conn.id);
            }
        } else if conn.proved < self.suspect_before {
            self.to_check.push(conn);
        } else {
            self.idle.push(conn);
        }
    }

    fn accuse(&mut self, before: Nanos) {
        self.suspect_before = self.suspect_before.max(before);
        let (good, suspect) = self.idle.drain(..).partition(|conn| conn.proved >= self.suspect_before);
        self.idle = good;
        self.to_check.extend::<Vec<_>>(suspect);
    }

    fn settle(&mut self) {
        while !self.waiting.is_empty() && !self.idle.is_empty() {
            let conn = self.idle.pop().expect("there is one");
            self.decide(0, Reply::Granted { conn: conn.id, check: false });
            self.busy.push(conn);
        }
        while !self.closed
            && self.outage.is_none()
            && self.connecting() < self.config.connects.get()
            && self.live() + self.connecting() < self.config.size.max()
            && (self.connecting() < self.waiters()
                || self.alive() + self.connecting() < self.config.size.min())
        {
            self.last_start += 1;
            self.starts.push(self.last_start);
        }
        while !self.waiting.is_empty() && self.alive() + self.connecting() == 0 {
            let Some(why) = self.why_down() else { break };
            self.decide(0, Reply::Refused(why));
        }
    }
}

fn take(from: &mut Vec<Conn>, id: u64) -> Conn {
    let at = from.iter().position(|conn| conn.id == id).expect("it is there");
    from.remove(at)
}

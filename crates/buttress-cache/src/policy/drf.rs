//! Duelled-return FIFO.
//!
//! A **window** takes newcomers, first in first out; what was hit twice there moves on. The **main** queue is
//! a clock: what was hit since the hand last passed gets another round. A **ghost** remembers what left.
//! What returns from it must win a duel against main's next victim to go there straight, and the score of
//! that duel blends how recently a key was used with how often. All of that happens on a miss; a hit only
//! counts to three.

use super::{Evict, ghost::Ghost, nodes::List, nodes::Nodes};

/// How the capacity is divided, in thousandths for the window. Zero is the clock: no window at all,
/// everything goes to main, which serves traffic that keeps returning to what it has just seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(u16);

impl Mode {
    pub(crate) const CLOCK: Self = Self(0);
    pub(crate) const DEFAULT: Self = Self::window(100);

    /// `per_mille` is from 1 to 999.
    pub(crate) const fn window(per_mille: u16) -> Self {
        Self(per_mille)
    }

    pub(crate) fn to_bits(self) -> u16 {
        self.0
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

const WINDOW: u8 = 0;
const MAIN: u8 = 1;

/// How far the hand of the clock moves at most for one victim.
const SWEEP: u32 = 64;

/// How many entries a newcomer moves from an overfull window into a main queue that has room.
const FILL: u32 = 4;

/// Scores are logarithms, in eighths of a half-life, of the logical time of the uses they add up: absolute,
/// so that they never have to be aged. A half-life is as many insertions as two turns of the cache.
const HALF_LIFE: u16 = 8;

/// A score can be ahead of the clock by a half-life. This much is certainly more, so that ages do not wrap.
const SLACK: u16 = 512;

/// `8 * log2(1 + 2^(-d / 8))`: what the smaller of two scores adds to the larger one, `d` above it.
const SUM: [u8; 32] =
    [8, 8, 7, 7, 6, 6, 5, 5, 5, 4, 4, 4, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1];

#[derive(Debug)]
pub(crate) struct Drf {
    capacity: u64,
    window: List,
    main: List,
    ghost: Ghost,
    /// What a newcomer may weigh beyond the capacity, for once; see [`Evict::bind`]. Not room: a queue that has some
    /// takes whatever comes.
    slack: u64,
    mode: Mode,
    /// What the window may weigh now, on its way to `goal`.
    target: u64,
    goal: u64,
    /// The logical clock, which counts insertions, and those since it last moved.
    now: u16,
    since: u32,
}

impl Drf {
    /// Changes the division of the capacity. Entries follow as others come in.
    #[inline]
    pub(crate) fn steer(&mut self, mode: Mode) {
        if mode != self.mode {
            self.mode = mode;
            self.goal = self.share();
            if self.len() == 0 {
                self.target = self.goal;
            }
        }
    }

    fn share(&self) -> u64 {
        match self.mode {
            Mode::CLOCK => 0,
            // A window of nothing would hand everything on unseen.
            Mode(per_mille) => {
                let share = u128::from(self.capacity) * u128::from(per_mille) / 1000;
                (share as u64).max(1).min(self.capacity)
            }
        }
    }

    fn len(&self) -> usize {
        self.window.len() + self.main.len()
    }

    fn tick(&mut self) {
        self.since += 1;
        if self.since as usize >= (self.len() * 2 / usize::from(HALF_LIFE)).max(1) {
            self.since = 0;
            self.now = self.now.wrapping_add(1);
        }
    }

    fn age(&self, score: u16) -> u16 {
        self.now.wrapping_add(SLACK).wrapping_sub(score)
    }

    /// A score and one more use, now. One that is used often may be ahead of the clock, but not by more
    /// than a half-life: what was hot once would stay too long.
    fn credit(&self, score: u16) -> u16 {
        let age = self.age(score);
        let (newer, apart) = if age < SLACK { (score, SLACK - age) } else { (self.now, age - SLACK) };
        let more = SUM.get(usize::from(apart)).copied().unwrap_or(0);
        let sum = newer.wrapping_add(more.into());
        if self.age(sum) < SLACK - HALF_LIFE { self.now.wrapping_add(HALF_LIFE) } else { sum }
    }

    /// Moves the hand to main's next victim, which becomes its oldest entry.
    #[inline]
    fn victim(&mut self, nodes: &mut Nodes) -> Option<u32> {
        for _ in 0..SWEEP {
            let oldest = self.main.oldest(nodes)?;
            let hits = nodes.hits(oldest);
            if hits == 0 {
                return Some(oldest);
            }
            nodes.set_hits(oldest, hits - 1);
            nodes.set_level(oldest, self.credit(nodes.level(oldest)));
            self.main.rotate(nodes);
        }
        self.main.oldest(nodes)
    }

    #[inline]
    fn evict_main(&mut self, nodes: &mut Nodes, evicted: &mut Vec<u32>) {
        let Some(victim) = self.victim(nodes) else { return };
        self.main.unlink(nodes, victim);
        self.bury(nodes, victim, evicted);
    }

    #[inline]
    fn bury(&mut self, nodes: &Nodes, index: u32, evicted: &mut Vec<u32>) {
        // With the score of its insertion, not of its end: the distance of a return is measured from there.
        self.ghost.put(nodes.hash(index), nodes.level(index), self.now.wrapping_add(SLACK));
        evicted.push(index);
    }

    #[inline]
    fn main_has_room(&self, weight: u64) -> bool {
        let room = self.capacity - self.target;
        weight <= room && self.main.weight() <= room - weight
    }

    #[inline]
    fn promote(&mut self, nodes: &mut Nodes, index: u32) {
        self.window.unlink(nodes, index);
        nodes.set_hits(index, 0);
        self.main.push(nodes, index);
    }

    /// Takes the oldest entry out of the window.
    #[inline(always)]
    fn shrink_window(&mut self, nodes: &mut Nodes, evicted: &mut Vec<u32>) {
        let Some(oldest) = self.window.oldest(nodes) else { return };
        let weight = nodes.weight(oldest);
        if self.main_has_room(weight) {
            // Main is always kept full, whatever with.
            self.promote(nodes, oldest);
        } else if nodes.hits(oldest) >= 2 {
            while !self.main.is_empty() && !self.main_has_room(weight) {
                self.evict_main(nodes, evicted);
            }
            self.promote(nodes, oldest);
        } else {
            self.window.unlink(nodes, oldest);
            self.bury(nodes, oldest, evicted);
        }
    }

    #[inline]
    fn fits(&self, weight: u64) -> bool {
        self.weight() <= (self.capacity + self.slack).saturating_sub(weight)
    }

    /// Follows a change of mode, by four average entries per newcomer.
    fn move_target(&mut self) {
        if self.target != self.goal {
            let step = 4 * (self.weight() / self.len().max(1) as u64).max(1);
            self.target = if self.target < self.goal {
                self.goal.min(self.target.saturating_add(step))
            } else {
                self.goal.max(self.target.saturating_sub(step))
            };
        }
    }
}

impl Evict for Drf {
    fn new(capacity: u64, entries: usize) -> Self {
        let mut this = Self {
            capacity,
            window: List::new(WINDOW),
            main: List::new(MAIN),
            ghost: Ghost::new(entries),
            slack: 0,
            mode: Mode::DEFAULT,
            target: 0,
            goal: 0,
            now: 0,
            since: 0,
        };
        this.goal = this.share();
        this.target = this.goal;
        this
    }

    #[inline]
    fn hit(&mut self, nodes: &mut Nodes, index: u32) {
        nodes.count_hit(index);
    }

    #[inline(never)]
    fn insert(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        self.tick();
        self.move_target();
        for _ in 0..FILL {
            let Some(oldest) = self.window.oldest(nodes) else { break };
            if self.window.weight() <= self.target || !self.main_has_room(nodes.weight(oldest)) {
                break;
            }
            self.promote(nodes, oldest);
        }

        let (hash, weight) = (nodes.hash(index), nodes.weight(index));
        let clock = self.mode == Mode::CLOCK;
        let known = self.ghost.take(hash);
        let mut to_main = clock;
        if let Some(score) = known.filter(|_| !clock && !self.fits(weight)) {
            // The duel. The use that brings it back is not in its score; a draw is the incumbent's.
            let victim = self.victim(nodes);
            to_main = victim.is_none_or(|victim| self.age(score) < self.age(nodes.level(victim)));
        }
        let queue = if to_main { MAIN } else { WINDOW };
        self.make_room(nodes, weight, queue, evicted);
        nodes.set_level(index, known.map_or(self.now, |score| self.credit(score)));
        self.queue(queue).push(nodes, index);
        self.ghost.fit(self.len());
    }

    #[inline(always)]
    fn make_room(&mut self, nodes: &mut Nodes, weight: u64, queue: u8, evicted: &mut Vec<u32>) {
        // What the window may weigh before the newcomer joins it, if it does.
        let target = if queue == MAIN { Some(self.target) } else { self.target.checked_sub(weight) };
        while !self.fits(weight) && self.len() > 0 {
            let over = target.is_none_or(|target| self.window.weight() > target);
            if over && !self.window.is_empty() || self.main.is_empty() {
                self.shrink_window(nodes, evicted);
            } else {
                self.evict_main(nodes, evicted);
            }
        }
    }

    fn shrink(&mut self, nodes: &mut Nodes, weight: u64, evicted: &mut Vec<u32>) {
        while self.weight() > weight {
            if self.window.weight() > self.target || self.main.is_empty() {
                self.shrink_window(nodes, evicted);
            } else {
                self.evict_main(nodes, evicted);
            }
        }
    }

    fn set_capacity(&mut self, nodes: &mut Nodes, capacity: u64, evicted: &mut Vec<u32>) {
        (self.capacity, self.slack) = (capacity, 0);
        self.goal = self.share();
        self.target = self.goal;
        self.shrink(nodes, capacity, evicted);
    }

    fn bind(&mut self, nodes: &mut Nodes, newcomer: u64, evicted: &mut Vec<u32>) {
        self.set_capacity(nodes, self.weight(), evicted);
        self.slack = newcomer - 1;
    }

    #[inline]
    fn queue(&mut self, id: u8) -> &mut List {
        if id == MAIN { &mut self.main } else { &mut self.window }
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn weight(&self) -> u64 {
        self.window.weight() + self.main.weight()
    }
}

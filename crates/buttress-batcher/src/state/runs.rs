//! The batches that run, by the number of the place that they run in.

use super::Flush;
use super::chain::Chain;
use super::slots::Slots;
use std::time::Duration;

/// A batch that is to be sent.
#[derive(Debug)]
pub(crate) struct Taken<Req> {
    /// Where it runs. No number is given twice at a time, nor is one over how many ever ran at once.
    pub(crate) run: u32,
    pub(crate) requests: Vec<Req>,
    pub(crate) why: Flush,
    /// How long the first of them has waited, if it is known when it came.
    pub(crate) waited: Option<Duration>,
}

/// Whose a result is; the last of those who share one is the one whose request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: u32,
    pub(crate) result: u32,
}

#[derive(Debug)]
struct Run {
    members: Chain,
    part: u32,
}

#[derive(Debug)]
pub(crate) struct Runs {
    slab: Vec<Run>,
    free: Vec<u32>,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self { slab: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn running(&self) -> u32 {
        (self.slab.len() - self.free.len()) as u32
    }

    pub(super) fn open(&mut self, part: u32) -> u32 {
        let run = Run { members: Chain::EMPTY, part };
        match self.free.pop() {
            Some(index) => {
                self.slab[index as usize] = run;
                index
            }
            None => {
                self.slab.push(run);
                self.slab.len() as u32 - 1
            }
        }
    }

    /// The places in which something runs.
    pub(super) fn indices(&self) -> Vec<u32> {
        (0..self.slab.len() as u32).filter(|run| !self.free.contains(run)).collect()
    }

    #[inline]
    pub(super) fn add<Req, D>(&mut self, slots: &mut Slots<Req, D>, run: u32, id: u32) {
        self.slab[run as usize].members.push_back(slots.all_mut(), id);
    }

    /// The partition and the requests of a batch that runs no longer.
    pub(super) fn close(&mut self, run: u32) -> (u32, Chain) {
        self.free.push(run);
        let Run { members, part } = &mut self.slab[run as usize];
        (*part, std::mem::replace(members, Chain::EMPTY))
    }
}

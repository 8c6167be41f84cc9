//! Doubly linked lists through the entries of a slab: any entry leaves in one step.

/// No index.
pub(crate) const NONE: u32 = u32::MAX;

/// The neighbours of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    pub(crate) const LOOSE: Self = Self { prev: NONE, next: NONE };
}

/// An entry that a chain goes through.
pub(crate) trait Linked {
    fn link_mut(&mut self) -> &mut Link;
}

/// A list of entries, first in, first out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    head: u32,
    tail: u32,
    len: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    #[inline]
    pub(crate) fn push_back<T: Linked>(&mut self, slab: &mut [T], id: u32) {
        *slab[id as usize].link_mut() = Link { prev: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = id,
            tail => slab[tail as usize].link_mut().next = id,
        }
        self.tail = id;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop_front<T: Linked>(&mut self, slab: &mut [T]) -> Option<u32> {
        let id = self.first()?;
        self.remove(slab, id);
        Some(id)
    }

    /// Takes out an entry that is in it.
    #[inline]
    pub(crate) fn remove<T: Linked>(&mut self, slab: &mut [T], id: u32) {
        let Link { prev, next } = std::mem::replace(slab[id as usize].link_mut(), Link::LOOSE);
        self.join(slab, prev, next);
        self.len -= 1;
    }

    /// Puts `new`, which is in no chain, where `old` is.
    pub(crate) fn replace<T: Linked>(&mut self, slab: &mut [T], old: u32, new: u32) {
        let Link { prev, next } = std::mem::replace(slab[old as usize].link_mut(), Link::LOOSE);
        *slab[new as usize].link_mut() = Link { prev, next };
        self.join(slab, prev, new);
        self.join(slab, new, next);
    }

    fn join<T: Linked>(&mut self, slab: &mut [T], prev: u32, next: u32) {
        match prev {
            NONE => self.head = next,
            prev => slab[prev as usize].link_mut().next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => slab[next as usize].link_mut().prev = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    impl Linked for Link {
        fn link_mut(&mut self) -> &mut Link {
            self
        }
    }

    fn forth(chain: &Chain, slab: &[Link]) -> Vec<u32> {
        std::iter::successors(chain.first(), |&id| Some(slab[id as usize].next).filter(|&id| id != NONE))
            .collect()
    }

    fn back(chain: &Chain, slab: &[Link]) -> Vec<u32> {
        let tail = Some(chain.tail).filter(|&id| id != NONE);
        std::iter::successors(tail, |&id| Some(slab[id as usize].prev).filter(|&id| id != NONE)).collect()
    }

    proptest! {
        #[test]
        fn it_is_what_a_deque_is(steps in proptest::collection::vec((0..4_u8, 0..8_u32), 0..60)) {
            let (mut slab, mut chain, mut plain) = (vec![Link::LOOSE; 8], Chain::EMPTY, VecDeque::new());
            for (step, id) in steps {
                let at = plain.iter().position(|&other| other == id);
                match (step, at) {
                    (0, None) => {
                        chain.push_back(&mut slab, id);
                        plain.push_back(id);
                    }
                    (1, _) => prop_assert_eq!(chain.pop_front(&mut slab), plain.pop_front()),
                    (2, Some(at)) => {
                        chain.remove(&mut slab, id);
                        plain.remove(at);
                    }
                    (3, None) if !plain.is_empty() => {
                        let at = id as usize % plain.len();
                        chain.replace(&mut slab, plain[at], id);
                        plain[at] = id;
                    }
                    _ => {}
                }
                let mut expected: Vec<_> = plain.iter().copied().collect();
                prop_assert_eq!(chain.len() as usize, expected.len());
                prop_assert_eq!(forth(&chain, &slab), expected.clone());
                expected.reverse();
                prop_assert_eq!(back(&chain, &slab), expected);
            }
        }
    }
}

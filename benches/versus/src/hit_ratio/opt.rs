//! The most that any cache could hit: Belady's MIN, which knows the future. It may also not take a key in.

use std::collections::BTreeSet;

const NEVER: u32 = u32::MAX;

/// Hits of the best cache of `capacity` keys, of which there are `unique`, numbered from 0.
pub fn hits(keys: &[u32], unique: usize, capacity: usize) -> u64 {
    let next = next_uses(keys, unique);
    // When the keys that it holds are used next. No two keys are used at the same time, so that is all there
    // is to know: a hit is a time that is in the set.
    let mut uses = BTreeSet::new();
    let mut hits = 0;
    for (now, next) in next.into_iter().enumerate() {
        hits += u64::from(uses.remove(&(now as u32)));
        if next == NEVER {
            continue;
        }
        uses.insert(next);
        if uses.len() > capacity {
            // The one that is used last goes, and be it the newcomer.
            uses.pop_last();
        }
    }
    hits
}

/// When each request's key is asked for again.
fn next_uses(keys: &[u32], unique: usize) -> Vec<u32> {
    let mut seen = vec![NEVER; unique];
    let mut next = vec![NEVER; keys.len()];
    for (index, &key) in keys.iter().enumerate().rev() {
        next[index] = std::mem::replace(&mut seen[key as usize], index as u32);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries every choice there is.
    fn best(keys: &[u32], held: &mut Vec<u32>, capacity: usize) -> u64 {
        let Some((&key, rest)) = keys.split_first() else { return 0 };
        if held.contains(&key) {
            return 1 + best(rest, held, capacity);
        }
        let mut most = best(rest, held, capacity); // not taken in
        if held.len() < capacity {
            held.push(key);
            most = most.max(best(rest, held, capacity));
            held.pop();
        } else {
            for place in 0..capacity {
                let gone = std::mem::replace(&mut held[place], key);
                most = most.max(best(rest, held, capacity));
                held[place] = gone;
            }
        }
        most
    }

    #[test]
    fn no_choice_is_better() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % below) as u32
        };
        for _ in 0..300 {
            let unique = 2 + draw(4);
            let keys: Vec<u32> = (0..11).map(|_| draw(u64::from(unique))).collect();
            for capacity in 1..=3 {
                let most = best(&keys, &mut Vec::new(), capacity);
                assert_eq!(hits(&keys, unique as usize, capacity), most, "{keys:?}, {capacity}");
            }
        }
    }

    #[test]
    fn a_loop_keeps_all_but_one() {
        let keys: Vec<u32> = (0..5).cycle().take(500).collect();
        assert_eq!(hits(&keys, 5, 5), 495);
        assert_eq!(hits(&keys, 5, 4), 396);
    }
}

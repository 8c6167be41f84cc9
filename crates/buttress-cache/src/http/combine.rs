//! Two parts made one (§3.4).

use super::entry::{Stored, owned};
use super::etag::EntityTag;
use super::range::{ContentRange, partial};
use bytes::Bytes;
use std::ops::Range;

/// A newer part and one that is stored, as one of at most so many bytes; or `None` if they are not certainly parts of the
/// same, or leave a gap.
pub(crate) fn combine(newer: &Stored, older: &Stored, most: u64) -> Option<Stored> {
    let (new, old) = (newer.part?, older.part?);
    let tags = EntityTag::of(&newer.headers).zip(EntityTag::of(&older.headers));
    let is_same = tags.is_some_and(|(new, old)| new.strongly_is(old))
        && new.complete.zip(old.complete).is_none_or(|(new, old)| new == old);
    // What the newer one does not say would have to come from the older one, and may no longer be so.
    let says_all = older.headers.keys().all(|name| newer.headers.contains_key(name));
    if !is_same || !says_all || newer.trailers.is_some() || older.trailers.is_some() {
        return None;
    }
    let (new, old) = (new.first..new.first + newer.length, old.first..old.first + older.length);
    let whole = new.start.min(old.start)..new.end.max(old.end);
    if new.start > old.end || old.start > new.end || whole.end - whole.start > most {
        return None;
    }
    let before = slices(&older.body, 0..new.start.saturating_sub(old.start));
    let after = slices(&older.body, new.end.saturating_sub(old.start).min(older.length)..older.length);
    let complete = newer.part.and_then(|part| part.complete).or(older.part.and_then(|part| part.complete));
    let mut headers = newer.headers.clone();
    partial(&mut headers, &whole, complete);
    Some(Stored {
        status: newer.status,
        version: newer.version,
        headers,
        policy: newer.policy,
        received: newer.received,
        body: before.chain(newer.body.iter().cloned()).chain(after).collect(),
        length: whole.end - whole.start,
        part: Some(ContentRange { first: whole.start, last: whole.end - 1, complete }),
        trailers: None,
    })
}

/// These bytes of a body.
fn slices(body: &[Bytes], wanted: Range<u64>) -> impl Iterator<Item = Bytes> + '_ {
    let mut at = 0;
    body.iter().filter_map(move |chunk| {
        let length = chunk.len() as u64;
        let start = wanted.start.saturating_sub(at).min(length);
        let end = wanted.end.saturating_sub(at).min(length);
        at += length;
        // Both are at most the length of the chunk.
        let part = (start < end).then(|| chunk.slice(start as usize..end as usize))?;
        // Of many parts, each could leave a byte of its own, and all of its memory with it.
        Some(if part.len() < chunk.len() { owned(&part) } else { part })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_chunk_does_not_hold_the_rest() {
        let chunks = [owned(b"abc"), owned(b"def"), owned(b"ghi")];
        let parts: Vec<Bytes> = slices(&chunks, 2..8).collect();
        assert_eq!(parts, [&b"c"[..], b"def", b"gh"]);
        let is_within = |part: &Bytes, chunk: &Bytes| chunk.as_ptr_range().contains(&part.as_ptr());
        let held: Vec<bool> = parts.iter().zip(&chunks).map(|(part, chunk)| is_within(part, chunk)).collect();
        assert_eq!(held, [false, true, false]);
    }
}

//! Notes in a database, whichever it is.

use crate::{Batches, Error, Single};
use std::num::NonZeroU32;

pub(crate) struct Note {
    pub(crate) id: i64,
    pub(crate) text: String,
}

/// Reads say what is there, and writes whether there was none of that id before.
pub(crate) struct Notes {
    reads: Single<i64, Option<String>>,
    writes: Single<Note, bool>,
}

impl Notes {
    pub(crate) fn new(reads: Batches<i64, Option<String>>, writes: Batches<Note, bool>) -> Self {
        const MOST: NonZeroU32 = NonZeroU32::new(64).unwrap();
        Self { reads: Single::new("reads", MOST, reads), writes: Single::new("writes", MOST, writes) }
    }
}

/// Writes a hundred notes, and another hundred of which half are there, and reads twice as many.
pub(crate) async fn show(database: &str, notes: &Notes) -> Result<(), Error> {
    let note = |id| Note { id, text: format!("note {id}") };
    for ids in [0..100, 50..150] {
        let (new, calls) = notes.writes.ask(ids.map(note)).await;
        let new = new.into_iter().collect::<Result<Vec<_>, _>>()?;
        let count = new.iter().filter(|is_new| **is_new).count();
        println!("{database}: {count} of {} notes were new, in {calls} calls", new.len());
    }
    let (read, calls) = notes.reads.ask(0..200).await;
    let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
    let is_own = |(id, text): (usize, &Option<String>)| *text == Some(format!("note {id}"));
    let count = read.iter().enumerate().filter(|read| is_own(*read)).count();
    println!("{database}: {count} of {} notes were read, in {calls} calls", read.len());
    Ok(())
}

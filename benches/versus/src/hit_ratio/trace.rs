//! Block traces as the ARC paper used them: one request per line, `start count _ _`, which asks for the
//! blocks from `start` to `start + count`, that one excluded.

use ruzstd::decoding::StreamingDecoder;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What was asked for, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// The file's, without its ending.
    pub name: String,
    /// Blocks, numbered by their first appearance: what a key is does not matter, and these are small.
    pub keys: Vec<u32>,
    /// How many different ones.
    pub unique: usize,
}

/// Why a trace was not read.
#[derive(Debug)]
pub enum Error {
    /// The file or folder cannot be read, or not be decompressed.
    Unreadable(PathBuf, io::Error),
    /// A line, counted from 1, is not one of a trace.
    Line(PathBuf, usize, Bad),
    /// There is no `*.lis` and no `*.lis.zst`.
    Empty(PathBuf),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It has not got four fields.
    Fields,
    /// `start` or `count` is not a number.
    Number,
    /// `start + count` is past the last block there can be.
    Overflow,
    /// With this line there are more requests than this program can count.
    TooMany,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Line(path, line, bad) => write!(f, "{}:{line}: {bad}", path.display()),
            Self::Empty(path) => write!(f, "there is no *.lis and no *.lis.zst in {}", path.display()),
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fields => "a line of a trace has four fields: start count _ _",
            Self::Number => "start and count are numbers",
            Self::Overflow => "start + count does not fit into 64 bits",
            Self::TooMany => "a trace has fewer than 4294967295 requests",
        })
    }
}

impl std::error::Error for Error {}

/// The traces in a folder, by name.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error| Error::Unreadable(folder.to_owned(), error);
    let mut paths = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if split(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() { Err(Error::Empty(folder.to_owned())) } else { Ok(paths) }
}

/// Reads one trace.
pub fn read(path: &Path) -> Result<Trace, Error> {
    let unreadable = |error| Error::Unreadable(path.to_owned(), error);
    let (name, packed) = split(path).ok_or_else(|| Error::Empty(path.to_owned()))?;
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut text = String::new();
    if packed {
        unpack(&mut file, &mut text).map_err(unreadable)?;
    } else {
        file.read_to_string(&mut text).map_err(unreadable)?;
    }
    parse(name, &text).map_err(|(line, bad)| Error::Line(path.to_owned(), line, bad))
}

/// The name of a trace, and whether it is compressed.
fn split(path: &Path) -> Option<(&str, bool)> {
    let name = path.file_name()?.to_str()?;
    let packed = name.strip_suffix(".lis.zst").map(|name| (name, true));
    packed.or_else(|| name.strip_suffix(".lis").map(|name| (name, false)))
}

/// A file may have more than one frame.
fn unpack(mut source: impl BufRead, text: &mut String) -> io::Result<()> {
    while !source.fill_buf()?.is_empty() {
        let mut decoder = StreamingDecoder::new(&mut source).map_err(io::Error::other)?;
        decoder.read_to_string(text)?;
    }
    Ok(())
}

fn parse(name: &str, text: &str) -> Result<Trace, (usize, Bad)> {
    let mut numbers = HashMap::with_hasher(foldhash::fast::FixedState::default());
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let bad = |bad| (index + 1, bad);
        let (start, count) = fields(line).map_err(bad)?;
        if count >= (u32::MAX as usize - keys.len()) as u64 {
            return Err(bad(Bad::TooMany));
        }
        let end = start.checked_add(count).ok_or(bad(Bad::Overflow))?;
        for block in start..end {
            let next = numbers.len() as u32;
            keys.push(*numbers.entry(block).or_insert(next));
        }
    }
    Ok(Trace { name: name.to_owned(), keys, unique: numbers.len() })
}

fn fields(line: &str) -> Result<(u64, u64), Bad> {
    let mut fields = line.split_ascii_whitespace();
    let [Some(start), Some(count), Some(_), Some(_), None] = std::array::from_fn(|_| fields.next()) else {
        return Err(Bad::Fields);
    };
    let number = |text: &str| text.parse().map_err(|_| Bad::Number);
    Ok((number(start)?, number(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `7 2 0 0` and `8 1 0 1`, each a frame of its own, as `zstd` writes them.
    const TWO_FRAMES: [&[u8]; 2] =
        [b"\x28\xb5\x2f\xfd\x20\x08\x41\x00\x007 2 0 0\n", b"\x28\xb5\x2f\xfd\x20\x08\x41\x00\x008 1 0 1\n"];

    #[test]
    fn a_line_asks_for_a_run_of_blocks() {
        let trace = parse("t", "10 3 0 0\n11 1 0 1\n500 0 0 2\n9 2 0 3\n").expect("a trace");
        assert_eq!(trace, Trace { name: "t".to_owned(), keys: vec![0, 1, 2, 1, 3, 0], unique: 4 });
    }

    #[test]
    fn a_bad_line_is_named() {
        let table = [
            ("1 1 0 0\n1 1 0\n", 2, Bad::Fields),
            ("\n", 1, Bad::Fields),
            ("1 1 0 0 0\n", 1, Bad::Fields),
            ("1 1 0 0\n2 2 0 0\n-1 1 0 0\n", 3, Bad::Number),
            ("1 one 0 0\n", 1, Bad::Number),
            ("18446744073709551615 2 0 0\n", 1, Bad::Overflow),
            ("1 4294967295 0 0\n", 1, Bad::TooMany),
        ];
        for (text, line, bad) in table {
            assert_eq!(parse("t", text), Err((line, bad)), "{text:?}");
        }
        let error = Error::Line(PathBuf::from("a/b.lis"), 3, Bad::Number);
        assert_eq!(error.to_string(), "a/b.lis:3: start and count are numbers");
    }

    #[test]
    fn all_frames_are_unpacked() {
        let mut text = String::new();
        unpack(&TWO_FRAMES.concat()[..], &mut text).expect("good frames");
        assert_eq!(text, "7 2 0 0\n8 1 0 1\n");
        let cut = &TWO_FRAMES[0][..12];
        assert!(unpack(cut, &mut String::new()).is_err());
        assert!(unpack(&b"plain text"[..], &mut String::new()).is_err());
    }

    #[test]
    fn only_traces_are_read() {
        let name = |path| split(Path::new(path));
        assert_eq!(name("a/OLTP.lis.zst"), Some(("OLTP", true)));
        assert_eq!(name("a/P3.lis"), Some(("P3", false)));
        assert_eq!(name("a/README.md"), None);
        assert!(matches!(list(Path::new("/no/such/folder")), Err(Error::Unreadable(..))));
    }
}

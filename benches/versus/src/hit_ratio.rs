//! `cargo xtask compare hit-ratio`: how often our policies and others hit, on traces of real programs.

mod opt;
mod policies;
mod table;
mod trace;

use policies::{LRU, LRU_ORACLE, ROWS, Row};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use table::Table;
use trace::Trace;

/// Longer traces are too long for who takes microseconds per request.
const LONG: usize = 2_000_000;

/// `FOLDER ONLY all|quick CAPACITY..`: the traces in a folder, for the rows that have a text in their names,
/// slow ones on long traces too or not, with caches of these sizes, or of those that fit the trace.
pub fn run(arguments: &[String]) -> ExitCode {
    let [folder, only, pace, capacities @ ..] = arguments else {
        eprintln!("hit-ratio: start it with `cargo xtask compare hit-ratio`");
        return ExitCode::FAILURE;
    };
    match compare(Path::new(folder), only, pace == "all", capacities) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hit-ratio: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(folder: &Path, only: &str, all: bool, capacities: &[String]) -> Result<(), String> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name.contains(only)).collect();
    if rows.is_empty() {
        return Err(format!("no row has `{only}` in its name"));
    }
    let parse = |text: &String| text.parse().map_err(|_| format!("`{text}` is not a number of entries"));
    let wanted = capacities.iter().map(parse).collect::<Result<Vec<NonZeroUsize>, _>>()?;
    let names = rows.iter().map(|row| row.name);
    let mut means = Table::new("mean of the capacities", names.clone());
    let mut unequal = Vec::new();
    for path in trace::list(folder).map_err(|error| error.to_string())? {
        let trace = trace::read(&path).map_err(|error| error.to_string())?;
        let Trace { name, keys, unique } = &trace;
        if keys.is_empty() {
            return Err(format!("{} asks for nothing", path.display()));
        }
        let capacities = if wanted.is_empty() { defaults(name, *unique) } else { wanted.clone() };
        eprintln!("{name}: {} requests, {} capacities", keys.len(), capacities.len());
        let hits = hits(&trace, &rows, &capacities, all);
        let mut table = Table::new(
            format!("{name}: {} requests for {unique} keys, hits in %", keys.len()),
            names.clone(),
        );
        for (column, &capacity) in capacities.iter().enumerate() {
            let of = |row: usize| hits[row][column].map(|hits| 100.0 * hits as f64 / keys.len() as f64);
            table.column(capacity, of);
            let exactly =
                |name| rows.iter().position(|row| row.name == name).and_then(|row| hits[row][column]);
            if let (Some(ours), Some(oracle)) = (exactly(LRU), exactly(LRU_ORACLE)) {
                if ours != oracle {
                    unequal.push(format!("{name} at {capacity}: {ours} hits, not {oracle}"));
                }
            }
        }
        means.column(name, table.means());
        table.column("mean", table.means());
        println!("{table}");
    }
    means.column("mean", means.means());
    println!("{means}");
    if unequal.is_empty() { Ok(()) } else { Err(format!("our LRU is not LRU: {}", unequal.join("; "))) }
}

/// Hits by row and capacity; none where that would take too long. On all processors.
fn hits(trace: &Trace, rows: &[&Row], capacities: &[NonZeroUsize], all: bool) -> Vec<Vec<Option<u64>>> {
    let cells: Vec<_> = (0..rows.len())
        .flat_map(|row| (0..capacities.len()).map(move |column| (row, column)))
        .filter(|&(row, _)| all || !rows[row].slow || trace.keys.len() <= LONG)
        .collect();
    // Relaxed: hands out numbers and publishes nothing.
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(&(row, column)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((row, column, (rows[row].hits)(trace, capacities[column])));
        }
        done
    };
    let mut hits = vec![vec![None; capacities.len()]; rows.len()];
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (row, column, count) in thread.join().expect("no policy panics") {
                hits[row][column] = Some(count);
            }
        }
    });
    hits
}

/// Those that the ARC paper's traces have been measured with before; for others, up to half of the keys.
fn defaults(name: &str, unique: usize) -> Vec<NonZeroUsize> {
    let numbers = match name.strip_prefix('P') {
        _ if name == "OLTP" => vec![256, 512, 1000, 2000, 5000, 10_000, 15_000],
        Some(number) if number.parse::<u8>().is_ok() => vec![8192, 32_768, 65_536, 131_072, 262_144],
        _ => (1..=6).rev().map(|halvings| unique >> halvings).collect(),
    };
    let mut capacities: Vec<_> = numbers.into_iter().filter_map(NonZeroUsize::new).collect();
    if capacities.is_empty() {
        capacities.push(NonZeroUsize::MIN);
    }
    capacities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_nobody_knows_gets_caches_up_to_half_of_its_keys() {
        let of = |name, unique| defaults(name, unique).into_iter().map(NonZeroUsize::get).collect::<Vec<_>>();
        assert_eq!(of("web", 6400), [100, 200, 400, 800, 1600, 3200]);
        assert_eq!(of("web", 5), [1, 2]);
        assert_eq!(of("web", 1), [1]);
        assert_eq!(of("Prague", 64), [1, 2, 4, 8, 16, 32]);
        assert_eq!(of("P6", 64)[0], 8192);
        assert_eq!(of("OLTP", 64)[0], 256);
    }

    #[test]
    fn nobody_hits_more_than_the_optimum_and_lru_is_lru() {
        let mut state = 7_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        let keys: Vec<u32> = (0..30_000).map(|_| (2000.0 * draw() * draw() * draw()) as u32).collect();
        let trace = Trace { name: "made here".to_owned(), keys, unique: 2000 };
        let rows: Vec<&Row> = ROWS.iter().collect();
        let capacities = defaults("made here", 2000);
        let hits = hits(&trace, &rows, &capacities, true);
        let at = |name| rows.iter().position(|row| row.name == name).expect("a row");
        for column in 0..capacities.len() {
            let most = hits[at(policies::OPT)][column].expect("asked");
            for (row, hits) in rows.iter().zip(&hits) {
                // moka holds more than it may until its housekeeping runs.
                if !row.name.starts_with("moka") {
                    assert!(hits[column].expect("asked") <= most, "{}", row.name);
                }
            }
            assert_eq!(hits[at(LRU)][column], hits[at(LRU_ORACLE)][column]);
        }
    }
}

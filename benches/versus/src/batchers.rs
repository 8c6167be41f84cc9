//! Batchers as their callers see them, before one backend.

pub mod load;
mod postgres;
pub mod rivals;
#[cfg(all(unix, feature = "testkit"))]
mod server;

use std::process::ExitCode;

/// `batcher-load ONLY` and its like: only the batchers with a text in their names.
pub fn run(name: &str, arguments: &[String]) -> ExitCode {
    let result = match (name, arguments) {
        ("batcher-load", [only]) => load::run(only),
        ("batcher-postgres", [only, server]) => postgres::run(only, server),
        #[cfg(all(unix, feature = "testkit"))]
        ("batcher-server", []) => server::run(),
        _ => Err(format!("start it with `cargo xtask compare {name}`")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The middle one, or the mean of two.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = |n: usize| figures.get(n).copied().unwrap_or(f64::NAN);
    let count = figures.len();
    (middle(count.saturating_sub(1) / 2) + middle(count / 2)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_figures_are_below_the_median() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}

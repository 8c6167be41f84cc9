//! The gate: compares what our contenders cost with `gate.tsv`. Started by `cargo xtask compare --gate`.

use buttress_benches::{callgrind, gate};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let suite = gate::suite();
    if let Some(code) = callgrind::serve(&arguments, std::slice::from_ref(&suite)) {
        return code;
    }
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check", file] => gate::check(&suite, Path::new(file)),
        ["bless", file] => gate::bless(&suite, Path::new(file)),
        _ => Err("this is the gate's own program; start it with `cargo xtask compare --gate`".to_owned()),
    };
    match result {
        Ok(words) => {
            println!("gate: {words}");
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("gate: {words}");
            ExitCode::FAILURE
        }
    }
}

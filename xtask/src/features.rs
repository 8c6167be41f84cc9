use crate::run::{cargo, output, run};
use crate::{Command, Failure, Outcome};
use serde_json::Value;

pub(crate) const COMMAND: Command = Command {
    name: "features",
    usage: "features",
    about: "Checks each published crate by itself: no features, each one, all",
    details: "
In a build of the whole workspace crates get features that others ask for; a user of one crate does not have
those.",
    run: command,
};

fn command(command: &Command, arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err(Failure::usage(command, "there is nothing to choose"));
    }
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| Failure::new(format_args!("cannot read what cargo metadata says: {error}")))?;
    for (package, features) in published(&metadata) {
        println!("{package}: {}", if features.is_empty() { "no features" } else { "none, each, all" });
        check(&package, &["--no-default-features"])?;
        for feature in &features {
            check(&package, &["--no-default-features", "--features", feature])?;
        }
        if !features.is_empty() {
            check(&package, &["--all-features"])?;
        }
    }
    Ok(())
}

fn check(package: &str, features: &[&str]) -> Outcome {
    run(cargo().args(["check", "--quiet", "--package", package]).args(features)).map_err(|failure| Failure {
        message: format!("`cargo check --package {package} {}` failed", features.join(" ")),
        ..failure
    })
}

/// Published packages with their features, without `default`.
fn published(metadata: &Value) -> Vec<(String, Vec<String>)> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        // `publish` is null, or the list of registries: empty for "nowhere".
        .filter(|package| package["publish"].is_null())
        .filter_map(|package| {
            let features = package["features"].as_object()?.keys();
            let features = features.filter(|feature| *feature != "default").cloned().collect();
            Some((package["name"].as_str()?.to_owned(), features))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_packages_and_their_features_are_found() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "core", "publish": null, "features": { "default": [], "http": [], "serde": [] } },
            { "name": "xtask", "publish": [], "features": {} },
        ] });
        let expected = [("core".to_owned(), vec!["http".to_owned(), "serde".to_owned()])];
        assert_eq!(published(&metadata), expected);
    }
}

//! What cannot work is said in one line.

use super::{Gateway, command, stderr};
use std::net::TcpListener;

/// Runs the program to its end: the exit code, and the one line it wrote.
async fn refusal(flags: &[&str]) -> (i32, String) {
    let mut child = command(flags).spawn().expect("it can be run");
    let written = stderr(&mut child).await;
    let status = child.wait().await.expect("it can be waited for");
    assert_eq!(written.lines().count(), 1, "{flags:?}: {written}");
    (status.code().expect("it ended by itself"), written)
}

#[tokio::test]
async fn a_bad_flag_is_named_in_one_line() {
    for (flags, says) in [
        (&["--bogus"][..], "--bogus"),
        (&["--deadline", "soon"], "--deadline"),
        (&["--listen", "localhost"], "--listen"),
        (&["--failures", "0"], "--failures"),
        (&["--deadline", "1s", "--attempt-timeout", "1s"], "less than --deadline"),
        (&["--upstream", "https://127.0.0.1:1"], "`https` is not supported"),
        (&["--upstream", "127.0.0.1"], "expected http://host:port"),
        (&["--upstream", "http://127.0.0.1:65536"], "port"),
        (&["--upstream", "http://127.0.0.1:1/path"], "path"),
        (&["--upstream", "http://me:secret@127.0.0.1:1"], "user name"),
        (&["--upstream", "http://127.0.0.1:5057"], "the gateway itself"),
        (&["--upstream", "http://127.0.0.1:1", "--database", "x"], "--database"),
    ] {
        let (code, written) = refusal(flags).await;
        assert_eq!(code, 2, "{flags:?}: {written}");
        assert!(written.contains(says), "{flags:?}: {written}");
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_named_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, written) = refusal(&["--listen", &address]).await;
    assert_eq!(code, 1, "{written}");
    assert!(written.contains(&address), "{written}");

    let (code, written) = refusal(&["--listen", "127.0.0.1:0", "--database", "/"]).await;
    assert_eq!(code, 1, "{written}");
    assert!(written.contains("database"), "{written}");
}

#[tokio::test]
async fn every_flag_is_explained() {
    let help = command(&["--help"]).output().await.expect("it can be run");
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    let lines: Vec<_> = help.lines().map(str::trim).collect();
    let flags = lines.iter().enumerate().filter(|(_, line)| line.starts_with("--"));
    let mut explained = 0;
    for (at, flag) in flags {
        assert!(lines[at + 1].len() > 10, "{flag} is not explained:\n{help}");
        explained += 1;
    }
    assert_eq!(explained, 15, "{help}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = Gateway::start(&["--upstream", &format!("http://{address}")]).await;
    let answer = gateway.get("/memories").await;
    answer.assert_problem(502);
    assert!(!answer.body.to_string().contains(&address.to_string()), "it names what is inside: {answer:?}");
    gateway.stop().await;
}

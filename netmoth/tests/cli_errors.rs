//! What the command line says to mistakes: the cause, the remedy, and the exit status that scripts rely on.

use std::path::Path;
use std::process::{Command, Output};

fn netmoth(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netmoth")).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

/// Runs it with a configuration; it must end with this status and say all these words.
fn refused(configuration: &str, arguments: &[&str], status: i32, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sensor.yml");
    std::fs::write(&file, configuration).unwrap();
    let mut all = arguments.to_vec();
    all.extend(["-c", file.to_str().unwrap()]);
    let ended = netmoth(&all);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(status), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn an_unknown_key_is_named_with_file_line_and_the_key_that_was_meant() {
    refused("interface: eth0\nmax_coers: 2\n", &["run"], 2, &["sensor.yml:2", "max_coers", "max_cores"]);
    refused("interface: eth0\nmax_coers: 2\n", &["check"], 2, &["sensor.yml:2", "max_coers", "max_cores"]);
}

#[test]
fn a_wrong_type_and_a_value_out_of_range_are_named_with_their_lines() {
    refused("max_cores: many\n", &["run"], 2, &["sensor.yml:1", "max_cores", "wrong type"]);
    refused("interface: eth0\nring_size: 1000\n", &["run"], 2, &["sensor.yml:2", "ring_size", "power of two"]);
}

#[test]
fn what_is_not_built_is_refused_and_not_ignored() {
    refused("interface: eth0\nstrategy: dpdk\n", &["run"], 2, &["sensor.yml:2", "strategy", "ebpf", "afpacket"]);
    let store = "sqlite:/nonexistent/flows.db";
    refused("retention_days: 7\n", &["run", "-i", "lo", "--store", store], 2, &["retention_days", store, "PostgreSQL"]);
}

#[test]
fn a_filter_that_is_none_is_refused_in_the_words_of_libpcap() {
    let broken = "interface: eth0\nbpf: \"tcp prot 80\"\n";
    refused(broken, &["run"], 2, &["sensor.yml:2", "bpf", "syntax error", "pcap-filter"]);
    refused(broken, &["check"], 2, &["sensor.yml:2", "bpf", "syntax error"]);
}

#[test]
fn a_run_without_an_interface_says_where_to_name_one() {
    refused("max_cores: 1\n", &["run"], 2, &["-i", "interface:"]);
}

#[test]
fn a_store_that_is_none_is_a_mistake_of_usage() {
    refused("max_cores: 1\n", &["flows", "--store", "mysql://x"], 2, &["sqlite:PATH", "postgres://"]);
    refused("max_cores: 1\n", &["flows", "--since", "yesterday-ish"], 2, &["--since", "1h"]);
}

#[test]
fn an_address_for_metrics_that_can_not_be_had_is_answered_with_the_remedy() {
    refused("interface: eth0\nmetrics: 9470\n", &["run"], 2, &["sensor.yml:2", "metrics", "127.0.0.1:9470"]);
    refused("interface: eth0\n", &["run", "--metrics", "localhost"], 2, &["--metrics", "socket address"]);
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let words = [taken.as_str(), "in use by another program", "ss -ltnp", "another port"];
    refused(&format!("interface: nmf-absent\nmetrics: {taken}\n"), &["run"], 1, &words);
    refused("interface: nmf-absent\n", &["run", "--metrics", &taken], 1, &words);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let ended = netmoth(&["run", "-c", "/nonexistent/sensor.yml"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("/nonexistent/sensor.yml"));
}

#[test]
fn usage_errors_end_with_two_and_help_with_zero() {
    assert_eq!(netmoth(&["fly"]).status.code(), Some(2));
    assert_eq!(netmoth(&["read"]).status.code(), Some(2));
    assert_eq!(netmoth(&[]).status.code(), Some(2));
    for command in [
        vec!["--help"],
        vec!["run", "--help"],
        vec!["read", "--help"],
        vec!["check", "--help"],
        vec!["flows", "--help"],
    ] {
        let help = netmoth(&command);
        assert_eq!(help.status.code(), Some(0));
        assert!(help.stdout.len() > 300, "{command:?}");
    }
}

#[test]
fn an_empty_store_and_one_that_is_not_there_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let absent = format!("sqlite:{}", folder.path().join("no.db").display());
    let ended = netmoth(&["flows", "--store", &absent]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("no.db"));
    assert!(!Path::new(&absent["sqlite:".len()..]).exists(), "asking makes no file");
}

//! The configuration as users meet it.

use super::schema::KEYS;
use super::*;

const SHIPPED: &str = include_str!("../../../config_ebpf.yml");

fn only_problem(text: &str) -> Problem {
    let mut problems = Config::parse(text).expect_err(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn the_shipped_file_parses_and_its_values_are_the_defaults() {
    let config = Config::parse(SHIPPED).unwrap();
    let expected = Config { interface: config.interface.clone(), ..Config::default() };
    assert_eq!(config, expected);
}

#[test]
fn the_shipped_file_explains_every_key() {
    // Keys that are off by default stand there as comments.
    let plain: Vec<String> = SHIPPED.lines().map(|line| line.replacen("# ", "", 1)).collect();
    let plain = plain.join("\n");
    for key in KEYS {
        assert!(lines::line_of(&plain, key).is_some(), "config_ebpf.yml does not mention {key}");
    }
}

#[test]
fn the_keys_of_the_seed_document_are_taken_as_written_there() {
    let config = Config::parse(
        "interface: \"eth0\"\nstrategy: \"ebpf\"\nnumber_of_rings: 4\nmax_cores: 8\nsnapshot_length: 65536\n\
         zero_copy: true\npromiscuous: true\nconnection_timeout: 600\nbpf: \"\"\npostgres:\n  user: \"netmoth\"\n  \
         password: \"netmoth\"\n  db: \"netmoth\"\n  host: \"localhost:5432\"\n",
    )
    .unwrap();
    assert_eq!(config.connection_timeout, 600);
    assert_eq!(config.postgres.unwrap().host, "localhost:5432");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_neighbour() {
    let problem = only_problem("interface: eth0\n\nmax_core: 3\n");
    assert_eq!((problem.line, problem.key.as_str()), (Some(3), "max_core"));
    assert!(problem.message.contains("did you mean max_cores?"));
    let problem = only_problem("postgres:\n  user: a\n  pasword: b\n  db: c\n  host: d\n");
    assert_eq!((problem.line, problem.key.as_str()), (Some(3), "postgres.pasword"));
}

#[test]
fn a_wrong_type_is_named_with_its_line() {
    let problem = only_problem("interface: eth0\nmax_cores: many\n");
    assert_eq!((problem.line, problem.key.as_str()), (Some(2), "max_cores"));
    assert!(problem.message.contains("wrong type"), "{problem}");
    let problem = only_problem("timeouts:\n  icmp: 3\n  udp: [1]\n");
    assert_eq!((problem.line, problem.key.as_str()), (Some(3), "timeouts.udp"));
    assert_eq!(only_problem("zero_copy: 7\n").line, Some(1));
    assert_eq!(only_problem("xdp_mode: fast\n").key, "xdp_mode");
    assert_eq!(only_problem("frame_size: 1000\n").key, "frame_size");
}

#[test]
fn an_address_for_metrics_is_taken_or_named_with_its_line() {
    assert_eq!(Config::parse("metrics: 127.0.0.1:9470\n").unwrap().metrics, Some(([127, 0, 0, 1], 9470).into()));
    assert_eq!(Config::parse("metrics: \"[::1]:9470\"\n").unwrap().metrics.unwrap().to_string(), "[::1]:9470");
    for wrong in ["9470", "localhost:9470", "127.0.0.1", "127.0.0.1:99999", "\":9470\"", "true", "[127.0.0.1, 9470]"] {
        let problem = only_problem(&format!("interface: eth0\nmetrics: {wrong}\n"));
        assert_eq!((problem.line, problem.key.as_str()), (Some(2), "metrics"), "{problem}");
        assert!(problem.message.starts_with("wrong ") && problem.message.contains("127.0.0.1:9470"), "{problem}");
    }
}

#[test]
fn every_value_out_of_range_is_reported_at_once_with_its_line() {
    let problems = Config::parse("ring_size: 1000\nmax_cores: 0\ntimeouts:\n  udp: 0\n").unwrap_err();
    let found: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    assert_eq!(found, [(Some(2), "max_cores"), (Some(1), "ring_size"), (Some(4), "timeouts.udp")]);
}

#[test]
fn days_of_retention_are_a_whole_number_up_to_ten_years() {
    assert_eq!(Config::parse("retention_days: 3650\n").unwrap().retention_days, 3_650);
    for text in ["retention_days: 3651\n", "retention_days: -1\n", "retention_days: 7.5\n", "retention_days: 7d\n"] {
        assert_eq!((only_problem(text).line, only_problem(text).key.as_str()), (Some(1), "retention_days"), "{text}");
    }
}

#[test]
fn a_key_given_twice_is_refused() {
    assert!(Config::parse("max_cores: 1\nmax_cores: 2\n").is_err());
}

#[test]
fn what_is_not_built_is_refused_and_never_ignored() {
    for (text, key) in [
        ("strategy: magic\n", "strategy"),
        ("strategy: pcap\nqueues: [0]\n", "queues"),
        ("bpf: \"port eighty\"\n", "bpf"),
    ] {
        assert_eq!(only_problem(text).key, key);
    }
    // The examples of the configuration's own text.
    for filter in ["", "port 80 or port 443", "host 192.168.1.100", "tcp and port 22"] {
        assert!(Config::parse(&format!("bpf: \"{filter}\"\n")).is_ok(), "{filter}");
    }
    assert_eq!(only_problem("store: sqlite:x\npostgres: {user: a, db: b, host: c}\n").key, "store");
}

#[test]
fn yaml_that_is_none_is_refused_with_its_line() {
    let problem = only_problem("interface: eth0\n  bad: [\n");
    assert!(problem.line.is_some(), "{problem:?}");
}

#[test]
fn a_password_is_never_shown() {
    let config = Config::parse("postgres: {user: a, password: secret, db: b, host: c}\n").unwrap();
    assert!(!format!("{config:?}").contains("secret"));
}

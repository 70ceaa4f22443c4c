//! `netmoth bench`: that it feeds what it says, and that the sensor makes of it what the maker of the traffic knows.

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use netmoth_traffic::{BLANK, Endpoints, Lifetime, Mix, Profile, Protocol, Sizes, Traffic};
use serde_json::Value;

use support::command::{SHORT, run};
use support::compare::{Record, number, word};
use support::lab::Wire;
use support::sensor::{NETMOTH, Sensor, Settings, read};
use support::{alone, root};

/// Everything that the maker can do, as options and as the profile that they mean.
const OPTIONS: &[&str] = &[
    "--flows",
    "2K",
    "--life",
    "20",
    "--sizes",
    "imix",
    "--mix",
    "70:25:5",
    "--ipv6",
    "30",
    "--vlan",
    "20",
    "--responder",
    "60",
    "--seed",
    "7",
];

fn profile() -> Profile {
    Profile {
        seed: 7,
        connections: 2_000,
        lifetime: Lifetime::Packets(20),
        sizes: Sizes::Imix,
        mix: Mix { tcp: 70, udp: 25, icmp: 5 },
        ipv6_percent: 30,
        vlan_percent: 20,
        responder_percent: 60,
        ..Profile::default()
    }
}

/// What was sent in one connection: packets and IP bytes of originator and responder.
struct Sent {
    ends: Endpoints,
    packets: [u64; 2],
    bytes: [u64; 2],
    over: bool,
}

/// What the maker says that it sent, by the addresses of originator and responder.
fn said(profile: &Profile, packets: u64) -> HashMap<(IpAddr, IpAddr), Sent> {
    let (mut traffic, mut frame) = (Traffic::new(profile).unwrap(), BLANK);
    let mut all = HashMap::new();
    for _ in 0..packets {
        let meta = traffic.next_into(&mut frame);
        let ends = traffic.endpoints(meta.connection);
        let sent = all.entry((ends.originator, ends.responder)).or_insert(Sent {
            ends,
            packets: [0; 2],
            bytes: [0; 2],
            over: false,
        });
        let side = usize::from(!meta.from_originator);
        sent.packets[side] += 1;
        sent.bytes[side] += meta.ip_bytes as u64;
        sent.over = meta.ends;
    }
    all
}

/// The records are what was sent: a row for each connection, with all of its packets and bytes.
#[track_caller]
fn assert_records(records: &[Record], said: &HashMap<(IpAddr, IpAddr), Sent>) {
    assert_eq!(records.len(), said.len());
    let mut finished = 0;
    for record in records {
        let address = |column: &str| word(record, column).parse::<IpAddr>().unwrap();
        let sent = said.get(&(address("src_ip"), address("dst_ip"))).unwrap_or_else(|| panic!("not sent: {record}"));
        let counts = |what: &str| [number(record, &format!("src_{what}")), number(record, &format!("dst_{what}"))];
        assert_eq!(counts("packets"), sent.packets, "{record}");
        assert_eq!(counts("bytes"), sent.bytes, "{record}");
        assert_eq!(record["vlan_id"].as_u64(), sent.ends.vlan.map(u64::from), "{record}");
        assert_eq!(counts("retransmits"), [0, 0], "{record}");
        if sent.ends.protocol != Protocol::Icmp {
            let ports = [sent.ends.originator_port, sent.ends.responder_port].map(u64::from);
            assert_eq!(counts("port"), ports, "{record}");
        }
        if sent.ends.protocol == Protocol::Tcp && sent.over {
            assert_eq!((word(record, "conn_state"), word(record, "end_reason")), ("SF", "fin"), "{record}");
            finished += 1;
        }
    }
    assert!(finished > 100, "{finished} connections came to their end");
}

fn netmoth(arguments: &[&str]) -> Output {
    Command::new(NETMOTH).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

/// Runs it to its good end; the one JSON object that it printed.
#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let done = netmoth(arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Runs it; it must end with this status and say all these words.
#[track_caller]
fn refused(arguments: &[&str], status: i32, words: &[&str]) {
    let ended = netmoth(arguments);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in:\n{told}");
    }
    assert!(!told.contains("panicked") && !told.contains("os error"), "{told}");
}

/// Writes a capture file with everything in it, and gives the report.
#[track_caller]
fn write(file: &Path, packets: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["bench", "file", "-o", file.to_str().unwrap(), "--packets", packets, "--format", "json"];
    arguments.extend_from_slice(OPTIONS);
    arguments.extend_from_slice(more);
    report(&arguments)["rows"][0].clone()
}

#[test]
fn records_of_a_written_file_are_what_the_maker_says_it_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.pcap");
    let written = write(&file, "120K", &[]);
    assert_eq!(written["packets"], 120_000);
    assert_eq!(written["size"], std::fs::metadata(&file).unwrap().len());
    let said = said(&profile(), 120_000);
    assert_eq!(written["connections"], said.len());
    assert_records(&read(&file), &said);
}

#[test]
fn a_cut_file_makes_the_same_records_as_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.pcap");
    write(&file, "60K", &["--snap", "80"]);
    assert!(std::fs::metadata(&file).unwrap().len() <= 24 + 60_000 * 96);
    assert_records(&read(&file), &said(&profile(), 60_000));
}

#[test]
fn another_reader_finds_no_wrong_checksum_and_nothing_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.pcap");
    write(&file, "20K", &[]);
    let mut tshark = Command::new("tshark");
    for option in ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"] {
        tshark.args(["-o", &format!("{option}:TRUE")]);
    }
    // 1 is "Good" (packet-ip.c): every packet has to say so of each checksum that it has.
    let wrong = "_ws.malformed || ip.checksum.status != 1 || tcp.checksum.status != 1 || udp.checksum.status != 1 || \
                 icmp.checksum.status != 1 || icmpv6.checksum.status != 1 || _ws.expert.severity == error";
    let fields = ["-T", "fields", "-e", "frame.number", "-e", "_ws.expert.message"];
    let Ok(found) = tshark.arg("-r").arg(&file).args(["-Y", wrong]).args(fields).output() else { return };
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_file_that_exists_is_written_over_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.pcap");
    std::fs::write(&path, "mine").unwrap();
    let file = path.to_str().unwrap();
    refused(&["bench", "file", "-o", file, "--packets", "10"], 2, &[file, "exists", "--force"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    report(&["bench", "file", "-o", file, "--packets", "10", "--force", "--format", "json"]);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 24 + 10 * (16 + 60));
    refused(&["bench", "file", "-o", "/nonexistent/x.pcap"], 1, &["/nonexistent/x.pcap", "No such file"]);
}

#[test]
fn nonsense_is_refused_with_what_is_right() {
    let file = ["bench", "file", "-o", "/nonexistent/x.pcap"];
    for (more, words) in [
        (&["--packets", "many"][..], &["--packets", "64K"][..]),
        (&["--flows", "0"], &["0 connections", "16777216"]),
        (&["--flows", "20M"], &["20000000 connections"]),
        (&["--sizes", "59"], &["59", "60-1514"]),
        (&["--mix", "0:0:0"], &["no protocol"]),
        (&["--mix", "tcp"], &["80:18:2"]),
        (&["--ipv6", "101"], &["101 percent of IPv6"]),
        (&["--life", "0"], &["at least one packet"]),
        (&["--snap", "0"], &["--snap", "at least 1"]),
        (&["--pps", "0"], &["0 packets a second"]),
    ] {
        refused(&[&file[..], more].concat(), 2, words);
    }
    refused(&["bench", "pipeline", "--rounds", "0"], 2, &["--rounds", "at least 1"]);
    refused(&["bench", "pipeline", "--flows", "17M", "--packets", "5K"], 2, &["17000000"]);
    refused(&["bench", "pipeline", "--sizes", "2000"], 2, &["2000", "1792"]);
    refused(&["bench", "pipeline", "--core", "9999"], 2, &["CPU 9999"]);
    refused(&["bench", "connections", "--open", "5"], 2, &["open connections", "at least"]);
    refused(&["bench", "filter", "--rounds", "0"], 2, &["--rounds", "at least 1"]);
    refused(&["bench", "filter", "--packets", "5"], 2, &["--packets", "at least"]);
    refused(&["bench", "send", "-i", "lo", "--seconds", "0"], 2, &["--seconds"]);
    refused(&["bench", "send", "-i", "lo", "--rate", "0"], 2, &["--rate"]);
}

#[test]
fn the_pipeline_is_measured() {
    let arguments = "bench pipeline --flows 100,1K --sizes 60,imix --rounds 3 --packets 8K --format json";
    let report = report(&arguments.split(' ').collect::<Vec<_>>());
    let rows = report["rows"].as_array().unwrap();
    let cases: Vec<_> =
        rows.iter().map(|row| (row["flows"].as_u64().unwrap(), row["frames"].as_str().unwrap())).collect();
    assert_eq!(cases, [(100, "60"), (1_000, "60"), (100, "imix"), (1_000, "imix")]);
    for row in rows {
        let cost = |name: &str| row["cost"][name].as_f64().unwrap();
        assert!(0.0 < cost("min") && cost("min") <= cost("median") && cost("median") <= cost("max"), "{row}");
        let rate = row["rate"]["median"].as_f64().unwrap();
        assert!((rate * cost("median") / 1e9 - 1.0).abs() < 1e-6, "{row}");
        assert_eq!(row["cost"]["rounds"], 3);
    }
    assert_eq!(report["units"]["cost"], "ns/packet");
}

#[test]
fn filters_are_measured_where_programs_may_be_loaded() {
    if !root() {
        return;
    }
    let all = report(&["bench", "filter", "--rounds", "1", "--packets", "6K", "--format", "json"]);
    assert!(all["rows"].as_array().unwrap().len() > 5, "{all}");
    let mut one = vec!["bench", "filter", "port 53", "--rounds", "3", "--packets", "6K", "--format", "json"];
    let report = report(&one);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["filter"].as_str().unwrap()).collect::<Vec<_>>(), ["(all frames)", "port 53"]);
    for place in ["XDP", "traffic control", "user space"] {
        assert!(rows[1][place]["median"].as_f64().unwrap() > 0.0 && rows[1][place]["rounds"] == 3, "{report}");
    }
    assert!(rows[0]["instructions"].as_u64() < rows[1]["instructions"].as_u64(), "{report}");
    one[2] = "tcp prot 80";
    refused(&one, 2, &["syntax error"]);
}

#[test]
fn new_connections_are_measured() {
    let arguments = "bench connections --open 20K --connections 20K --rounds 1 --format json";
    let report = report(&arguments.split(' ').collect::<Vec<_>>());
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "TCP and UDP, by time and by room");
    for row in rows {
        assert!(row["rate"]["median"].as_f64().unwrap() > 1_000.0, "{row}");
    }
    for by_time in [&rows[0], &rows[2]] {
        let records = by_time["records"].as_f64().unwrap();
        assert!((records - 1.0).abs() < 0.2, "a record for each connection, give or take a tick's: {by_time}");
    }
    let share = rows[0]["ending"]["median"].as_f64().unwrap();
    assert!(0.0 < share && share < 90.0, "{share}");
}

#[test]
fn only_veths_that_lead_nowhere_else_are_sent_on() {
    refused(&["bench", "send", "-i", "nothing0", "--seconds", "1"], 1, &["no interface nothing0"]);
    refused(&["bench", "send", "-i", "lo", "--seconds", "1"], 1, &["lo is no veth", "ip link add"]);
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let send = |words: &str, status: i32, expected: &[&str]| {
        let mut netmoth = wire.at_tap(NETMOTH);
        let ended = run(netmoth.args(["bench", "send", "-i", "tap0"]).args(words.split(' ')), SHORT);
        assert_eq!(ended.code(), status, "{}", ended.stderr);
        expected.iter().for_each(|word| assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr));
    };
    send("--seconds 1 --queue 3", 2, &["queue 3 does not exist"]);
    send("--seconds 1 --sizes 1519", 2, &["1519", "1518", "MTU"]);
    wire.script_tap("ip address add 198.18.255.1/24 dev tap0; ip route add default via 198.18.255.2");
    send("--seconds 1", 1, &["default route"]);
    wire.script_tap("ip link set tap0 down");
    send("--seconds 1", 1, &["tap0 is down"]);
    wire.script_tap("ip link set tap0 up; ip route del default 2>/dev/null || true");
    // The binary may lie where only root can look, so it is run from a copy.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("netmoth");
    std::fs::copy(NETMOTH, &copy).unwrap();
    let mut plain = wire.at_tap("setpriv");
    plain.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
    let ended = run(plain.args(["bench", "send", "-i", "tap0", "--seconds", "1"]), SHORT);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("CAP_NET_RAW") && !ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn the_sensor_at_the_other_end_records_exactly_what_was_sent() {
    const PACKETS: u64 = 60_000;
    if !root() {
        return;
    }
    let _alone = alone();
    let (wire, folder) = (Wire::new(1, 1500), tempfile::tempdir().unwrap());
    let sensor = Sensor::start(wire.at_tap(NETMOTH), folder.path(), &Settings::workers(1));
    let mut sender = Command::new("nsenter");
    sender.arg(format!("--net={}", wire.file("out"))).arg(NETMOTH).args(["bench", "send", "-i", "out0"]);
    sender.args(["--packets", &PACKETS.to_string(), "--rate", "50K", "--format", "json"]).args(OPTIONS);
    let sent = run(&mut sender, SHORT).expect_success().stdout;
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(sent["rows"][0]["sent"], PACKETS);
    let outcome = sensor.stop();
    assert_eq!(outcome.assert_nothing_lost(), PACKETS);
    assert_records(&outcome.records(), &said(&profile(), PACKETS));
}

#[test]
fn sending_ends_with_ctrl_c_and_says_what_was_sent() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let received = || {
        let text = wire.script_tap("cat /sys/class/net/tap0/statistics/rx_packets");
        text.trim().parse::<u64>().unwrap()
    };
    let before = received();
    let mut sender = Command::new("nsenter");
    sender.arg(format!("--net={}", wire.file("out"))).arg(NETMOTH).args(["bench", "send", "-i", "out0"]);
    let sender = support::command::Running::start(sender.args(["--rate", "20K", "--format", "json"]));
    support::command::until("frames arrive", SHORT, || (received() > before + 1_000).then_some(()));
    sender.signal("INT");
    let ended = sender.wait(SHORT);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["rows"][0]["sent"], received() - before);
    let rate = report["rows"][0]["rate"].as_f64().unwrap();
    assert!(rate < 25_000.0, "{rate} frames a second where 20,000 were asked for");
}

#[test]
fn sending_ends_with_an_error_where_the_interface_goes_away() {
    if !root() {
        return;
    }
    let _alone = alone();
    let wire = Wire::new(1, 1500);
    let mut sender = Command::new("nsenter");
    sender.arg(format!("--net={}", wire.file("out"))).arg(NETMOTH).args(["bench", "send", "-i", "out0"]);
    let sender = support::command::Running::start(sender.args(["--rate", "20K"]));
    let sends = "test $(cat /sys/class/net/tap0/statistics/rx_packets) -gt 100 && echo yes || true";
    support::command::until("frames arrive", SHORT, || wire.script_tap(sends).contains("yes").then_some(()));
    wire.script_out("ip link del out0");
    let ended = sender.wait(SHORT);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("no interface out0"), "{}", ended.stderr);
}

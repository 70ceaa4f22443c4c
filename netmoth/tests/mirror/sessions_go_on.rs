//! A session over the interface does not notice that a sensor starts, runs and ends on it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::host::{HOST, Lab, PEER, assert_sums};
use crate::support::command::{Running, SHORT, run, until};
use crate::support::compare::{number, word};
use crate::support::netns;
use crate::support::sensor::{Sensor, Settings};
use crate::support::{alone, root};

/// Between two messages, as between two keys that somebody types fast.
const PAUSE: Duration = Duration::from_millis(20);
/// What the sensor may add to the longest answer. A busy machine adds more now and then, whoever runs on it, but not again and
/// again; a host that has lost its network is silent for good.
const STALL: Duration = Duration::from_millis(100);
const ATTEMPTS: usize = 5;

/// Sends small messages to an echo until told to end. Returns the longest time that an answer took, before `running` was set
/// and from then on; `answers` counts the latter.
fn session(mut stream: TcpStream, running: &AtomicBool, answers: &AtomicU32, end: &AtomicBool) -> [Duration; 2] {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let mut longest = [Duration::ZERO; 2];
    while !end.load(Ordering::Relaxed) {
        let phase = usize::from(running.load(Ordering::Relaxed));
        let begin = Instant::now();
        let mut answer = [0; 48];
        stream.write_all(&[7; 48]).unwrap();
        stream.read_exact(&mut answer).unwrap();
        longest[phase] = longest[phase].max(begin.elapsed());
        answers.fetch_add(phase as u32, Ordering::Relaxed);
        // The rhythm of the session; nothing that is asserted depends on it.
        std::thread::sleep(PAUSE);
    }
    longest
}

fn echo(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut message = [0; 48];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message).unwrap();
    }
}

/// An iperf3 transfer from the host to the peer.
#[track_caller]
fn transfer(lab: &Lab) {
    let peer = Running::start(lab.on_peer("iperf3").args(["-s", "-1", "-p", "5201"]));
    until("iperf3 listens", SHORT, || lab.wire.ask_out("ss -Hltn 'sport = :5201'").contains(":5201").then_some(()));
    run(lab.on_host("iperf3").args(["-c", PEER, "-p", "5201", "-n", "400M"]), SHORT).expect_success();
    peer.wait(SHORT).expect_success();
}

#[test]
#[expect(clippy::print_stderr, reason = "the measured value is worth more than that it is below a bound")]
fn a_session_and_a_transfer_over_the_only_interface_go_on_while_the_sensor_starts_runs_and_ends() {
    if !root() {
        return;
    }
    let _alone = alone();
    let calm = (0..ATTEMPTS).any(|_| {
        let [without, with] = longest_answers();
        eprintln!("longest answer without the sensor {without:?}, from its start to its end {with:?}");
        with < without + STALL
    });
    assert!(calm, "the session stalled for more than {STALL:?}, {ATTEMPTS} times in a row");
}

/// A session, a transfer without the sensor and one with it; everything but the time is asserted.
fn longest_answers() -> [Duration; 2] {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let listener = lab.within(|| TcpListener::bind((HOST, 22)).unwrap());
    let (running, answers, end) = (AtomicBool::new(false), AtomicU32::new(0), AtomicBool::new(false));
    let (outcome, longest) = std::thread::scope(|scope| {
        let connected = scope.spawn(|| {
            netns::enter(&lab.wire.file("out"));
            TcpStream::connect((HOST, 22)).unwrap()
        });
        scope.spawn(|| echo(&listener));
        let stream = connected.join().unwrap();
        let session = scope.spawn(|| session(stream, &running, &answers, &end));
        // Ends the session whatever happens here: a test that fails must not wait for it.
        let guard = Ender(&end);
        transfer(&lab);
        running.store(true, Ordering::Relaxed);
        let sensor = Sensor::start(lab.netmoth(), folder.path(), &Settings::workers(2));
        transfer(&lab);
        until("fifty answers came beside the sensor", SHORT, || (answers.load(Ordering::Relaxed) >= 50).then_some(()));
        let outcome = sensor.stop();
        drop(guard);
        (outcome, session.join().unwrap())
    });
    assert_sums(&outcome);
    let records = outcome.records();
    let session = records.iter().find(|r| [number(r, "src_port"), number(r, "dst_port")].contains(&22)).unwrap();
    assert!(number(session, "src_packets") > 0 && number(session, "dst_packets") > 0, "{session}");
    let iperf = records.iter().filter(|r| number(r, "dst_port") == 5201);
    let both = |r: &&serde_json::Value| word(r, "src_ip") == HOST && number(r, "dst_packets") > 0;
    assert_eq!(iperf.filter(both).count(), 2, "control and data, both ways: {records:?}");
    longest
}

struct Ender<'a>(&'a AtomicBool);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

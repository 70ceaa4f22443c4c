//! Faults of every kind, in any order, while connections come: each one is in the database once, or was open or unkept when the
//! sensor was killed.
//!
//! `NETMOTH_TORTURE_FAULTS` says how many faults (24), `NETMOTH_TORTURE_SEED` which (printed). Needs root.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod support;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod postgres;

mod oracle;
mod proxy;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oracle::{Oracle, PAYLOAD, Row, address};
use postgres::PostgresServer;
use proxy::{Proxy, Stage};
use support::frames::{self, Ethernet};
use support::lab::Wire;
use support::sender::{Job, Sender};
use support::sensor::{self, Outcome, Sensor, Settings};

/// How long before a SIGKILL a connection may have been sent and be missing: it was open (a second of silence ends it, timers
/// have slots of 128 ms), its record was in a worker's batch (half a second) or in memory because a write had just begun to hang
/// (two seconds) or to be made (50 ms).
const WINDOW: Duration = Duration::from_secs(6);

/// Connections at a time.
const CHUNK: u32 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Stop,
    Kill,
    Freeze,
    Slow,
    Cut(u8),
    Terminate(u8),
    SensorKilled,
    SensorStopped,
    SensorKilledWithoutStore,
    SensorStoppedWithoutStore,
}

/// A small generator of its own, so that a seed gives the same faults everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn fault(&mut self) -> Fault {
        match self.below(16) {
            0 => Fault::Stop,
            1 => Fault::Kill,
            2 => Fault::Freeze,
            3 => Fault::Slow,
            at @ 4..8 => Fault::Cut(at as u8 - 4),
            at @ 8..12 => Fault::Terminate(at as u8 - 8),
            12 => Fault::SensorKilled,
            13 => Fault::SensorStopped,
            14 => Fault::SensorKilledWithoutStore,
            _ => Fault::SensorStoppedWithoutStore,
        }
    }

    fn pause(&mut self, longest_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(longest_ms)));
    }
}

struct Torture {
    wire: Wire,
    server: Arc<PostgresServer>,
    proxy: Proxy,
    folder: tempfile::TempDir,
    url: String,
    sensor: Option<Sensor>,
    oracle: Oracle,
    random: Random,
    counts: BTreeMap<String, u32>,
    orderly: u32,
}

impl Torture {
    fn new(server: Arc<PostgresServer>, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let between = folder.path().join("proxy");
        std::fs::create_dir(&between).unwrap();
        let admin = Arc::clone(&server);
        let terminate = Arc::new(move || {
            admin.psql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'netmoth'",
            );
        });
        let proxy = Proxy::start(&between, &server.socket_folder(), server.port, terminate);
        // The proxy reads along, so the connection must not be encrypted.
        let url = format!("{}&sslmode=disable", server.socket_url_by(&between));
        let mut this = Self {
            wire: Wire::new(1, 1500),
            server,
            proxy,
            folder,
            url,
            sensor: None,
            oracle: Oracle::default(),
            random: Random(seed | 1),
            counts: BTreeMap::new(),
            orderly: 0,
        };
        this.start();
        assert_ne!(this.server.psql("SELECT to_regclass('flows')"), "", "the sensor made its tables through the proxy");
        this
    }

    fn start(&mut self) {
        let more = "timeouts: {udp: 1}\nwriter: {flush_interval_ms: 50}\nbusy_poll: 0\nstatus_interval: 0";
        let settings = Settings { more: more.into(), ..Settings::workers(1) };
        let netmoth = self.wire.at_tap(sensor::NETMOTH);
        self.sensor = Some(Sensor::start_with_store(netmoth, self.folder.path(), &settings, self.url.clone()));
    }

    /// Connections of one datagram each; every one has an address of its own.
    fn send(&mut self) {
        let ethernet = Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![] };
        let server: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let frames: Vec<Vec<u8>> = self
            .oracle
            .send(CHUNK)
            .map(|number| frames::udp(&ethernet, (address(number), 40_000).into(), server, &[7; PAYLOAD]))
            .collect();
        let job = Job {
            namespace: self.wire.file("out"),
            interface: "out0".into(),
            queues: vec![(0, frames)],
            rounds: Some(1),
            cpu: None,
            rate: None,
        };
        assert_eq!(Sender::start(job).wait().frames, u64::from(CHUNK));
    }

    /// Stops the sensor in order: whatever happened, its sums hold and it has lost nothing.
    fn stop(&mut self) -> Outcome {
        let outcome = self.sensor.take().unwrap().stop();
        outcome.assert_records();
        assert_eq!((outcome.sum("kernel_drops"), outcome.sum("lost")), (0, 0));
        self.orderly += 1;
        outcome
    }

    fn kill(&mut self) {
        // What was on its way from the sender has arrived; from here on nothing is sent until it runs again.
        self.oracle.killed(WINDOW);
        self.sensor.take().unwrap().kill();
    }

    fn strike(&mut self, fault: Fault) {
        let name = format!("{fault:?}");
        *self.counts.entry(name.split('(').next().unwrap().into()).or_default() += 1;
        match fault {
            Fault::Stop | Fault::Kill => {
                if fault == Fault::Stop {
                    self.server.stop()
                } else {
                    self.server.crash()
                }
                self.send();
                self.random.pause(600);
                self.server.resume();
            }
            Fault::Freeze => {
                self.server.signal("STOP");
                self.send();
                self.random.pause(1_500);
                self.server.signal("CONT");
            }
            Fault::Slow => {
                let (server, length) = (Arc::clone(&self.server), self.random.below(1_000));
                let lock = format!("BEGIN; LOCK TABLE flows; SELECT pg_sleep({}); COMMIT", length as f64 / 1_000.0);
                let holder = std::thread::spawn(move || server.psql(&lock));
                self.send();
                holder.join().unwrap();
            }
            Fault::Cut(stage) | Fault::Terminate(stage) => {
                let before = self.proxy.cuts();
                self.proxy.cut(Stage::CUTS[usize::from(stage)], matches!(fault, Fault::Terminate(_)));
                self.send();
                let begun = Instant::now();
                while self.proxy.cuts() == before && begun.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                self.proxy.relent();
                assert_eq!(self.proxy.cuts(), before + 1, "{fault:?}: no transaction came to that stage");
            }
            Fault::SensorKilled => {
                self.kill();
                self.start();
            }
            Fault::SensorStopped => {
                self.stop();
                self.start();
            }
            Fault::SensorKilledWithoutStore | Fault::SensorStoppedWithoutStore => {
                self.server.stop();
                self.send();
                self.random.pause(3_000);
                if fault == Fault::SensorKilledWithoutStore {
                    self.kill()
                } else {
                    drop(self.stop())
                }
                // It starts without its store, and records go to the spool.
                self.start();
                self.send();
                self.random.pause(500);
                self.server.resume();
            }
        }
    }

    /// Everything that is kept anywhere comes into the store.
    fn settle(&mut self) {
        let begun = Instant::now();
        loop {
            std::thread::sleep(Duration::from_secs(3));
            let outcome = self.stop();
            if outcome.sum("spooled") == 0 {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "the spool is not drained");
            self.start();
        }
    }

    fn rows(&self) -> Vec<Row> {
        let text = self.server.psql("SELECT host(src_ip), src_packets + dst_packets, src_bytes + dst_bytes FROM flows");
        let row = |line: &str| {
            let mut fields = line.split('|');
            let mut next = || fields.next().unwrap();
            Row { source: next().parse().unwrap(), packets: next().parse().unwrap(), bytes: next().parse().unwrap() }
        };
        text.lines().map(row).collect()
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn every_connection_is_stored_once_whatever_happens_in_between() {
    if !support::root() {
        return;
    }
    let Some(server) = PostgresServer::start() else { return };
    let _alone = support::alone();
    let (faults, seed) =
        (from_environment("NETMOTH_TORTURE_FAULTS", 24), from_environment("NETMOTH_TORTURE_SEED", 20_261));
    let mut torture = Torture::new(Arc::new(server), seed);
    let begun = Instant::now();
    for number in 0..faults {
        torture.send();
        torture.random.pause(300);
        let fault = torture.random.fault();
        torture.strike(fault);
        if number % 25 == 24 {
            let _ = writeln!(std::io::stderr(), "{} faults after {:.0} s", number + 1, begun.elapsed().as_secs_f64());
        }
    }
    torture.settle();
    let verdict = torture.oracle.judge(&torture.rows());
    let _ = writeln!(
        std::io::stderr(),
        "{faults} faults (seed {seed}) in {:.0} s: {:?}; {} orderly ends with exact sums\n\
         {} connections sent: {} stored, {} missing in the window before a SIGKILL (sent at most {:.2} s before it), missing beyond {}, duplicate {}, corrupt {}, invented {}",
        begun.elapsed().as_secs_f64(),
        torture.counts,
        torture.orderly,
        torture.oracle.sent(),
        verdict.stored,
        verdict.excused,
        verdict.oldest_excused.as_secs_f64(),
        verdict.missing.len(),
        verdict.duplicate.len(),
        verdict.corrupt.len(),
        verdict.invented.len()
    );
    assert!(verdict.missing.is_empty(), "missing: {:?}", verdict.missing);
    assert!(verdict.duplicate.is_empty(), "duplicate: {:?}", verdict.duplicate);
    assert!(verdict.corrupt.is_empty() && verdict.invented.is_empty(), "{verdict:?}");
    assert!(verdict.stored > u64::from(torture.oracle.sent()) / 2);
}

//! Frames dealt to several workers as the XDP program deals them to the sockets of a queue: which worker a connection goes
//! to changes no record.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;

use netmoth::capture::BATCH;
use netmoth::capture::file::CaptureFile;
use netmoth::flow::{FlowConfig, FlowRecord};
use netmoth::time::{Instant, ReplayClock};
use netmoth::wire::LinkType;
use netmoth::worker::{Arrival, Engine};
use netmoth_shared::choose::{Memory, choose};
use netmoth_shared::fragment::{Datagram, Piece};
use netmoth_shared::hash::{Address, HashKey};
use proptest::prelude::*;

use super::captures::{files, shared};
use super::traffic::{Limits, frames, stories};
use super::{arrival, at, config, engine, multiset, records_of};

/// What the program keeps in a map, on the frames' own time.
#[derive(Default)]
struct Pieces {
    known: RefCell<HashMap<(Address, Address, u32, u32), Piece>>,
    now_ns: Cell<u64>,
}

fn name(datagram: &Datagram) -> (Address, Address, u32, u32) {
    (datagram.source, datagram.destination, datagram.id, datagram.protocol)
}

impl Memory for Pieces {
    fn recall(&self, datagram: &Datagram) -> Option<Piece> {
        self.known.borrow().get(&name(datagram)).copied()
    }
    fn remember(&self, datagram: &Datagram, piece: &Piece) {
        self.known.borrow_mut().insert(name(datagram), *piece);
    }
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
}

/// The records of frames that go to as many workers. As in live capture, all of them are told the time, also those for which
/// nothing comes.
fn dealt(arrivals: &[Arrival<'_>], workers: u32, seed: [u64; 2]) -> Vec<FlowRecord> {
    let (key, pieces) = (HashKey::expand(seed), Pieces::default());
    let config = FlowConfig { max_flows: 4_096, ..config() };
    let mut engines: Vec<Engine> = (0..workers).map(|_| engine(&config)).collect();
    let mut records = Vec::new();
    for moment in arrivals.chunk_by(|a, b| a.at.mono_ns == b.at.mono_ns) {
        pieces.now_ns.set(moment[0].at.mono_ns);
        let mut hands: Vec<Vec<Arrival<'_>>> = vec![Vec::new(); workers as usize];
        for arrival in moment {
            hands[choose(&arrival.data, &key, workers, &pieces) as usize].push(*arrival);
        }
        for (engine, hand) in engines.iter_mut().zip(hands) {
            engine.advance(moment[0].at, &mut records);
            hand.chunks(BATCH).for_each(|batch| engine.process(batch.iter().copied(), &mut records));
        }
    }
    engines.iter_mut().for_each(|engine| engine.finish(&mut records));
    records
}

proptest! {
    #[test]
    fn dealing_the_frames_to_several_workers_changes_no_record(
        // A first piece that was overtaken goes where the later one went, away from its connection's whole packets.
        stories in stories(Limits { overtaking: false, ..Limits::NONE }), workers in 1u32..=4, seed in any::<[u64; 2]>()
    ) {
        let frames = frames(&stories);
        let arrivals: Vec<_> = frames.iter().map(|frame| arrival(&frame.data, at(frame.at_ms))).collect();
        prop_assert_eq!(multiset(&records_of(&frames)), multiset(&dealt(&arrivals, workers, seed)));
    }
}

/// The frames of a file with the times of their arrival; None where a link is not Ethernet, which is all that the program
/// ever sees.
fn ethernet_frames(path: &Path) -> Option<Vec<(Vec<u8>, u32, Instant)>> {
    let mut file = CaptureFile::open(path).unwrap();
    let (mut clock, mut frames, mut ethernet) = (ReplayClock::default(), Vec::new(), true);
    // A file that is damaged is good up to there.
    while let Ok(true) = file.next_batch(|packets| {
        for packet in packets {
            ethernet &= packet.link == Some(LinkType::Ethernet);
            frames.push((packet.data.to_vec(), packet.wire_len, clock.at(packet.wall_ns)));
        }
    }) {}
    ethernet.then_some(frames)
}

/// Captures in which some connection is split between workers, and why. The program neither looks into tunnels nor through
/// what it doesn't know between Ethernet and IP.
const SPLIT: [(&str, &str); 3] = [
    ("cisco-fabric-path.pcap", "each packet is there twice, behind Ethernet and behind FabricPath"),
    ("syslog.pcap", "packets that come out of one tunnel and go on in another, captured in both"),
    ("tunnels_Teredo.pcap", "an echo goes to the Teredo server, and its reply comes from a relay"),
];

#[test]
fn dealing_the_frames_of_every_capture_changes_no_record() {
    let Some(shared) = shared() else { return };
    let mut all = Vec::new();
    files(&shared, &mut all);
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in all {
        let Some(frames) = ethernet_frames(&path) else { continue };
        let arrivals: Vec<_> =
            frames.iter().map(|(data, wire_len, at)| Arrival { wire_len: *wire_len, ..arrival(data, *at) }).collect();
        compared += 1;
        let one = multiset(&dealt(&arrivals, 1, [0, 0]));
        let hands = (2..=4).flat_map(|workers| (0..4).map(move |seed| (workers, [seed, 7])));
        let several =
            hands.map(|(workers, seed)| multiset(&dealt(&arrivals, workers, seed))).find(|several| *several != one);
        match (several, SPLIT.iter().find(|(name, _)| path.ends_with(name))) {
            (Some(several), None) => wrong.push(format!("{}:{}", path.display(), difference(&one, &several))),
            (None, Some((name, why))) => wrong.push(format!("{name} is no longer split, though {why}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 100, "{compared} captures");
}

/// The records that only one of the lists has.
fn difference(one: &[String], several: &[String]) -> String {
    let missing = one.iter().filter(|record| !several.contains(record));
    let extra = several.iter().filter(|record| !one.contains(record));
    missing.map(|r| format!("\n  - {r}")).chain(extra.map(|r| format!("\n  + {r}"))).collect()
}

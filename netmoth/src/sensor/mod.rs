//! `netmoth run`: builds the pipeline, watches over it, and takes it down in the order that loses nothing.
//!
//! Up: rings, store, workers, then the XDP program. The rings come first because they leave no trace where they can't be had,
//! as a store would: a database, a spool. Down: the program first, so that no frame comes any more; then the workers empty
//! their rings and end their connections; then the writer stores what they sent; then the sums.
//!
//! Rights go as soon as they have been used: see [`crate::privileges`].

mod crew;
mod mirror;
mod signals;
mod status;
mod summary;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{debug, error, info, warn};
use netmoth_shared::fate::Fate;
use netmoth_shared::mirror::Count;

use crate::capture::{CaptureConfig, CaptureCounts, CaptureError, Interface, LinkEvent, Live};
use crate::flow::{FlowConfig, FlowError};
use crate::privileges::{self, FILES, NONE};
use crate::prometheus::{Captured, Endpoint, EndpointError, Page, Snapshot};
use crate::service::Service;
use crate::sink::{StoreError, Upkeep, UpkeepConfig, Writer, WriterConfig};

use crew::Crew;

pub use mirror::MirrorSide;
pub use summary::{KernelSide, Labelled, Summary, WriterSide, grouped};

/// How long the writer may take to store the last records: with the workers' drain it stays below the ten seconds that
/// an orderly stop may take.
const STORE_DEADLINE: Duration = Duration::from_secs(7);

/// How long the workers may take to empty rings and table.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Without a frame for this long after the start, the log says what was checked.
const SILENCE: Duration = Duration::from_secs(5);

/// What `netmoth run` is told.
#[derive(Debug)]
pub struct SensorConfig {
    /// Interface and rings.
    pub capture: CaptureConfig,
    /// How long frames may gather where a worker's rings are empty; zero for not at all.
    pub coalesce: Duration,
    /// One worker's share of the flow table; `worker` is filled in for each.
    pub flow: FlowConfig,
    /// The store.
    pub writer: WriterConfig,
    /// What is done to the store beside writing.
    pub upkeep: UpkeepConfig,
    /// Between two status lines; zero for none.
    pub status_interval: Duration,
    /// Where Prometheus finds the metrics, if it is to.
    pub metrics: Option<SocketAddr>,
}

/// Why the sensor did not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// Interface, rings or program.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Capabilities.
    #[error(
        "this process lacks {missing}, which strategy: ebpf needs. Run as root, or give it these capabilities, as \
         scripts/netmoth.service does; strategy: afpacket needs CAP_NET_RAW alone"
    )]
    Rights {
        /// Their names.
        missing: String,
    },
    /// The table's memory.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The page of metrics.
    #[error(transparent)]
    Metrics(#[from] EndpointError),
    /// A thread could not be started.
    #[error("the system gave no thread for {what}: {source}; raise TasksMax= or the limit on processes")]
    Thread {
        /// Which one.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The interface went away.
    #[error("interface {0} was removed while capturing; plug it in again (or create it) and start Netmoth anew")]
    Removed(String),
    /// The private pair went away.
    #[error(
        "the private veth pair of {0} was removed while capturing, and with it all that the mirror showed; start Netmoth anew, and \
         have whatever manages this host's interfaces leave those named netmoth-* alone"
    )]
    PairRemoved(String),
    /// A worker ended by itself.
    #[error("worker {0} ended before it was told to; this is a defect, please report the lines above")]
    WorkerEnded(usize),
    /// A second signal.
    #[error(
        "left at once on a second signal; {waiting} records were neither in the store nor in the spool and are gone, {spooled} wait \
         in the spool for the next start"
    )]
    Abandoned {
        /// Records that were in memory.
        waiting: u64,
        /// Records that are safe.
        spooled: u64,
    },
}

/// Captures until a signal asks to stop, then drains. Returns the account of the run.
///
/// # Errors
/// Whatever keeps it from starting, an interface that was removed, or a second signal; what was captured until then
/// is stored first wherever that is still possible.
pub fn run(mut config: SensorConfig) -> Result<Summary, SensorError> {
    privileges::no_new_privileges();
    let thread = |what| move |source| SensorError::Thread { what, source };
    let signals = privileges::with_only(NONE, signals::watch).flatten().map_err(thread("signals"))?;
    // The address first: where it can't be had, nothing was begun.
    let endpoint = config.metrics.map(Endpoint::bind).transpose()?;
    may_capture(&config.capture)?;
    let (mut capture, sources) = Live::open(&config.capture)?;
    let (writer, upkeep) = privileges::with_only(FILES, || -> Result<_, StoreError> {
        Ok((Writer::start(config.writer.clone())?, Upkeep::start(config.upkeep.clone())?))
    })
    .map_err(thread("the store"))??;
    // Fewer workers than planned, as libpcap's one reader, share what all would have had.
    let planned = config.flow.max_flows.saturating_mul(config.capture.workers as u32);
    config.flow.max_flows = planned.div_ceil(sources.len().max(1) as u32);
    let (crew, links) = privileges::with_only(NONE, || -> Result<_, SensorError> {
        Ok((Crew::start(sources, &config, &writer)?, capture.watch_link()?))
    })
    .map_err(thread("the workers"))??;
    capture.start()?;
    privileges::keep_only(&privileges::until_the_end(&capture));
    let mut sensor = Sensor {
        capture,
        crew,
        writer,
        upkeep,
        signals,
        links,
        service: Service::from_environment(),
        started: Instant::now(),
        started_ns: crate::time::Instant::now().wall_ns,
        status_interval: config.status_interval,
        page: None,
    };
    if let Some(endpoint) = endpoint {
        let snapshot = sensor.snapshot()?;
        let page = privileges::with_only(NONE, || endpoint.serve(snapshot)).map_err(thread("the metrics"))?;
        sensor.page = Some(page?);
    }
    info!("capturing on {}", sensor.capture.describe());
    sensor.service.ready(&format!("capturing on {}", sensor.capture.describe()));
    let ended = sensor.watch();
    sensor.finish(ended)
}

/// Asks what can be answered before anything is touched: whether the interface is there, and whether this process has the rights.
fn may_capture(config: &CaptureConfig) -> Result<(), SensorError> {
    Interface::find(&config.interface)?;
    let missing = privileges::lacking(config.strategy);
    if missing.is_empty() { Ok(()) } else { Err(SensorError::Rights { missing: missing.join(", ") }) }
}

/// The running pipeline as the main thread sees it.
struct Sensor {
    capture: Live,
    crew: Crew,
    writer: Writer,
    /// Ends when this is dropped.
    upkeep: Option<Upkeep>,
    signals: Receiver<i32>,
    links: Receiver<LinkEvent>,
    service: Service,
    started: Instant,
    started_ns: i64,
    status_interval: Duration,
    page: Option<Page>,
}

impl Sensor {
    /// Waits for the end: a signal, a removed interface, a worker that died. Meanwhile: status, watchdog, silence.
    fn watch(&mut self) -> Result<(), SensorError> {
        let tick = Duration::from_millis(250);
        let mut before = (Instant::now(), self.moment());
        let mut silence_told = false;
        loop {
            crossbeam_channel::select! {
                recv(self.signals) -> signal => {
                    let name = signal.map_or("a signal", signals::name);
                    info!("{name}: draining; a second signal leaves at once");
                    return Ok(());
                }
                recv(self.links) -> event => self.link_event(event.ok())?,
                default(tick) => {}
            }
            self.crew.check()?;
            if self.crew.alive() {
                self.service.watchdog();
            }
            self.show_metrics();
            if !silence_told && self.started.elapsed() >= SILENCE {
                silence_told = true;
                self.explain_silence();
            }
            if !self.status_interval.is_zero() && before.0.elapsed() >= self.status_interval {
                let now = (Instant::now(), self.moment());
                let line = status::line(&before.1, &now.1, now.0 - before.0);
                info!("{line}");
                self.service.status(&line);
                before = now;
            }
        }
    }
}

impl Sensor {
    /// The numbers that a status line compares.
    fn moment(&self) -> status::Moment {
        let counts = self.capture.counts().unwrap_or_default();
        let writer = self.writer.counters().report();
        status::Moment {
            workers: self.crew.totals(),
            kernel_drops: counts.sockets.dropped + counts.sockets.ring_full,
            committed: writer.committed,
            waiting: writer.waiting,
            spooled: writer.spooled,
            writer_lost: writer.lost_total(),
        }
    }

    /// All counters now, read against the stream.
    fn snapshot(&self) -> Result<Snapshot, CaptureError> {
        let writer = self.writer.counters();
        let (store_up, spool_bytes, writer) = (writer.store_up(), writer.spool_bytes(), writer.report());
        let workers = self.crew.each();
        let captured = Captured {
            interface: self.capture.interface().name.clone(),
            driver: self.capture.interface().driver.clone(),
            mode: self.capture.mode(),
            zero_copy: self.capture.zero_copy(),
            started_ns: self.started_ns,
        };
        let (queues, mirror) = (self.capture.queue_counts()?, self.capture.mirror_counts()?);
        Ok(Snapshot { captured, mirror, queues, workers, writer, store_up, spool_bytes })
    }

    /// Puts all counters on the page, where there is one. They are read here and not when somebody asks: so it costs the
    /// same whoever asks how often.
    fn show_metrics(&self) {
        let Some(page) = &self.page else { return };
        match self.snapshot() {
            Ok(snapshot) => page.update(snapshot),
            Err(error) => debug!("the metrics stay what they were: {error}"),
        }
    }

    fn link_event(&self, event: Option<LinkEvent>) -> Result<(), SensorError> {
        let name = &self.capture.interface().name;
        match event {
            Some(LinkEvent::Down) => warn!("interface {name} is down or lost its carrier; waiting for it to come back"),
            Some(LinkEvent::Up) => info!("interface {name} is up again, capture goes on"),
            Some(LinkEvent::Removed) => return Err(SensorError::Removed(name.clone())),
            Some(LinkEvent::PairRemoved) => return Err(SensorError::PairRemoved(name.clone())),
            None => debug!("the link watch has ended"),
        }
        Ok(())
    }

    /// It runs and no packet arrives: says what was checked, and what is left to look at.
    fn explain_silence(&self) {
        if self.crew.totals().frames > 0 {
            return;
        }
        let interface = self.capture.interface();
        let counts = self.capture.counts().unwrap_or_default();
        let seen: u64 = counts.fates.iter().sum();
        let mirror = self.capture.mirror_counts().ok().flatten().unwrap_or_default();
        let at_interface = mirror.of(Count::Ingress) + mirror.of(Count::Egress);
        let verdict = if at_interface > 0 && seen == 0 {
            let counts = MirrorSide::from(&mirror);
            format!(
                "the mirror has seen {at_interface} frames, but no clone arrived: {}",
                listed(&[counts.passed, counts.dropped])
            )
        } else if seen == 0 {
            format!(
                "no frame at all was seen. Is {} the right port, and does the mirror or tap feed it? \
                 ip -s link show {} counts what the driver receives",
                interface.name, interface.name
            )
        } else {
            format!("the kernel has seen {seen} frames, but none reached a worker: {}", lost_before_workers(&counts))
        };
        let seconds = SILENCE.as_secs();
        warn!("no packet in {seconds} s on {}: the link is up, capture has begun; {verdict}", self.capture.describe());
    }

    /// Takes everything down in order, whatever ended the watch.
    fn finish(mut self, ended: Result<(), SensorError>) -> Result<Summary, SensorError> {
        self.service.stopping();
        let seconds = self.started.elapsed().as_secs_f64();
        self.capture.stop();
        drop(self.upkeep.take());
        self.crew.drain(DRAIN_DEADLINE);
        self.show_metrics();
        let (seen_by, copied, describe) = (self.capture.seen_by(), self.capture.copies(), self.capture.describe());
        let headline = format!("{seconds:.1} s on {describe}");
        let counts = self.capture.counts().unwrap_or_default();
        let mirror = self.capture.mirror_counts().unwrap_or_default();
        let mirror = mirror.as_ref().map(MirrorSide::from);
        let workers = self.crew.totals();
        // The capture's descriptors close here; what they counted was read above.
        drop(self.capture);
        let writer = store_rest(self.writer, &self.signals)?;
        let kernel = Some(KernelSide { mirror, ..kernel_side(seen_by, copied, &counts) });
        let summary = Summary { headline, seconds, files: None, kernel, workers, writer: Some(writer) };
        if !summary.exact() {
            error!(
                "the sums below do not hold: frames or records went missing uncounted; this is a defect, please report it"
            );
        }
        debug!(target: "netmoth::summary", "summary-json {}", summary.to_json());
        match ended {
            Ok(()) => Ok(summary),
            Err(cause) => {
                info!("{summary}");
                Err(cause)
            }
        }
    }
}

/// Waits for the writer to store what the workers sent; a second signal leaves at once.
fn store_rest(writer: Writer, signals: &Receiver<i32>) -> Result<WriterSide, SensorError> {
    let counters = writer.counters();
    let (done, finished) = crossbeam_channel::bounded(1);
    let thread = std::thread::Builder::new().name("finish".into()).spawn(move || {
        privileges::keep_only(NONE);
        let _ = done.send(writer.finish(STORE_DEADLINE));
    });
    thread.map_err(|source| SensorError::Thread { what: "the last records", source })?;
    crossbeam_channel::select! {
        recv(finished) -> report => {
            Ok(WriterSide::from(report.unwrap_or_else(|_| counters.report())))
        }
        recv(signals) -> _ => {
            Err(SensorError::Abandoned { waiting: counters.waiting(), spooled: counters.spooled() })
        }
    }
}

fn kernel_side(seen_by: &'static str, copied: bool, counts: &CaptureCounts) -> KernelSide {
    let passed = Fate::ALL.iter().filter(|fate| fate.is_pass());
    let mut dropped = Vec::new();
    // `dropped` counts frames without a buffer and frames too long for one; an empty fill ring is a reason, not a sum.
    if counts.sockets.dropped > 0 {
        let empty = counts.sockets.fill_ring_empty > 0;
        dropped.push((if empty { "fill_ring_empty_or_too_long" } else { "too_long" }, counts.sockets.dropped));
    }
    if counts.sockets.ring_full > 0 {
        dropped.push(("rx_ring_full", counts.sockets.ring_full));
    }
    KernelSide {
        mirror: None,
        seen_by,
        copied,
        redirected: counts.fates[Fate::Redirected as usize],
        passed: passed.map(|fate| (fate.label(), counts.fates[*fate as usize])).filter(|(_, n)| *n > 0).collect(),
        dropped,
    }
}

fn lost_before_workers(counts: &CaptureCounts) -> String {
    let side = kernel_side("", false, counts);
    listed(&[side.passed, side.dropped])
}

fn listed(reasons: &[Labelled]) -> String {
    let all: Vec<String> = reasons.iter().flatten().map(|(label, n)| format!("{label} {n}")).collect();
    if all.is_empty() { "they are on their way".into() } else { all.join(", ") }
}

//! The XDP program from user space: loads the embedded object, hands it the sockets, attaches it, reads its counters.
//!
//! What it decides stands in `netmoth_shared`; its source is `netmoth-xdp/`. The program is attached by a BPF link, so
//! the kernel takes it off the interface when the process ends, however it ends.

mod attached;
mod error;
mod filtered;

use std::os::fd::AsRawFd;

use aya::maps::{Array, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError as AyaProgramError, Xdp, XdpMode as AyaMode};
use aya::{Ebpf, EbpfLoader, Pod};
use netmoth_shared::fate::{Fate, slot, slots};
use netmoth_shared::hash::HashKey;
use netmoth_shared::{
    FATES_MAP, PROGRAM, PROGRAM_COPIED, PROGRAM_PLAIN, QUEUES_MAP, QueueSockets, SETTINGS_MAP, SOCKETS_MAP, Settings,
};

pub(in crate::capture) use filtered::Stages;

pub use attached::{AttachedProgram, attached_program};
pub use error::ProgramError;

/// Names a file to load instead of the embedded object. Continuous integration runs the tests with a fresh one.
pub const OBJECT_VARIABLE: &str = "NETMOTH_XDP_OBJECT";

static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../netmoth-xdp/netmoth-xdp.o"));

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XdpMode {
    /// In the driver, before the kernel makes a socket buffer of the frame.
    Native,
    /// After the driver, on every interface, at the cost of a copy.
    Generic,
}

impl std::fmt::Display for XdpMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Which modes to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AttachPreference {
    /// Native, and where the driver can't, generic with a warning that says why.
    #[default]
    Auto,
    /// Native or not at all.
    Native,
    /// Generic at once.
    Generic,
}

// The two layouts as aya wants them marked; the marker can be put on our own types alone.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct QueueRow(QueueSockets);
#[derive(Clone, Copy)]
#[repr(transparent)]
struct SettingsRow(Settings);

#[expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]
// SAFETY: a repr(C) struct of two u32: any bytes are valid, and its size is asserted to leave no padding.
unsafe impl Pod for QueueRow {}
#[expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]
// SAFETY: a repr(C) struct of u64 and u32: any bytes are valid, and its size is asserted to leave no padding.
unsafe impl Pod for SettingsRow {}

/// The loaded program with its maps; attached after [`attach`](Self::attach), detached when dropped.
pub struct XdpProgram {
    ebpf: Ebpf,
    /// Which of the programs of the object.
    name: &'static str,
    settings: Array<MapData, SettingsRow>,
    sockets: XskMap<MapData>,
    queues: Array<MapData, QueueRow>,
    fates: PerCpuArray<MapData, u64>,
    queue_count: u32,
    link: Option<XdpLinkId>,
    /// Filled where there is a filter; the programs in it stay as long as it is open.
    stages: Option<Stages>,
}

impl std::fmt::Debug for XdpProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { queue_count, link, .. } = self;
        f.debug_struct("XdpProgram").field("queues", queue_count).field("attached", &link.is_some()).finish()
    }
}

impl XdpProgram {
    /// Loads the program with room for `queues` receive queues and `sockets` sockets (each at least 1). `hash_key` is
    /// random, and new for each start. No queue is captured before [`set_queue`](Self::set_queue).
    ///
    /// # Errors
    /// Without the capabilities, with too low a memlock limit on kernels before 5.11, on kernels that lack something,
    /// and where the verifier says no.
    pub fn load(queues: u32, sockets: u32, hash_key: [u64; 2]) -> Result<Self, ProgramError> {
        let fate_slots = slots(queues).ok_or(ProgramError::TooManyQueues { queues })?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(SOCKETS_MAP, sockets.max(1))
            .map_max_entries(QUEUES_MAP, queues.max(1))
            .map_max_entries(FATES_MAP, fate_slots)
            .load(&object()?)
            .map_err(ProgramError::from_load)?;
        let (sockets, fates) = (take(&mut ebpf, SOCKETS_MAP)?, take(&mut ebpf, FATES_MAP)?);
        let queue_rows = take(&mut ebpf, QUEUES_MAP)?;
        let mut settings: Array<MapData, SettingsRow> = take(&mut ebpf, SETTINGS_MAP)?;
        let row = SettingsRow(Settings { key: HashKey::expand(hash_key), queues, filtered: 0 });
        settings.set(0, row, 0).map_err(|source| ProgramError::map(SETTINGS_MAP, source))?;
        let name = load_one(&mut ebpf)?;
        Ok(Self {
            ebpf,
            name,
            settings,
            sockets,
            queues: queue_rows,
            fates,
            queue_count: queues,
            link: None,
            stages: None,
        })
    }

    /// Puts an AF_XDP socket with an RX ring at an index. The kernel takes it out again when the socket closes.
    ///
    /// # Errors
    /// Where the index is beyond the number of sockets loaded for, or the descriptor is no such socket.
    pub fn set_socket(&mut self, index: u32, socket: &impl AsRawFd) -> Result<(), ProgramError> {
        self.sockets.set(index, socket.as_raw_fd(), 0).map_err(|source| ProgramError::map(SOCKETS_MAP, source))
    }

    /// Has the frames of a receive queue go to `sockets` sockets from `first_socket` on; none ends its capture.
    ///
    /// # Errors
    /// Where the queue is beyond the number of queues loaded for.
    pub fn set_queue(&mut self, queue: u32, first_socket: u32, sockets: u32) -> Result<(), ProgramError> {
        let row = QueueRow(QueueSockets { first_socket, sockets });
        self.queues.set(queue, row, 0).map_err(|source| ProgramError::map(QUEUES_MAP, source))
    }

    /// Attaches the program to an interface of this network namespace. Returns the mode that is in force.
    ///
    /// # Errors
    /// Where another program is attached, and for every reason that drivers have to say no.
    pub fn attach(&mut self, interface: &str, preference: AttachPreference) -> Result<XdpMode, ProgramError> {
        if self.link.is_some() {
            return Err(ProgramError::AlreadyAttached);
        }
        // Asked first: the netlink attach, which stands in where links are not to be had, would replace the other one.
        if let Some(other) = attached_program(interface)? {
            return Err(ProgramError::Occupied { interface: interface.to_owned(), other: Some(other) });
        }
        match preference {
            AttachPreference::Native => self.attach_as(interface, XdpMode::Native),
            AttachPreference::Generic => self.attach_as(interface, XdpMode::Generic),
            AttachPreference::Auto => match self.attach_as(interface, XdpMode::Native) {
                Err(cause) if cause.is_about_native_mode() => {
                    log::warn!("{cause}; going on in generic mode, which costs a copy per frame");
                    self.attach_as(interface, XdpMode::Generic)
                }
                other => other,
            },
        }
    }

    fn attach_as(&mut self, interface: &str, mode: XdpMode) -> Result<XdpMode, ProgramError> {
        let kernel_mode = match mode {
            XdpMode::Native => AyaMode::Driver,
            XdpMode::Generic => AyaMode::Skb,
        };
        match program(&mut self.ebpf, self.name)?.attach(interface, kernel_mode) {
            Ok(link) => {
                self.link = Some(link);
                Ok(mode)
            }
            Err(error) => Err(ProgramError::from_attach(interface, mode, error)),
        }
    }

    /// Frames by queue and [`Fate`], summed over the CPUs. One row more than the program was loaded for: the last counts
    /// the frames of all queues beyond.
    ///
    /// # Errors
    /// Where the kernel refuses to read the map, which it doesn't while the program is loaded.
    pub fn fates(&self) -> Result<Vec<[u64; Fate::COUNT]>, ProgramError> {
        (0..=self.queue_count)
            .map(|queue| {
                let mut row = [0; Fate::COUNT];
                for (count, fate) in row.iter_mut().zip(Fate::ALL) {
                    let slot = slot(queue, self.queue_count, fate);
                    let values = self.fates.get(&slot, 0).map_err(|source| ProgramError::map(FATES_MAP, source))?;
                    *count = values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value));
                }
                Ok(row)
            })
            .collect()
    }

    /// Takes the program off the interface; the maps and counters stay. Nothing happens where it isn't attached.
    pub fn detach(&mut self) {
        if let Some(link) = self.link.take()
            && let Ok(program) = program(&mut self.ebpf, self.name)
            && let Err(error) = program.detach(link)
        {
            log::warn!("the XDP program didn't come off the interface: {error}; it does when this process ends");
        }
    }
}

/// The object that holds all programs: the embedded one, or the file that [`OBJECT_VARIABLE`] names.
pub(in crate::capture) fn object() -> Result<std::borrow::Cow<'static, [u8]>, ProgramError> {
    let Some(path) = std::env::var_os(OBJECT_VARIABLE).map(std::path::PathBuf::from) else { return Ok(OBJECT.into()) };
    log::info!("loading the XDP program from {} ({OBJECT_VARIABLE} is set)", path.display());
    let read = std::fs::read(&path);
    Ok(read.map_err(|source| ProgramError::ObjectFile { path, source: source.into() })?.into())
}

/// Loads the program that reads frames in place; where the verifier refuses that, the one that asks the kernel for each field
/// (CAP_PERFMON is missing), or the one for older kernels. If none is taken, what was said of the first is the news.
fn load_one(ebpf: &mut Ebpf) -> Result<&'static str, ProgramError> {
    let Err(first) = program(ebpf, PROGRAM)?.load() else { return Ok(PROGRAM) };
    let refused =
        matches!(&first, AyaProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EACCES));
    if !refused {
        return Err(ProgramError::from_program(first));
    }
    for name in [PROGRAM_COPIED, PROGRAM_PLAIN] {
        match program(ebpf, name)?.load() {
            Ok(()) => {
                log::debug!("the verifier refuses the fastest XDP program here, and takes {name}");
                return Ok(name);
            }
            Err(error) => log::debug!("nor does the verifier take {name}: {error}"),
        }
    }
    Err(ProgramError::from_program(first))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, ProgramError> {
    let program = ebpf.program_mut(name).ok_or(ProgramError::WrongObject { missing: name })?;
    program.try_into().map_err(|_: AyaProgramError| ProgramError::WrongObject { missing: name })
}

pub(in crate::capture) fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, ProgramError> {
    let map = ebpf.take_map(name).ok_or(ProgramError::WrongObject { missing: name })?;
    T::try_from(map).map_err(|_| ProgramError::WrongObject { missing: name })
}

#[cfg(test)]
mod tests;

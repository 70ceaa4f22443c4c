//! The disk beneath a folder: room, and whether what is written there stays.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use super::Check;
use crate::sink::StoreUrl;

/// Less room than this is soon full: about 5 million rows of SQLite.
const LITTLE: u64 = 1 << 30;

/// A file system, as far as it matters to what is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// Bytes that this user may still write.
    pub(super) free: u64,
    /// Mounted read-only.
    pub(super) read_only: bool,
    /// tmpfs or ramfs: in memory, and gone with the next start.
    pub(super) in_memory: bool,
}

impl Disk {
    /// The disk of a folder, or of the nearest one above that is there.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let path = CString::new(existing(folder).as_os_str().as_encoded_bytes()).ok()?;
        let (about, kind) = (statvfs(&path)?, kind(&path)?);
        Some(Self {
            free: about.f_bavail.saturating_mul(about.f_frsize),
            read_only: about.f_flag & libc::ST_RDONLY != 0,
            in_memory: [TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind),
        })
    }
}

/// linux/magic.h
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// The nearest folder above that is there.
pub(super) fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    if there.as_os_str().is_empty() { PathBuf::from(".") } else { there.to_owned() }
}

#[expect(unsafe_code, reason = "statvfs has no safe interface in the standard library")]
fn statvfs(path: &CString) -> Option<libc::statvfs> {
    let mut about = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in a zero byte and lives through the call; the kernel writes one `statvfs` into `about`.
    let done = unsafe { libc::statvfs(path.as_ptr(), about.as_mut_ptr()) };
    // SAFETY: success means that all of it was written, and the type is plain integers.
    (done == 0).then(|| unsafe { about.assume_init() })
}

/// The kind of the file system, which statvfs leaves out.
#[expect(unsafe_code, reason = "statfs has no safe interface in the standard library")]
fn kind(path: &CString) -> Option<u64> {
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` ends in a zero byte and lives through the call; the kernel writes one `statfs` into `about`.
    let done = unsafe { libc::statfs(path.as_ptr(), about.as_mut_ptr()) };
    // SAFETY: success means that all of it was written, and the type is plain integers.
    (done == 0).then(|| unsafe { about.assume_init() }.f_type as u64)
}

/// The disk of an SQLite file; a server looks after its own.
pub(super) fn of_store(store: &StoreUrl) -> Option<Check> {
    let StoreUrl::Sqlite(path) = store else { return None };
    let path = std::path::absolute(path).ok()?;
    let folder = existing(path.parent()?);
    Some(judge(&folder, Disk::of(&folder)?))
}

fn judge(folder: &Path, disk: Disk) -> Check {
    let (name, folder) = ("store's disk", folder.display());
    let free = bytes(disk.free);
    if disk.read_only {
        let remedy = "mount it for writing (mount -o remount,rw), or name a file on another disk with store:";
        return Check::fail(name, format!("{folder} is on a file system that is mounted read-only"), remedy);
    }
    if disk.in_memory {
        let found = format!("{folder} is in memory (tmpfs), with {free} free: the records are gone with the next boot");
        return Check::warn(name, found, "name a file on a disk with store:");
    }
    if disk.free < LITTLE {
        let remedy = "free space, or name a file on another disk with store:";
        return Check::warn(name, format!("{folder} has {free} free"), remedy);
    }
    Check::ok(name, format!("{folder} has {free} free"))
}

/// A size as people read it, in powers of two.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    const GOOD: Disk = Disk { free: 5 << 30, read_only: false, in_memory: false };

    fn judged(disk: Disk) -> (Status, String) {
        let check = judge(Path::new("/var/lib/netmoth"), disk);
        (check.status, format!("{} {}", check.found, check.remedy.unwrap_or_default()))
    }

    #[test]
    fn a_disk_with_room_is_fine_and_others_are_told_apart() {
        assert_eq!(judged(GOOD), (Status::Ok, "/var/lib/netmoth has 5.0 GiB free ".into()));
        let (status, text) = judged(Disk { free: 5 << 20, ..GOOD });
        assert!(status == Status::Warn && text.contains("5.0 MiB") && text.contains("free space"), "{text}");
        let (status, text) = judged(Disk { in_memory: true, ..GOOD });
        assert!(status == Status::Warn && text.contains("tmpfs"), "{text}");
        let (status, text) = judged(Disk { read_only: true, ..GOOD });
        assert!(status == Status::Fail && text.contains("read-only") && text.contains("remount"), "{text}");
    }

    #[test]
    fn the_kernel_tells_what_a_disk_is() {
        // procfs has no room, and is neither memory nor read-only.
        let proc = Disk::of(Path::new("/proc/not-there/at-all")).unwrap();
        assert_eq!((proc.free, proc.in_memory), (0, false));
        let devices = Disk::of(Path::new("/dev/shm"));
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        if mounts.lines().any(|line| line.contains(" /dev/shm tmpfs ")) {
            assert!(devices.unwrap().in_memory);
        }
    }

    #[test]
    fn sizes_have_units_that_people_read() {
        assert_eq!([5, 2_048, 3 << 20, 5 << 30].map(bytes), ["5 bytes", "2.0 KiB", "3.0 MiB", "5.0 GiB"]);
    }
}

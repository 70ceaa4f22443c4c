//! The spool: what waits in it, since when, and whether its disk has room.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Check;
use super::store::may_write;
use crate::sink::{SpoolConfig, SpoolFacts};

pub(super) fn judge(config: Option<&SpoolConfig>) -> Check {
    let Some(config) = config else {
        return Check::warn(
            "spool",
            "off: records of an outage wait in memory, and a restart loses them",
            "set spool.max_bytes",
        );
    };
    let path = config.path.display();
    let facts = match SpoolFacts::of(&config.path) {
        Ok(facts) => facts,
        Err(error) => {
            return Check::warn(
                "spool",
                format!("{path} can't be read ({error})"),
                "mend the folder's permissions, or set spool.path",
            );
        }
    };
    let folder = existing(&config.path);
    if !may_write(&folder) {
        return Check::warn(
            "spool",
            format!("{path} can't be written to by this user"),
            "make the folder and let this user write there, or set spool.path",
        );
    }
    let found = match facts.oldest {
        None => format!("{path} is empty and may take {}", bytes(config.max_bytes)),
        Some(oldest) => format!(
            "{path} holds {} of {}, the oldest from {}",
            bytes(facts.bytes),
            bytes(config.max_bytes),
            age(oldest)
        ),
    };
    match free(&folder) {
        Some(room) if room < config.max_bytes.saturating_sub(facts.bytes) => Check::warn(
            "spool",
            format!("{found}; its disk has {} free", bytes(room)),
            "free space, or lower spool.max_bytes to what the disk can give",
        ),
        _ if facts.oldest.is_some() => {
            Check::warn("spool", found, "a running sensor drains it when the store is back; start one if none runs")
        }
        _ => Check::ok("spool", found),
    }
}

/// The nearest folder above that is there.
fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    if there.as_os_str().is_empty() { PathBuf::from(".") } else { there.to_owned() }
}

/// Bytes that this user may still write to the disk of a folder (statvfs(3)).
fn free(folder: &Path) -> Option<u64> {
    let about = statvfs(folder)?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

#[expect(unsafe_code, reason = "statvfs has no safe interface in the standard library")]
fn statvfs(folder: &Path) -> Option<libc::statvfs> {
    let path = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).ok()?;
    let mut about = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in a zero byte and lives through the call; the kernel writes one `statvfs` into `about`.
    let done = unsafe { libc::statvfs(path.as_ptr(), about.as_mut_ptr()) };
    // SAFETY: success means that all of it was written, and the type is plain integers.
    (done == 0).then(|| unsafe { about.assume_init() })
}

fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

fn age(since: SystemTime) -> String {
    let seconds = since.elapsed().map_or(0, |age| age.as_secs());
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_spool_is_described_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = SpoolConfig { path: folder.path().join("spool"), max_bytes: 1 << 20 };
        let empty = judge(Some(&config));
        assert_eq!(
            (empty.status, empty.found.ends_with("is empty and may take 1.0 MiB")),
            (Status::Ok, true),
            "{empty:?}"
        );
        std::fs::create_dir(&config.path).unwrap();
        std::fs::write(config.path.join("0000000000000001.seg"), [0; 2_048]).unwrap();
        let some = judge(Some(&config));
        assert!(
            some.status == Status::Warn && some.found.contains("holds 2.0 KiB of 1.0 MiB, the oldest from "),
            "{some:?}"
        );
        let large = judge(Some(&SpoolConfig { max_bytes: u64::MAX, ..config }));
        assert!(large.status == Status::Warn && large.found.contains("its disk has "), "{large:?}");
        assert_eq!(judge(None).status, Status::Warn);
    }

    #[test]
    fn sizes_and_ages_have_units_that_people_read() {
        assert_eq!([5, 2_048, 3 << 20, 5 << 30].map(bytes), ["5 bytes", "2.0 KiB", "3.0 MiB", "5.0 GiB"]);
        let before = |seconds| age(SystemTime::now() - std::time::Duration::from_secs(seconds));
        assert_eq!([5, 300, 9_000, 200_000].map(before), ["5 s ago", "5 min ago", "2 h ago", "2 days ago"]);
    }
}

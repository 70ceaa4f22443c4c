//! The spool: what waits in it, since when, and whether its disk has room.

use std::time::SystemTime;

use super::Check;
use super::disk::{Disk, bytes, existing};
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
    if Disk::of(&folder).is_some_and(|disk| disk.read_only) {
        return Check::warn(
            "spool",
            format!("{path} is on a file system that is mounted read-only"),
            "mount it for writing, or set spool.path to a folder on another disk",
        );
    }
    if !may_write(&folder) {
        return Check::warn(
            "spool",
            format!("{path} can't be written to by this user"),
            "make the folder and let this user write there, or set spool.path",
        );
    }
    weigh(config, &facts, Disk::of(&folder))
}

/// What is in it, beside what its disk can take.
fn weigh(config: &SpoolConfig, facts: &SpoolFacts, disk: Option<Disk>) -> Check {
    let (path, limit) = (config.path.display(), bytes(config.max_bytes));
    let found = match facts.oldest {
        None => format!("{path} is empty and may take {limit}"),
        Some(oldest) => format!("{path} holds {} of {limit}, the oldest from {}", bytes(facts.bytes), age(oldest)),
    };
    let room = disk.map_or(u64::MAX, |disk| disk.free);
    if room < config.max_bytes.saturating_sub(facts.bytes) {
        let remedy = "free space, or lower spool.max_bytes to what the disk can give";
        return Check::warn("spool", format!("{found}; its disk has {} free", bytes(room)), remedy);
    }
    if disk.is_some_and(|disk| disk.in_memory) {
        let found = format!("{found}; it is in memory (tmpfs), and gone with the next boot");
        return Check::warn("spool", found, "set spool.path to a folder on a disk");
    }
    if facts.oldest.is_some() {
        let remedy = "a running sensor drains it when the store is back; start one if none runs";
        return Check::warn("spool", found, remedy);
    }
    let free = disk.map_or(String::new(), |disk| format!(" of the {} that are free", bytes(disk.free)));
    Check::ok("spool", found + &free)
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

    const DISK: Disk = Disk { free: 1 << 30, read_only: false, in_memory: false };

    #[test]
    fn a_spool_is_described_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = SpoolConfig { path: folder.path().join("spool"), max_bytes: 1 << 20 };
        let told = |config: &SpoolConfig, disk| {
            let check = weigh(config, &SpoolFacts::of(&config.path).unwrap(), disk);
            (check.status, check.found)
        };
        let (status, empty) = told(&config, Some(DISK));
        assert_eq!(status, Status::Ok);
        assert!(empty.ends_with("is empty and may take 1.0 MiB of the 1.0 GiB that are free"), "{empty}");
        let memory = told(&config, Some(Disk { in_memory: true, ..DISK }));
        assert!(memory.0 == Status::Warn && memory.1.contains("tmpfs"), "{memory:?}");
        std::fs::create_dir(&config.path).unwrap();
        std::fs::write(config.path.join("0000000000000001.seg"), [0; 2_048]).unwrap();
        let some = told(&config, None);
        assert!(some.0 == Status::Warn && some.1.contains("holds 2.0 KiB of 1.0 MiB, the oldest from "), "{some:?}");
        // What is there already takes no more room.
        let full = |free| told(&config, Some(Disk { free, ..DISK })).1.contains("its disk has ");
        assert_eq!([(1 << 20) - 2_049, (1 << 20) - 2_048].map(full), [true, false]);
    }

    #[test]
    fn a_spool_that_is_off_or_out_of_reach_is_told() {
        assert_eq!(judge(None).status, Status::Warn);
        let check = judge(Some(&SpoolConfig { path: "/proc/spool".into(), max_bytes: 1 << 20 }));
        assert_eq!(check.status, Status::Warn, "{check:?}");
    }

    #[test]
    fn ages_have_units_that_people_read() {
        let before = |seconds| age(SystemTime::now() - std::time::Duration::from_secs(seconds));
        assert_eq!([5, 300, 9_000, 200_000].map(before), ["5 s ago", "5 min ago", "2 h ago", "2 days ago"]);
    }
}

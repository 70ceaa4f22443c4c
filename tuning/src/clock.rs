//! The kernel's clock: what it counts with, and whether something keeps it right.

use serde::Serialize;

/// The file that names the clock source in use (Documentation/ABI/testing/sysfs-devices-system-clocksource).
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The clock of this kernel, whatever container or network namespace asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// What it counts with: `tsc`, `kvm-clock`, `hpet`; `None` where sysfs does not say.
    pub source: Option<String>,
    /// Whether an NTP program keeps it right; `None` where this process may not ask.
    pub synchronised: Option<bool>,
}

impl Clock {
    /// Whether a look at the clock is a system call and a slow device, and not some instructions (vDSO). `false` for those
    /// that are not known.
    pub fn slow(&self) -> bool {
        matches!(self.source.as_deref(), Some("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" | "pit"))
    }
}

/// Asks; it changes nothing and does not fail.
pub fn read() -> Clock {
    let source = std::fs::read_to_string(SOURCE).ok().map(|text| text.trim().to_owned());
    Clock { source: source.filter(|text| !text.is_empty()), synchronised: synchronised() }
}

/// adjtimex(2) with no mode set, which only asks.
#[expect(unsafe_code, reason = "adjtimex has no safe interface in the standard library")]
fn synchronised() -> Option<bool> {
    // SAFETY: the struct is plain integers, for which zero is a value; `modes: 0` says that nothing is to be set.
    let mut about: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `about` is a struct timex that lives through the call, which writes to it and to nothing else.
    let state = unsafe { libc::adjtimex(&raw mut about) };
    (state >= 0).then(|| verdict(state, about.status))
}

/// The return value and the status bits as one word.
fn verdict(state: i32, status: i32) -> bool {
    state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_or_the_unsynchronised_bit_says_no() {
        assert!(verdict(0, 0) && verdict(0, 0x2001), "STA_PLL and STA_NANO");
        assert!(!verdict(libc::TIME_ERROR, 0) && !verdict(0, libc::STA_UNSYNC));
    }

    #[test]
    fn clocks_that_are_devices_are_slow() {
        let slow = |name: &str| Clock { source: Some(name.into()), synchronised: None }.slow();
        assert!(["hpet", "acpi_pm", "jiffies"].into_iter().all(slow));
        assert!(!["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"].into_iter().any(slow));
        assert!(!Clock::default().slow());
    }

    #[test]
    fn this_kernel_names_what_it_counts_with() {
        let file = std::fs::read_to_string(SOURCE).ok();
        assert_eq!(read().source.as_deref(), file.as_deref().map(str::trim));
    }
}

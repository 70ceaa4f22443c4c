//! The machine that a figure was measured on: without it, a figure says nothing.

use std::fmt;
use std::fs;

use serde::Serialize;

/// Machine, kernel and build of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Model of the CPU, as the kernel names it.
    pub cpu: String,
    /// CPUs that are online.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Whether this program was built with optimisation; figures of one that was not say little.
    pub optimised: bool,
}

impl Host {
    /// This host. What it does not tell is "unknown".
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: cpu_model(&cpuinfo).unwrap_or("unknown CPU").to_owned(),
            cores: processors(&cpuinfo),
            kernel: Some(kernel.trim()).filter(|text| !text.is_empty()).unwrap_or("unknown").to_owned(),
            optimised: cfg!(not(debug_assertions)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        write!(f, "{}, {} {cores}, Linux {}", self.cpu, self.cores, self.kernel)?;
        if !self.optimised {
            f.write_str("; built WITHOUT optimisation: these figures say little")?;
        }
        Ok(())
    }
}

/// The first model that /proc/cpuinfo names: x86 says "model name", some others "Model" or "cpu model".
fn cpu_model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().filter_map(|line| line.split_once(':')).find_map(|(key, value)| {
        let named = ["model name", "cpu model", "Model"].contains(&key.trim_end());
        (named && !value.trim().is_empty()).then(|| value.trim())
    })
}

/// CPUs that are online: /proc/cpuinfo lists them all, also those that this process may not use.
fn processors(cpuinfo: &str) -> usize {
    let listed = cpuinfo.lines().filter(|line| line.split(':').next().is_some_and(|key| key.trim_end() == "processor"));
    match listed.count() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "processor\t: 0\nmodel\t\t: 143\nmodel name\t: Some CPU @ 2.00GHz\nflags\t: a b\n\n\
                       processor\t: 1\nmodel name\t: Some CPU @ 2.00GHz\n";

    #[test]
    fn the_cpu_is_read_from_what_the_kernel_says() {
        assert_eq!((cpu_model(TWO), processors(TWO)), (Some("Some CPU @ 2.00GHz"), 2));
        assert_eq!(cpu_model("processor : 0\nCPU part : 0xd0c\n"), None);
        assert!(processors("") >= 1);
    }

    #[test]
    fn this_host_is_described() {
        let here = Host::here();
        assert!(here.cores >= 1 && !here.cpu.is_empty());
        let line = here.to_string();
        assert!(line.contains(&format!("Linux {}", here.kernel)), "{line}");
        assert_eq!(line.contains("WITHOUT optimisation"), cfg!(debug_assertions), "{line}");
    }
}

//! What a process has used so far, as the kernel counts it.

use serde::Serialize;
use std::fs;

/// Ticks a second of the times in `/proc`: fixed by the kernel's interface on all platforms that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// User and system, of all threads.
    pub cpu_seconds: f64,
    /// The most that was resident at once (VmHWM).
    pub peak_bytes: u64,
}

impl Usage {
    /// `None` where there is no such process.
    pub(crate) fn of(pid: u32) -> Option<Usage> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        Usage::parse(&read("stat")?, &read("status")?)
    }

    fn parse(stat: &str, status: &str) -> Option<Usage> {
        // The name in parentheses may hold anything; fields 14 and 15 are the 12th and 13th behind it.
        let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<f64>);
        let ticks = times.next()?.ok()? + times.next()?.ok()?;
        Some(Usage { cpu_seconds: ticks / TICKS_PER_SECOND, peak_bytes: bytes(status, "VmHWM:")? })
    }
}

/// Seconds for which the CPUs worked since the machine started, those that a hypervisor gave away included.
pub(crate) fn machine_cpu_seconds() -> Option<f64> {
    machine(&fs::read_to_string("/proc/stat").ok()?)
}

/// All but the idle times, which are the 4th and the 5th; those of guests, behind the 8th, are in the others.
fn machine(stat: &str) -> Option<f64> {
    let times = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let times = times.map(str::parse::<f64>).collect::<Result<Vec<_>, _>>().ok()?;
    let busy = times.iter().enumerate().filter(|(at, _)| !(3..=4).contains(at)).map(|(_, ticks)| ticks);
    Some(busy.sum::<f64>() / TICKS_PER_SECOND)
}

/// What is resident now; `None` where there is no such process.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    bytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// From now on, the peak is that of what comes. Gives what is resident; `None` where the kernel does not let us.
pub(crate) fn reset_peak(pid: u32) -> Option<u64> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok()?;
    resident_bytes(pid)
}

/// The most that was resident at once; `None` where there is no such process.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    bytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

fn bytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files() {
        let stat = "77 (a b) c) S 1 77 77 0 -1 4194560 900 0 0 0 150 25 0 0 20 0 9 0 100 1 1";
        let usage = Usage::parse(stat, "Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\n");
        assert_eq!(usage, Some(Usage { cpu_seconds: 1.75, peak_bytes: 2 << 20 }));
        assert!(Usage::of(std::process::id()).is_some());
        assert_eq!(machine("cpu  100 20 30 9999 8888 5 6 39 100 100\ncpu0 1 1\n"), Some(2.0));
        assert!(machine_cpu_seconds().is_some() && machine("cpu a\n").is_none());
        assert_eq!(Usage::of(u32::MAX), None);
    }
}

//! The `process_…` metrics that every exporter has, from `/proc/self`, read when they are asked for.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fs;

/// Ticks a second of the times in `/proc`: fixed by the kernel's interface on all platforms that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) started_ms: i64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let help = "When the process started, in seconds since 1970";
        gauge("process_start_time_seconds", help, Some(self.started_ms as f64 / 1_000.0))?;
        gauge("process_resident_memory_bytes", "Resident memory", status_bytes("VmRSS:"))?;
        gauge("process_virtual_memory_bytes", "Virtual memory", status_bytes("VmSize:"))?;
        gauge("process_open_fds", "Open file descriptors", open_fds())?;
        gauge("process_max_fds", "File descriptors that may be open", max_fds())?;
        let Some(seconds) = cpu_seconds() else { return Ok(()) };
        let cpu = ConstCounter::new(seconds);
        let help = "Time that all cores spent on the process";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)
    }
}

/// A figure of the kernel's about this process, such as `VmRSS:`, in bytes.
pub fn status_bytes(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_fds() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; fields 14 and 15 are the 12th and 13th behind it.
    let rest = stat.rsplit_once(')')?.1;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_found_here() {
        assert!(status_bytes("VmRSS:").is_some_and(|bytes| bytes > 1e5));
        assert!(open_fds().is_some_and(|n| n >= 1.0));
        assert!(max_fds().is_some_and(|n| n >= 1.0));
        assert!(cpu_seconds().is_some());
    }
}

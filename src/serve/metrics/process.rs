//! Metrics of the process from /proc/self: memory, descriptors, processor time.

use prometheus::{Counter, IntGauge};

use super::declare::{Declare, whole};
use crate::mail::Timestamp;

/// Clock ticks of /proc/self/stat: USER_HZ, 100 in the ABI of every Linux that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What /proc/self tells, under the names that every Prometheus client uses.
pub struct Process {
    cpu: Counter,
    resident: IntGauge,
    virtual_size: IntGauge,
    threads: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
}

impl Process {
    /// Registers the metrics.
    pub fn declare(d: &Declare) -> Self {
        let start = d.real("process_start_time_seconds", "When the process started.");
        start.set(Timestamp::now().millis() as f64 / 1000.0);
        Self {
            cpu: d.real_counter("process_cpu_seconds_total", "Processor time used."),
            resident: d.gauge("process_resident_memory_bytes", "Resident memory."),
            virtual_size: d.gauge("process_virtual_memory_bytes", "Virtual memory."),
            threads: d.gauge("process_threads", "Threads."),
            open_fds: d.gauge("process_open_fds", "Open file descriptors."),
            max_fds: d.gauge("process_max_fds", "Most file descriptors that may be open."),
        }
    }

    /// Reads /proc/self; what cannot be read keeps its value.
    pub fn read(&self) {
        let file = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
        let status = file("/proc/self/status");
        let field = |name: &str| -> Option<i64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        if let Some(kib) = field("VmRSS:") {
            self.resident.set(kib * 1024);
        }
        if let Some(kib) = field("VmSize:") {
            self.virtual_size.set(kib * 1024);
        }
        if let Some(threads) = field("Threads:") {
            self.threads.set(threads);
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the descriptor that reads the directory.
            self.open_fds.set(whole(entries.count().saturating_sub(1) as u64));
        }
        let limits = file("/proc/self/limits");
        let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        if let Some(max) = open_files.and_then(|l| l.split_whitespace().next()?.parse().ok()) {
            self.max_fds.set(max);
        }
        // The name in parentheses may hold spaces; fields count from after it.
        let stat = file("/proc/self/stat");
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: f64 = fields.split(' ').skip(11).take(2).flat_map(str::parse::<f64>).sum();
        let used = ticks / TICKS_PER_SECOND - self.cpu.get();
        if used > 0.0 {
            self.cpu.inc_by(used);
        }
    }
}

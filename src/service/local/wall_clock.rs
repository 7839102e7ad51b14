//! The time that the service goes by: [`Clock`] with the machine's clocks, and what the run before
//! knew of them.
//!
//! `data_dir/clock` says once a minute which moment it was, in which boot of the machine, and how
//! long that had been up: after a restart of the service the machine itself has counted the time
//! in between. After a reboot, or without that file, the last moment that was written down is all
//! that is known; see [`Clock::start`].

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::ledger::journal::Disk;
use crate::ledger::lock::lock;
use crate::ledger::small_file;
use crate::mail::Timestamp;
use crate::policy::{Clock, Expected};
use crate::verp::Moment;

/// How often the moment is written down.
const BEAT: Duration = Duration::from_secs(60);

/// Where, in the data directory.
const FILE: &str = "clock";

/// Why a start would not believe the wall clock; None when it would, or when nothing was ever written down.
pub fn clock_doubt(data_dir: &Path) -> Option<String> {
    let written = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
    let expected = expected(None, Beat::parse(&written).as_ref(), Uptime::read().as_ref());
    Clock::start(Timestamp::now(), Duration::ZERO, expected).trouble()
}

pub(super) struct Time {
    clock: Mutex<Clock>,
    started: Instant,
    disk: Arc<dyn Disk>,
    beat: Mutex<Option<Instant>>,
}

impl Time {
    /// Starts; `last` is the moment of the newest record, the disk has what the run before wrote.
    pub(super) fn start(last: Option<Timestamp>, disk: Arc<dyn Disk>) -> Self {
        let written = read(disk.as_ref());
        let expected = expected(last, written.as_ref(), Uptime::read().as_ref());
        let clock = Clock::start(Timestamp::now(), Duration::ZERO, expected);
        if let Some(trouble) = clock.trouble() {
            tracing::warn!("{trouble}");
        }
        Self { clock: Mutex::new(clock), started: Instant::now(), disk, beat: Mutex::default() }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.clock)
    }

    /// The time that expiry counts by and records bear.
    pub(super) fn now(&self) -> Timestamp {
        self.clock().now(Timestamp::now(), self.started.elapsed())
    }

    /// The moment that return paths are checked at. Whoever minted one goes by a clock of their
    /// own, so while ours is in doubt either time will do.
    pub(super) fn moment(&self) -> Moment {
        Moment::between(self.now(), Timestamp::now())
    }

    /// Why the wall clock is not believed; None when it is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.now();
        self.clock().trouble()
    }

    /// An operator says that the wall clock is right.
    pub(super) fn accept(&self) -> Timestamp {
        self.clock().agree();
        self.now()
    }

    /// Writes the moment down when a minute has passed.
    pub(super) fn beat(&self) {
        let mut last = lock(&self.beat);
        if last.is_none_or(|last| last.elapsed() >= BEAT) {
            *last = Some(Instant::now());
            self.write_down();
        }
    }

    /// Writes the moment down. Losing it costs a little knowledge at the next start, no more.
    pub(super) fn write_down(&self) {
        let Some(uptime) = Uptime::read() else { return };
        let line = format!("{} {} {}\n", self.now(), uptime.boot, uptime.lasted.as_secs());
        if let Err(error) = small_file::replace(self.disk.as_ref(), FILE, &line) {
            tracing::debug!(%error, "the moment cannot be written down");
        }
    }
}

/// Which boot of the machine this is, and how long ago it was.
struct Uptime {
    boot: String,
    lasted: Duration,
}

impl Uptime {
    /// As proc(5) says; None where there is no such thing.
    fn read() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let lasted = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = lasted.split_whitespace().next()?.parse().ok()?;
        Some(Self {
            boot: boot.trim().to_string(),
            lasted: Duration::try_from_secs_f64(seconds).ok()?,
        })
    }
}

/// The line that was written down.
struct Beat {
    at: Timestamp,
    /// The boot of the machine, and how long that had been up; older releases wrote none.
    uptime: Option<Uptime>,
}

impl Beat {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let at = Timestamp::parse_rfc3339(words.next()?)?;
        let boot = words.next().map(str::to_string);
        let lasted = words.next().and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let uptime = boot.zip(lasted).map(|(boot, lasted)| Uptime { boot, lasted });
        Some(Self { at, uptime })
    }
}

/// What was written down; a file that cannot be read is said.
fn read(disk: &dyn Disk) -> Option<Beat> {
    const INSTEAD: &str = "the time of the newest record is used in its place";
    match small_file::read(disk, FILE) {
        Ok(None) => None,
        Ok(Some(line)) => {
            let beat = Beat::parse(&line);
            if beat.is_none() {
                tracing::warn!(file = FILE, "this is not what was written there; {INSTEAD}");
            }
            beat
        }
        Err(error) => {
            tracing::warn!(file = FILE, %error, "it cannot be read; {INSTEAD}");
            None
        }
    }
}

/// What the wall clock should say now, by the newest record and the line that was written down.
fn expected(
    last: Option<Timestamp>,
    written: Option<&Beat>,
    uptime: Option<&Uptime>,
) -> Option<Expected> {
    if let (Some(beat), Some(uptime)) = (written, uptime)
        && let Some(then) = beat.uptime.as_ref().filter(|then| then.boot == uptime.boot)
    {
        let passed = uptime.lasted.saturating_sub(then.lasted);
        let passed = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        return Some(Expected { at: beat.at.plus_millis(passed), measured: true });
    }
    Some(Expected { at: last.max(written.map(|beat| beat.at))?, measured: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_counts_while_we_are_away() {
        let at = |text| Timestamp::parse_rfc3339(text).expect("a moment");
        let uptime = Uptime { boot: "b1".to_string(), lasted: Duration::from_secs(90_000) };
        let record = Some(at("2026-11-20T10:00:00Z"));
        for (last, written, expected_at, measured) in [
            // A day and an hour, by the machine.
            (record, Some("2026-11-21T09:00:00Z b1 0\n"), "2026-11-22T10:00:00Z", true),
            (None, Some("2026-11-21T09:00:00Z b1 86400\n"), "2026-11-21T10:00:00Z", true),
            // Another boot, an older release, half a line, nothing.
            (record, Some("2026-11-21T09:00:00Z b0 0\n"), "2026-11-21T09:00:00Z", false),
            (record, Some("2026-11-19T09:00:00Z b0 0\n"), "2026-11-20T10:00:00Z", false),
            (record, Some("2026-11-21T09:00:00Z b1"), "2026-11-21T09:00:00Z", false),
            (record, Some("\0\0\0"), "2026-11-20T10:00:00Z", false),
            (record, None, "2026-11-20T10:00:00Z", false),
        ] {
            let wanted = Expected { at: at(expected_at), measured };
            let beat = written.and_then(Beat::parse);
            assert_eq!(expected(last, beat.as_ref(), Some(&uptime)), Some(wanted), "{written:?}");
        }
        assert_eq!(expected(None, None, Some(&uptime)), None);
        assert!(Beat::parse("").is_none() && Beat::parse("yesterday b1 0").is_none());
    }
}

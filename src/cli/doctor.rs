//! `bounced doctor`: what an experienced operator would look at, each finding with its remedy.
//!
//! Promises: nothing is changed but one scratch file in the data directory, which is removed; it
//! may run while the service runs. What a sender would find, from DNS to the certificate, is in
//! `probe`.

mod clock;
mod keys;
mod limits;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::args::DoctorArgs;
use super::console::{Console, ExitAnswer};
use super::print;
use super::program::Program;
use super::reach::running;
use super::remote::Remote;
use crate::cli::probe::{self, Finding, Grade, ProbeOptions, finding, name_servers};
use crate::config::preflight;
use crate::config::{Config, Listen, LoadedConfig, print_size, reason};
use crate::ledger::journal::inspect;
use crate::ledger::private::open_to_others;
use crate::ledger::store::lost_records;
use crate::mail::Timestamp;
use crate::service::local::damaged_note;

/// Commits that are timed.
const SYNCS: u32 = 20;
/// A slower commit than this holds every sender up.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// For all that is asked of the network.
const NETWORK: Duration = Duration::from_secs(10);
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// File systems that lose data, or lock badly: tmpfs, ramfs, nfs, overlay (statfs(2)).
const DOUBTFUL: [(u64, &str, &str); 4] = [
    (0x0102_1994, "tmpfs", "it is empty after a restart of the machine"),
    (0x8584_58f6, "ramfs", "it is empty after a restart of the machine"),
    (0x6969, "nfs", "fdatasync and locks are not what they are on a local disk"),
    (0x794c_7630, "overlay", "a container's own layer goes with the container: mount a volume"),
];

pub(super) fn run(
    args: &DoctorArgs,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let mut findings = vec![source(loaded)];
    findings.extend(loaded.notes.iter().map(|note| finding(Grade::Warn, "config", note)));
    findings.push(checked("preflight", preflight::check(&loaded.config, &loaded.origin)));
    findings.push(checked("rules", program.check(loaded)));
    findings.extend(service(&loaded.config));
    findings.extend(lost(&loaded.config.data_dir));
    findings.push(journal_of(&loaded.config.data_dir));
    findings.extend(erasure(&loaded.config.data_dir));
    findings.push(checked("keys", program.check_keys(loaded)));
    findings.extend(disk(&loaded.config));
    findings.extend(privacy(&loaded.config.data_dir));
    findings.push(limits::open_files(&loaded.config));
    findings.extend(clock::look(&loaded.config.data_dir));
    findings.extend(keys::ages(&loaded.config, console.now));
    if !args.offline {
        findings.extend(probe::look(&outside(&loaded.config, args, console.now)));
    }
    for Finding { grade, name, words } in &findings {
        let grade = match grade {
            Grade::Ok => "OK",
            Grade::Warn => "WARN",
            Grade::Fail => "FAIL",
        };
        let words = print::visible(words);
        if args.json {
            let line = serde_json::json!({"grade": grade, "name": name, "finding": words});
            writeln!(console.out, "{line}")?;
        } else {
            writeln!(console.out, "{grade:5}{name:11}{words}")?;
        }
    }
    let failed = findings.iter().any(|finding| finding.grade == Grade::Fail);
    Ok(if failed { ExitAnswer::Failed } else { ExitAnswer::Yes })
}

fn source(loaded: &LoadedConfig) -> Finding {
    match loaded.origin.file() {
        Some(file) => finding(Grade::Ok, "config", format!("read {}", file.display())),
        None => finding(Grade::Ok, "config", "no file, embedded defaults"),
    }
}

fn checked<E: std::fmt::Display>(name: &'static str, result: Result<(), E>) -> Finding {
    match result {
        Ok(()) => finding(Grade::Ok, name, "nothing is wrong"),
        Err(problem) => finding(Grade::Fail, name, format!("{problem:#}")),
    }
}

fn service(config: &Config) -> Vec<Finding> {
    let one = |grade, words: String| vec![finding(grade, "service", words)];
    match running(&config.http.listen) {
        Ok(None) => one(Grade::Warn, "not running: start it with bounced serve".to_string()),
        Err(problem) => one(Grade::Fail, problem.to_string()),
        Ok(Some(address)) => match Remote::new(address).readyz() {
            Ok((true, words)) => {
                let mut findings = one(Grade::Ok, format!("ready on {address}"));
                let degraded = words.lines().filter(|line| line.contains(": DEGRADED: "));
                findings.extend(degraded.map(|line| finding(Grade::Warn, "data", line)));
                let clock = words.lines().find_map(|line| line.strip_prefix("clock: ok: "));
                let doubt = clock.filter(|words| *words != "believed");
                findings.extend(doubt.map(|words| finding(Grade::Warn, "clock", words)));
                findings
            }
            Ok((false, words)) => {
                let words: Vec<&str> = words.trim().lines().map(str::trim).collect();
                one(Grade::Fail, format!("not ready: {}", words.join("; ")))
            }
            Err(problem) => one(Grade::Fail, problem.to_string()),
        },
    }
}

/// What is lost for good, whether or not the service runs.
fn lost(data_dir: &Path) -> Vec<Finding> {
    match lost_records(data_dir) {
        Ok(troubles) => {
            troubles.into_iter().map(|lost| finding(Grade::Fail, "lost", lost.text)).collect()
        }
        Err(error) => vec![finding(Grade::Fail, "lost", reason(&error))],
    }
}

/// What is wrong with the journal, whether or not the service runs.
fn journal_of(data_dir: &Path) -> Finding {
    match inspect(data_dir) {
        Err(error) => finding(Grade::Fail, "journal", reason(&error)),
        Ok(troubles) if troubles.is_empty() => {
            finding(Grade::Ok, "journal", "every record can be read")
        }
        Ok(troubles) => {
            let texts: Vec<String> = troubles.iter().map(ToString::to_string).collect();
            finding(Grade::Warn, "journal", texts.join("; "))
        }
    }
}

/// The note of an erasure that cannot be obeyed. A service that runs says it itself.
fn erasure(data_dir: &Path) -> Option<Finding> {
    Some(finding(Grade::Warn, "erasure", damaged_note(data_dir)?.text))
}

/// Whether others may read what is stored.
fn privacy(data_dir: &Path) -> Option<Finding> {
    let open = open_to_others(data_dir).ok()?;
    Some(match open.first() {
        None => finding(Grade::Ok, "privacy", "only this user may read the data directory"),
        Some(first) => finding(
            Grade::Warn,
            "privacy",
            format!(
                "others may read {} (and {} more): chmod -R go= {}, or start bounced, which does it",
                first.display(),
                open.len() - 1,
                data_dir.display()
            ),
        ),
    })
}

/// Space, kind of file system, and how long a commit waits.
fn disk(config: &Config) -> Vec<Finding> {
    let place = existing(&config.data_dir);
    let mut findings = Vec::new();
    match rustix::fs::statvfs(&place) {
        Err(e) => findings.push(finding(
            Grade::Fail,
            "disk",
            format!("{}: {}", place.display(), reason(&e.into())),
        )),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let least = config.store.min_free;
            let words = format!(
                "{} free at {}, mail is refused below {}",
                print_size(free >> 20 << 20),
                place.display(),
                print_size(least)
            );
            let grade = match free {
                free if free < least => Grade::Fail,
                free if free < least.saturating_mul(10) => Grade::Warn,
                _ => Grade::Ok,
            };
            findings.push(finding(grade, "disk", words));
        }
    }
    if let Ok(stat) = rustix::fs::statfs(&place) {
        // The magic number is 32 bits wide, its type differs between platforms.
        let magic = stat.f_type as u64 & 0xffff_ffff;
        if let Some((_, name, why)) = DOUBTFUL.iter().find(|(known, _, _)| *known == magic) {
            let words = format!("{} is on {name}: {why}", place.display());
            findings.push(finding(Grade::Warn, "disk", words));
        }
    }
    findings.push(match slowest_sync(&place) {
        Ok(slowest) if slowest > SLOW_SYNC => finding(
            Grade::Warn,
            "disk",
            format!(
                "the slowest of {SYNCS} commits took {slowest:.1?}: every sender waits so long"
            ),
        ),
        Ok(slowest) => {
            finding(Grade::Ok, "disk", format!("the slowest of {SYNCS} commits took {slowest:.1?}"))
        }
        Err(e) => finding(
            Grade::Fail,
            "disk",
            format!("nothing can be written to {} ({})", place.display(), reason(&e)),
        ),
    });
    findings
}

/// The folder itself, or the one that it will be made in.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|place| !place.as_os_str().is_empty() && place.is_dir())
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn slowest_sync(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".bounced-doctor-{}", std::process::id()));
    // `create_new`: a file that was there before is somebody else's and stays.
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let mut timed = || -> io::Result<Duration> {
        let mut slowest = Duration::ZERO;
        for _ in 0..SYNCS {
            let start = Instant::now();
            file.write_all(&[0; 8192])?;
            file.sync_data()?;
            slowest = slowest.max(start.elapsed());
        }
        Ok(slowest)
    };
    let slowest = timed();
    std::fs::remove_file(&path)?;
    slowest
}

/// What senders find.
fn outside(config: &Config, args: &DoctorArgs, now: Timestamp) -> ProbeOptions {
    let resolvers = match args.resolver {
        Some(server) => vec![server],
        // resolv.conf(5): without it, the name server of this machine.
        None => name_servers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()),
    };
    ProbeOptions {
        hostname: config.hostname.clone(),
        domains: config.smtp.domains.clone(),
        public: !config.smtp.listen.iter().all(Listen::is_local),
        resolvers,
        smtp_port: 25,
        https_port: 443,
        authorities: None,
        now,
        time: NETWORK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_is_found() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        for (path, expected) in [
            (dir.path().join("a/b"), dir.path().to_path_buf()),
            (dir.path().to_path_buf(), dir.path().to_path_buf()),
            (PathBuf::from("no-such-folder-here/b"), PathBuf::from(".")),
        ] {
            assert_eq!(existing(&path), expected);
        }
    }

    #[test]
    fn timing_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        assert!(slowest_sync(dir.path()).is_ok());
        let left = std::fs::read_dir(dir.path()).expect("scratch is readable").count();
        assert_eq!(left, 0);
        assert!(slowest_sync(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn too_little_space_fails() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let mut config = Config { data_dir: dir.path().to_path_buf(), ..Config::default() };
        config.store.min_free = u64::MAX;
        let findings = disk(&config);
        assert!(
            findings.iter().any(|f| f.grade == Grade::Fail && f.words.contains("refused below"))
        );
    }
}

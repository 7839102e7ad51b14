//! How many files the service may open: of the process that runs, else of this one.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::cli::probe::{Finding, Grade, finding};
use crate::config::Config;
use crate::ledger::journal::DirLock;

/// For the journal, the store, and the connections of HTTP and lookups.
const RESERVE: u64 = 1024 + 2064 + 10_000;

pub(super) fn open_files(config: &Config) -> Finding {
    let (whose, limit) = match DirLock::holder(&config.data_dir).and_then(of_process) {
        Some((process, limit)) => (format!("the service (process {process})"), limit),
        // A unit of systemd or a container gives the service another one.
        None => {
            let whose = "whoever starts the service as this command was started";
            (whose.to_string(), getrlimit(Resource::Nofile).maximum)
        }
    };
    judge(&whose, limit, config.smtp.max_connections as u64)
}

/// A process and its limit; the inner None: no limit.
fn of_process(process: u32) -> Option<(u32, Option<u64>)> {
    let path = Path::new("/proc").join(process.to_string()).join("limits");
    Some((process, soft_limit(&std::fs::read_to_string(path).ok()?)?))
}

/// Of proc(5). The service has raised its own as far as it wants and may.
fn soft_limit(limits: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files "))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn judge(whose: &str, limit: Option<u64>, connections: u64) -> Finding {
    let needed = connections + RESERVE;
    match limit {
        Some(limit) if limit < needed => finding(
            Grade::Warn,
            "limits",
            format!(
                "{whose} may open {limit} files for {connections} connections of SMTP, and those of HTTP \
                 and lookups: write LimitNOFILE={needed} into the unit, or each port gets a part of what \
                 it wants"
            ),
        ),
        Some(limit) => finding(Grade::Ok, "limits", format!("{whose} may open {limit} files")),
        None => finding(Grade::Ok, "limits", format!("{whose} may open any number of files")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_process() {
        let head =
            "Limit                     Soft Limit           Hard Limit           Units     \n";
        for (line, expected) in [
            (
                "Max open files            33088                524288               files     ",
                Some(Some(33_088)),
            ),
            (
                "Max open files            unlimited            unlimited            files     ",
                Some(None),
            ),
            ("Max open files            ", None),
            (
                "Max processes             96365                96365                processes ",
                None,
            ),
        ] {
            assert_eq!(soft_limit(&format!("{head}{line}\n")), expected, "{line}");
        }
        assert!(of_process(std::process::id()).is_some(), "proc(5) is as expected");
        assert_eq!(of_process(u32::MAX), None);
    }

    #[test]
    fn what_is_enough() {
        for (limit, grade) in
            [(Some(33_087), Grade::Warn), (Some(33_088), Grade::Ok), (None, Grade::Ok)]
        {
            assert_eq!(judge("the service", limit, 20_000).grade, grade, "{limit:?}");
        }
    }
}

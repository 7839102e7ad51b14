//! Whether the clock of this machine can be believed: terms of suppressions and signed return paths
//! go by it.
//!
//! Who keeps it right is asked with a program of its own: `timedatectl` says what the kernel knows,
//! whatever time service told it; `chronyc` is there where systemd is not. Promise: neither is waited
//! for longer than [`PATIENCE`].

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::probe::{Finding, Grade, finding};
use crate::service::local::clock_doubt;

/// For the answer of one program.
const PATIENCE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);

/// Programs that can tell, and how their answer is read.
type Teller = (&'static str, &'static [&'static str], fn(&str) -> Option<bool>);
const TELLERS: [Teller; 2] = [
    ("timedatectl", &["show", "--property=NTPSynchronized", "--value"], by_timedatectl),
    ("chronyc", &["-c", "tracking"], by_chronyc),
];

/// What a running service doubts, `readyz` says.
pub(super) fn look(data_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![synchronised(&TELLERS)];
    if !crate::ledger::journal::DirLock::is_taken(data_dir)
        && let Some(doubt) = clock_doubt(data_dir)
    {
        findings.push(finding(Grade::Warn, "clock", format!("a start would find: {doubt}")));
    }
    findings
}

fn synchronised(tellers: &[Teller]) -> Finding {
    let mut told = tellers.iter().filter_map(|(program, arguments, read)| {
        let said = answer(Command::new(program).args(*arguments))?;
        Some((*program, read(&said)?))
    });
    match told.next() {
        Some((program, true)) => finding(Grade::Ok, "clock", format!("synchronised ({program})")),
        Some((program, false)) => finding(
            Grade::Warn,
            "clock",
            format!(
                "no time service keeps it right ({program}), and terms and signed return paths go by it: \
                 start one, such as systemctl enable --now systemd-timesyncd, or chrony"
            ),
        ),
        None => finding(
            Grade::Warn,
            "clock",
            "nothing here can tell whether it is right (neither timedatectl nor chronyc answers): look at \
             date -u, in a container at the machine that runs it",
        ),
    }
}

/// The words of a program that ends well, and soon.
fn answer(command: &mut Command) -> Option<String> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let began = Instant::now();
    // They write a line, which fits into the pipe.
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(POLL);
    }
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn by_timedatectl(said: &str) -> Option<bool> {
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Its last field is the leap status, as chronyc(1), "tracking", has it.
fn by_chronyc(said: &str) -> Option<bool> {
    match said.trim().rsplit(',').next()? {
        "Normal" | "Insert second" | "Delete second" => Some(true),
        "Not synchronised" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_programs() {
        for (read, said, expected) in [
            (by_timedatectl as fn(&str) -> Option<bool>, "yes\n", Some(true)),
            (by_timedatectl, "no\n", Some(false)),
            (by_timedatectl, "", None),
            (
                by_chronyc,
                "A29FC87B,162.159.200.123,4,1795836245.1,0.00002,0.00001,0.0003,-12.3,0.01,0.2,0.01,0.001,64.6,Normal\n",
                Some(true),
            ),
            (
                by_chronyc,
                "00000000,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n",
                Some(false),
            ),
            (by_chronyc, "506 Cannot talk to daemon\n", None),
        ] {
            assert_eq!(read(said), expected, "{said}");
        }
    }

    #[test]
    fn the_first_that_can_tell_is_believed() {
        const MISSING: Teller = ("no-such-program-here", &[], by_timedatectl);
        const YES: Teller = ("echo", &["yes"], by_timedatectl);
        const NO: Teller = ("echo", &["no"], by_timedatectl);
        const OTHER: Teller = ("echo", &["what?"], by_timedatectl);
        const FAILS: Teller = ("sh", &["-c", "echo yes; exit 1"], by_timedatectl);
        const HANGS: Teller = ("sleep", &["60"], by_timedatectl);
        for (tellers, grade, part) in [
            (&[MISSING, YES][..], Grade::Ok, "synchronised (echo)"),
            (&[OTHER, FAILS, NO], Grade::Warn, "no time service keeps it right (echo)"),
            (&[HANGS], Grade::Warn, "nothing here can tell"),
            (&[MISSING], Grade::Warn, "nothing here can tell"),
        ] {
            let began = Instant::now();
            let found = synchronised(tellers);
            assert!(found.grade == grade && found.words.contains(part), "{found:?}");
            assert!(began.elapsed() < 3 * PATIENCE);
        }
    }
}

//! The command line: reads the words, asks the service, prints the answer, gives the exit code.
//!
//! Promises: standard output is the answer and nothing else, standard error is for people; exit 0
//! is yes or done, 1 no or not found, 2 failed; a reader that closes our output early (`| head`)
//! is not a failure; text of strangers never steers a terminal.
//!
//! It does not know rules, policy, storage or sockets: [`Program`] is the rest of the program as
//! seen from here, and `main.rs` hands it in.

pub mod args;
mod backup;
mod bulk;
mod canary;
pub mod classify;
mod console;
mod doctor;
mod engine;
mod explain;
#[cfg(test)]
mod fake;
mod guards;
mod ingest;
mod list;
pub mod mailbox;
pub mod print;
pub mod probe;
mod program;
pub mod reach;
mod records;
mod remote;
mod replay;
mod table_proc;
mod verify;
mod webhooks;

use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::{CommandFactory, Parser};

use crate::config::preflight;
use crate::config::{Config, ConfigError, LoadedConfig};
use crate::mail::{Address, Timestamp};
use crate::service::Operations;
use args::{Cli, CliCommand};
use classify::Style;
use console::Console;
pub use console::ExitAnswer;
use print::Paint;
pub use program::{Compared, Judge, Program, Proof};

/// Reads the command line and does what it says; gives the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>, program: &dyn Program) -> u8 {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut plain;
    let mut buffered;
    let out: &mut dyn Write = if terminal {
        plain = stdout.lock();
        &mut plain
    } else {
        buffered = BufWriter::with_capacity(64 << 10, stdout.lock());
        &mut buffered
    };
    let mut err = io::stderr();
    let mut console =
        Console { out, err: &mut err, paint: Paint::for_stdout(), now: Timestamp::now() };
    let result = answer(args, program, &mut console);
    let result = result.and_then(|answer| {
        console.out.flush()?;
        Ok(answer)
    });
    match result {
        Ok(answer) => answer.code(),
        Err(error) => complain(&error, &mut console),
    }
}

fn complain(error: &anyhow::Error, console: &mut Console<'_>) -> u8 {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(|e| e.io_error_kind());
        kind.or(json) == Some(ErrorKind::BrokenPipe)
    };
    // The reader has all that it wanted.
    if error.chain().any(closed) {
        return ExitAnswer::Yes.code();
    }
    match error.downcast_ref::<ConfigError>() {
        // It begins with file and line; editors jump there.
        Some(error) => {
            let _ = writeln!(console.err, "{error}");
        }
        None => console.say(&format!("{error:#}")),
    }
    ExitAnswer::Failed.code()
}

fn answer(
    args: impl IntoIterator<Item = OsString>,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(help) if !help.use_stderr() => {
            write!(console.out, "{help}")?;
            return Ok(ExitAnswer::Yes);
        }
        Err(wrong) => {
            let _ = write!(console.err, "{wrong}");
            return Ok(ExitAnswer::Failed);
        }
    };
    // These need no configuration, and a broken one must not keep them from working.
    match &cli.command {
        CliCommand::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "bounced", &mut text);
            console.out.write_all(&text)?;
            return Ok(ExitAnswer::Yes);
        }
        CliCommand::Man => {
            manual(console.out)?;
            return Ok(ExitAnswer::Yes);
        }
        CliCommand::CheckConfig => return check_config(cli.config.as_deref(), program, console),
        _ => {}
    }
    let loaded = Config::load(cli.config.as_deref())?;
    match cli.command {
        CliCommand::Serve => {
            preflight::check(&loaded.config, &loaded.origin)?;
            program.check(&loaded)?;
            program.serve(loaded)?;
            Ok(ExitAnswer::Yes)
        }
        CliCommand::Classify(args) => {
            let analyse = program.analyser(&loaded)?;
            let style = if args.json { Style::Json } else { Style::Human(console.paint) };
            let to = args.to.as_deref();
            let mut stdin = io::stdin().lock();
            let unread = classify::classify_paths(
                &args.paths,
                to,
                style,
                &*analyse,
                &mut stdin,
                console.out,
            )?;
            Ok(if unread == 0 { ExitAnswer::Yes } else { ExitAnswer::Failed })
        }
        CliCommand::TableProc(args) => {
            let mut stdin = io::stdin().lock();
            table_proc::run(&args, &loaded.config.lookup, &mut stdin, console)
        }
        CliCommand::Verp(args) => verp(&args, &loaded, program, console),
        CliCommand::Rules(args::RulesCommand::Check { dir }) => {
            let configured = loaded.config.rules_dir.as_deref();
            // The default folder may be missing, as for `serve`; one that somebody named may not.
            let there = |dir: &&Path| loaded.origin.writes("rules.dir") || dir.is_dir();
            let dir = match (dir.as_deref(), configured) {
                (Some(named), _) => Some(named),
                (None, Some(default)) if !there(&default) => {
                    let shown = default.display();
                    console
                        .say(&format!("there is no {shown}: only the shipped rules are checked"));
                    None
                }
                (None, configured) => configured,
            };
            match program.check_rules(dir)? {
                Ok(what) => writeln!(console.out, "ok: {what}")?,
                Err(problems) => {
                    problems.iter().try_for_each(|problem| writeln!(console.out, "{problem}"))?;
                    return Ok(ExitAnswer::Failed);
                }
            }
            Ok(ExitAnswer::Yes)
        }
        CliCommand::Backup(args) => backup::backup(&args, &loaded, program, console),
        CliCommand::Restore(args) => {
            let mut stdin = io::stdin().lock();
            backup::restore(&args, &loaded.config.data_dir, &mut stdin, console)
        }
        CliCommand::Engine(command) => engine::run(&command, &loaded, program, console),
        CliCommand::Verify(args) => verify::run(&args, &loaded, program, console),
        CliCommand::Canary(args) => canary::run(&args, &loaded, program, console),
        CliCommand::Doctor(args) => doctor::run(&args, &loaded, program, console),
        CliCommand::Webhooks(args) => webhooks::run(&args, &loaded, console),
        CliCommand::Readyz => ingest::readyz(&loaded, console),
        CliCommand::Import(args) => import(&args, &loaded, program, console),
        command => ask(command, &loaded, program, console),
    }
}

/// What it reads is opened first, before a list is made for it, and once: it may be a pipe.
fn import(
    args: &args::ImportArgs,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let mut input = bulk::input(&args.path)?;
    if args.dry_run
        && let Some(empty) = reach::EmptyList::instead(loaded, program)?
    {
        return bulk::import(args, &mut *input, &*empty.service, console);
    }
    let service = list_to_ask(loaded, program, true, console)?;
    bulk::import(args, &mut *input, &*service, console)
}

/// The service or the list, and a word when it is a new one.
fn list_to_ask(
    loaded: &LoadedConfig,
    program: &dyn Program,
    makes: bool,
    console: &mut Console<'_>,
) -> Result<Box<dyn Operations>> {
    let data_dir = &loaded.config.data_dir;
    let was_there = data_dir.is_dir();
    let service = reach::reach(loaded, program, makes)?;
    if !was_there && data_dir.is_dir() {
        console.say(&format!("there was no list in {}: a new one is made", data_dir.display()));
    }
    Ok(service)
}

/// The commands that need the list: the service answers, or the ledger when none runs.
fn ask(
    command: CliCommand,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let makes =
        matches!(command, CliCommand::Suppress(_) | CliCommand::Release(_) | CliCommand::Ingest(_));
    let service = list_to_ask(loaded, program, makes, console)?;
    let service = &*service;
    match command {
        CliCommand::Lookup(args) => list::lookup(&args, service, console),
        CliCommand::Explain(args) => list::explain(&args, service, console),
        CliCommand::Suppress(args) => list::suppress(&args, service, console),
        CliCommand::Release(args) => list::release(&args, service, console),
        CliCommand::List(args) => list::list(&args, service, console),
        CliCommand::Export(args) => bulk::export(&args, service, console),
        CliCommand::Ingest(args) => ingest::ingest(&args, service, console),
        CliCommand::Unknown(args) => records::unknown(&args, service, console),
        CliCommand::Events(args) => records::print_events(&args, service, console),
        CliCommand::Replay(args) => {
            if args.shadow {
                return replay::shadow(args.json, service, console);
            }
            // A policy alone is tried on the verdicts as they are.
            let judge = match (&args.rules, &args.policy) {
                (None, Some(_)) => None,
                (dir, _) => Some(program.judge(loaded, dir.as_deref())?),
            };
            let policy = args.policy.as_deref().map(|file| program.policy(loaded, Some(file)));
            let wanted = replay::Wanted {
                judge: judge.as_deref(),
                policy: policy.transpose()?,
                present: program.policy(loaded, None)?,
            };
            replay::replay(&args, wanted, service, console)
        }
        CliCommand::Undo(args) => records::undo(args, service, console),
        CliCommand::Erase(args) => records::erase(args, service, console),
        CliCommand::Guards(args) => guards::guards(args, service, console),
        CliCommand::AcceptClock => guards::accept_clock(service, console),
        other => Err(anyhow!("the command {other:?} does not ask the list")),
    }
}

/// `ok`, or what is wrong; both are the answer and go to standard output.
fn check_config(
    named: Option<&Path>,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let checked = Config::load(named).and_then(|loaded| {
        preflight::check(&loaded.config, &loaded.origin)?;
        Ok(loaded)
    });
    let problem = match checked {
        Ok(loaded) => {
            for note in &loaded.notes {
                console.say(&format!("note: {note}"));
            }
            let checked = program.check(&loaded).and_then(|()| program.check_keys(&loaded));
            checked.err().map(|problem| format!("{problem:#}"))
        }
        Err(problem) => Some(problem.to_string()),
    };
    match problem {
        None => {
            writeln!(console.out, "ok")?;
            Ok(ExitAnswer::Yes)
        }
        Some(problem) => {
            writeln!(console.out, "{problem}")?;
            Ok(ExitAnswer::Failed)
        }
    }
}

fn verp(
    args: &args::VerpCommand,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    match args {
        args::VerpCommand::Sign { recipient, tag, domain } => {
            let parsed = Address::parse(recipient)
                .ok_or_else(|| anyhow!("\"{recipient}\" is no address, write user@example.com"))?;
            let (tag, domain) = (tag.as_deref(), domain.as_deref());
            let minted = program.sign(loaded, &parsed, tag, domain, console.now)?;
            writeln!(console.out, "{minted}")?;
            Ok(ExitAnswer::Yes)
        }
        args::VerpCommand::Verify { return_path, json } => {
            match (program.verify(loaded, return_path, console.now)?, json) {
                (Ok(token), true) => writeln!(console.out, "{token}")?,
                (Ok(token), false) => print::outline(console.out, &token, 0)?,
                (Err(why), true) => {
                    let failure = serde_json::json!({"authentic": false, "error": why});
                    writeln!(console.out, "{failure}")?;
                    return Ok(ExitAnswer::No);
                }
                (Err(why), false) => {
                    writeln!(console.out, "{}", print::visible(&why))?;
                    return Ok(ExitAnswer::No);
                }
            }
            Ok(ExitAnswer::Yes)
        }
    }
}

/// One page for the program and all its commands, so that `man bounced` is enough.
fn manual(out: &mut dyn Write) -> io::Result<()> {
    let mut page = Vec::new();
    let command = Cli::command();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for sub in command.get_subcommands() {
        manual_command(sub, "bounced", &mut page)?;
    }
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    out.write_all(&page)
}

fn manual_command(command: &clap::Command, above: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("{above} {}", command.get_name());
    if command.has_subcommands() {
        return command.get_subcommands().try_for_each(|sub| manual_command(sub, &name, page));
    }
    let man = clap_mangen::Man::new(command.clone().bin_name(name.clone()));
    writeln!(page, ".SH {}", name.to_uppercase())?;
    // The sections of a command become paragraphs of one section.
    for render in [
        clap_mangen::Man::render_description_section,
        clap_mangen::Man::render_synopsis_section,
        clap_mangen::Man::render_options_section,
    ] {
        let mut section = Vec::new();
        render(&man, &mut section)?;
        let mut lines = section.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let body = lines.by_ref().skip_while(|line| !line.starts_with(b".SH")).skip(1);
        page.extend_from_slice(b".PP\n");
        body.for_each(|line| page.extend(line.iter().chain(b"\n")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_one_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 44, "{} lines\n{help}", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_closed_output_is_no_failure() {
        let pipe = || io::Error::from(ErrorKind::BrokenPipe);
        for (error, code) in [
            (anyhow::Error::from(pipe()), 0),
            (anyhow::Error::from(serde_json::Error::io(pipe())).context("while writing"), 0),
            (anyhow::Error::from(io::Error::from(ErrorKind::StorageFull)), 2),
            (anyhow!("anything"), 2),
        ] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let now = Timestamp::from_millis(0);
            let mut console = Console { out: &mut out, err: &mut err, paint: Paint::PLAIN, now };
            assert_eq!(complain(&error, &mut console), code, "{error:#}");
            assert_eq!(err.is_empty(), code == 0);
        }
    }
}

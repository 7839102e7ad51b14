//! `engine init`, `status`, `upgrade`, `adopt` and `leave`: the PostgreSQL that holds the journal of many nodes.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::args::{EngineCommand, EngineInitArgs, EngineStatusArgs};
use super::console::{Console, ExitAnswer};
use super::program::Program;
use crate::config::LoadedConfig;
use crate::ledger::postgres::{self, EngineReport, schema};

pub(super) fn run(
    command: &EngineCommand,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let options = program.engine(loaded)?.ok_or_else(|| {
        anyhow!("journal.engine is \"local\": write engine = \"postgres\" below [journal] first")
    })?;
    match command {
        EngineCommand::Init(args) => init(args, options, console),
        EngineCommand::Status(args) => status(args, &options, console),
        EngineCommand::Upgrade => {
            match program.upgrade(&options)? {
                Some((from, to, seq)) => writeln!(
                    console.out,
                    "from record {seq} on, ledger {} is folded as version {to}, not {from}, on all nodes",
                    options.ledger
                )?,
                None => writeln!(
                    console.out,
                    "ledger {} is folded as version {} already, the newest of this release: nothing to do",
                    options.ledger, options.folds.newest
                )?,
            }
            Ok(ExitAnswer::Yes)
        }
        EngineCommand::Adopt => {
            let (last, digest) = program.adopt(loaded, &options)?;
            writeln!(
                console.out,
                "ledger {} has {last} records, and a new node makes the same list of them (digest \
                 {digest}); {} is its first node",
                options.ledger,
                loaded.config.data_dir.display()
            )?;
            Ok(ExitAnswer::Yes)
        }
        EngineCommand::Leave => {
            let last = program.leave(loaded, &options)?;
            writeln!(
                console.out,
                "{} has {last} records and is a list of its own: write engine = \"local\" below \
                 [journal]; other nodes go on with theirs",
                loaded.config.data_dir.display()
            )?;
            Ok(ExitAnswer::Yes)
        }
    }
}

fn init(
    args: &EngineInitArgs,
    mut options: postgres::Options,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let role = options.place.user().to_string();
    if let Some(file) = &args.url_file {
        options.place = place(file)?.into();
    }
    let applied = schema::init(&options)?;
    let (schema, ledger) = (&options.schema, options.ledger);
    match applied.len() {
        0 => writeln!(console.out, "-- schema {schema}, ledger {ledger}: there already")?,
        n => writeln!(console.out, "-- schema {schema}, ledger {ledger}: {n} migrations applied")?,
    }
    let role = args.role.as_ref().unwrap_or(&role);
    writeln!(console.out, "-- what the role of a node needs:")?;
    for grant in schema::grants(schema, role) {
        writeln!(console.out, "{grant}")?;
    }
    Ok(ExitAnswer::Yes)
}

fn place(file: &Path) -> Result<postgres::EngineUrl> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    postgres::read(&text).map_err(|why| anyhow!("{shown}: {why}"))
}

fn status(
    args: &EngineStatusArgs,
    options: &postgres::Options,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let report = EngineReport::ask(options)?;
    let troubles = report.troubles();
    let answer = ExitAnswer::yes_if(troubles.is_empty());
    if args.json {
        let nodes: Vec<_> = report
            .nodes
            .iter()
            .map(|node| {
                json!({"name": node.name, "seq": node.seq,
                    "behind": report.end.saturating_sub(node.seq), "silent_seconds": node.silent,
                    "release": node.release, "fold": node.fold, "erased": node.erased,
                    "facts": node.facts})
            })
            .collect();
        let all = json!({"version": report.version, "seq": report.end, "fold": report.fold,
            "synchronous_standby_names": report.standbys, "streaming": report.streaming,
            "upgrade": report.upgrade(), "first": report.first, "checkpoint": report.checkpoint.map(|(seq, _)| seq),
            "checkpoint_age_seconds": report.checkpoint.map(|(_, age)| age.as_secs()),
            "nodes": nodes, "troubles": troubles});
        writeln!(console.out, "{all}")?;
        return Ok(answer);
    }
    let standbys = match report.standbys.as_str() {
        "" => "none",
        names => names,
    };
    writeln!(
        console.out,
        "PostgreSQL {} at {}, ledger {} at {}; synchronous standbys: {standbys}; streaming: {}",
        report.version,
        options.place.hosts(),
        options.ledger,
        report.end,
        report.streaming
    )?;
    match report.checkpoint {
        Some((seq, age)) => writeln!(
            console.out,
            "the journal begins at {}; newest checkpoint at {seq}, written {} hours ago",
            report.first,
            age.as_secs() / 3600
        )?,
        None => writeln!(console.out, "the journal begins at {}; no checkpoint yet", report.first)?,
    }
    for node in &report.nodes {
        writeln!(
            console.out,
            "{}: at {}, {} behind, heard {} s ago, release {}",
            node.name,
            node.seq,
            report.end.saturating_sub(node.seq),
            node.silent,
            node.release
        )?;
    }
    if let Some(version) = report.upgrade() {
        writeln!(
            console.out,
            "all nodes can fold as version {version}, the ledger is at {}: `bounced engine upgrade`",
            report.fold
        )?;
    }
    for trouble in &troubles {
        writeln!(console.out, "! {trouble}")?;
    }
    Ok(answer)
}

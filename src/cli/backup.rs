//! `backup`, `backup verify` and `restore`: the files of the data directory, with or without a service.

use std::io::Read;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::args::{BackupArgs, BackupCommand, RestoreArgs};
use super::console::{Console, ExitAnswer};
use super::program::Program;
use crate::config::LoadedConfig;
use crate::ledger::backup::{self, Manifest};
use crate::ledger::journal;

pub(super) fn backup(
    args: &BackupArgs,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    if let Some(BackupCommand::Verify { dir }) = &args.command {
        let (manifest, wrong) = backup::verify(dir)?;
        for problem in &wrong {
            writeln!(console.out, "{problem}")?;
        }
        if wrong.is_empty() {
            writeln!(console.out, "ok: {}", summary(&manifest))?;
        }
        return Ok(ExitAnswer::yes_if(wrong.is_empty()));
    }
    let data_dir = loaded.config.data_dir.as_path();
    let to = args.to.as_deref().ok_or_else(|| anyhow!("name a folder, or `-`"))?;
    let troubles = journal::inspect(data_dir)?;
    if to == Path::new("-") {
        let manifest = backup::into_stream(data_dir, console.out)?;
        console.say(&summary(&manifest));
    } else {
        let manifest = backup::into_folder(data_dir, to)?;
        writeln!(console.out, "{}: {}", to.display(), summary(&manifest))?;
    }
    for trouble in &troubles {
        writeln!(console.err, "! {trouble}")?;
    }
    if !troubles.is_empty() {
        console.say("the backup is made, and holds the damage as it is: keep the ones before it");
    }
    // All that is there is in the backup; a start on it would be refused for what is not.
    if let Err(why) = program.check_keys(loaded) {
        console.say(&format!("WARN: {why:#}"));
    }
    Ok(ExitAnswer::yes_if(troubles.is_empty()))
}

pub(super) fn restore(
    args: &RestoreArgs,
    data_dir: &Path,
    stdin: &mut dyn Read,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let manifest = if args.from == Path::new("-") {
        backup::from_stream(stdin, data_dir)?
    } else {
        backup::from_folder(&args.from, data_dir)?
    };
    writeln!(console.out, "{}: {}", data_dir.display(), summary(&manifest))?;
    Ok(ExitAnswer::Yes)
}

fn summary(manifest: &Manifest) -> String {
    let (files, octets) = (manifest.files.len(), manifest.octets());
    format!("{files} files, {octets} octets, of {}", manifest.made_at)
}

//! `backup`, `backup verify` and `restore`: the files of the data directory, with or without a service.

use std::io::Read;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::args::{Backup, BackupCommand, Restore};
use super::console::{Answer, Console};
use crate::ledger::backup::{self, Manifest};

pub(super) fn backup(args: &Backup, data_dir: &Path, console: &mut Console<'_>) -> Result<Answer> {
    if let Some(BackupCommand::Verify { dir }) = &args.command {
        let (manifest, wrong) = backup::verify(dir)?;
        for problem in &wrong {
            writeln!(console.out, "{problem}")?;
        }
        if wrong.is_empty() {
            writeln!(console.out, "ok: {}", told(&manifest))?;
        }
        return Ok(Answer::yes_if(wrong.is_empty()));
    }
    let to = args.to.as_deref().ok_or_else(|| anyhow!("name a folder, or `-`"))?;
    if to == Path::new("-") {
        let manifest = backup::into_stream(data_dir, console.out)?;
        console.say(&told(&manifest));
    } else {
        let manifest = backup::into_folder(data_dir, to)?;
        writeln!(console.out, "{}: {}", to.display(), told(&manifest))?;
    }
    Ok(Answer::Yes)
}

pub(super) fn restore(
    args: &Restore,
    data_dir: &Path,
    stdin: &mut dyn Read,
    console: &mut Console<'_>,
) -> Result<Answer> {
    let manifest = if args.from == Path::new("-") {
        backup::from_stream(stdin, data_dir)?
    } else {
        backup::from_folder(&args.from, data_dir)?
    };
    writeln!(console.out, "{}: {}", data_dir.display(), told(&manifest))?;
    Ok(Answer::Yes)
}

fn told(manifest: &Manifest) -> String {
    let (files, octets) = (manifest.files.len(), manifest.octets());
    format!("{files} files, {octets} octets, of {}", manifest.made_at)
}

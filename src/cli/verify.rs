//! `verify`: the proof that the list is what the journal says.

use anyhow::{Result, bail};
use serde_json::json;

use super::args::VerifyArgs;
use super::console::{Console, ExitAnswer};
use super::program::{Compared, Program, Proof};
use crate::config::LoadedConfig;

/// Exit 0 when it is.
pub(super) fn run(
    args: &VerifyArgs,
    loaded: &LoadedConfig,
    program: &dyn Program,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let data_dir = &loaded.config.data_dir;
    if !data_dir.is_dir() {
        bail!("there is no list in {}: name its configuration with --config", data_dir.display());
    }
    let Proof { folded, is_in_use, unproved, shared } = program.prove(loaded)?;
    let keys = program.check_keys(loaded).map_err(|why| format!("{why:#}")).err();
    let is_right =
        folded.is_same() && matches!(shared, None | Some(Compared::Same(_))) && keys.is_none();
    let unproved = unproved.filter(|_| !folded.is_same());
    let answer = ExitAnswer::yes_if(is_right);
    if args.json {
        let (engine, differs, unknown) = match &shared {
            None => (None, None, None),
            Some(Compared::Same(records)) => (Some(records), None, None),
            Some(Compared::Differs(why)) => (None, Some(why), None),
            Some(Compared::Unknown(why)) => (None, None, Some(why)),
        };
        let found = json!({"from": folded.from, "through": folded.through,
            "damaged": folded.damaged, "list": folded.list, "journal": folded.again,
            "same": folded.is_same(), "key_missing": keys, "in_use": is_in_use, "unproved": unproved,
            "engine_records": engine, "engine_differs": differs, "engine_unknown": unknown});
        writeln!(console.out, "{found}")?;
        return Ok(answer);
    }
    let begun = match folded.from {
        0 => "from the beginning".to_string(),
        from => format!("from the checkpoint at {from}"),
    };
    let through = folded.through;
    if is_in_use {
        writeln!(
            console.out,
            "the service runs: the list is what a start would make of its newest checkpoint and journal at \
             this moment"
        )?;
    }
    if folded.is_same() {
        writeln!(
            console.out,
            "the list is what the journal says: folded again {begun} through {through}, digest {}",
            folded.list
        )?;
    }
    // The view may be all that still holds what damaged records said.
    match (folded.damaged, folded.is_same()) {
        _ if unproved.is_some() => {
            writeln!(console.out, "! nothing is proved: {}", unproved.unwrap_or_default())?;
        }
        (0, true) => {}
        (0, false) => writeln!(
            console.out,
            "! the list is NOT what the journal says, folded again {begun} through {through}: the list \
             has the digest {}, the journal {}; {}remove view/ from {}, and run it again: the list is \
             then made from the newest checkpoint",
            folded.list,
            folded.again,
            if is_in_use { "stop the service, " } else { "" },
            data_dir.display()
        )?,
        (damaged, true) => writeln!(
            console.out,
            "! {damaged} records cannot be read, so nothing tells whether the list has what they decided: \
             restore the damaged files of {} from a backup, and run it again",
            data_dir.display()
        )?,
        (damaged, false) => writeln!(
            console.out,
            "! nothing is proved: the list differs from what the journal says, folded again {begun} \
             through {through}, and {damaged} records of the journal cannot be read; restore its damaged \
             files in {} from a backup, and run it again; view/ stays",
            data_dir.display()
        )?,
    }
    if let Some(why) = keys {
        writeln!(console.out, "! {why}")?;
    }
    match shared {
        None => {}
        Some(Compared::Same(records)) => writeln!(
            console.out,
            "the shared journal has {records} records, and those of this node are the same, each octet"
        )?,
        Some(Compared::Differs(why)) => writeln!(console.out, "! {why}")?,
        Some(Compared::Unknown(why)) => {
            writeln!(console.out, "! nothing is proved of the shared journal: {why}")?;
        }
    }
    Ok(answer)
}

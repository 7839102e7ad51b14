//! `verify`: the proof that the list is what the journal says.

use anyhow::{Result, bail};
use serde_json::json;

use super::args::VerifyArgs;
use super::console::{Console, ExitAnswer};
use super::program::{Program, Proof};
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
    let Proof { folded, shared } = program.prove(loaded)?;
    let keys = program.check_keys(loaded).map_err(|why| format!("{why:#}")).err();
    let is_right = folded.is_same() && !matches!(shared, Some(Err(_))) && keys.is_none();
    let answer = ExitAnswer::yes_if(is_right);
    if args.json {
        let (engine, differs) = match &shared {
            None => (None, None),
            Some(Ok(records)) => (Some(records), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let found = json!({"from": folded.from, "through": folded.through,
            "damaged": folded.damaged, "list": folded.list, "journal": folded.again,
            "same": folded.is_same(), "key_missing": keys, "engine_records": engine, "engine_differs": differs});
        writeln!(console.out, "{found}")?;
        return Ok(answer);
    }
    let begun = match folded.from {
        0 => "from the beginning".to_string(),
        from => format!("from the checkpoint at {from}"),
    };
    let through = folded.through;
    if folded.is_same() {
        writeln!(
            console.out,
            "the list is what the journal says: folded again {begun} through {through}, digest {}",
            folded.list
        )?;
    }
    // The view may be all that still holds what damaged records said.
    match (folded.damaged, folded.is_same()) {
        (0, true) => {}
        (0, false) => writeln!(
            console.out,
            "! the list is NOT what the journal says, folded again {begun} through {through}: the list \
             has the digest {}, the journal {}; remove view/ from {}, and run it again: the list is \
             then made from the newest checkpoint",
            folded.list,
            folded.again,
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
        Some(Ok(records)) => writeln!(
            console.out,
            "the shared journal has {records} records, and those of this node are the same, each octet"
        )?,
        Some(Err(why)) => writeln!(console.out, "! {why}")?,
    }
    Ok(answer)
}

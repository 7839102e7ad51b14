//! `verify`: the proof that the list is what the journal says.

use anyhow::Result;
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
    let Proof { folded, shared } = program.prove(loaded)?;
    let is_right = folded.is_same() && !matches!(shared, Some(Err(_)));
    let answer = ExitAnswer::yes_if(is_right);
    if args.json {
        let (engine, differs) = match &shared {
            None => (None, None),
            Some(Ok(records)) => (Some(records), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let found = json!({"from": folded.from, "through": folded.through,
            "damaged": folded.damaged, "list": folded.list, "journal": folded.again,
            "same": folded.is_same(), "engine_records": engine, "engine_differs": differs});
        writeln!(console.out, "{found}")?;
        return Ok(answer);
    }
    let begun = match folded.from {
        0 => "from the beginning".to_string(),
        from => format!("from the checkpoint at {from}"),
    };
    let through = folded.through;
    match folded.is_same() {
        true => writeln!(
            console.out,
            "the list is what the journal says: folded again {begun} through {through}, digest {}",
            folded.list
        )?,
        false => writeln!(
            console.out,
            "! the list is NOT what the journal says, folded again {begun} through {through}: the list \
             has the digest {}, the journal {}; remove view/ from {}, and run it again: the list is \
             then made from the newest checkpoint",
            folded.list,
            folded.again,
            loaded.config.data_dir.display()
        )?,
    }
    if folded.damaged > 0 {
        writeln!(
            console.out,
            "! {} records cannot be read: what they decided is in the list and in no fold",
            folded.damaged
        )?;
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

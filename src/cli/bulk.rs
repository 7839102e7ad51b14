//! Import and export of many addresses, streamed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::args::{self, ExportArgs, ImportArgs};
use super::console::{Console, ExitAnswer};
use super::list::{self, said};
use super::print;
use crate::service::import::{ImportReader, ImportTally, Refusal, WhyCount, Wishes};
use crate::service::lines::ListFormat;
use crate::service::{ImportEntry, ImportOptions, Operations};

/// Entries that are committed together.
const BATCH: usize = 2000;
/// Octets that are read at once.
const PIECE: usize = 64 << 10;

pub(super) fn export(
    args: &ExportArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let format = match args.format {
        _ if args.json => ListFormat::Ndjson,
        args::ExportFormat::Ndjson => ListFormat::Ndjson,
        args::ExportFormat::Csv => ListFormat::Csv,
        args::ExportFormat::Lines => ListFormat::Lines,
    };
    let query = list::query(&args.filter, console.now)?;
    write!(console.out, "{}", format.header())?;
    let mut text = String::new();
    list::entries(query, service, &mut |entry| {
        text.clear();
        format.push(entry, &mut text);
        console.out.write_all(text.as_bytes())?;
        Ok(true)
    })?;
    Ok(ExitAnswer::Yes)
}

/// What an import reads; `-` is the standard input.
pub(super) fn input(path: &Path) -> Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Box::new(file))
}

pub(super) fn import(
    args: &ImportArgs,
    input: &mut dyn Read,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let reason = args.reason.as_deref().map(said).transpose()?;
    let name = args.path.display().to_string();
    let wishes = Wishes {
        reason: reason.unwrap_or("imported").to_string(),
        reasoned: reason.is_some(),
        scope: args.scope.clone(),
        all: args.all,
    };
    let mut import = Running {
        service,
        reader: ImportReader::new(wishes),
        options: ImportOptions { dry_run: args.dry_run, all: args.all },
        batch: Vec::new(),
        numbers: Vec::new(),
        tally: ImportTally::default(),
    };
    import.read(input, &name)?;
    let Running { reader, mut tally, .. } = import;
    for Refusal { number, why, cell } in &tally.refusals {
        let cell =
            if cell.is_empty() { String::new() } else { format!(": {}", print::visible(cell)) };
        // Nobody may be listening there.
        let _ = writeln!(console.err, "{name}:{number}: {}{cell}", print::visible(why));
    }
    let answer = tally.answer(&reader, args.dry_run);
    if args.json {
        writeln!(console.out, "{answer}")?;
    } else if args.dry_run {
        show(console.out, &name, &answer)?;
    } else {
        for WhyCount { why, count, first, .. } in &tally.why {
            let why = print::visible(why);
            let _ = writeln!(console.err, "{count} x {why}, first {name}:{first}");
        }
        let ImportTally { suppressed, changed, unchanged, left_out, refused, .. } = tally;
        writeln!(
            console.out,
            "{suppressed} suppressed, {changed} changed, {unchanged} were already, {left_out} left \
             out, {refused} refused"
        )?;
    }
    Ok(if tally.refused == 0 { ExitAnswer::Yes } else { ExitAnswer::Failed })
}

/// A dry run for people: what was recognised, what would be done, and what would not.
fn show(out: &mut dyn Write, name: &str, answer: &Value) -> io::Result<()> {
    let plain = |value: &Value| print::visible(&print::plain(value));
    let each = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
    let format = match &answer["format"] {
        Value::Null if answer["refused"] == 0 => "empty".to_string(),
        Value::Null => "not understood".to_string(),
        format => plain(format),
    };
    writeln!(out, "{name} is {format}")?;
    for column in each("columns") {
        writeln!(out, "  {} -> {}", plain(&column["name"]), plain(&column["meaning"]))?;
    }
    for row in each("sample") {
        writeln!(out, "{}", print::visible(&row.to_string()))?;
    }
    for why in each("why") {
        let (count, line) = (plain(&why["count"]), plain(&why["line"]));
        writeln!(out, "{count} x {}, first {name}:{line}", plain(&why["error"]))?;
    }
    let count = |field: &str| plain(&answer[field]);
    writeln!(
        out,
        "nothing is written; {} would be suppressed, {} changed, {} are already, {} left out, {} \
         refused",
        count("suppressed"),
        count("changed"),
        count("unchanged"),
        count("left_out"),
        count("refused"),
    )
}

/// An import under way. Sending the same file again changes nothing, so one that broke off is
/// simply repeated.
struct Running<'a> {
    service: &'a dyn Operations,
    reader: ImportReader,
    options: ImportOptions,
    batch: Vec<ImportEntry>,
    /// Number of each entry of the batch.
    numbers: Vec<u64>,
    tally: ImportTally,
}

impl Running<'_> {
    fn read(&mut self, input: &mut dyn Read, name: &str) -> Result<()> {
        let (mut piece, mut empty) = (vec![0; PIECE], true);
        loop {
            let octets = match input.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                octets => octets.with_context(|| format!("{name} cannot be read"))?,
            };
            // A command that failed and a file that was cut look like this; an export has a header.
            if octets == 0 && empty {
                bail!("{name} is empty: nothing is imported");
            }
            empty = false;
            let fed = match octets {
                0 => self.reader.end(),
                octets => self.reader.feed(piece.get(..octets).unwrap_or_default()),
            };
            fed.map_err(|what| anyhow!("{name}: {what}"))?;
            while let Some((number, found)) = self.reader.next() {
                let Some(entry) = self.tally.take(number, found) else { continue };
                self.batch.push(entry);
                self.numbers.push(number);
                if self.batch.len() == BATCH {
                    self.commit()?;
                }
            }
            if octets == 0 {
                return self.commit();
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            let outcome = self.service.import(std::mem::take(&mut self.batch), self.options)?;
            self.tally.add(outcome, &std::mem::take(&mut self.numbers));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::FilterArgs;
    use crate::cli::fake::{self, Fake};
    use crate::event::Cause;

    fn of(path: &Path, dry_run: bool) -> ImportArgs {
        let (reason, scope) = (Some("old list".into()), "news".into());
        ImportArgs { path: path.to_path_buf(), reason, scope, all: false, dry_run, json: false }
    }

    fn import_file(
        args: &ImportArgs,
        service: &Fake,
        console: &mut Console<'_>,
    ) -> Result<ExitAnswer> {
        import(args, &mut *input(&args.path)?, service, console)
    }

    fn import_text(text: &[u8]) -> (Fake, ExitAnswer, String, String) {
        imported(text, false)
    }

    fn imported(text: &[u8], dry_run: bool) -> (Fake, ExitAnswer, String, String) {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(file.path(), text).expect("scratch is writable");
        let args = of(file.path(), dry_run);
        let service = Fake::default();
        let (answer, out, err) =
            fake::run(&service, |service, console| import_file(&args, service, console));
        let named = |text: String| text.replace(&file.path().display().to_string(), "FILE");
        let (out, err) = (named(out), named(err));
        (service, answer.expect("the file can be read"), out, err)
    }

    #[test]
    fn an_import_names_the_lines_it_refused() {
        let long = format!("{}@example.com\n", "x".repeat(20_000));
        let text = format!("a@example.com\nnonsense\n\n{long}b@\nc@example.com");
        let (service, answer, out, err) = import_text(text.as_bytes());
        assert_eq!(
            (answer, out.as_str()),
            (
                ExitAnswer::Failed,
                "2 suppressed, 0 changed, 0 were already, 0 left out, 3 refused\n",
            )
        );
        assert_eq!(
            err,
            "FILE:2: no @ in it: write an address such as user@example.com: nonsense\nFILE:4: the line is longer than 16384 octets\n\
             FILE:5: there is no domain: b@\n\
             1 x no @ in it: write an address such as user@example.com, first FILE:2\n\
             1 x the line is longer than 16384 octets, first FILE:4\n\
             1 x there is no domain, first FILE:5\n"
        );
        let batches = service.batches.into_inner();
        let first = &batches[0][0];
        assert_eq!((first.scope.as_str(), first.words.as_str()), ("news", "old list"));
    }

    #[test]
    fn a_dry_run_says_what_it_understood_and_does_nothing() {
        let text = b"email;reason.code;blockedAt\na@example.com;hardBounce;2026-11-01\n\
                     b@example.com;softBounce;2026-11-01\nc@;hardBounce;\n";
        let (service, answer, out, _) = imported(text, true);
        assert_eq!((answer, service.batches.borrow().len()), (ExitAnswer::Failed, 0));
        assert_eq!(
            out,
            "FILE is Brevo blocked contacts (CSV, separated by `;`)\n  email -> address\n  \
             reason.code -> reason\n  blockedAt -> since\n\
             1 x a soft bounce: not imported; --all (all=true) takes it, first FILE:3\n\
             1 x there is no domain, first FILE:4\nnothing is written; 1 would be suppressed, 0 \
             changed, 0 are already, 1 left out, 1 refused\n"
        );
        let (_, answer, out, _) = imported(b"address,scope,state\n", true);
        assert_eq!(answer, ExitAnswer::Yes);
        assert!(out.starts_with("FILE is bounced (CSV"), "{out}");
        // The end of it is missing.
        let (_, answer, out, _) = imported(br#"[{"email": "a@example.com", "rea"#, true);
        assert_eq!(answer, ExitAnswer::Failed);
        assert!(out.starts_with("FILE is not understood\n"), "{out}");
    }

    #[test]
    fn a_file_that_is_no_list_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(file.path(), b"PK\x03\x04...").expect("scratch is writable");
        let args = of(file.path(), false);
        let (answer, _, _) = fake::run(&Fake::default(), |s, c| import_file(&args, s, c));
        assert!(answer.is_err_and(|e| format!("{e:#}").contains("save it as CSV")));
    }

    #[test]
    fn an_import_goes_in_batches() {
        let mut text = String::new();
        for n in 0..BATCH * 2 + 1 {
            text += &format!("u{n}@example.com\n");
        }
        let (service, answer, out, _) = import_text(text.as_bytes());
        assert_eq!(answer, ExitAnswer::Yes);
        assert!(out.starts_with(&format!("{} suppressed", BATCH * 2 + 1)), "{out}");
        let sizes: Vec<usize> = service.batches.into_inner().iter().map(Vec::len).collect();
        assert_eq!(sizes, [BATCH, BATCH, 1]);
    }

    #[test]
    fn an_export_goes_through_every_page_and_comes_back() {
        let entries = ["a", "b", "c", "d", "e"].map(|name| {
            serde_json::json!({"address": format!("{name}@example.com"), "state": "suppressed",
                "scope": "*", "reason": "user-unknown"})
        });
        let service = Fake { entries: entries.to_vec(), ..Fake::default() };
        let export_as = |format| {
            let args = ExportArgs { format, json: false, filter: FilterArgs::default() };
            let (answer, out, _) = fake::run(&service, |s, console| export(&args, s, console));
            assert_eq!(answer.ok(), Some(ExitAnswer::Yes));
            out
        };
        let lines = export_as(args::ExportFormat::Lines);
        assert_eq!(
            lines,
            "a@example.com\nb@example.com\nc@example.com\nd@example.com\ne@example.com\n"
        );
        for format in [args::ExportFormat::Ndjson, args::ExportFormat::Csv] {
            let (again, _, out, _) = import_text(export_as(format).as_bytes());
            assert!(out.starts_with("5 suppressed, 0 changed, 0 were already, 0 left"), "{out}");
            let batch = &again.batches.into_inner()[0];
            assert_eq!((batch.len(), batch[4].address.as_str()), (5, "e@example.com"));
            assert_eq!(batch[0].imported.cause, Cause::parse("user-unknown"));
        }
    }

    #[test]
    fn an_empty_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        let args = of(file.path(), false);
        let (answer, _, _) = fake::run(&Fake::default(), |s, c| import_file(&args, s, c));
        assert!(answer.is_err_and(|e| format!("{e:#}").contains("is empty: nothing is imported")));
    }

    #[test]
    fn an_import_that_cannot_be_read_fails() {
        let args = of(Path::new("missing"), false);
        let (answer, _, _) = fake::run(&Fake::default(), |s, c| import_file(&args, s, c));
        assert!(answer.is_err_and(|e| format!("{e:#}").starts_with("missing cannot be read")));
    }
}

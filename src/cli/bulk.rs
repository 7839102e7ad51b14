//! Many addresses: import and export, streamed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, Result};

use super::args::{self, Export, Import};
use super::console::{Answer, Console};
use super::list::{self, said};
use super::print;
use crate::service::lines::{Format, Reader};
use crate::service::{ImportEntry, Operations};

/// Entries that are committed together.
const BATCH: usize = 2000;
/// Octets of one line.
const MAX_LINE: u64 = 16 << 10;
/// Refused lines that are shown; the others are counted.
const SHOWN: u64 = 100;

pub(super) fn export(
    args: &Export,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<Answer> {
    let format = match args.format {
        args::Format::Ndjson => Format::Ndjson,
        args::Format::Csv => Format::Csv,
        args::Format::Lines => Format::Lines,
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
    Ok(Answer::Yes)
}

pub(super) fn import(
    args: &Import,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<Answer> {
    let reason = said(&args.reason)?.to_string();
    let name = args.path.display().to_string();
    let mut input: Box<dyn BufRead> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.path).with_context(|| format!("{name} cannot be read"))?;
        Box::new(BufReader::with_capacity(64 << 10, file))
    };
    let mut import = Running {
        name,
        service,
        console,
        batch: Vec::new(),
        lines: Vec::new(),
        suppressed: 0,
        unchanged: 0,
        refused: 0,
    };
    import.read(&mut *input, &mut Reader::new(reason, args.scope.clone()))?;
    import.commit()?;
    let Running { console, suppressed, unchanged, refused, .. } = import;
    writeln!(
        console.out,
        "{suppressed} suppressed, {unchanged} were already, {refused} lines refused"
    )?;
    Ok(if refused == 0 { Answer::Yes } else { Answer::Failed })
}

/// An import under way. Sending the same file again changes nothing, so one that broke off is
/// simply repeated.
struct Running<'a, 'b> {
    name: String,
    service: &'a dyn Operations,
    console: &'a mut Console<'b>,
    batch: Vec<ImportEntry>,
    /// Line of each entry of the batch.
    lines: Vec<u64>,
    suppressed: u64,
    unchanged: u64,
    refused: u64,
}

impl Running<'_, '_> {
    fn read(&mut self, input: &mut dyn BufRead, reader: &mut Reader) -> Result<()> {
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let taken = Read::take(&mut *input, MAX_LINE + 1)
                .read_until(b'\n', &mut line)
                .with_context(|| format!("{} cannot be read", self.name))?;
            if taken == 0 {
                return Ok(());
            }
            number += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            } else if line.len() as u64 > MAX_LINE {
                skip_line(input)?;
                self.refuse(number, &format!("the line is longer than {MAX_LINE} octets"));
                continue;
            }
            match reader.line(&line) {
                None => {}
                Some(Err(wrong)) => self.refuse(number, &wrong),
                Some(Ok(entry)) => {
                    self.batch.push(entry);
                    self.lines.push(number);
                    if self.batch.len() == BATCH {
                        self.commit()?;
                    }
                }
            }
        }
    }

    fn refuse(&mut self, line: u64, wrong: &str) {
        self.refused += 1;
        if self.refused <= SHOWN {
            let text = format!("{}:{line}: {}\n", self.name, print::visible(wrong));
            // Nobody may be listening there.
            let _ = self.console.err.write_all(text.as_bytes());
        }
    }

    fn commit(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let outcome = self.service.import(std::mem::take(&mut self.batch))?;
        self.suppressed += outcome.suppressed;
        self.unchanged += outcome.unchanged;
        for (place, wrong) in outcome.refused {
            let line = lines.get(place).or(lines.last()).copied().unwrap_or(0);
            self.refuse(line, &wrong);
        }
        Ok(())
    }
}

/// Reads on to the end of an overlong line without keeping it.
fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                input.consume(end + 1);
                return Ok(());
            }
            None => {
                let all = buffer.len();
                input.consume(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::args::Filter;
    use crate::cli::fake::{self, Fake};

    fn import_text(text: &[u8]) -> (Fake, Answer, String, String) {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(file.path(), text).expect("scratch is writable");
        let args = Import {
            path: file.path().to_path_buf(),
            reason: "old list".into(),
            scope: "news".into(),
        };
        let service = Fake::default();
        let (answer, out, err) =
            fake::run(&service, |service, console| import(&args, service, console));
        let err = err.replace(&file.path().display().to_string(), "FILE");
        (service, answer.expect("the file can be read"), out, err)
    }

    #[test]
    fn an_import_names_the_lines_it_refused() {
        let long = format!("{}@example.com\n", "x".repeat(20_000));
        let text = format!("a@example.com\nnonsense\n\n{long}b@\nc@example.com");
        let (service, answer, out, err) = import_text(text.as_bytes());
        assert_eq!(
            (answer, out.as_str()),
            (Answer::Failed, "2 suppressed, 0 were already, 3 lines refused\n",)
        );
        assert_eq!(
            err,
            "FILE:2: no @ in it: write an address such as user@example.com\nFILE:4: the line is longer than 16384 octets\n\
             FILE:5: there is no domain\n"
        );
        let batches = service.batches.into_inner();
        let first = &batches[0][0];
        assert_eq!((first.scope.as_str(), first.reason.as_str()), ("news", "old list"));
    }

    #[test]
    fn an_import_goes_in_batches() {
        let mut text = String::new();
        for n in 0..BATCH * 2 + 1 {
            text += &format!("u{n}@example.com\n");
        }
        let (service, answer, out, _) = import_text(text.as_bytes());
        assert_eq!(answer, Answer::Yes);
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
            let args = Export { format, filter: Filter::default() };
            let (answer, out, _) = fake::run(&service, |s, console| export(&args, s, console));
            assert_eq!(answer.ok(), Some(Answer::Yes));
            out
        };
        let lines = export_as(args::Format::Lines);
        assert_eq!(
            lines,
            "a@example.com\nb@example.com\nc@example.com\nd@example.com\ne@example.com\n"
        );
        for format in [args::Format::Ndjson, args::Format::Csv] {
            let (again, _, out, _) = import_text(export_as(format).as_bytes());
            assert!(out.starts_with("5 suppressed, 0 were already, 0 lines"), "{out}");
            let batch = &again.batches.into_inner()[0];
            assert_eq!((batch.len(), batch[4].address.as_str()), (5, "e@example.com"));
            assert_eq!(batch[0].reason, "user-unknown");
        }
    }

    #[test]
    fn an_import_that_cannot_be_read_fails() {
        let args = Import { path: PathBuf::from("missing"), reason: "x".into(), scope: "*".into() };
        let (answer, _, _) = fake::run(&Fake::default(), |s, c| import(&args, s, c));
        assert!(answer.is_err_and(|e| format!("{e:#}").starts_with("missing cannot be read")));
    }
}

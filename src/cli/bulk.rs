//! Many addresses: import and export, streamed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, Result};

use super::args::{self, Export, Import};
use super::backend::Backend;
use super::list::{self, said};
use super::{Answer, Console, print};
use crate::service::ImportEntry;
use crate::table::{Format, Reader};

/// Entries that are committed together.
const BATCH: usize = 2000;
/// Octets of one line.
const MAX_LINE: u64 = 16 << 10;
/// Refused lines that are shown; the others are counted.
const SHOWN: u64 = 100;

pub(super) fn export(
    args: &Export,
    backend: &dyn Backend,
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
    list::entries(query, backend, &mut |entry| {
        text.clear();
        format.push(entry, &mut text);
        console.out.write_all(text.as_bytes())?;
        Ok(true)
    })?;
    Ok(Answer::Yes)
}

pub(super) fn import(
    args: &Import,
    backend: &dyn Backend,
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
        backend,
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
    backend: &'a dyn Backend,
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
        let outcome = self.backend.import(std::mem::take(&mut self.batch))?;
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

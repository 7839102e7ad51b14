//! The lines that the words alone must tell (`seen.tsv`), and lines with other words in them.

use super::parts::{Hit, PhraseKind};
use super::{Says, words};
use crate::classify::measure::Measured;
use crate::classify::rule::Sample;
use crate::classify::text::fold;
use crate::classify::verdict::Reason;
use crate::mail::{EnhancedStatus, ReplyCode};
use crate::report::Action;

const SEEN: &str = include_str!("seen.tsv");

impl Says {
    /// The lines of `seen.tsv`; a line that cannot be read is left out, and a test counts them.
    pub fn seen() -> Vec<Measured> {
        SEEN.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
    }

    /// The text with one role or state in other words of the same language and length class; None
    /// when it has none.
    pub fn other_words(&self, text: &str, n: usize) -> Option<String> {
        let (words, hits) = self.read_hits(text);
        let able: Vec<&Hit> = hits
            .iter()
            .filter(|h| matches!(h.part, PhraseKind::Role(_) | PhraseKind::State(_)))
            .collect();
        let hit = able.get(n % able.len().max(1))?;
        let old = words.get(hit.start..hit.end)?.trim();
        let new = self.lexicon.synonym(old, hit.part, n)?;
        let at = text.to_ascii_lowercase().find(old)?;
        Some(format!("{}{new}{}", text.get(..at)?, text.get(at + old.len()..)?))
    }

    /// The text with every word for the recipient replaced: by the one given, or by a word for the
    /// sender of the same language. None when a phrase is left that speaks of the recipient all the
    /// same (`nobody here`).
    pub fn with_recipient_as(&self, text: &str, english: &str) -> Option<String> {
        let (words, hits) = self.read_hits(text);
        let mut out = text.to_ascii_lowercase();
        let mut changed = false;
        let sender = PhraseKind::Role(self.roles.sender);
        for hit in hits {
            let phrase = words.get(hit.start..hit.end).unwrap_or_default().trim();
            let old = match hit.part {
                PhraseKind::Role(role) if self.table.is_about_recipient(role) => phrase,
                PhraseKind::Said((role, _)) if self.table.is_about_recipient(role) => {
                    phrase.split(' ').find(|word| self.is_recipient(word))?
                }
                _ => continue,
            };
            if old.starts_with('@') || !out.contains(old) {
                continue;
            }
            let word =
                if old.is_ascii() { english } else { self.lexicon.same_language(old, sender)? };
            out = out.replacen(old, word, 1);
            changed = true;
        }
        changed.then_some(out)
    }

    fn is_recipient(&self, word: &str) -> bool {
        let is =
            |part| matches!(part, PhraseKind::Role(role) if self.table.is_about_recipient(role));
        self.lexicon.part(word).is_some_and(is)
    }

    fn read_hits(&self, text: &str) -> (String, Vec<Hit>) {
        let (mut folded, mut split, mut links) = (String::new(), String::new(), String::new());
        fold(text, &mut folded);
        let mut hits = Vec::new();
        words::words(&folded, words::KnownAddresses::default(), &mut split, &mut links);
        self.lexicon.hits(&split, &mut hits);
        (split, hits)
    }
}

fn line(row: &str) -> Option<Measured> {
    let mut fields = row.splitn(4, '\t');
    let (file, reason) = (fields.next()?, fields.next()?);
    let (context, text) = (fields.next()?, fields.next()?);
    let mut seen = Sample { text: text.replace("\\n", "\r\n"), ..Sample::default() };
    for (key, value) in context.split(' ').filter_map(|pair| pair.split_once('=')) {
        match key {
            "status" => seen.status = EnhancedStatus::parse(value),
            "code" => seen.code = value.parse().ok().and_then(ReplyCode::new),
            "host" => seen.host = Some(value.to_string()),
            "domain" => seen.domain = Some(value.to_string()),
            "provider" => seen.provider = Some(value.to_string()),
            "action" => seen.action = Action::parse(value),
            _ => return None,
        }
    }
    Some(Measured {
        file: file.to_string(),
        source: file.get(3..).unwrap_or_default().to_string(),
        reason: Reason::parse(reason.trim_start_matches('!'))?,
        never: reason.starts_with('!'),
        seen,
    })
}

//! What a fold works on: the view, with the changes of the batch at hand on top. Thrown away when
//! the batch cannot be made durable.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::lists::NEAR;
use super::pending::{Changes, PendingRows, change};
use super::rows::{self, StoredDigest, key_in, layered};
use super::space;
use super::view::View;
use crate::event::Event;
use crate::ledger::journal::JournalReader;
use crate::ledger::{Fold, LedgerError, Prepare, Row, Rows};

/// A scan for no more rows than these is remembered.
const FEW: usize = 64;

/// History rows removed at a time.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// The rows as of the event before, and what the events of this batch changed.
pub(super) struct Overlay<'a> {
    view: &'a View,
    reader: &'a JournalReader,
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What the view said: nobody else commits, and most events ask for the same policy, guards
    /// and figures.
    asked: RefCell<HashMap<Vec<u8>, Option<Vec<u8>>>>,
    /// The same for scans of few rows, by prefix, key after which, and limit: a cap that was reached
    /// asks for one at each event, and a scan is dear.
    scanned: RefCell<HashMap<Scan, Vec<Row>>>,
}

/// Prefix, key after which, and limit of a scan.
type Scan = (Vec<u8>, Vec<u8>, usize);

impl<'a> Overlay<'a> {
    pub(super) fn new(view: &'a View, reader: &'a JournalReader) -> Self {
        let (asked, scanned) = (RefCell::default(), RefCell::default());
        Self { view, reader, changed: BTreeMap::new(), asked, scanned }
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        if let Some(value) = self.changed.get(key) {
            return Ok(value.clone());
        }
        if let Some(value) = self.asked.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.view.value(key)?;
        self.asked.borrow_mut().insert(key.to_vec(), value.clone());
        Ok(value)
    }

    /// The event that this one repeats.
    pub(super) fn repeated(&self, event: &Event) -> Result<Option<StoredDigest>, LedgerError> {
        let Some(digest) = &event.digest else { return Ok(None) };
        let Some(value) = self.value(&rows::digest_key(digest))? else { return Ok(None) };
        match StoredDigest::decode(&value) {
            Some(seen) => Ok(Some(seen).filter(|seen| seen.covers(event.received_at))),
            None => Err(LedgerError::Corrupt("a digest row cannot be read".to_string())),
        }
    }

    /// Tells an event what it needs before it is folded.
    pub(super) fn prepare(
        &mut self,
        prepare: &dyn Prepare,
        event: &mut Event,
    ) -> Result<(), LedgerError> {
        prepare.prepare(&Sight { overlay: self, ahead: &[] }, event)
    }

    /// Folds one event that has its position: the rows of the fold and those of the engine.
    /// `ahead` are events before it that are not in the journal yet.
    pub(super) fn fold(
        &mut self,
        fold: &mut dyn Fold,
        ahead: &[Event],
        event: &mut Event,
    ) -> Result<(), LedgerError> {
        event.decisions.clear();
        fold.fold(&mut Sight { overlay: self, ahead }, event)?;
        for address in fold.touches(event) {
            if let Some(key) = rows::history_key(&address, event.seq) {
                self.changed.insert(key, Some(Vec::new()));
            }
        }
        for address in fold.forgets(event) {
            self.forget_history(&address)?;
        }
        if let Some(digest) = &event.digest {
            let seen = StoredDigest { seq: event.seq, at: event.received_at, id: event.id.clone() };
            self.changed.insert(rows::digest_key(digest), Some(seen.encode()));
        }
        Ok(())
    }

    /// The changes up to an event after which nodes compare their lists, in the middle of a batch.
    pub(super) fn near(&self, seq: u64) -> Result<Option<PendingRows>, LedgerError> {
        if !seq.is_multiple_of(NEAR) {
            return Ok(None);
        }
        let changed = self.changed.iter().map(|(key, value)| change(key.clone(), value.clone()));
        Ok(Some(PendingRows::new(seq, changed.collect::<Result<_, _>>()?)))
    }

    /// All row changes of the batch.
    pub(super) fn into_changes(self) -> Result<Changes, LedgerError> {
        self.changed.into_iter().map(|(key, value)| change(key, value)).collect()
    }

    /// Removes the history rows of an address.
    fn forget_history(&mut self, address: &str) -> Result<(), LedgerError> {
        let prefix = rows::history_prefix(address);
        let mut after = Vec::new();
        loop {
            let page = self.layered(&prefix, &after, FORGOTTEN_AT_ONCE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            self.changed.extend(page.into_iter().map(|(key, _)| (key, None)));
        }
    }

    /// Rows of the view.
    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError> {
        if limit > FEW {
            return self.view.scan(prefix, after, limit);
        }
        let scan = (prefix.to_vec(), after.to_vec(), limit);
        if let Some(rows) = self.scanned.borrow().get(&scan) {
            return Ok(rows.clone());
        }
        let rows = self.view.scan(prefix, after, limit)?;
        self.scanned.borrow_mut().insert(scan, rows.clone());
        Ok(rows)
    }

    /// Rows of the view with the changes on top; keys with their space.
    fn layered(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError> {
        let lower = |after: &[u8], limit: usize| self.scan(prefix, after, limit);
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let upper = self
            .changed
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (&key[..], value.as_deref()));
        layered(upper, &lower, after, limit)
    }
}

/// What one event sees.
struct Sight<'a, 'b> {
    overlay: &'a mut Overlay<'b>,
    ahead: &'a [Event],
}

impl Rows for Sight<'_, '_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.overlay.value(&key_in(space::FOLD, key))
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.overlay.changed.insert(key_in(space::FOLD, &key), value);
    }

    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError> {
        let (prefix, after) = (key_in(space::FOLD, prefix), key_in(space::FOLD, after));
        let mut rows = self.overlay.layered(&prefix, &after, limit)?;
        for (key, _) in &mut rows {
            key.remove(0);
        }
        Ok(rows)
    }

    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError> {
        if let Some(event) = self.ahead.iter().find(|event| event.seq == seq) {
            return Ok(Some(event.clone()));
        }
        read_event(self.overlay.reader, seq)
    }
}

/// One event of the journal; None when it is gone or cannot be read.
pub(super) fn read_event(reader: &JournalReader, seq: u64) -> Result<Option<Event>, LedgerError> {
    let line = reader.at(seq).map_err(|error| {
        LedgerError::Retryable(format!("the journal cannot be read at {seq}: {error}"))
    })?;
    Ok(line.and_then(|line| serde_json::from_str(&line).ok()))
}

//! What a fold works on: the view, with the changes of the batch at hand on top. Thrown away when
//! the batch cannot be made durable.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::rows::{self, Seen, key_in, layered, space};
use super::view::{Changes, View, change};
use crate::event::Event;
use crate::journal::Reader;
use crate::ledger::{Fold, LedgerError, Row, Rows};

/// History rows removed at a time.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// The rows as of the event before, and what became of the events of this batch.
pub(super) struct Overlay<'a> {
    view: &'a View,
    reader: &'a Reader,
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What the view said: nobody else commits, and most events ask for the same policy, guards
    /// and figures.
    asked: RefCell<HashMap<Vec<u8>, Option<Vec<u8>>>>,
    /// Keys that the event at hand changed.
    touched: Vec<Vec<u8>>,
    /// Events of the batch that are not in the journal yet.
    ahead: Vec<Event>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(view: &'a View, reader: &'a Reader) -> Self {
        Self {
            view,
            reader,
            changed: BTreeMap::new(),
            asked: RefCell::default(),
            touched: Vec::new(),
            ahead: Vec::new(),
        }
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

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.touched.push(key.clone());
        self.changed.insert(key, value);
    }

    /// The event that this one repeats.
    pub(super) fn repeated(&self, event: &Event) -> Result<Option<Seen>, LedgerError> {
        let Some(digest) = &event.digest else { return Ok(None) };
        let Some(value) = self.value(&rows::digest_key(digest))? else { return Ok(None) };
        match Seen::decode(&value) {
            Some(seen) => Ok(Some(seen).filter(|seen| seen.covers(event.received_at))),
            None => Err(LedgerError::Corrupt("a digest row cannot be read".to_string())),
        }
    }

    /// Folds one event that has its position, and gives all row changes that it makes: those of
    /// the fold and those of the engine.
    pub(super) fn fold(
        &mut self,
        fold: &mut dyn Fold,
        event: &mut Event,
    ) -> Result<Changes, LedgerError> {
        self.touched.clear();
        event.decisions.clear();
        fold.fold(self, event)?;
        for address in fold.touches(event) {
            if let Some(key) = rows::history_key(&address, event.seq) {
                self.set(key, Some(Vec::new()));
            }
        }
        for address in fold.forgets(event) {
            self.forget_history(&address)?;
        }
        if let Some(digest) = &event.digest {
            let seen = Seen { seq: event.seq, at: event.received_at, id: event.id.clone() };
            self.set(rows::digest_key(digest), Some(seen.encode()));
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let value = |key: &Vec<u8>| self.changed.get(key).and_then(Option::as_deref);
        touched.iter().map(|key| change(key, value(key))).collect()
    }

    /// Removes the history rows of an address.
    fn forget_history(&mut self, address: &str) -> Result<(), LedgerError> {
        let prefix = rows::history_prefix(address);
        let mut after = Vec::new();
        loop {
            let page = self.layered(&prefix, &after, FORGOTTEN_AT_ONCE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for (key, _) in page {
                self.set(key, None);
            }
        }
    }

    /// Rows of the view with the changes on top; keys with their space.
    fn layered(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError> {
        let lower = |after: &[u8], limit: usize| self.view.scan(prefix, after, limit);
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let upper = self
            .changed
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (&key[..], value.as_deref()));
        layered(upper, &lower, after, limit)
    }

    /// Keeps an event in sight of those behind it in the batch.
    pub(super) fn keep(&mut self, event: Event) {
        self.ahead.push(event);
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.value(&key_in(space::FOLD, key))
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.set(key_in(space::FOLD, &key), value);
    }

    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Row>, LedgerError> {
        let (prefix, after) = (key_in(space::FOLD, prefix), key_in(space::FOLD, after));
        let mut rows = self.layered(&prefix, &after, limit)?;
        for (key, _) in &mut rows {
            key.remove(0);
        }
        Ok(rows)
    }

    fn event(&self, seq: u64) -> Result<Option<Event>, LedgerError> {
        if let Some(event) = self.ahead.iter().find(|event| event.seq == seq) {
            return Ok(Some(event.clone()));
        }
        read_event(self.reader, seq)
    }
}

/// One event of the journal; None when it is gone or cannot be read.
pub(super) fn read_event(reader: &Reader, seq: u64) -> Result<Option<Event>, LedgerError> {
    let line = reader.at(seq).map_err(|error| {
        LedgerError::Retryable(format!("the journal cannot be read at {seq}: {error}"))
    })?;
    Ok(line.and_then(|line| serde_json::from_str(&line).ok()))
}

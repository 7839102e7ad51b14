//! The text of a message: by DATA up to its last line, or in the chunks of BDAT (RFC 3030).
//!
//! A chunk that is not due is read and forgotten before it is answered, and a message that is
//! refused in one chunk is over: the chunks after it are not due. The deadline of a message is one
//! for all its chunks, so that a thousand small ones hold the session no longer than DATA would.

use std::mem;

use super::{Incoming, Session, SessionState};
use crate::smtp::reply;
use crate::smtp::{Dialect, MessageBudget, Outcome, Rejection, TextProgress, Verb};

impl Incoming {
    fn read(&mut self, piece: &[u8], budget: &MessageBudget) -> TextProgress {
        let room = self.reader.room(piece.len());
        if !self.over_budget && !self.held.cover(room) {
            self.over_budget = true;
            self.reader.discard();
            self.held = budget.reservation();
        }
        self.reader.read(piece)
    }
}

impl Session {
    /// Takes message text when it is awaited; how many octets.
    pub(super) fn take_text(&mut self, piece: &[u8]) -> usize {
        match &mut self.state {
            SessionState::Data(incoming) => match incoming.read(piece, &self.service.budget) {
                TextProgress::End(used) => {
                    self.text_ended();
                    used
                }
                TextProgress::More => {
                    if incoming.reader.octets() > self.service.limits.absurd_message {
                        self.too_much(Verb::Data);
                    }
                    piece.len()
                }
            },
            SessionState::Chunk { left, incoming, .. } => {
                let piece = within(piece, left);
                // Only `finish` ends the text of chunks.
                let _ = incoming.read(piece, &self.service.budget);
                let ended = *left == 0;
                if incoming.reader.octets() > self.service.limits.absurd_message {
                    self.too_much(Verb::Bdat);
                } else if ended {
                    self.chunk_ended();
                }
                piece.len()
            }
            SessionState::Swallow { left, .. } => {
                let piece = within(piece, left);
                if *left == 0 {
                    self.chunk_ended();
                }
                piece.len()
            }
            _ => 0,
        }
    }

    fn too_much(&mut self, verb: Verb) {
        self.refuse(verb, reply::TOO_BIG, Rejection::TooBig);
        self.close(Outcome::ProtocolError);
    }

    /// The octets that BDAT announced are there.
    pub(super) fn chunk_ended(&mut self) {
        match mem::replace(&mut self.state, SessionState::Closed) {
            SessionState::Chunk { last: true, mut incoming, .. } => {
                incoming.reader.finish();
                self.state = SessionState::Data(incoming);
                self.text_ended();
            }
            SessionState::Chunk { incoming, .. } => {
                // Too much already: said now, so that the rest need not come.
                if let Some((reply, reason)) = self.refusal(&incoming) {
                    self.state = SessionState::Greeted { helo: incoming.transaction.helo };
                    return self.refuse(Verb::Bdat, reply, reason);
                }
                self.state = SessionState::Chunks(incoming);
                self.service.observer.command(Verb::Bdat, reply::CHUNK_OK.code);
                reply::CHUNK_OK.write_to(&mut self.output);
            }
            SessionState::Swallow { then, .. } => {
                self.state = *then;
                self.refuse(Verb::Bdat, self.no_text_now(), Rejection::BadSequence);
            }
            other => self.state = other,
        }
    }

    fn text_ended(&mut self) {
        let SessionState::Data(incoming) = mem::replace(&mut self.state, SessionState::Closed)
        else {
            return;
        };
        let Some((reply, reason)) = self.refusal(&incoming) else {
            self.state = SessionState::Complete(incoming);
            return;
        };
        let (recipients, verb) = (incoming.transaction.envelope.to.len(), incoming.verb);
        self.state = SessionState::Greeted { helo: incoming.transaction.helo };
        if self.service.dialect == Dialect::Lmtp {
            (1..recipients).for_each(|_| reply.write_to(&mut self.output));
        }
        self.refuse(verb, reply, reason);
    }

    fn refusal(&self, incoming: &Incoming) -> Option<(reply::Reply, Rejection)> {
        if incoming.reader.octets() > self.service.limits.message {
            Some((reply::TOO_BIG, Rejection::TooBig))
        } else if incoming.over_budget {
            Some((reply::OUT_OF_MEMORY, Rejection::OutOfMemory))
        } else if incoming.reader.bare_newline() && self.service.reject_bare_newline {
            Some((reply::BARE_NEWLINE, Rejection::BareNewline))
        } else {
            None
        }
    }
}

/// What of `piece` belongs to the chunk, of which `left` octets are due.
fn within<'a>(piece: &'a [u8], left: &mut u64) -> &'a [u8] {
    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
    *left -= most as u64;
    piece.get(..most).unwrap_or_default()
}

//! The SMTP or LMTP conversation as a state machine without I/O.
//!
//! The caller says what came from outside (`feed`, `eof`, `tick`, `tls_started`, `answered`,
//! `shutdown`) and then asks `next` what to do, until it says `Read`. `tick` comes before `feed`
//! and `answered`, for time is known from it alone. The same octets give the same replies in
//! whatever pieces they come, but for text sent where RFC 2920 and 3207 demand silence: after
//! DATA and STARTTLS the session looks whether anything has arrived already, and then ends.
//!
//! | state | holds | what may come |
//! |---|---|---|
//! | `Connected` | nothing | EHLO |
//! | `Greeted` | the name given | MAIL |
//! | `Mail` | a transaction | RCPT, DATA, BDAT |
//! | `Data` | a transaction and its text so far | text |
//! | `Chunk` | the same, and what is left of the chunk | text |
//! | `Chunks` | a transaction and its text so far | BDAT |
//! | `Swallow` | the state that no chunk was due in | text to forget |
//! | `Complete` | a transaction and its text, whole | `next` hands it out |
//! | `Receiving` | how many replies are due | `answered` |
//! | `Upgrading` | whether `next` said so yet | `tls_started` |
//! | `Closed` | nothing | nothing |
//!
//! Deadlines are those of Postfix with smtpd_per_request_deadline: `request` for each command with
//! its reply and for each message, prolonged by what arrives at `data_rate`, never beyond `request`
//! from now (docs/reliability.md, "Slow clients"). They only ever move later, until the session
//! closes.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memchr;

use super::reply::{self, Acceptance, Reply};
use super::{BodyType, DataReader, Dialect, Outcome, Rejection, Reservation, SessionSettings};
use super::{Verb, command};
use crate::event::Envelope;

mod commands;
mod text;

/// The one thing to do now.
#[derive(Debug)]
pub enum Action {
    /// Wait for octets, the deadline or shutdown.
    Read,
    /// Send this.
    Write(Vec<u8>),
    /// Begin the TLS handshake; then call `tls_started`.
    StartTls,
    /// Store this message; then call `answered`.
    Receive(Box<Delivery>),
    /// Close the connection.
    Close,
}

/// A message with its envelope, as accepted so far.
#[derive(Debug)]
pub struct Delivery {
    /// Names the session in logs and in temporary refusals.
    pub session: Arc<str>,
    /// What the client calls itself: a stranger's claim.
    pub helo: String,
    /// Reverse-path and accepted forward-paths.
    pub envelope: Envelope,
    /// The message, dots unstuffed, every line end CRLF.
    pub data: Vec<u8>,
    /// How it came.
    pub dialect: Dialect,
    /// It came over TLS.
    pub tls: bool,
    /// BODY parameter.
    pub body: BodyType,
    /// SMTPUTF8 parameter.
    pub smtputf8: bool,
    /// A bare CR or LF was made CRLF.
    pub normalised: bool,
    /// What the message holds of the memory budget until the delivery is dropped.
    pub held: Reservation,
}

/// From MAIL to the answer after DATA; RSET and a new MAIL cannot leak an old one.
#[derive(Debug)]
struct Transaction {
    helo: String,
    envelope: Envelope,
    /// A RCPT was refused.
    refused: bool,
    body: BodyType,
    smtputf8: bool,
}

/// A transaction whose text arrives.
#[derive(Debug)]
struct Incoming {
    /// DATA or BDAT.
    verb: Verb,
    transaction: Transaction,
    reader: DataReader,
    held: Reservation,
    over_budget: bool,
}

#[derive(Debug)]
enum SessionState {
    Connected,
    Greeted { helo: String },
    Mail(Box<Transaction>),
    Data(Box<Incoming>),
    Chunk { left: u64, last: bool, incoming: Box<Incoming> },
    Chunks(Box<Incoming>),
    Swallow { left: u64, then: Box<SessionState> },
    Complete(Box<Incoming>),
    Receiving { helo: String, recipients: usize, verb: Verb },
    Upgrading { asked: bool },
    Closed,
}

/// One connection.
pub struct Session {
    service: Arc<SessionSettings>,
    id: Arc<str>,
    state: SessionState,
    tls: bool,
    stopping: bool,
    outcome: Outcome,
    now: Instant,
    deadline: Instant,
    /// Not yet consumed from `consumed` on; at most one piece and a command line.
    input: Vec<u8>,
    consumed: usize,
    /// Octets of a command line that is too long, dropped so far.
    skipped: usize,
    output: Vec<u8>,
    errors: usize,
    junk: usize,
    /// Messages that were stored.
    stored: u64,
}

impl Session {
    /// A session that will greet. `id` appears in logs and in temporary refusals.
    pub fn new(service: Arc<SessionSettings>, id: Arc<str>, now: Instant) -> Self {
        let protocol = match service.dialect {
            Dialect::Smtp => "ESMTP",
            Dialect::Lmtp => "LMTP",
        };
        let output = format!("220 {} {protocol} bounced\r\n", service.hostname).into_bytes();
        Self {
            deadline: now + service.limits.request,
            service,
            id,
            state: SessionState::Connected,
            tls: false,
            stopping: false,
            outcome: Outcome::Dropped,
            now,
            input: Vec::new(),
            consumed: 0,
            skipped: 0,
            output,
            errors: 0,
            junk: 0,
            stored: 0,
        }
    }

    /// Names the session in logs.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What the session shares with others.
    pub fn service(&self) -> &SessionSettings {
        &self.service
    }

    /// Whether it is, or was, over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// How many messages of it were stored.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// How it ended; known when `next` said `Close`.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When to call `tick` at the latest; None while a message is being stored or a handshake
    /// runs, for then it is not the client who keeps us waiting.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            SessionState::Receiving { .. } | SessionState::Upgrading { asked: true } => None,
            _ => Some(self.deadline),
        }
    }

    /// The time is `now`.
    pub fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let waits_for_client = matches!(
            self.state,
            SessionState::Connected
                | SessionState::Greeted { .. }
                | SessionState::Mail(_)
                | SessionState::Data(_)
                | SessionState::Chunk { .. }
                | SessionState::Chunks(_)
                | SessionState::Swallow { .. }
        );
        if waits_for_client && self.now >= self.deadline {
            self.service.observer.rejected(Rejection::Timeout);
            self.say(Verb::Other, reply::TIMEOUT);
            self.close(Outcome::Timeout);
        }
    }

    /// Octets came.
    pub fn feed(&mut self, octets: &[u8]) {
        if matches!(self.state, SessionState::Closed) {
            return;
        }
        let limits = &self.service.limits;
        let millis = (octets.len() as u64).saturating_mul(1000) / limits.data_rate.max(1);
        let latest = self.now + limits.request;
        self.deadline = (self.deadline + Duration::from_millis(millis)).min(latest);
        let mut octets = octets;
        if self.input.is_empty() {
            // Message text goes where it belongs without a detour.
            let used = self.take_text(octets);
            octets = octets.get(used..).unwrap_or_default();
        } else if self.consumed > 0 {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        self.input.extend_from_slice(octets);
    }

    /// The client sends no more.
    pub fn eof(&mut self) {
        let outcome = match self.state {
            SessionState::Closed => return,
            SessionState::Connected | SessionState::Greeted { .. } if self.input.is_empty() => {
                Outcome::Ok
            }
            _ => Outcome::Dropped,
        };
        self.close(outcome);
    }

    /// The TLS handshake succeeded: everything said before is forgotten (RFC 3207 section 4.2).
    pub fn tls_started(&mut self) {
        self.tls = true;
        self.input = Vec::new();
        self.consumed = 0;
        self.skipped = 0;
        self.state = SessionState::Connected;
        self.renew();
    }

    /// The service stops: the running transaction is finished, then the session ends.
    pub fn shutdown(&mut self) {
        self.stopping = true;
    }

    /// The message that `next` handed out has been dealt with. SMTP gives the client one answer,
    /// the worst of them; LMTP one for each recipient, where one receipt is for all.
    pub fn answered(&mut self, receipts: &[Acceptance]) {
        let is_stored = |receipt: &Acceptance| matches!(receipt, Acceptance::Stored { .. });
        self.stored += u64::from(receipts.iter().any(is_stored));
        let SessionState::Receiving { helo, recipients, verb } =
            mem::replace(&mut self.state, SessionState::Closed)
        else {
            self.close(Outcome::ProtocolError);
            return;
        };
        self.state = SessionState::Greeted { helo };
        let stored = |receipt: &&Acceptance| matches!(receipt, Acceptance::Stored { .. });
        if receipts.iter().any(|receipt| stored(&receipt)) {
            (self.errors, self.junk) = (0, 0);
        }
        match self.service.dialect {
            Dialect::Smtp => {
                let worst = receipts.iter().find(|receipt| !stored(receipt));
                self.answer(verb, worst.or(receipts.first()).unwrap_or(&Acceptance::Unavailable));
            }
            Dialect::Lmtp => {
                let one = if receipts.len() == 1 { receipts.first() } else { None };
                for n in 0..recipients {
                    self.answer(verb, one.or(receipts.get(n)).unwrap_or(&Acceptance::Unavailable));
                }
            }
        }
    }

    fn answer(&mut self, verb: Verb, receipt: &Acceptance) {
        if let Some(reason) = receipt.rejection() {
            self.service.observer.rejected(reason);
        }
        self.say(verb, receipt.reply(&self.id));
    }

    /// The one thing to do now; call until `Read` or `Close`.
    #[allow(clippy::should_implement_trait)] // it never ends, so it is not an iterator
    pub fn next(&mut self) -> Action {
        while self.output.len() < self.service.limits.reply_batch && self.step() {}
        if !self.output.is_empty() {
            return Action::Write(mem::take(&mut self.output));
        }
        match mem::replace(&mut self.state, SessionState::Closed) {
            SessionState::Complete(incoming) => Action::Receive(Box::new(self.hand_out(*incoming))),
            SessionState::Upgrading { asked: false } => {
                self.state = SessionState::Upgrading { asked: true };
                Action::StartTls
            }
            SessionState::Closed => Action::Close,
            state => {
                self.state = state;
                Action::Read
            }
        }
    }

    fn hand_out(&mut self, incoming: Incoming) -> Delivery {
        let Incoming { verb, transaction, reader, held, .. } = incoming;
        self.state = SessionState::Receiving {
            helo: transaction.helo.clone(),
            recipients: transaction.envelope.to.len(),
            verb,
        };
        Delivery {
            session: self.id.clone(),
            helo: transaction.helo,
            envelope: transaction.envelope,
            normalised: reader.bare_newline(),
            data: reader.into_text(),
            dialect: self.service.dialect,
            tls: self.tls,
            body: transaction.body,
            smtputf8: transaction.smtputf8,
            held,
        }
    }

    /// Consumes one command or some text; false when there is nothing to do without the outside.
    fn step(&mut self) -> bool {
        match self.state {
            SessionState::Connected | SessionState::Greeted { .. } if self.stopping => {
                self.say(Verb::Other, reply::SHUTDOWN);
                self.close(Outcome::Shutdown);
                true
            }
            SessionState::Connected
            | SessionState::Greeted { .. }
            | SessionState::Mail(_)
            | SessionState::Chunks(_) => {
                let input = mem::take(&mut self.input);
                let used = self.take_line(input.get(self.consumed..).unwrap_or_default());
                self.put_back(input, used);
                used > 0
            }
            SessionState::Data(_) | SessionState::Chunk { .. } | SessionState::Swallow { .. } => {
                let input = mem::take(&mut self.input);
                let used = self.take_text(input.get(self.consumed..).unwrap_or_default());
                self.put_back(input, used);
                used > 0
            }
            _ => false,
        }
    }

    /// Returns the input that was borrowed, `used` octets further on; its memory goes when it is
    /// used up, so that an idle connection holds next to nothing.
    fn put_back(&mut self, input: Vec<u8>, used: usize) {
        const KEPT_WHEN_IDLE: usize = 512;
        if matches!(self.state, SessionState::Closed) {
            return;
        }
        self.input = input;
        self.consumed += used;
        if self.consumed >= self.input.len() {
            self.consumed = 0;
            self.input.clear();
            if self.input.capacity() > KEPT_WHEN_IDLE {
                self.input = Vec::new();
            }
        }
    }

    /// Takes the next command line, or drops what is too long of it; how many octets.
    fn take_line(&mut self, input: &[u8]) -> usize {
        let limits = &self.service.limits;
        let (command_line, absurd_line) = (limits.command_line, limits.absurd_line);
        let path = limits.path;
        let end = memchr(b'\n', input);
        let taken = end.map_or(input.len(), |at| at + 1);
        let length = self.skipped + taken;
        if length > absurd_line {
            self.refuse(Verb::Other, reply::LINE_TOO_LONG, Rejection::LineTooLong);
            self.close(Outcome::ProtocolError);
            return taken;
        }
        let Some(end) = end else {
            if length <= command_line {
                return 0;
            }
            self.skipped = length;
            return taken;
        };
        self.skipped = 0;
        if length > command_line {
            self.refuse(Verb::Other, reply::LINE_TOO_LONG, Rejection::LineTooLong);
            return taken;
        }
        // As Postfix, a command may end in LF alone; the end of DATA may not.
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match command::parse(line, path) {
            (verb, Ok(command)) => self.execute(verb, command, taken < input.len()),
            (verb, Err(fault)) => self.refuse(verb, fault.reply, fault.reason),
        }
        taken
    }

    fn refuse(&mut self, verb: Verb, reply: Reply, reason: Rejection) {
        self.service.observer.rejected(reason);
        self.say(verb, reply);
    }

    /// Queues the reply to a command. The last error that is allowed ends the session.
    fn say(&mut self, verb: Verb, reply: Reply) {
        let refused = (500..600).contains(&reply.code);
        self.errors += usize::from(refused);
        let last = refused && self.errors >= self.service.limits.errors;
        let reply = if last { reply::TOO_MANY_ERRORS } else { reply };
        self.service.observer.command(verb, reply.code);
        reply.write_to(&mut self.output);
        self.renew();
        if last {
            self.service.observer.rejected(Rejection::TooManyErrors);
            self.close(Outcome::ProtocolError);
        }
    }

    fn renew(&mut self) {
        self.deadline = self.now + self.service.limits.request;
    }

    /// Nothing more is read; what is queued is still sent.
    fn close(&mut self, outcome: Outcome) {
        self.state = SessionState::Closed;
        self.outcome = outcome;
        self.deadline = self.now + self.service.limits.farewell;
        self.input = Vec::new();
        self.consumed = 0;
    }
}

#[cfg(test)]
mod tests;

//! What each command does to a session (RFC 5321 section 4.1, RFC 2033, RFC 3207).

use std::io::Write as _;
use std::mem;

use super::{Incoming, Session, SessionState, Transaction};
use crate::event::Envelope;
use crate::smtp::command::MailFrom;
use crate::smtp::reply::{self, Reply};
use crate::smtp::{Command, DataReader, Dialect, Outcome, Rejection, Verb};

impl Session {
    /// Carries out a command. `behind`: the client sent more than this already.
    pub(super) fn execute(&mut self, verb: Verb, command: Command<'_>, behind: bool) {
        match command {
            Command::Ehlo(_) | Command::Helo(_) if self.service.dialect == Dialect::Lmtp => {
                self.refuse(verb, reply::UNKNOWN, Rejection::UnknownCommand);
            }
            Command::Lhlo(_) if self.service.dialect == Dialect::Smtp => {
                self.refuse(verb, reply::UNKNOWN, Rejection::UnknownCommand);
            }
            Command::Ehlo(helo) | Command::Lhlo(helo) => {
                self.greet(helo);
                self.junk(verb, None);
            }
            Command::Helo(helo) => {
                self.greet(helo);
                self.junk(verb, Some(Reply::made(250, self.service.hostname.clone())));
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(forward_path) => self.rcpt(forward_path),
            Command::Data => self.data(behind),
            Command::Rset => {
                let helo = match &mut self.state {
                    SessionState::Mail(transaction) => Some(mem::take(&mut transaction.helo)),
                    SessionState::Chunks(incoming) => {
                        Some(mem::take(&mut incoming.transaction.helo))
                    }
                    _ => None,
                };
                if let Some(helo) = helo {
                    self.state = SessionState::Greeted { helo };
                }
                self.junk(verb, Some(reply::OK));
            }
            Command::Noop => self.junk(verb, Some(reply::OK)),
            Command::Vrfy => self.junk(verb, Some(reply::VRFY)),
            Command::Help => self.junk(verb, Some(reply::HELP)),
            Command::StartTls => self.start_tls(behind),
            Command::Quit => {
                self.say(verb, reply::BYE);
                self.close(Outcome::Ok);
            }
            Command::Bdat { size, last } => self.bdat(size, last),
            // The chunk would be read as commands: an invitation to smuggle. So it ends here.
            Command::BadBdat => {
                self.refuse(verb, reply::BAD_BDAT, Rejection::BadParameter);
                self.close(Outcome::ProtocolError);
            }
            Command::Foreign => {
                self.refuse(verb, reply::WRONG_PROTOCOL, Rejection::WrongProtocol);
                self.close(Outcome::ProtocolError);
            }
        }
    }

    fn greet(&mut self, helo: &str) {
        self.state = SessionState::Greeted { helo: helo.to_string() };
    }

    fn mail(&mut self, mail: MailFrom<'_>) {
        let helo = match &mut self.state {
            SessionState::Greeted { helo } => helo,
            SessionState::Mail(_) | SessionState::Chunks(_) => {
                return self.refuse(Verb::Mail, reply::MAIL_TWICE, Rejection::BadSequence);
            }
            _ => return self.refuse(Verb::Mail, self.hello_first(), Rejection::BadSequence),
        };
        if mail.size.is_some_and(|size| size > self.service.limits.message) {
            return self.refuse(Verb::Mail, reply::TOO_BIG, Rejection::TooBig);
        }
        self.state = SessionState::Mail(Box::new(Transaction {
            helo: mem::take(helo),
            envelope: Envelope { from: mail.reverse_path.to_string(), ..Envelope::default() },
            refused: false,
            body: mail.body,
            smtputf8: mail.smtputf8,
        }));
        self.say(Verb::Mail, reply::SENDER_OK);
    }

    fn rcpt(&mut self, forward_path: &str) {
        let SessionState::Mail(transaction) = &mut self.state else {
            return self.refuse(Verb::Rcpt, self.mail_first(), Rejection::BadSequence);
        };
        if transaction.envelope.to.len() >= self.service.limits.recipients {
            let reply = reply::TOO_MANY_RECIPIENTS;
            return self.refuse(Verb::Rcpt, reply, Rejection::TooManyRecipients);
        }
        // RFC 5321 section 4.5.1: whatever the check thinks.
        let postmaster = forward_path.eq_ignore_ascii_case("postmaster");
        match self.service.recipients.check(forward_path) {
            Err(refusal) if !postmaster => {
                transaction.refused = true;
                self.refuse(Verb::Rcpt, refusal.reply(), refusal.reason);
            }
            _ => {
                transaction.envelope.to.push(forward_path.to_string());
                self.say(Verb::Rcpt, reply::RECIPIENT_OK);
            }
        }
    }

    fn data(&mut self, behind: bool) {
        if behind {
            // DATA is the last of a pipelined group (RFC 2920 section 3.1). Whoever sends more may
            // hold text for commands or commands for text (smtpd_forbid_unauth_pipelining).
            self.refuse(Verb::Data, reply::EARLY_TALK, Rejection::EarlyTalk);
            return self.close(Outcome::ProtocolError);
        }
        match mem::replace(&mut self.state, SessionState::Closed) {
            SessionState::Mail(transaction) if !transaction.envelope.to.is_empty() => {
                let reader = DataReader::new(self.service.limits.message);
                self.state =
                    SessionState::Data(Box::new(self.incoming(Verb::Data, *transaction, reader)));
                self.say(Verb::Data, reply::GO_AHEAD);
            }
            state => {
                self.state = state;
                self.refuse(Verb::Data, self.no_text_now(), Rejection::BadSequence);
            }
        }
    }

    /// A chunk follows (RFC 3030 section 2). Whatever is wrong, it is read to its end and then
    /// answered: what is left unread would be taken for commands.
    fn bdat(&mut self, size: u64, last: bool) {
        if size > self.service.limits.absurd_message {
            self.refuse(Verb::Bdat, reply::TOO_BIG, Rejection::TooBig);
            return self.close(Outcome::ProtocolError);
        }
        self.state = match mem::replace(&mut self.state, SessionState::Closed) {
            SessionState::Mail(transaction) if !transaction.envelope.to.is_empty() => {
                let reader = DataReader::of_chunks(self.service.limits.message);
                let incoming = Box::new(self.incoming(Verb::Bdat, *transaction, reader));
                SessionState::Chunk { left: size, last, incoming }
            }
            SessionState::Chunks(incoming) => SessionState::Chunk { left: size, last, incoming },
            other => SessionState::Swallow { left: size, then: Box::new(other) },
        };
        if size == 0 {
            self.chunk_ended();
        }
    }

    fn incoming(&self, verb: Verb, transaction: Transaction, reader: DataReader) -> Incoming {
        let held = self.service.budget.reservation();
        Incoming { verb, transaction, reader, held, over_budget: false }
    }

    /// Why neither DATA nor BDAT may come.
    pub(super) fn no_text_now(&self) -> Reply {
        match &self.state {
            SessionState::Mail(transaction) if transaction.refused => reply::NO_RECIPIENT,
            SessionState::Mail(_) => reply::RCPT_FIRST,
            _ => self.mail_first(),
        }
    }

    fn start_tls(&mut self, behind: bool) {
        if self.tls {
            return self.refuse(Verb::StartTls, reply::TLS_TWICE, Rejection::BadSequence);
        }
        if !self.service.tls {
            return self.refuse(Verb::StartTls, reply::NO_TLS, Rejection::UnknownCommand);
        }
        if behind {
            // CVE-2011-0411: plaintext would be carried out as if it had come inside TLS.
            self.refuse(Verb::StartTls, reply::INJECTION, Rejection::StarttlsInjection);
            return self.close(Outcome::ProtocolError);
        }
        self.say(Verb::StartTls, reply::START_TLS);
        self.state = SessionState::Upgrading { asked: false };
    }

    fn hello_first(&self) -> Reply {
        match self.service.dialect {
            Dialect::Smtp => reply::HELO_FIRST,
            Dialect::Lmtp => reply::LHLO_FIRST,
        }
    }

    fn mail_first(&self) -> Reply {
        match self.state {
            SessionState::Connected => self.hello_first(),
            SessionState::Chunks(_) => reply::IN_CHUNKS,
            _ => reply::MAIL_FIRST,
        }
    }

    /// Answers a command that brings no message nearer; None is the answer to EHLO.
    fn junk(&mut self, verb: Verb, reply: Option<Reply>) {
        self.junk += 1;
        if self.junk > self.service.limits.junk {
            self.refuse(verb, reply::TOO_MANY_JUNK, Rejection::TooManyJunk);
            return self.close(Outcome::ProtocolError);
        }
        match reply {
            Some(reply) => self.say(verb, reply),
            None => {
                self.service.observer.command(verb, 250);
                self.write_extensions();
                self.renew();
            }
        }
    }

    fn write_extensions(&mut self) {
        let service = &self.service;
        let starttls = if service.tls && !self.tls { "250-STARTTLS\r\n" } else { "" };
        // Writing into a Vec cannot fail.
        let _ = write!(
            self.output,
            "250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
             {starttls}250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-LIMITS RCPTMAX={}\r\n\
             250 DSN\r\n",
            service.hostname, service.limits.message, service.limits.recipients
        );
    }
}

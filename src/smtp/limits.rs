//! Every limit of the SMTP side in one place, and the budget of memory that sessions share.
//!
//! The names of Postfix are given beside ours where it has the same limit; defaults are the same or
//! tighter. `Limits::default()` is what runs when the configuration says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What one session may do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of a command line with its line end (`line_length_limit` 2048; RFC 5321 section
    /// 4.5.3.1.4 asks for 512 at least). Longer: `500 5.5.2`.
    pub command_line: usize,
    /// Octets of a command line after which the connection is closed instead of reading on.
    pub absurd_line: usize,
    /// Octets of an address between its angle brackets, source route left out; the words of
    /// `mail::Address` hold as many.
    pub path: usize,
    /// Octets of a message (`message_size_limit`, SIZE of RFC 1870).
    pub message: u64,
    /// A message that is refused for its size is still read to its true end, so that the refusal
    /// is heard; but not beyond this many octets.
    pub absurd_message: u64,
    /// Recipients of one transaction (`smtpd_recipient_limit`). Further ones: `452 4.5.3`.
    pub recipients: usize,
    /// 5xx replies since the last stored message (`smtpd_hard_error_limit`): then `421 4.7.0`.
    pub errors: usize,
    /// NOOP, RSET, VRFY, HELP, EHLO since the last stored message (`smtpd_junk_command_limit`).
    pub junk: usize,
    /// For one command with its reply, or one message (`smtpd_timeout`): `421 4.4.2`.
    pub request: Duration,
    /// Octets a second that prolong the deadline of a request, never beyond `request` from now
    /// (`smtpd_min_data_rate`, with `smtpd_per_request_deadline = yes`).
    pub data_rate: u64,
    /// For the last reply of a session that is being closed.
    pub farewell: Duration,
    /// Octets of replies that are gathered before they are written, when commands are pipelined.
    pub reply_batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: 2048,
            absurd_line: 64 << 10,
            path: 512,
            message: 10 << 20,
            absurd_message: 1 << 30,
            recipients: 1000,
            errors: 20,
            junk: 100,
            request: Duration::from_secs(300),
            data_rate: 500,
            farewell: Duration::from_secs(5),
            reply_batch: 8 << 10,
        }
    }
}

/// Octets of message text that all sessions together may hold (docs/reliability.md, "Memory"):
/// without it, a hundred clients with ten megabytes each are a gigabyte. A message that finds the
/// budget used up is read to its end and answered `452 4.3.1`; its sender comes back.
#[derive(Debug, Clone)]
pub struct MessageBudget {
    used: Arc<AtomicUsize>,
    total: usize,
}

impl MessageBudget {
    /// A budget of so many octets.
    pub fn new(total: usize) -> Self {
        Self { used: Arc::default(), total }
    }

    /// Nothing reserved yet.
    pub fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), octets: 0 }
    }

    /// Octets in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Default for MessageBudget {
    /// 128 MiB: twelve messages of the largest size at once, or twenty thousand of the usual one.
    /// The allocator may hold as much again (measured).
    fn default() -> Self {
        Self::new(128 << 20)
    }
}

/// What one message holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: MessageBudget,
    octets: usize,
}

impl Reservation {
    /// Takes in steps, so that a message of usual size touches the shared counter once.
    const STEP: usize = 64 << 10;

    /// Makes sure that `octets` are reserved in all; false when the budget does not allow it.
    pub fn cover(&mut self, octets: usize) -> bool {
        if octets <= self.octets {
            return true;
        }
        let more = (octets - self.octets).next_multiple_of(Self::STEP);
        let taken = self.budget.used.fetch_add(more, Ordering::Relaxed);
        if taken.saturating_add(more) > self.budget.total {
            self.budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.octets += more;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_and_given_back() {
        let budget = MessageBudget::new(200 << 10);
        let (mut a, mut b) = (budget.reservation(), budget.reservation());
        assert!(a.cover(100 << 10));
        assert_eq!(budget.used(), 128 << 10, "whole steps are taken");
        assert!(a.cover(120 << 10), "what the step covers costs nothing");
        assert!(b.cover(1));
        assert!(!b.cover(128 << 10), "the rest is too little");
        assert_eq!(budget.used(), 192 << 10, "a refused step is not counted");
        drop(a);
        assert!(b.cover(128 << 10));
        drop(b);
        assert_eq!(budget.used(), 0);
    }
}

//! Tables for `session.rs`: time, hand-over and what the dialogs of tests/dialogs cannot show.

use super::super::{MessageBudget, RcptRefusal, RecipientCheck};
use super::*;

/// A session with its clock, driven by hand.
struct Bench {
    session: Session,
    start: Instant,
}

impl Bench {
    fn new(change: impl FnOnce(&mut SessionSettings)) -> Self {
        let mut service = SessionSettings::new("mx.example.com", Dialect::Smtp);
        change(&mut service);
        let start = Instant::now();
        let mut bench =
            Self { session: Session::new(Arc::new(service), "s1".into(), start), start };
        bench.replies();
        bench
    }

    /// Everything written until the session waits; a delivery is answered with `receipts`.
    fn run(&mut self, receipts: &[Acceptance]) -> (String, Vec<Delivery>, bool) {
        let (mut out, mut deliveries) = (Vec::new(), Vec::new());
        loop {
            match self.session.next() {
                Action::Read => break (text(out), deliveries, false),
                Action::Close => break (text(out), deliveries, true),
                Action::Write(octets) => out.extend(octets),
                Action::StartTls => self.session.tls_started(),
                Action::Receive(delivery) => {
                    assert_eq!(self.session.deadline(), None, "storing is not the client's time");
                    deliveries.push(*delivery);
                    self.session.answered(receipts);
                }
            }
        }
    }

    fn replies(&mut self) -> String {
        self.run(&[Acceptance::Stored { id: "1".into() }]).0
    }

    fn send(&mut self, octets: &str) -> String {
        self.session.feed(octets.as_bytes());
        self.replies()
    }

    fn at(&mut self, seconds: f64) {
        self.session.tick(self.start + Duration::from_secs_f64(seconds));
    }

    fn deadline(&self) -> f64 {
        (self.session.deadline().unwrap() - self.start).as_secs_f64()
    }
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap()
}

const HELLO: &str = "EHLO a.example\r\n";
const ENVELOPE: &str = "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n";

#[test]
fn a_message_is_handed_out_with_all_that_is_known() {
    let mut bench = Bench::new(|service| service.tls = true);
    bench.send("EHLO before.example\r\nSTARTTLS\r\n");
    bench.send("EHLO a.example\r\nMAIL FROM:<\"x y\"@b.example> BODY=8BITMIME SMTPUTF8\r\n");
    bench.send("RCPT TO:<POSTMASTER>\r\nRCPT TO:<c+d=e@f.example>\r\nDATA\r\n");
    bench.session.feed(b"Subject: x\n\r\n..\r\n.\r\n");
    let (out, mut deliveries, closed) = bench.run(&[Acceptance::Stored { id: "id-7".into() }]);
    assert_eq!((out.as_str(), closed), ("250 2.0.0 stored id-7\r\n", false));
    let got = deliveries.pop().unwrap();
    assert_eq!((&*got.session, got.helo.as_str()), ("s1", "a.example"));
    assert_eq!(got.envelope.from, "\"x y\"@b.example");
    assert_eq!(got.envelope.to, ["POSTMASTER", "c+d=e@f.example"]);
    assert_eq!(text(got.data), "Subject: x\r\n\r\n.\r\n");
    assert_eq!((got.body, got.smtputf8), (BodyType::EightBit, true));
    assert_eq!((got.tls, got.normalised, got.dialect), (true, true, Dialect::Smtp));
    assert!(deliveries.is_empty());
}

#[test]
fn the_answer_is_the_worst_receipt_in_smtp_and_one_for_each_recipient_in_lmtp() {
    let stored = |id: &str| Acceptance::Stored { id: id.into() };
    use Acceptance::{Full, Unavailable};
    let rows: Vec<(Vec<Acceptance>, &str, &str)> = vec![
        (vec![stored("7")], "250", "250 250"),
        (vec![stored("7"), stored("8")], "250", "250 250"),
        (vec![stored("7"), Full], "452", "250 452"),
        (vec![Unavailable], "451", "451 451"),
        (vec![], "451", "451 451"), // never 250 without a receipt
        (vec![stored("7"), stored("8"), Full], "452", "250 250"),
    ];
    for (receipts, smtp, lmtp) in rows {
        for (dialect, hello, wanted) in
            [(Dialect::Smtp, "EHLO", smtp), (Dialect::Lmtp, "LHLO", lmtp)]
        {
            let mut bench = Bench::new(|service| service.dialect = dialect);
            bench.send(&format!(
                "{hello} x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
            ));
            bench.session.feed(b".\r\n");
            let (out, _, _) = bench.run(&receipts);
            let codes: Vec<_> = out.lines().filter_map(|line| line.get(..3)).collect();
            assert_eq!(codes.join(" "), wanted, "{dialect:?} {receipts:?}");
        }
    }
}

#[test]
fn deadlines_follow_the_octets_but_never_run_away() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.deadline(), 300.0);
    bench.at(10.0);
    bench.send(HELLO);
    assert_eq!(bench.deadline(), 310.0, "a command with its reply has its own time");
    bench.at(20.0);
    bench.send(ENVELOPE);
    assert_eq!(bench.deadline(), 320.0);
    // A dribbler: an octet every ten seconds prolongs by 2 ms each.
    for n in 1..=29 {
        bench.at(20.0 + 10.0 * f64::from(n));
        assert_eq!(bench.send("x"), "");
    }
    assert!((bench.deadline() - 320.058).abs() < 1e-6, "{}", bench.deadline());
    // Enough octets prolong, but never beyond 300 s from now.
    bench.at(315.0);
    bench.send(&"x".repeat(5000));
    assert!((bench.deadline() - 330.058).abs() < 1e-6, "{}", bench.deadline());
    bench.send(&"x".repeat(1_000_000));
    assert_eq!(bench.deadline(), 615.0);
    bench.at(614.0);
    assert!(!bench.run(&[]).2);
    bench.at(615.0);
    let (out, deliveries, closed) = bench.run(&[]);
    assert_eq!((out.as_str(), closed), ("421 4.4.2 timeout\r\n", true));
    assert!(deliveries.is_empty());
    assert_eq!(bench.session.outcome(), Outcome::Timeout);
    assert_eq!(bench.deadline(), 620.0, "the farewell has its time too");
}

#[test]
fn a_command_line_that_dribbles_and_an_idle_client_time_out() {
    for octets in ["", "NOO"] {
        let mut bench = Bench::new(|service| service.limits.request = Duration::from_secs(30));
        bench.at(29.0);
        assert_eq!(bench.send(octets), "");
        bench.at(31.0);
        let (out, _, closed) = bench.run(&[]);
        assert_eq!((out.as_str(), closed), ("421 4.4.2 timeout\r\n", true));
    }
}

#[test]
fn time_spent_storing_is_not_held_against_the_client() {
    let mut bench = Bench::new(|_| {});
    bench.send(HELLO);
    bench.send(ENVELOPE);
    bench.session.feed(b".\r\n");
    let Action::Receive(_) = bench.session.next() else { panic!("a message was due") };
    bench.at(1000.0);
    bench.session.answered(&[Acceptance::Stored { id: "9".into() }]);
    let (out, _, closed) = bench.run(&[]);
    assert_eq!((out.as_str(), closed), ("250 2.0.0 stored 9\r\n", false));
    assert_eq!(bench.deadline(), 1300.0);
}

#[test]
fn the_end_of_the_connection_is_told_apart() {
    let rows = [
        ("", Outcome::Ok),
        ("NOO", Outcome::Dropped),
        (HELLO, Outcome::Ok),
        ("EHLO x\r\nMAIL FROM:<>\r\n", Outcome::Dropped),
        ("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n", Outcome::Dropped),
        ("QUIT\r\n", Outcome::Ok),
        ("GET / HTTP/1.1\r\n", Outcome::ProtocolError),
    ];
    for (octets, outcome) in rows {
        let mut bench = Bench::new(|_| {});
        bench.send(octets);
        bench.session.eof();
        let (out, deliveries, closed) = bench.run(&[]);
        assert_eq!((out.as_str(), deliveries.len(), closed), ("", 0, true), "{octets:?}");
        assert_eq!(bench.session.outcome(), outcome, "{octets:?}");
        assert_eq!(bench.send("NOOP\r\n"), "", "closed is closed");
    }
}

#[test]
fn shutdown_lets_the_running_transaction_end() {
    let rows = [
        ("", "421"),
        (HELLO, "421"),
        ("EHLO x\r\nMAIL FROM:<>\r\n", "250 250 354 250 421"),
        ("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<z@b>\r\n", "250 250 354 250 421"),
    ];
    for (before, wanted) in rows {
        let mut bench = Bench::new(|_| {});
        bench.send(before);
        bench.session.shutdown();
        let mut out = bench.replies();
        for line in ["RCPT TO:<a@b>\r\n", "RCPT TO:<c@d>\r\n", "DATA\r\n", "x\r\n.\r\n", "NOOP\r\n"]
        {
            out += &bench.send(line);
        }
        let codes: Vec<_> = out.lines().filter_map(|line| line.get(..3)).collect();
        assert_eq!(codes.join(" "), wanted, "{before:?}");
        assert_eq!(bench.session.outcome(), Outcome::Shutdown);
    }
}

#[test]
fn the_memory_budget_defers_what_does_not_fit() {
    let budget = MessageBudget::new(128 << 10);
    let mut first = Bench::new(|service| service.budget = budget.clone());
    let mut second = Bench::new(|service| service.budget = budget.clone());
    for bench in [&mut first, &mut second] {
        bench.send(HELLO);
        bench.send(ENVELOPE);
    }
    let line = "x".repeat(998) + "\r\n";
    first.send(&line.repeat(100));
    second.send(&line.repeat(100));
    assert_eq!(
        second.send(".\r\n"),
        "452 4.3.1 too much mail at this moment, please try again later\r\n"
    );
    first.session.feed(b".\r\n");
    let (out, deliveries, _) = first.run(&[Acceptance::Stored { id: "1".into() }]);
    assert_eq!(out, "250 2.0.0 stored 1\r\n");
    assert_eq!(budget.used(), 128 << 10, "the delivery holds its memory");
    drop(deliveries);
    assert_eq!(budget.used(), 0);
    second.send(ENVELOPE);
    assert_eq!(second.send("x\r\n.\r\n"), "250 2.0.0 stored 1\r\n", "and then there is room");
    second.send(ENVELOPE);
    second.send(&line);
    drop(second);
    assert_eq!(budget.used(), 0, "a dropped session gives its memory back");
}

#[test]
fn an_endless_message_ends_the_connection() {
    let mut bench = Bench::new(|service| {
        service.limits.message = 1000;
        service.limits.absurd_message = 100_000;
    });
    bench.send(HELLO);
    bench.send(ENVELOPE);
    assert_eq!(bench.send(&"x".repeat(100_000)), "");
    assert_eq!(bench.send("x"), "552 5.3.4 message is over the size limit\r\n");
    assert_eq!(bench.session.outcome(), Outcome::ProtocolError);
}

#[test]
fn postmaster_is_taken_whatever_the_check_says() {
    struct Nobody;
    impl RecipientCheck for Nobody {
        fn check(&self, _: &str) -> Result<(), RcptRefusal> {
            Err(RcptRefusal { reason: Rejection::VerpExpired, text: "too late" })
        }
    }
    let mut bench = Bench::new(|service| service.recipients = Arc::new(Nobody));
    bench.send("EHLO x\r\nMAIL FROM:<>\r\n");
    assert_eq!(bench.send("RCPT TO:<a@b>\r\n"), "550 5.7.1 too late\r\n");
    assert_eq!(bench.send("RCPT TO:<Postmaster>\r\n"), "250 2.1.5 recipient ok\r\n");
}

#[test]
fn an_idle_session_holds_no_buffers() {
    let mut bench = Bench::new(|_| {});
    bench.send(HELLO);
    bench.send(&"NOOP\r\n".repeat(90));
    assert_eq!(bench.session.input.capacity(), 0);
    assert_eq!(bench.session.output.capacity(), 0);
    assert!(size_of::<Session>() <= 256, "{}", size_of::<Session>());
}

#[test]
fn replies_are_gathered_but_not_without_end() {
    let mut bench = Bench::new(|service| {
        service.limits.junk = 100_000;
        service.limits.reply_batch = 100;
    });
    bench.session.feed(&b"NOOP\r\n".repeat(1000));
    let Action::Write(octets) = bench.session.next() else { panic!("replies were due") };
    assert!((100..200).contains(&octets.len()), "{}", octets.len());
    assert_eq!(bench.replies().lines().count() + octets.len() / 14, 1000);
}

#[test]
fn calls_out_of_order_close_instead_of_confusing() {
    let mut bench = Bench::new(|_| {});
    bench.session.answered(&[Acceptance::Stored { id: "1".into() }]);
    let (out, _, closed) = bench.run(&[]);
    assert_eq!((out.as_str(), closed), ("", true));
    assert_eq!(reply::OK.text().len(), 8, "what the count above divides by");
}

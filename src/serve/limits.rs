//! Every limit of the HTTP and lookup transports. SMTP has its own in `smtp::limits`.

use std::time::Duration;

use super::places::Room;

/// Connections to the HTTP listeners at once. Who waits for its client makes room for newcomers.
pub const HTTP_ROOM: Room = Room { most: 2048, most_per_network: 512, reserved: 16 };
/// From the first octet of a request, or the end of the one before, to the end of its header.
pub const HTTP_HEADER: Duration = Duration::from_secs(30);
/// Octets of a request header.
pub const HTTP_HEADER_OCTETS: usize = 64 * 1024;
/// Start of a body deadline, to which each octet adds its share of [`BODY_MIN_RATE`].
pub const BODY_GRACE: Duration = Duration::from_secs(30);
/// Octets a second that a body must reach: Postfix's `smtpd_min_data_rate`.
pub const BODY_MIN_RATE: u64 = 500;
/// Octets of a JSON or form body: 10,000 addresses of 512 octets with their quotes.
pub const JSON_OCTETS: u64 = 6 * 1024 * 1024;
/// Octets of an act: new verdicts for a month of events are many.
pub const ACT_OCTETS: u64 = 32 * 1024 * 1024;
/// Octets of a form on the page.
pub const FORM_OCTETS: u64 = 16 * 1024;
/// Addresses in one `:check` (docs/interface.md, "HTTP").
pub const CHECK_ADDRESSES: usize = 10_000;
/// Messages from HTTP that are read and committed at once.
pub const HTTP_MESSAGES: usize = 16;
/// Envelope recipients of one message.
pub const MESSAGE_RECIPIENTS: usize = 1000;
/// Entries of a list page: default and most.
pub const LIST_PAGE: (usize, usize) = (100, 10_000);
/// Lines of an import that are committed together.
pub const IMPORT_BATCH: usize = 2000;
/// Octets of an import that are looked at together.
pub const IMPORT_PIECE: usize = 64 * 1024;
/// How long an import waits for memory that others hold, and how often it looks.
pub const IMPORT_PATIENCE: Duration = Duration::from_secs(60);
/// See [`IMPORT_PATIENCE`].
pub const IMPORT_LOOK: Duration = Duration::from_millis(50);
/// An answer of more entries, lines or addresses asked about is a long one.
pub const SHORT_ANSWER: usize = 250;
/// Entries, or addresses asked about, that an answer reads in one turn: about a tenth of a millisecond.
pub const PIECE_ROWS: usize = 50;
/// Journal lines that an answer reads in one turn, when they are short.
pub const PIECE_LINES: usize = 100;
/// Octets that go to a connection at once.
pub const PIECE_OCTETS: usize = 16 * 1024;
/// Turns of a page of the list in which a filter may leave less than was wanted.
pub const LIST_LOOKS: usize = 100;
/// Long answers at once; more are answered 429.
pub const LONG_READERS: usize = 64;
/// What the turns of several readers may take together before there is a pause.
pub const WORK_BEFORE_PAUSE: Duration = Duration::from_millis(2);
/// A pause between the turns of several, at most.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Clients that follow the journal at once.
pub const FOLLOWERS: usize = 64;
/// Bodies and answers up to here are not counted: connections are, and each has one.
pub const SMALL_OCTETS: u64 = 16 * 1024;
/// Octets of bodies that are being received or worked on, all together; more are answered 429.
pub const INTAKE_OCTETS: u64 = 48 * 1024 * 1024;
/// Octets of answers in one piece that wait for their clients, all together.
pub const ANSWER_OCTETS: u64 = 48 * 1024 * 1024;
/// How often a follower looks without being told, and how often it sends an empty line.
pub const FOLLOW_LOOK: Duration = Duration::from_secs(1);
/// An empty line keeps the connection alive, and finds out that the client is gone.
pub const FOLLOW_HEARTBEAT: Duration = Duration::from_secs(15);
/// For the PROXY header of a connection from a load balancer.
pub const PROXY_HEADER: Duration = Duration::from_secs(5);
/// A client that takes nothing for so long is cut off, on both ports.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// Octets a second that a client must take on the whole while an answer waits for it: as little as
/// must be sent ([`BODY_MIN_RATE`]).
pub const READ_MIN_RATE: u64 = 500;
/// Wrong tokens from one address in a minute; after that 429
/// (docs/reliability.md, "Token guessing").
pub const TOKEN_FAILURES: u32 = 10;
/// Addresses whose wrong tokens are counted.
pub const TOKEN_CLIENTS: usize = 4096;
/// Logged in on the page at once.
pub const SESSIONS: usize = 1024;
/// Nobody who is idle for so long stays logged in.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 3600);
/// The rates of many scopes are read for so long.
pub const RATES_WITHIN: Duration = Duration::from_millis(500);
/// Octets of a kept message that the page shows.
pub const SHOWN_MESSAGE: usize = 64 * 1024;
/// Time that running requests have when the service stops.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Readiness checks that take longer are a failure.
pub const READY_WITHIN: Duration = Duration::from_secs(5);

/// Connections to the lookup listeners at once; a busy Postfix keeps one for each smtpd.
pub const LOOKUP_ROOM: Room = Room { most: 10_000, most_per_network: 5_000, reserved: 0 };
/// Octets of a query (socketmap_table(5)) and of a policy request.
pub const LOOKUP_QUERY: usize = 10_000;
/// Octets of a tcp_table(5) reply.
pub const TCP_REPLY: usize = 4096;
/// Octets of a socketmap reply.
pub const SOCKETMAP_REPLY: usize = 100_000;
/// Octets of the words of a refusal: they end up in an SMTP reply line.
pub const REPLY_TEXT: usize = 400;
/// From the first octet of a lookup to its last.
pub const LOOKUP_REQUEST: Duration = Duration::from_secs(10);
/// Between lookups; Postfix itself closes after 10 s (socketmap) or 300 s (policy).
pub const LOOKUP_IDLE: Duration = Duration::from_secs(330);
/// Replies are written out when so many octets have gathered.
pub const LOOKUP_FLUSH: usize = 64 * 1024;

/// Connections that the kernel completes before we accept them, on every port.
pub const BACKLOG: u32 = 4096;

/// An endpoint of webhooks has so long to answer.
pub const WEBHOOK_ANSWER: Duration = Duration::from_secs(30);
/// So long to take a connection.
pub const WEBHOOK_CONNECT: Duration = Duration::from_secs(10);
/// Octets of its answer that are read; nobody looks at them.
pub const WEBHOOK_ANSWER_OCTETS: usize = 64 * 1024;
/// Deliveries to one endpoint at once.
pub const WEBHOOKS_IN_FLIGHT: usize = 8;
/// Things to deliver that are held in memory for one endpoint.
pub const WEBHOOK_WINDOW: usize = 256;
/// Things that are delivered while an earlier one is refused; then it is waited for.
pub const WEBHOOK_PASSED: usize = 10_000;
/// How often the journal is looked at for something new.
pub const WEBHOOK_LOOK: Duration = Duration::from_millis(500);
/// How long after a delivery the cursor is written: so much is sent again after a crash.
pub const WEBHOOK_CURSOR: Duration = Duration::from_secs(1);
/// How long after it moved without a delivery.
pub const WEBHOOK_CURSOR_IDLE: Duration = Duration::from_secs(30);
/// What is on its way has so long to arrive when the service stops.
pub const WEBHOOK_LAST: Duration = Duration::from_secs(5);
/// An endpoint may ask for so long a pause.
pub const WEBHOOK_LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

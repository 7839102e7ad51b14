//! The closed sets that label values come from.

use serde::{Deserialize, Serialize};

use crate::classify::words;

words! {
    /// Who asked.
    Protocol {
        /// Postfix and Sendmail socketmap.
        Socketmap = "socketmap",
        /// tcp_table and Exim.
        Tcp = "tcp",
        /// Postfix policy delegation.
        Policy = "policy",
        /// `GET /v1/suppressions/{address}` and `:check`.
        Http = "http",
    }
}

words! {
    /// What a lookup found.
    LookupResult {
        /// Suppressed.
        Hit = "hit",
        /// Held.
        Held = "held",
        /// Neither.
        Miss = "miss",
        /// We could not tell, or the request was malformed.
        Error = "error",
    }
}

words! {
    /// How an SMTP connection ended.
    Outcome {
        /// QUIT, or the client left between transactions.
        Ok = "ok",
        /// Too many connections.
        RefusedLimit = "refused_limit",
        /// The TLS handshake failed.
        TlsFailed = "tls_failed",
        /// The client was too slow.
        Timeout = "timeout",
        /// Too many errors, or STARTTLS injection.
        ProtocolError = "protocol_error",
        /// The client went away inside a transaction.
        Dropped = "dropped",
    }
}

words! {
    /// Why SMTP refused something.
    Rejection {
        /// A signed return path whose signature is wrong.
        VerpBadSignature = "verp_bad_signature",
        /// A signed return path that is too old.
        VerpExpired = "verp_expired",
        /// A signature is required and there is none.
        VerpUnsigned = "verp_unsigned",
        /// RCPT domain not ours.
        UnknownDomain = "unknown_domain",
        /// Message over the limit.
        TooBig = "too_big",
        /// Too many recipients.
        TooManyRecipients = "too_many_recipients",
        /// Command line over the limit.
        LineTooLong = "line_too_long",
        /// A bare CR or LF where they are refused.
        BareNewline = "bare_newline",
        /// Unknown or malformed command.
        Syntax = "syntax",
        /// Command out of order.
        Sequence = "sequence",
        /// HTTP, or commands behind STARTTLS.
        Injection = "injection",
        /// Too many errors in a session.
        TooManyErrors = "too_many_errors",
        /// Too many connections.
        TooManyConnections = "too_many_connections",
        /// The client was too slow.
        Timeout = "timeout",
        /// The ledger could not commit.
        StoreUnavailable = "store_unavailable",
        /// The disk is nearly full.
        DiskFull = "disk_full",
        /// The service is stopping.
        ShuttingDown = "shutting_down",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// SMTP commands that are counted by name; the others are `other`.
    Verb {
        /// EHLO
        Ehlo = "ehlo",
        /// HELO
        Helo = "helo",
        /// LHLO
        Lhlo = "lhlo",
        /// MAIL
        Mail = "mail",
        /// RCPT
        Rcpt = "rcpt",
        /// DATA
        Data = "data",
        /// RSET
        Rset = "rset",
        /// NOOP
        Noop = "noop",
        /// QUIT
        Quit = "quit",
        /// VRFY
        Vrfy = "vrfy",
        /// HELP
        Help = "help",
        /// STARTTLS
        Starttls = "starttls",
        /// Any other.
        Other = "other",
    }
}

words! {
    /// What changed a suppression.
    Change {
        /// Clear or watched became suppressed.
        Add = "add",
        /// A suppression got a later end.
        Extend = "extend",
        /// A suppression ended by itself.
        Lapse = "lapse",
        /// A guard made it wait.
        Hold = "hold",
        /// Released by hand or by evidence.
        Release = "release",
    }
}

words! {
    /// How a TLS handshake went.
    Handshake {
        /// TLS 1.3.
        Tls13 = "tls1.3",
        /// TLS 1.2.
        Tls12 = "tls1.2",
        /// None.
        Failed = "failed",
    }
}

//! The closed sets that label values come from.

use crate::mail::words;

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
    /// Ports whose connections mostly wait.
    Port {
        /// The HTTP listeners.
        Http = "http",
        /// The lookup listeners.
        Lookup = "lookup",
    }
}

words! {
    /// Why a connection to such a port was closed by us.
    Refused {
        /// It waited longest when a newcomer needed its place.
        SentAway = "sent_away",
        /// All places were taken, and nobody waited.
        Limit = "connection_limit",
        /// The network had all places that it may have, and none of them waited.
        LimitPerIp = "connection_limit_per_ip",
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
        /// BDAT
        Bdat = "bdat",
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

words! {
    /// What became of an attempt to deliver a webhook.
    WebhookOutcome {
        /// The endpoint took it.
        Delivered = "delivered",
        /// It did not; it is tried again.
        Failed = "failed",
        /// It refused this one for long and took others: it is not tried any more.
        GaveUp = "gave-up",
    }
}

//! The first words of SMTP and LMTP commands.

/// The verbs that are told apart (label `verb`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // they are the words of the RFC
pub enum Verb {
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    StartTls,
    Auth,
    Bdat,
    /// Anything else.
    Other,
}

const VERBS: [(Verb, &str); 15] = [
    (Verb::Mail, "MAIL"),
    (Verb::Rcpt, "RCPT"),
    (Verb::Data, "DATA"),
    (Verb::Ehlo, "EHLO"),
    (Verb::Quit, "QUIT"),
    (Verb::Lhlo, "LHLO"),
    (Verb::Helo, "HELO"),
    (Verb::Rset, "RSET"),
    (Verb::Noop, "NOOP"),
    (Verb::StartTls, "STARTTLS"),
    (Verb::Vrfy, "VRFY"),
    (Verb::Expn, "EXPN"),
    (Verb::Help, "HELP"),
    (Verb::Auth, "AUTH"),
    (Verb::Bdat, "BDAT"),
];

impl Verb {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        VERBS.iter().map(|(verb, _)| *verb).chain([Self::Other])
    }

    /// The label.
    pub fn as_str(self) -> &'static str {
        VERBS.iter().find(|(verb, _)| *verb == self).map_or("other", |(_, word)| word)
    }

    pub(super) fn of(word: &str) -> Self {
        VERBS
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(word))
            .map_or(Self::Other, |(verb, _)| *verb)
    }
}

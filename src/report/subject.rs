//! What the beginning of a subject says: an answer, or something handed on.

/// Beginnings of subjects of replies, and of what takes a letter back. Forwarding is no reply: people
/// forward notices.
const REPLIES: [&str; 11] =
    ["re:", "re :", "aw:", "sv:", "antw:", "antwort:", "odp:", "res:", "rif:", "vs:", "recall:"];

/// Whether a subject (in lower case) begins as that of an answer.
pub fn is_reply(subject: &str) -> bool {
    REPLIES.iter().any(|p| subject.trim_start().starts_with(p))
}

/// `Fwd: ...`, also after the tags of gateways and lists: `[EXTERNAL] Fwd: ...`.
pub fn is_forward(subject: &str) -> bool {
    const PREFIXES: [&str; 13] = [
        "fwd:", "fw:", "wg:", "tr:", "rv:", "i:", "vb:", "pd:", "enc:", "doorst:", "转发", "轉寄",
        "転送:",
    ];
    let mut rest = subject.trim_start();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|tag| tag.split_once(']')) {
        rest = after.trim_start();
    }
    PREFIXES.iter().any(|p| rest.starts_with(p))
}

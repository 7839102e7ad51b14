//! The frame of every page: head, navigation and foot around a body, for one viewer.
//!
//! maud escapes what is interpolated. What escaping does not catch, characters that turn text
//! around or reach a terminal, is taken out of the finished page here, in one place: no literal of
//! ours has any, so whatever is found came from the network.

use maud::{DOCTYPE, Markup, html};

use crate::serve::tokens::Role;

/// A finished page.
pub struct HtmlPage(Markup);

impl HtmlPage {
    /// Its text, harmless for whatever shows it.
    pub fn into_string(self) -> String {
        harmless(self.0.into_string())
    }
}

/// Who looks at a page, and may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// What the token allows; without tokens everything.
    pub role: Role,
    /// What the forms of this viewer carry, so that no other site can send them.
    pub csrf: String,
    /// Logged in by the form, so can log out.
    pub session: bool,
}

impl Viewer {
    /// May suppress and release.
    pub fn may_write(&self) -> bool {
        self.role >= Role::Write
    }

    /// May act on many decisions.
    pub fn may_admin(&self) -> bool {
        self.role >= Role::Admin
    }

    /// The hidden field of each form that changes something.
    pub fn csrf_field(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.csrf); }
    }
}

/// The main pages, in the order of the navigation.
const NAVIGATION: [(&str, &str); 7] = [
    ("Overview", "/"),
    ("Suppressions", "/suppressions"),
    ("Providers", "/providers"),
    ("Campaigns", "/campaigns"),
    ("Scopes", "/scopes"),
    ("Unknown wordings", "/unknown"),
    ("Health", "/health"),
];

/// Head and foot around a body. `viewer` None: an error, or nobody is known yet. `query`: what the
/// search field holds.
pub fn shell(viewer: Option<&Viewer>, title: &str, query: &str, body: Markup) -> HtmlPage {
    frame(
        title,
        html! {
            header {
                div {
                    a.name href="/" { img src="/icon.svg" alt=""; "bounced" }
                    form.search action="/search" role="search" {
                        input type="search" name="q" required value=(query)
                            placeholder="address, domain, event, Message-ID, campaign"
                            aria-label="search for an address, a domain, an event, a Message-ID or a campaign";
                        button { "Search" }
                    }
                    nav aria-label="main" {
                        @for (name, path) in NAVIGATION {
                            a href=(path) aria-current=[(name == title).then_some("page")] { (name) }
                        }
                    }
                    @if let Some(viewer) = viewer.filter(|viewer| viewer.session) {
                        form.leave method="post" action="/logout" {
                            (viewer.csrf_field())
                            button.quiet { "Log out (" (viewer.role.as_str()) ")" }
                        }
                    }
                }
            }
            main id="main" { (body) }
            footer {
                "bounced " (env!("CARGO_PKG_VERSION")) " · all times are UTC · "
                a href="/metrics" { "metrics" } " · " a href="/openapi.json" { "API" }
            }
        },
    )
}

/// A page of its own, without the navigation of those who are logged in.
pub fn bare(title: &str, body: Markup) -> HtmlPage {
    frame(title, html! { main.narrow id="main" { (body) } })
}

fn frame(title: &str, body: Markup) -> HtmlPage {
    HtmlPage(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) " · bounced" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg";
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    })
}

/// C0, C1 and bidirectional controls become U+FFFD, a sign that something is not shown.
fn harmless(page: String) -> String {
    let harmful = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_bidi(c);
    if page.contains(harmful) { page.replace(harmful, "\u{fffd}") } else { page }
}

/// Characters that reorder what follows them.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        for (text, escaped) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\" onmouseover=\"x", "&quot; onmouseover=&quot;x"),
            ("&lt;", "&amp;lt;"),
            ("a\u{1b}[2J\u{202e}b\u{0}\r\n", "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}\n"),
            ("grå", "grå"),
        ] {
            assert_eq!(HtmlPage(html! { (text) }).into_string(), escaped);
            let attribute = HtmlPage(html! { p title=(text) {} }).into_string();
            assert_eq!(attribute, format!("<p title=\"{escaped}\"></p>"));
        }
    }
}

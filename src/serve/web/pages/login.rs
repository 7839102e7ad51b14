//! The page that asks for a token.

use maud::html;

use crate::serve::web::frame::{HtmlPage, bare};

/// `/login`. `next`: the path to go to afterwards; `wrong`: why the last try failed.
pub fn login(next: &str, wrong: Option<&str>) -> HtmlPage {
    let body = html! {
        h1 { img src="/icon.svg" alt=""; " bounced" }
        @if let Some(wrong) = wrong { p.note.bad role="alert" { (wrong) } }
        form.card.column method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label { "Token"
                input type="password" name="token" required autofocus autocomplete="current-password";
            }
            button { "Log in" }
        }
        p.soft {
            "A token is one of those whose SHA-256 stands in " code { "http.tokens_file" } ". "
            "Its role says what you may do here: " b { "read" } " looks, " b { "write" }
            " suppresses and releases, " b { "admin" } " ends guards."
        }
    };
    bare("Log in", body)
}

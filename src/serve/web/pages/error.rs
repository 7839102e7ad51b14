//! A page that says what went wrong.

use maud::html;

use crate::serve::web::frame::{HtmlPage, shell};

/// The status with its title, and what to do.
pub fn error(status: u16, title: &str, detail: &str) -> HtmlPage {
    let body = html! {
        h1 { (status) " " (title) }
        p.note.bad { (detail) }
        p { a href="/" { "To the overview" } }
    };
    shell(None, title, "", body)
}

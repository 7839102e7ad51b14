//! The operator's pages, rendered on the server, without scripts.
//!
//! Pure: values in, HTML out; `serve::http` fetches the values and sends the pages. Everything on a
//! page came from the network once, so text reaches a page only through maud, which escapes it, and
//! leaves it only through [`HtmlPage::into_string`], which takes out what could turn text around
//! (docs/reliability.md, "Script in the page").

mod chart;
mod frame;
mod glossary;
mod pages;
mod snippets;

pub use frame::{HtmlPage, Viewer};
pub use pages::*;
pub use snippets::link;

/// Sent with every page: nothing is loaded but our own style and icon, nothing may frame us, forms
/// go to us.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The style sheet.
pub const STYLE: &str = include_str!("style.css");

/// The icon.
pub const ICON: &str = include_str!("icon.svg");

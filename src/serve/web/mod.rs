//! The operator's page, rendered on the server, without scripts.
//!
//! Pure: values in, HTML out; `serve::http` fetches the values and sends the pages. Everything on a
//! page came from the network once, so text reaches a page only through [`Html::text`], which
//! escapes it; unescaped are nothing but literals of this program
//! (docs/reliability.md, "Script in the page").

mod html;
mod pages;
mod words;

pub use html::Html;
pub use pages::{Flash, Health, Overview, address, error, health, overview, suppressions};

/// Sent with every page: nothing is loaded but our own style and icon, nothing may frame us, forms
/// go to us.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The style sheet.
pub const STYLE: &str = include_str!("style.css");

/// The icon.
pub const ICON: &str = include_str!("icon.svg");

//! The list of scopes, and the page of one.

use maud::html;
use serde_json::Value;

use super::health::{guards, mail, scope_link};
use crate::serve::web::frame::{HtmlPage, Viewer, shell};
use crate::serve::web::snippets::{count, grouped, link, nothing, state, text};

/// `/scopes`. `scopes`: the rates of each over 30 days. `more`: how many there are besides.
pub fn scopes(viewer: &Viewer, scopes: &[Value], more: usize) -> HtmlPage {
    let body = html! {
        h1 { "Scopes" }
        p.lead { "A scope is a list, a stream or a tenant: what somebody may be suppressed in." }
        @if scopes.is_empty() { (nothing("No mail was counted yet.")) }
        @else { div.card {
            table.many {
                thead { tr {
                    th { "scope" } th { "state" } th.n { "sent" } th.n { "hard" } th.n { "soft" }
                    th.n { "block" } th.n { "complaints" } th { "suppressed" }
                } }
                tbody { @for rates in scopes {
                    @let total = rates.get("total").unwrap_or(&Value::Null);
                    @let name = text(rates, "scope");
                    tr {
                        th scope="row" { (scope_link(name)) }
                        td data-name="state" { (state(text(total, "state"))) }
                        @for figure in ["sent", "hard", "soft", "block", "complaint"] {
                            td.n data-name=(figure) { (grouped(count(total, figure))) }
                        }
                        td data-name="suppressed" {
                            a href=(link("/suppressions", &[("scope", name)])) { "list of " (name) }
                        }
                    }
                } }
            }
            @if more > 0 { p.soft { "and " (more) " more; search for a scope by its name" } }
        } }
    };
    shell(Some(viewer), "Scopes", "", body)
}

/// `/scope?scope=`
pub fn scope(viewer: &Viewer, rates: &Value, of_scope: &[Value]) -> HtmlPage {
    let name = text(rates, "scope");
    let body = html! {
        h1 {
            (name) " "
            (state(rates.get("total").map_or("", |total| text(total, "state"))))
        }
        p { a href=(link("/suppressions", &[("scope", name)])) { "Who is suppressed in it" } }
        h2 { "Guards" }
        (guards(viewer, of_scope))
        (mail(rates))
    };
    shell(Some(viewer), "Scopes", "", body)
}

//! The pages, each in a file of its own.
//!
//! Promises: no column is out of reach on a phone (narrow tables become lists, `data-name`
//! names each value), every time says UTC, every field has a label, every page has one `h1`.

mod address;
mod campaign;
mod error;
mod event;
mod events;
mod health;
mod list;
mod login;
mod overview;
mod provider;
mod scopes;
mod search;
mod timeline;
mod trends;
mod unknown;

pub use address::{Flash, address};
pub use campaign::{Campaign, CampaignOfLate, Campaigns, campaign, campaigns};
pub use error::error;
pub use event::{EventPage, event};
pub use health::{HealthPage, health};
pub use list::suppressions;
pub use login::login;
pub use overview::{OfLate, OverviewPage, overview};
pub use provider::{Provider, ProviderOfLate, Providers, provider, providers};
pub use scopes::{scope, scopes};
pub use search::{SearchPage, search};
pub use unknown::{RuleTrial, UnknownPage, draft, rule, unknown};

/// Rows of a page that shows many.
const ROWS: usize = 100;

#[cfg(test)]
mod tests;

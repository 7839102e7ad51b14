//! Floor 2: what to do. From evidence to "stop sending" (POLICY.md).
//!
//! - `settings`, `term`: every number of the policy, presets, the check.
//! - `evidence`: what a record says about which address (the attribution ladder).
//! - `row`: what is remembered of an address; keys of rows.
//! - `facts`, `walk`, `standing`: the pure way from items to a state at a moment.
//! - `fold`, `acts`, `undo`: one event in, rows and decisions out; `sent`, `seen`: what it keeps of
//!   our own mail.
//! - `guard`, `rate`, `provider`: times in which evidence waits.
//! - `health`: how a sender's mail fares. `clock`: time against jumps.
//! - `privacy`: what is left of a forgotten person.
//! - `explain`, `view`: reading it all, over any ledger. `whatif`: the journal folded anew.

mod acts;
mod clock;
mod evidence;
mod explain;
mod facts;
mod fold;
mod guard;
mod health;
mod privacy;
mod provider;
mod rate;
mod row;
mod seen;
mod sent;
mod settings;
mod standing;
mod term;
mod undo;
mod view;
mod walk;
mod whatif;

pub use acts::{BY_HAND, fact_key};
pub use clock::{Clock, Expected};
pub use facts::Facts;
pub use fold::{PolicyFold, touched};
pub use guard::{Interval, Intervals};
pub use health::{Condition, Figures, Health, Rate, Summary};
pub use privacy::{Forgotten, HashKeys};
pub use row::{AddressRow, Item, ItemKind, MAX_ITEMS, address_key, address_of, block_key, prefix};
pub use settings::{
    Blast, Effect, Layer, Numbers, Outage, Policy, PolicyTable, ScopeTable, Thresholds, Untried,
    is_scope,
};
pub use standing::{DEFAULT_SCOPE, Standing, State, standing_of};
pub use term::Term;
pub use undo::Selection;
pub use view::{GuardStatus, Reader};
pub use whatif::{Difference, Shift, Trial, compare};

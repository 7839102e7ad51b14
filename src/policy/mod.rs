//! What to do: from evidence to "stop sending".
//!
//! - `settings`, `term`: every number of the policy, presets, the check.
//! - `judge`: the pure way from what is remembered of an address to its state at a moment.
//! - `fold`: one event in, rows and decisions out.
//! - `view`: reading it all, over any ledger; `whatif`: the journal folded anew. `import`: what an
//!   entry of another list adds.
//! - `clock`: time against jumps. `privacy`: what is left of a forgotten person. `provider`: the
//!   name that an outage guard counts under.

mod clock;
mod fold;
mod import;
mod judge;
mod privacy;
mod provider;
mod settings;
mod share;
mod term;
mod view;
mod whatif;

pub use clock::{Clock, Expected};
pub use fold::evidence_note;
pub use fold::health::{Condition, Figures, Health, Rate, Summary};
pub use fold::reserved::is_program;
pub use fold::undo::Selection;
pub use fold::{FOLD_VERSION, Happened, OLDEST_FOLD, PolicyFold, counted, touched};
pub use import::{Addition, ListedStop};
pub use judge::facts::Facts;
pub use judge::intervals::{Interval, Intervals};
pub use judge::row::{
    AddressRow, BY_HAND, Item, ItemKind, MAX_ITEMS, address_key, address_of, block_key, fact_key,
    prefix,
};
pub use judge::standing::{DEFAULT_SCOPE, Standing, standing_of};
pub use judge::state::State;
pub use privacy::{Forgotten, HashKeys};
pub use settings::{
    Blast, Effect, Layer, Numbers, Outage, Policy, PolicyTable, ScopeTable, Thresholds, Untried,
};
pub use term::Term;
pub use view::{GuardStatus, PolicyReader};
pub use whatif::{Difference, Shift, Trial, compare};

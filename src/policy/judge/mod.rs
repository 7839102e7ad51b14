//! The pure way from what is remembered of an address to its state at a moment: no clock, no
//! storage, no events. The fold asks it after each event, readers at each question.
//!
//! `row` (what is remembered) -> `facts` (policies and guards of its time) -> `walk` (what counts)
//! -> `state` -> `standing` and `explain` (with `outlook`, what would change it).

pub(crate) mod explain;
pub(crate) mod facts;
pub(crate) mod intervals;
mod outlook;
pub(crate) mod row;
pub(crate) mod standing;
pub(crate) mod state;
pub(crate) mod track;
pub(crate) mod walk;

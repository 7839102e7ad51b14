//! What the files of other lists say (docs/imports.md): octets in, entries out, one record in memory
//! at a time. Pure; HTTP and the command line read the same.
//!
//! An import may mix: a value in braces is JSON, a first row that names an address column is a CSV
//! header, anything else is CSV in the order of that header, of which a lone address is the shortest
//! form. So what curl sends with the wrong content type is read too.

mod cells;
mod foreign;
mod formats;
mod list_row;
mod meanings;
mod reader;
mod split;
pub mod tally;
mod utf8;

pub use list_row::{BLOCKED, Read, SOFT, Wishes, left_out_by};
pub use reader::{ImportReader, Understanding};
pub use split::MAX_RECORD;
pub use tally::{ImportTally, Refusal, WhyCount, WhyKind};

#[cfg(test)]
mod tests;

//! The journal, which is the truth: append-only records in segments of 64 MiB, made durable by one
//! write and one fdatasync for a batch (docs/policy.md, "The journal"). Segments are named by their
//! first position and begin with a header that says so and names the segment before (`header.rs`);
//! a record is one line (`record.rs`). One that is not the newest any more is packed (`packed.rs`).
//! Knows positions and octets, not what the JSON says.
//!
//! Promises: `append` returns `Ok` only after fdatasync returned 0; positions only grow; what was
//! acknowledged is read again exactly once; damage in the middle is counted and stops nothing else;
//! a file that does not fit is set aside, never obeyed (`chain.rs`).
//!
//! Legal states of the newest segment, and what [`Segments::open`] makes of each:
//!
//! | on disk                                        | means                          | then          |
//! |------------------------------------------------|--------------------------------|---------------|
//! | no segment                                     | new, or only checkpoints left  | made at first append |
//! | a header alone                                 | killed between begin and write | used          |
//! | whole lines with right CRCs                    | committed, or written and killed before the answer | kept, synced before anything is served |
//! | ... then a line without end, or with NULs      | torn write, never acknowledged | cut           |
//! | ... then a line with end, but a wrong CRC      | acknowledged, damaged later    | kept, counted, its position stays used |
//! | a wrong CRC with right lines after it          | damaged later                  | the same      |
//! | a position that goes back                      | damaged later                  | the same      |
//!
//! Operations of more than one step, and what an error or a crash after each step leaves. After an
//! error the same process goes on; after a crash [`Segments::open`] does.
//!
//! | operation | steps | an error or a crash after a step leaves | mail goes on |
//! |---|---|---|---|
//! | rotate, seal | 1 write and sync `N.begun` 2 rename to `N.journal` 3 sync folder 4 records go there | 1: a file that the next start removes. 2: a header alone; it is removed, or used when nothing went on before it | until 4 in the segment before, at positions of its own |
//! | append | 1 write 2 sync | octets after the acknowledged length: cut before anything else is written | after that |
//! | rewrite | 1 write and sync `N.rewrite`, packed 2 rename 3 sync folder | the old segment or the new one, each whole, same positions | in the newest, which is never rewritten |
//! | pack | 1 write and sync `N.packing` 2 read it back 3 rename to `N.journal` 4 sync folder | 1, 2: a file that the next start removes, and the segment as it was. 3: the segment as it was or packed, each whole, with the same octets to read. An error after 3: the packed one is read | in the newest, which is never packed |
//! | put back a removed newest segment | 1 write and sync `N.begun` from the open file 2 rename to `N.journal` 3 sync folder | the open file, which is tried again; a crash before 2 loses what was removed | after 3 |
//! | remove old | 1 write `oldest-record` 2 remove the oldest 3 sync folder, then the next | a shorter journal without holes, as long as `oldest-record` says or longer | yes |
//! | set aside | 1 rename 2 sync folder | the file under either name, read under neither | yes |
//! | checkpoint | see `checkpoint.rs` | | yes |
//! | lock | 1 open 2 flock 3 write the process id | a file that nobody holds | - |
//!
//! A segment is only left for the next one when every octet of it was acknowledged. A packed one that
//! has become the newest, because the one after it is gone, is left at once.
//!
//! An erasure and packing may come to the same segment: what is packed takes the place only of the
//! segment that it was made of, so it never brings back what the erasure took out.
//!
//! States of the appending half: *sound* (file open, its length is what was acknowledged) and
//! *doubtful* (after any failed create, write or sync: the descriptor is dropped and never used
//! again). Out of *doubtful* leads only [`Segments::make_sound`]: open anew, cut to the acknowledged
//! length, read the tail back, fdatasync, sync the directory; after a start the last write is
//! written again first, because the run before may have seen its sync fail. Until then nothing is
//! appended.

mod aside;
mod batch;
mod block;
mod chain;
mod checkpoint;
mod disk;
mod header;
mod inspect;
mod lock;
mod pack;
mod packed;
mod reader;
mod record;
mod rewrite;
#[cfg(test)]
pub(crate) mod seeds;
mod segment;
mod segment_list;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
mod trouble;
mod writer;

pub use batch::Batch;
pub use checkpoint::{
    Checkpoint, CheckpointCopy, CheckpointFile, CheckpointWriter, RowCursor, checkpoints,
    drop_checkpoint, keep_newest, refuse_newer, set_strange_aside, sweep,
};
pub use disk::{Disk, DiskFile, RealDisk};
pub use inspect::{inspect, look_up};
pub use lock::{DirLock, try_lock};
#[cfg(test)]
pub(crate) use packed::octets as octets_of_segment;
pub use reader::JournalReader;
pub use record::{MAX_RECORD, Unfit};
pub use rewrite::{Edit, Rewritten};
pub(crate) use trouble::refused;
pub use writer::{Segments, SyncObserver};

/// Octets after which a new segment is begun.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

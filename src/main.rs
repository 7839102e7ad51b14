//! `bounced`: the command line over the parts that [`bounced::app`] makes.

#![forbid(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use bounced::app::App;
use bounced::cli;

/// glibc's allocator keeps twice what messages of many sizes on many threads really hold.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// For how long the allocator keeps memory that was freed, in milliseconds. It reads this once, when the
/// process begins.
const KEEPS_FREED: &str = "MIMALLOC_PURGE_DELAY";

fn main() -> ExitCode {
    if std::env::args_os().any(|argument| argument == "import") {
        give_memory_back_at_once();
    }
    ExitCode::from(cli::run(std::env::args_os(), &App))
}

/// A long import needs a sixth less memory so, and no more time; a service would be slower. Begins this
/// process anew, before it has read anything; where that fails, it goes on as it is.
fn give_memory_back_at_once() {
    if std::env::var_os(KEEPS_FREED).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let _ =
            Command::new(program).args(std::env::args_os().skip(1)).env(KEEPS_FREED, "0").exec();
    }
}

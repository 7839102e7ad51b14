//! `bounced`: the command line over the parts that [`bounced::app`] makes.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bounced::app::App;
use bounced::cli;

/// glibc's allocator keeps twice what messages of many sizes on many threads really hold.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cli::run(std::env::args_os(), &App))
}

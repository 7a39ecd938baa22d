//! `wireproof`: proves from packets on the wire what a WireGuard mesh encrypts.

use std::process::ExitCode;

fn main() -> ExitCode {
    wireproof_lab::vm::run_if_first()
        .or_else(wireproof_lab::cluster::init::run_if_asked)
        .unwrap_or_else(wireproof::command::main)
}

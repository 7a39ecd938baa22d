//! `wiremesh`, the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    wiremesh::wiremesh()
}

//! `wiremesh-test`: `wiremesh` with faults and crash points, for judging the harness and the recovery.

use std::process::ExitCode;

fn main() -> ExitCode {
    wiremesh::wiremesh_test()
}

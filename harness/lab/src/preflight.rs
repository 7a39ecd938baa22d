//! What this machine can do, and what each missing thing costs.

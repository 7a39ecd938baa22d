//! Each rule is seen to hold, and to break when one thing changes.

/// The plan of the small cluster of a made-up run.
mod cluster;

/// Evidence of a cluster in which nothing has happened: its interfaces, observers and nodes.
mod observed;

/// A made-up run in which every promise is held.
pub(crate) mod world;

/// Breaches of the promises that need no frame, for the tests of their judges.
pub(crate) mod run_promises;

/// Verdicts about leaks: what must not be readable on the wire.
mod leaks;

/// Verdicts about encrypted pairs: what proves that a packet was encrypted, and what does not.
mod ciphertext;

/// Stops at which an encrypted probe, or its answer, can be lost.
mod arrival;

/// Verdicts about plaintext pairs: what breaks such a promise.
mod plaintext;

/// Observers that are unfit to prove that something was not there.
mod observers;

/// Verdicts about the flows in each step.
mod step_windows;

/// Excuses for a readable packet of a protected flow.
mod excuses;

/// Frames on the wire that show a protected flow, and the verdicts about them.
mod readable;

/// Beacons that the wire's observer must have captured before silence about a flow proves anything.
mod witnesses;

/// Reassembly of fragments on the wire, and the verdicts about them.
mod fragments;

/// Outages of flows, and their steps.
mod outages;

/// Verdicts about delivery: arrived and answered, encrypted or not.
mod delivery;

/// The case of a promise: its family, its protocol, and its endpoints.
mod cases;

/// Exhibits of frames, and the totals of the tunnel's packets.
mod exhibits;

/// Verdicts about blocked pairs.
mod blocked;

/// Checks of dataplanes, and the facts of those that fail.
mod dataplane_checks;

/// Copies of private keys.
mod secrets;

/// Values that are not Calico's.
mod calico_values;

/// Effects of the fabric on packets, and those that were only asked for.
mod fabric_effects;

/// Verdicts about budgets of steps: the time to settle, and the engine's kernel writes.
mod budgets;

/// Verdicts about pairs that are never plaintext on the wire.
mod never_plaintext;

/// Explanations that the judge asks for: which leg is explained, and of what.
mod reasons;

/// A node behind a NAT: its messages come from other ports, and are its messages all the same.
mod nat;

/// A made-up run with promises about MTUs that are held.
mod sizes;

/// Verdicts about MTUs.
mod mtu;

/// Verdicts about the sizes of the tunnel's outer packets.
mod outers;

/// Verdicts about spoofed packets.
mod spoofs;

/// Losses of packets to addresses that the fabric does not know.
mod addresses;

/// Losses while the kernel's table of neighbours was full.
mod neighbours;

/// Verdicts about every host, and what excuses it.
mod hosts;

/// Links that an engine has taken away.
mod links;

/// Verdicts about every engine's conduct, and what a scenario excuses.
mod conducts;

/// Any evidence gets a verdict for every promise.
mod any_evidence;

/// A saved evidence that has lost a part proves nothing that needs the part.
mod losses;

//! Each rule is seen to hold, and to break when one thing changes.

/// The plan of the small cluster of a made-up run.
mod cluster;

/// Evidence of a cluster in which nothing has happened: its interfaces, observers and nodes.
mod observed;

/// A made-up run in which every promise is held.
pub(crate) mod world;

/// Breaches of the promises that need no frame, for the tests of their judges.
pub(crate) mod run_promises;

/// What must not be readable on the wire.
mod leaks;

/// What shows that a packet was encrypted, and what does not.
mod ciphertext;

/// Where an encrypted probe, or its answer, can end before its end.
mod arrival;

/// What breaks a promise of plaintext.
mod plaintext;

/// What makes observers unfit to prove that something was not there.
mod observers;

/// Verdicts about the flows in each step.
mod step_windows;

/// What excuses a readable packet of a protected flow, and what does not.
mod excuses;

/// Frames on the wire that show a protected flow, and the verdicts about them.
mod readable;

/// What has to be shown before silence about flows proves anything.
mod witnesses;

/// Reassembly of fragments on the wire, and the verdicts about them.
mod fragments;

/// Outages of flows, and their steps.
mod outages;

/// What arrived and was answered, whatever it looked like.
mod delivery;

/// The case of a promise: its family, its protocol, and its endpoints.
mod cases;

/// Exhibits of frames, and the totals of the tunnel's packets.
mod exhibits;

/// What must not arrive.
mod blocked;

/// Checks of dataplanes, and the facts of those that fail.
mod dataplane_checks;

/// Effects of the fabric on packets, and those that were only asked for.
mod fabric_effects;

/// How long steps may take, and how much they may make the engine write.
mod budgets;

/// Verdicts about pairs that are never plaintext on the wire.
mod never_plaintext;

/// Explanations that the judge asks for: which leg is explained, and of what.
mod reasons;

/// What comes from a node that is behind a NAT.
mod nat;

/// A world in which sizes are promised.
mod sizes;

/// Verdicts about MTUs.
mod mtu;

/// Verdicts about the sizes of the tunnel's outer packets.
mod outers;

/// Verdicts about spoofed packets.
mod spoofs;

/// What is sent to an address that the fabric does not know.
mod addresses;

/// What is lost while the kernel's table of neighbours was full.
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

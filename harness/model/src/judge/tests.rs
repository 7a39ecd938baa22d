//! Each rule is seen to hold, and to break when one thing changes.

/// The small cluster of that run, as planned.
mod cluster;

/// What is observed of a cluster in which nothing has happened.
mod observed;

/// A run in which everything holds.
pub(crate) mod world;

/// What is wrong of the promises that no frame is needed for.
pub(crate) mod run_promises;

/// What must not be readable on the wire.
mod leaks;

/// What shows that a packet was encrypted, and what does not.
mod ciphertext;

/// Where an encrypted probe, or its answer, can end before its end.
mod arrival;

/// What breaks a promise of plaintext.
mod plaintext;

/// What makes observers unfit to say that something was not there.
mod observers;

/// What the flows show of each step.
mod step_windows;

/// What excuses what flows show.
mod excuses;

/// Which frames of flows are readable.
mod readable;

/// What has to be shown before silence about flows proves anything.
mod witnesses;

/// Of what packet a fragment on the wire is a piece.
mod fragments;

/// How long flows were interrupted.
mod outages;

/// What arrived and was answered, whatever it looked like.
mod delivery;

/// What a promise is about.
mod cases;

/// What is shown of frames.
mod exhibits;

/// What must not arrive.
mod blocked;

/// What dataplanes must have and lack.
mod dataplane_checks;

/// What the fabric did to packets.
mod fabric_effects;

/// How long steps may take, and how much they may make the engine write.
mod budgets;

/// What nobody may read in the whole run.
mod never_plaintext;

/// Why a promise was broken, as far as the judge asks.
mod reasons;

/// What comes from a node that is behind a NAT.
mod nat;

/// A world in which sizes are promised.
mod sizes;

/// What is promised about the sizes of packets.
mod mtu;

/// What is promised about the tunnel's own.
mod outers;

/// What has become of spoofed packets.
mod spoofs;

/// What is sent to an address that the fabric does not know.
mod addresses;

/// What is lost while the kernel's table of neighbours was full.
mod neighbours;

/// What every host is promised.
mod hosts;

/// Links that an engine has taken away.
mod links;

/// What every engine is promised to be besides right.
mod conducts;

/// Any evidence gets a verdict for every promise.
mod any_evidence;

/// A saved evidence that has lost a part proves nothing that needs the part.
mod losses;

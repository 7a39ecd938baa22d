//! Scenario to plan.
//!
//! First everything about single keys and values is checked, while reading; then,
//! in a file that reads well, how they fit together. Both times all problems are
//! reported at once, and none that only follows from another.

/// Which pod is on which node.
mod placement;

/// Who has which address.
mod address;

/// Who speaks to whom, and what is promised about it.
mod promise;

use toml::Spanned;

use crate::document::shown;
use crate::name::{EngineName, IfName, POD_INTERFACE_PREFIX};
use crate::plan::{Cluster, Deadlines, Fabric, Node, Plan, Pod, RpFilter, Step};
use crate::problem::{Problem, Problems, known_words};
use crate::scenario::Scenario;

//! The Calico v3 resources of a plan.

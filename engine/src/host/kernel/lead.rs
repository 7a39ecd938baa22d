//! The links and gateways of a route, once its nexthop objects are looked up.

use crate::host::netlink::Hop;

/// Where a route leads by one of its next hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    Hop(Hop),
    /// The route drops its packets.
    Refuse,
    /// Its nexthop object is not there yet, or it cannot be parsed.
    Unknown,
}

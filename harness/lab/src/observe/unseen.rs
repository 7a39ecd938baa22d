//! Beacons that were not captured where they must be.

use std::collections::{BTreeMap, BTreeSet};

use wireproof_model::evidence::{Direction, InterfaceId};
use wireproof_model::tag::BeaconId;

use crate::base::wait::some_of;
use crate::observe::observer::Seen;

/// How many beacons were seen, and which observers have not seen which.
pub(crate) fn describe(
    seen: &Seen,
    expected: &BTreeSet<(BeaconId, InterfaceId, Direction)>,
) -> String {
    let mut missing = BTreeMap::<_, usize>::new();
    for (_, interface, direction) in expected.difference(&seen.beacons) {
        *missing.entry((*interface, *direction)).or_default() += 1;
    }
    let listed = missing.iter().map(|((id, direction), count)| {
        let interface = seen.interfaces.get(usize::from(id.0));
        let (place, name) = match interface {
            Some(interface) => (interface.place.name(), interface.name.as_str()),
            None => ("nowhere", "an interface that is not known"),
        };
        let way = match direction {
            Direction::In => "into",
            Direction::Out => "out of",
        };
        format!("{place} has not seen {count} {way} {name}")
    });
    let listed = some_of(&listed.collect::<Vec<_>>());
    let all = expected.len();
    format!(
        "{} of {all} beacons; {listed}",
        all - missing.values().sum::<usize>()
    )
}

/// Whether a beacon was seen in the same place and direction through a link of another name.
pub(crate) fn has_another_name(seen: &Seen, expected: &(BeaconId, InterfaceId, Direction)) -> bool {
    let (beacon, interface, way) = expected;
    let place = |id: &InterfaceId| Some(&seen.interfaces.get(usize::from(id.0))?.place);
    let mut beacons = seen.beacons.iter();
    beacons.any(|(id, other, direction)| {
        let is_it = (id, direction) == (beacon, way) && other != interface;
        is_it && place(other) == place(interface)
    })
}

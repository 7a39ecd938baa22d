//! The lanes that this machine has, what each lacks, and which one a scenario goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use wireproof_lab::host::need;
use wireproof_lab::vm::{able, kernel};
use wireproof_model::plan::Need;

use crate::lane::Lane;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The first lane that can run it, each scenario by itself.
    Auto,
    /// This one, whatever it lacks.
    One(Lane),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            lane => match lane.parse() {
                Ok(lane) => Ok(Self::One(lane)),
                Err(why) => Err(format!("{why}; or `auto`")),
            },
        }
    }
}

/// A lane, and what it cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The lane on offer.
    pub lane: Lane,
    /// Why no scenario at all runs in it; none if some do.
    pub unfit: Option<String>,
    /// The needs that it does not meet, each with the cause.
    pub lacks: BTreeMap<Need, String>,
}

impl Offer {
    /// This kernel, as far as these needs go. Call it inside the sandbox.
    pub fn host(needs: &BTreeSet<Need>) -> Self {
        let lacks = |need: &Need| Some((*need, need::lacks(*need)?));
        Self {
            lane: Lane::Host,
            unfit: need::unfit(),
            lacks: needs.iter().filter_map(lacks).collect(),
        }
    }

    /// How to have what it lacks.
    pub fn remedy(&self, need: Need) -> &'static str {
        match (&self.lane, need) {
            (Lane::Host, _) | (_, Need::Etcd) => need::remedy(need),
            (Lane::Vm(_), _) => "ci/setup --kernels, or another kernel",
        }
    }

    /// A machine for each installed kernel.
    pub fn machines() -> Vec<Self> {
        let machine = |kernel: String| Self {
            lacks: able::lacks(&kernel),
            unfit: None,
            lane: Lane::Vm(kernel),
        };
        kernel::names().into_iter().map(machine).collect()
    }
}

/// Where each of several scenarios goes, by its needs: the number of an offer, or why none will do.
/// Nothing is looked at that no scenario needs. Call it inside the sandbox.
pub fn assign(needs: &[BTreeSet<Need>]) -> (Vec<Offer>, Vec<Result<usize, String>>) {
    let mut offers = vec![Offer::host(&needs.iter().flatten().copied().collect())];
    if !offers[0].lacks.is_empty() || offers[0].unfit.is_some() {
        offers.extend(Offer::machines());
    }
    let chosen = needs.iter().map(|needs| choose(&offers, needs)).collect();
    (offers, chosen)
}

/// The first lane that meets all needs.
///
/// # Errors
/// There is none; the text names what each lane lacks, and how to have one that does not.
pub fn choose(offers: &[Offer], needs: &BTreeSet<Need>) -> Result<usize, String> {
    if let Some(why) = need::contradiction(needs) {
        return Err(why);
    }
    let missing = |offer: &Offer| {
        needs
            .iter()
            .copied()
            .find(|need| offer.lacks.contains_key(need))
    };
    let will_do = |offer: &Offer| offer.unfit.is_none() && missing(offer).is_none();
    if let Some(number) = offers.iter().position(will_do) {
        return Ok(number);
    }
    let lacking = offers.iter().filter_map(|offer| {
        if let Some(why) = &offer.unfit {
            return Some(format!("{} has {why}", offer.lane));
        }
        let need = missing(offer)?;
        let cause = &offer.lacks[&need];
        Some(format!("{} has no {} ({cause})", offer.lane, need.as_str()))
    });
    let mut why: Vec<_> = lacking.collect();
    if let Some((host, need)) = offers.first().and_then(|host| Some((host, missing(host)?))) {
        why.push(match offers.len() {
            1 => format!("{}, or run ci/setup --kernels", host.remedy(need)),
            _ => host.remedy(need).to_owned(),
        });
    }
    Err(why.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lane: &str, lacks: &[Need]) -> Offer {
        let lane = lane.parse().unwrap();
        let lacks = lacks.iter().map(|need| (*need, "it is not there".into()));
        Offer {
            lane,
            unfit: None,
            lacks: lacks.collect(),
        }
    }

    fn offers() -> [Offer; 3] {
        [
            offer("host", &[Need::Netem, Need::KernelWireGuard]),
            offer("vm:old", &[Need::Netem]),
            offer("vm:new", &[Need::Etcd]),
        ]
    }

    #[test]
    fn a_scenario_goes_to_the_first_lane_that_meets_its_needs() {
        let chosen = |needs: &[Need]| choose(&offers(), &needs.iter().copied().collect());
        assert_eq!(chosen(&[]), Ok(0));
        assert_eq!(chosen(&[Need::Etcd]), Ok(0));
        assert_eq!(chosen(&[Need::KernelWireGuard]), Ok(1));
        assert_eq!(chosen(&[Need::Netem, Need::KernelWireGuard]), Ok(2));
    }

    #[test]
    fn an_unmet_need_is_reported_for_each_lane_with_its_remedy() {
        let needs = [Need::Netem, Need::Etcd].into();
        assert_eq!(
            choose(&offers(), &needs).unwrap_err(),
            "host has no netem (it is not there); vm:old has no netem (it is not there); \
             vm:new has no etcd (it is not there); modprobe sch_netem"
        );
        let alone = choose(&offers()[..1], &needs).unwrap_err();
        assert!(
            alone.ends_with("modprobe sch_netem, or run ci/setup --kernels"),
            "{alone}"
        );
        let both = [Need::Userspace, Need::KernelWireGuard].into();
        assert!(
            choose(&offers(), &both)
                .unwrap_err()
                .contains("kernel's was asked for")
        );
    }

    #[test]
    fn a_lane_that_runs_nothing_is_passed_over_with_the_reason() {
        let mut offers = offers();
        offers[0].unfit = Some("no nft (not found): nothing runs; install it".into());
        assert_eq!(choose(&offers, &BTreeSet::new()), Ok(1));
        assert_eq!(
            choose(&offers[..1], &BTreeSet::new()).unwrap_err(),
            "host has no nft (not found): nothing runs; install it"
        );
    }

    #[test]
    fn a_wanted_lane_is_parsed() {
        assert_eq!("auto".parse(), Ok(Wanted::Auto));
        assert_eq!("host".parse(), Ok(Wanted::One(Lane::Host)));
        assert!("cloud".parse::<Wanted>().is_err());
    }
}

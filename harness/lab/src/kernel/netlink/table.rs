//! Requests about the kernel's tables of neighbours.

use futures_util::StreamExt;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour_table::{NeighbourTableAttribute, NeighbourTableMessage};

use crate::base::error::LabError;

use super::Netlink;

/// A table of neighbours, which all namespaces share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NeighbourTable {
    /// As the kernel calls it: `arp_cache`, `ndisc_cache`.
    pub(crate) name: String,
    /// Its limit of entries that are not permanent (`gc_thresh3`).
    pub(crate) most: u32,
    /// How often an entry was refused since it was full (`table_fulls`).
    pub(crate) refused: u64,
}

impl Netlink {
    /// The tables of neighbours (`RTM_GETNEIGHTBL`).
    pub(crate) fn neighbour_tables(&self) -> Result<Vec<NeighbourTable>, LabError> {
        let message = RouteNetlinkMessage::GetNeighbourTable(NeighbourTableMessage::default());
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut handle = self.handle.clone();
        let answers = async {
            let mut answers = handle.request(request)?;
            let mut tables = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbourTable(table)) => {
                        tables.extend(table_of(&table));
                    }
                    NetlinkPayload::Error(error) => {
                        return Err(rtnetlink::Error::NetlinkError(error));
                    }
                    _ => {}
                }
            }
            Ok(tables)
        };
        self.run("list the neighbour tables", answers)
    }
}

/// Nothing of the attributes of a single interface.
fn table_of(message: &NeighbourTableMessage) -> Option<NeighbourTable> {
    let mut table = NeighbourTable::default();
    for attribute in &message.attributes {
        match attribute {
            NeighbourTableAttribute::Name(name) => table.name.clone_from(name),
            NeighbourTableAttribute::Threshold3(most) => table.most = *most,
            NeighbourTableAttribute::Stats(stats) => table.refused = stats.table_fulls,
            _ => {}
        }
    }
    (table.most > 0).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::namespace::Namespace;

    #[test]
    fn both_tables_are_seen_from_any_namespace() {
        let namespace = match Namespace::create("A") {
            Ok(namespace) => namespace,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let tables = Netlink::open(&namespace)
            .unwrap()
            .neighbour_tables()
            .unwrap();
        let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
        assert!(names.contains(&"arp_cache"), "{tables:?}");
        assert!(tables.iter().all(|table| table.most > 0), "{tables:?}");
    }
}

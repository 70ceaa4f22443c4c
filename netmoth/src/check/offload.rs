//! What the card does to frames before the program sees them.

use super::interface::expected_mode;
use super::{Check, InterfaceFacts, Wanted};
use crate::capture::XdpMode;

pub(super) fn judge(wanted: &Wanted, interface: &InterfaceFacts) -> Vec<Check> {
    let Some(features) = &interface.features else { return Vec::new() };
    let name = &interface.interface.name;
    let mut joins = Vec::new();
    if features.lro() {
        joins.push(("LRO", "lro off"));
    }
    if features.gro_hw() {
        joins.push(("hardware GRO", "rx-gro-hw off"));
    }
    // In generic mode the program runs behind the kernel's own GRO, in native mode before it.
    let gro = features.get("rx-gro").is_some_and(|feature| feature.active);
    if gro && expected_mode(wanted, interface) == XdpMode::Generic {
        joins.push(("GRO", "gro off"));
    }
    let segments = if joins.is_empty() {
        Check::ok("segment offload", "frames come as they were on the wire")
    } else {
        let (names, switches): (Vec<_>, Vec<_>) = joins.into_iter().unzip();
        Check::warn(
            "segment offload",
            format!(
                "{} joins segments: packets are counted too few, and may be too long to capture",
                names.join(" and ")
            ),
            format!("ethtool -K {name} {}", switches.join(" ")),
        )
    };
    let tags = if features.vlan_stripped() {
        let peer =
            if interface.driver_name() == "veth" { "; on the peer of a veth: ethtool -K PEER txvlan off" } else { "" };
        Check::warn(
            "VLAN offload",
            "rx-vlan-offload is on: the card may take VLAN tags off before the program sees them, and vlan_id stays empty",
            format!("if there are VLANs on this link: ethtool -K {name} rxvlan off{peer}"),
        )
    } else {
        Check::ok("VLAN offload", "tags stay on the frames")
    };
    vec![segments, tags]
}

//! Puts a VLAN tag back into its frame.
//!
//! The kernel takes the outer tag out of every frame that it receives, and keeps it beside it (skb_vlan_untag); a frame on
//! its way out has it there where the card is to put it in.

/// Bytes of a tag.
pub(super) const LENGTH: usize = 4;

/// Destination and source address, before which a tag has no place.
const ADDRESSES: usize = 12;

/// `area` is the frame with [`LENGTH`] bytes of room before it: moves the addresses to the front and writes the tag behind
/// them. False where the frame is too short to have addresses; then nothing is changed.
pub(super) fn put_back(area: &mut [u8], protocol: u16, control: u16) -> bool {
    if area.len() < LENGTH + ADDRESSES {
        return false;
    }
    area.copy_within(LENGTH..LENGTH + ADDRESSES, 0);
    area[ADDRESSES..ADDRESSES + 2].copy_from_slice(&protocol.to_be_bytes());
    area[ADDRESSES + 2..ADDRESSES + 4].copy_from_slice(&control.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_as_it_was_on_the_wire() {
        let mut area = [&[0xee; 4][..], &[1; 6], &[2; 6], &[8, 0, 0x45, 7]].concat();
        assert!(put_back(&mut area, 0x88a8, 0x2003));
        assert_eq!(area, [&[1; 6][..], &[2; 6], &[0x88, 0xa8, 0x20, 3, 8, 0, 0x45, 7]].concat());
    }

    #[test]
    fn a_frame_without_addresses_stays_as_it_is() {
        let mut area = [7; 15];
        assert!(!put_back(&mut area, 0x8100, 1));
        assert_eq!(area, [7; 15]);
    }
}

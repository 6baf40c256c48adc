//! Two pictures to one between them.

/// Mixes `other` into the picture `i420` of the same size: `share` of 256 is its part.
pub fn mix(i420: &mut [u8], other: &[u8], share: u16) {
    let share = share.min(256);
    for (value, other) in i420.iter_mut().zip(other) {
        // 255 * 256 and the half that rounds still fit.
        let sum = u16::from(*value) * (256 - share) + u16::from(*other) * share;
        *value = ((sum + 128) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_lies_between_and_reaches_both_ends() {
        let mixed = |share| {
            let mut picture = [0, 255, 100, 7];
            mix(&mut picture, &[255, 0, 200, 7], share);
            picture
        };
        assert_eq!(mixed(0), [0, 255, 100, 7]);
        assert_eq!(mixed(64), [64, 191, 125, 7]);
        assert_eq!(mixed(256), [255, 0, 200, 7]);
        assert_eq!(mixed(300), mixed(256));
    }
}

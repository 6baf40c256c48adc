//! Values of the configuration that can work, and the sentence for the others.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A value that can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {given}; set it to {lowest} at least and {highest} at most")]
pub struct OutOfBounds {
    key: &'static str,
    given: String,
    lowest: String,
    highest: String,
}

impl OutOfBounds {
    /// Says that the highest value is that of another key.
    #[must_use]
    pub fn not_above(mut self, other: &str) -> Self {
        self.highest = format!("{} (as {other} is)", self.highest);
        self
    }
}

/// Refuses what `key` was `given` unless it lies in `bounds`. What is no number
/// lies nowhere.
///
/// # Errors
///
/// A sentence with the key, its value and the bounds.
pub fn within<T: PartialOrd + Display>(
    key: &'static str,
    given: T,
    bounds: RangeInclusive<T>,
) -> Result<(), OutOfBounds> {
    if bounds.contains(&given) {
        return Ok(());
    }
    Err(OutOfBounds {
        key,
        given: given.to_string(),
        lowest: bounds.start().to_string(),
        highest: bounds.end().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_named_with_its_bounds() {
        assert_eq!(within("a.b", 1, 1..=3), Ok(()));
        let error = within("a.b", 0.5, 1.0..=3.0).expect_err("too small");
        assert_eq!(
            error.to_string(),
            "a.b is 0.5; set it to 1 at least and 3 at most"
        );
        let error = within("a.b", f32::NAN, 0.0..=1.0).expect_err("no number");
        assert_eq!(
            error.not_above("a.c").to_string(),
            "a.b is NaN; set it to 0 at least and 1 (as a.c is) at most"
        );
    }
}

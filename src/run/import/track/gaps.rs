//! Frames in which the face wasn't found.

use std::ops::Range;

use crate::avatar::Face;

/// Ranges of frames without a face.
pub(in crate::run::import) fn gaps(faces: &[Option<Face>]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (n, face) in faces.iter().enumerate() {
        match found.last_mut() {
            _ if face.is_some() => {}
            Some(last) if last.end == n => last.end += 1,
            _ => found.push(n..n + 1),
        }
    }
    found
}

/// Fills `gap` evenly from the face before to the face after it.
pub(super) fn bridge(faces: &mut [Option<Face>], gap: &Range<usize>) {
    let before = gap.start.checked_sub(1).and_then(|n| faces[n]);
    let after = faces.get(gap.end).copied().flatten();
    let (Some(before), Some(after)) = (before.or(after), after.or(before)) else {
        return;
    };
    let steps = gap.len() as f32 + 1.0;
    for (step, face) in (1..).zip(&mut faces[gap.clone()]) {
        *face = Some(before.between(after, step as f32 / steps));
    }
}

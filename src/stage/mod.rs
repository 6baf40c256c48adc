//! The stages, in the order of the data.

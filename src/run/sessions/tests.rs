use super::*;

#[test]
fn names_are_those_that_addresses_can_have() {
    for id in ["a", "live", "0", "front-desk_2", &"x".repeat(64)] {
        assert!(is_session_id(id), "{id}");
    }
    for id in ["", "A", "-a", "_", "a/b", "a b", "ä", "..", &"x".repeat(65)] {
        assert!(!is_session_id(id), "{id}");
    }
    assert!(is_session_id(&random_id()));
    assert_ne!(random_id(), random_id());
}

use super::*;

fn recordings(folder: &Path) -> Arc<Recordings> {
    Recordings::new(Config {
        folder: folder.to_owned(),
        max_mb: 1,
    })
}

#[test]
fn a_name_says_what_and_when_and_nothing_else_is_a_name() {
    let time = UtcDateTime::from_unix_timestamp(1_794_963_723).expect("a moment");
    assert_eq!(stamp(time), "20261118T010203Z");
    assert_eq!(
        parts("my-desk-20261118T010203Z"),
        Some(("my-desk", "20261118T010203Z"))
    );
    for wrong in [
        "",
        "live",
        "-20261118T010203Z",
        "live-20261118T010203",
        "live-20261118t010203z",
        "live-2026111800102030",
        "../live-20261118T010203Z",
        "a/b-20261118T010203Z",
        "live-20261118T010203Z/..",
        "Live-20261118T010203Z",
    ] {
        assert_eq!(parts(wrong), None, "{wrong}");
    }
}

#[test]
fn two_of_one_second_have_two_names() {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let recordings = recordings(folder.path());
    let make = Make {
        size: Size {
            width: 160,
            height: 128,
        },
        pre_skip: 312,
    };
    let mut names: Vec<_> = (0..3)
        .map(|_| {
            recordings
                .create("live", make)
                .expect("the folder is ours")
                .0
        })
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_folder_that_is_not_there_has_no_recordings() {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let recordings = recordings(&folder.path().join("none"));
    assert_eq!(recordings.list().expect("it is no error"), []);
    assert!(!recordings.full());
    let error = recordings.file("live-20261118T010203Z");
    assert!(matches!(error, Err(Error::Unknown(_))));
}

#[test]
fn only_recordings_are_listed_counted_and_deleted() {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let recordings = recordings(folder.path());
    let ours = "live-20261118T010203Z";
    for (name, bytes) in [
        ("other.mp4", 2 << 20),
        ("live-20261118T010203Z.txt", 2 << 20),
    ] {
        fs::write(folder.path().join(name), vec![0; bytes]).expect("the folder is ours");
    }
    assert!(!recordings.full());
    assert!(recordings.file("other").is_err());
    assert!(recordings.file("../live-20261118T010203Z").is_err());
    fs::write(recordings.place(ours), vec![0; 1 << 20]).expect("the folder is ours");
    assert!(recordings.full());
    // It has a name of ours, and is none.
    assert_eq!(recordings.list().expect("readable"), []);
    recordings.delete(ours).expect("it is there");
    assert!(!recordings.full());
    assert!(matches!(recordings.delete(ours), Err(Error::Unknown(_))));
}

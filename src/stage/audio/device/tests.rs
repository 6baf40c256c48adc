use super::*;

fn device(id: &str, name: &str) -> Device {
    Device {
        name: name.into(),
        id: id.into(),
        default: false,
    }
}

#[test]
fn a_device_is_found_by_its_id_or_by_a_part_of_its_name() {
    let devices = [
        device("hw:CARD=0,DEV=0", "HDA Intel PCH, ALC3246 Analog"),
        device("pulse-monitor", "PulseAudio Sound Server"),
        device("pulse", "PulseAudio Sound Server"),
    ];
    assert_eq!(choose(&devices, "alc3246"), Some(0));
    assert_eq!(choose(&devices, "pulse"), Some(2), "the id counts first");
    assert_eq!(choose(&devices, "Sound server"), Some(1));
    assert_eq!(choose(&devices, "USB"), None);
}

/// A device that delivers `frames` at once, or fails.
struct Fake {
    frames: usize,
}

impl Opens for Fake {
    fn open(&self, ear: &Thread) -> Result<(Feed, Box<dyn Any>), Error> {
        let (mut tap, _, feed) = tap("fake".into(), 8_000, 1, ear);
        for _ in 0..self.frames / 100 {
            tap.push(&[0.0_f32; 100]);
        }
        Ok((feed, Box::new(tap)))
    }
}

#[test]
fn a_device_that_runs_faster_than_time_is_no_microphone() {
    assert!(matches!(
        listen(&Fake { frames: 80_000 }),
        Err(Error::Unpaced(_))
    ));
    assert!(listen(&Fake { frames: 800 }).is_ok());
}

#[test]
fn a_name_that_no_device_has_is_answered_with_the_names_there_are() {
    let Some(Err(error)) = aside(|| Cpal::new("no such thing").find().map(drop)).ok() else {
        return; // Nothing to ask on this machine.
    };
    let error = error.to_string();
    assert!(
        error.contains("there is") || error.contains("no sound system"),
        "{error}"
    );
    assert!(!available("no such thing"));
}

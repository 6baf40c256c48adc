use super::*;

fn text(text: &str) -> Text {
    Text::new(text, None, None).expect("something to say")
}

fn command(line: &[&str]) -> Tts {
    let config = Config {
        provider: Provider::Command,
        command: line.iter().map(|word| (*word).to_owned()).collect(),
        raw_hz: 16_000,
        ..Config::default()
    };
    Tts::new(&config).expect("it can work")
}

async fn bytes(tts: &Tts, text: &Text) -> Result<Vec<u8>, Error> {
    let Some(mut saying) = tts.begin(&text.manner, &text.sentences[0]).await? else {
        return Ok(Vec::new());
    };
    assert_eq!(saying.rate(), 16_000);
    let mut all = Vec::new();
    while let Some(samples) = saying.next().await? {
        all.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    }
    Ok(all)
}

#[tokio::test]
async fn a_program_reads_text_and_its_bytes_are_samples() {
    // Bytes like any others, as long as they are even.
    let heard = bytes(&command(&["cat"]), &text("Words; $(no) shell!")).await;
    assert_eq!(heard.expect("sound"), b"Words; $(no) shell!\n");
    let none = bytes(&command(&["true"]), &text("one")).await;
    assert_eq!(none.expect("no sound"), b"");
}

#[tokio::test]
async fn voice_and_speed_are_filled_into_arguments() {
    let tts = command(&["printf", "%s", "  {voice} {speed}"]);
    let text = Text::new("one", Some("en-us+f3".into()), Some(1.25)).expect("fine");
    assert_eq!(bytes(&tts, &text).await.expect("sound"), b"  en-us+f3 1.2");
}

#[tokio::test]
async fn a_program_that_fails_is_quoted() {
    let missing = bytes(&command(&["no-such-program"]), &text("one")).await;
    assert!(matches!(missing, Err(Error::Missing(name)) if name == "no-such-program"));
    let failed = bytes(&command(&["cat", "/no/such/file"]), &text("one")).await;
    let failed = failed.expect_err("it failed").to_string();
    assert!(
        failed.starts_with("cat failed") && failed.contains("/no/such/file"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_wanted_any_more_is_killed() {
    let tts = command(&["sh", "-c", "echo $$; exec sleep 600"]);
    let text = text("one");
    let mut saying = tts
        .begin(&text.manner, "one")
        .await
        .expect("it starts")
        .expect("sound");
    let first = saying.next().await.expect("sound").expect("its number");
    let number: Vec<u8> = first.iter().flat_map(|s| s.to_le_bytes()).collect();
    let number: String = String::from_utf8(number).expect("digits");
    let place = std::path::PathBuf::from(format!("/proc/{}/exe", number.trim()));
    assert!(std::fs::read_link(&place).is_ok(), "it runs");
    drop(saying);
    for _ in 0..500 {
        if std::fs::read_link(&place).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} still runs", place.display());
}

#[test]
fn texts_are_bounded() {
    let long = "a".repeat(MOST_TEXT + 1);
    assert!(matches!(Text::new(&long, None, None), Err(Error::Long(_))));
    for empty in ["", " \n", "...", "?!"] {
        assert!(
            matches!(Text::new(empty, None, None), Err(Error::Empty)),
            "{empty:?}"
        );
    }
    for voice in ["", "-h", "../en", "a b", "a/b", "a;b", &"a".repeat(65)] {
        let refused = Text::new("one", Some(voice.to_owned()), None);
        assert!(matches!(refused, Err(Error::Voice(_))), "{voice:?}");
    }
    for speed in [0.0, 0.4, 2.1, f64::NAN, f64::INFINITY] {
        let refused = Text::new("one", None, Some(speed));
        assert!(matches!(refused, Err(Error::Bounds(_))), "{speed}");
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let good = Config::default();
    assert!(good.check().is_ok());
    for (what, config) in [
        (
            "tts.url",
            Config {
                url: "example.org/v1".into(),
                ..good.clone()
            },
        ),
        (
            "tts.url",
            Config {
                url: "ftp://example.org".into(),
                ..good.clone()
            },
        ),
        (
            "tts.url",
            Config {
                url: "http://user@example.org".into(),
                ..good.clone()
            },
        ),
        (
            "tts.extra",
            Config {
                extra: "[1]".into(),
                ..good.clone()
            },
        ),
        (
            "tts.command",
            Config {
                provider: Provider::Command,
                ..good.clone()
            },
        ),
        (
            "tts.speed",
            Config {
                speed: 9.0,
                ..good.clone()
            },
        ),
        (
            "voice",
            Config {
                voice: "../x".into(),
                ..good.clone()
            },
        ),
    ] {
        let error = config.check().expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
}

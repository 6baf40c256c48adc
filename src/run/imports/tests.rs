use std::os::unix::fs::PermissionsExt;

use super::*;

/// Bytes that begin as a film does.
const FILM: &[u8] = b"\0\0\0\x20ftypisom and more";

/// Imports whose programs are a shell's script.
struct House {
    folder: tempfile::TempDir,
    imports: Arc<Imports>,
    told: Arc<Mutex<Vec<Event>>>,
}

impl House {
    /// In a script `$id` is the id that is wanted, and the bundle's folder `$made`.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let assets = folder.path().join("assets");
        fs::create_dir_all(assets.join("avatars")).expect("a folder");
        let program = folder.path().join("import");
        let begun = format!(
            "#!/bin/sh\nid=$(echo \"$3\" | sed s/--id=//)\nfor file; do :; done\nmade={}/avatars/$id\n{script}\n",
            assets.display()
        );
        fs::write(&program, begun).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let told = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&told);
        let programs = Programs {
            avatar: (program.clone(), Vec::new()),
            model: (program, Vec::new()),
        };
        let imports = Imports::start(&assets, programs, move |event| lock(&hear).push(event));
        Self {
            folder,
            imports: imports.expect("a thread"),
            told,
        }
    }

    fn begin(&self, id: &str) -> Result<Job, Error> {
        let place = self.imports.place()?;
        fs::write(place.upload(FILE), FILM).expect("written");
        self.imports.begin(place, wanted(id), false)
    }

    fn ended(&self, job: &Job) -> Job {
        loop {
            let job = self.imports.job(&job.id).expect("it is remembered");
            if job.state != State::Running {
                return job;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What lies in assets.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("assets")).expect("the folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.imports.end();
    }
}

fn wanted(id: &str) -> Wanted {
    Wanted {
        kind: Kind::Avatar,
        id: id.into(),
        options: Vec::new(),
    }
}

#[test]
fn an_upload_becomes_a_bundle_and_its_job_says_how_it_goes() {
    let house = House::new(
        r#"grep -q ftyp "$file" || exit 3
echo noise of a library
echo '{"progress":{"phase":"looking","done":1,"of":2}}'
mkdir "$made" && echo '{"verdict":{"grade":"good"}}'"#,
    );
    let job = house.begin("anna").expect("it begins");
    assert_eq!(
        (job.state, job.makes.as_str()),
        (State::Running, "/v1/avatars/anna")
    );
    let job = house.ended(&job);
    assert_eq!((job.state, job.error.as_deref()), (State::Done, None));
    assert_eq!(job.verdict, Some(serde_json::json!({"grade": "good"})));
    assert_eq!(house.left(), ["avatars"]);
    let told = lock(&house.told);
    let phases = told.iter().map(|event| match event {
        Event::Job(news) => (news.state, news.phase.as_str()),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        phases.collect::<Vec<_>>(),
        [
            ("running", "waiting for its turn"),
            ("running", "looking"),
            ("done", "done"),
        ]
    );
}

#[test]
fn a_program_that_refuses_or_breaks_down_is_a_failed_job_that_leaves_nothing() {
    for (script, words) in [
        (
            r#"echo "mouthpiece: $file: face 1 was not found: lower --height" >&2; exit 1"#,
            "anna: face 1 was not found: lower height",
        ),
        ("kill -SEGV $$", "broke down (signal: 11"),
        ("kill -KILL $$", "no memory left"),
        (
            "echo panicked >&2; exit 101",
            "broke down (exit status: 101",
        ),
    ] {
        let house = House::new(script);
        let job = house.begin("anna").expect("it begins");
        let job = house.ended(&job);
        assert_eq!(job.state, State::Failed);
        let error = job.error.expect("it says why");
        assert!(
            error.contains(words) && !error.contains("/assets"),
            "{error}"
        );
        assert_eq!(house.left(), ["avatars"]);
        house.begin("anna").expect("its id is free");
    }
    let mut house = House::new("");
    let programs = Programs {
        avatar: ("nowhere/mouthpiece-import".into(), Vec::new()),
        model: ("nowhere".into(), Vec::new()),
    };
    house.imports.end();
    let assets = house.folder.path().join("assets");
    house.imports = Imports::start(&assets, programs, |_| {}).expect("a thread");
    let job = house.begin("anna").expect("it begins");
    let error = house.ended(&job).error.expect("it says why");
    assert!(error.contains("belongs beside it"), "{error}");
}

#[test]
fn one_runs_while_the_others_wait_and_no_more_than_there_are_places() {
    let house = House::new(r#"while [ ! -e "$made.go" ]; do sleep 0.02; done; mkdir "$made""#);
    let jobs: Vec<_> = (0..MOST)
        .map(|n| house.begin(&format!("n{n}")).expect("a place"))
        .collect();
    let full = house.begin("more").expect_err("no place");
    assert!(full.retry_after().is_some(), "{full}");
    let coming = house
        .imports
        .check_id(Kind::Avatar, "n3")
        .expect_err("taken");
    assert!(matches!(coming, Error::Coming { .. }), "{coming}");
    // One that waits is stopped at once, and gives its place back.
    house.imports.stop(&jobs[3].id).expect("it is there");
    assert_eq!(house.ended(&jobs[3]).error.as_deref(), Some(STOPPED));
    let again = house.begin("n3").expect("a place, and the id is free");
    // So is the one that runs, and the next one runs.
    house.imports.stop(&jobs[0].id).expect("it is there");
    assert_eq!(house.ended(&jobs[0]).error.as_deref(), Some(STOPPED));
    let go = |id: &str| {
        fs::write(
            house.folder.path().join(format!("assets/avatars/{id}.go")),
            "",
        )
    };
    go("n1").expect("written");
    assert_eq!(house.ended(&jobs[1]).state, State::Done);
    let taken = house
        .imports
        .check_id(Kind::Avatar, "n1")
        .expect_err("taken");
    assert!(matches!(taken, Error::Taken { .. }), "{taken}");
    // One that is over is forgotten.
    house.imports.stop(&jobs[0].id).expect("it is there");
    assert!(house.imports.job(&jobs[0].id).is_err());
    // At the end none is left.
    house.imports.end();
    assert_eq!(house.ended(&again).error.as_deref(), Some(STOPPED));
    assert_eq!(house.left(), ["avatars"]);
    assert!(matches!(house.imports.place(), Err(Error::Ending)));
}

#[test]
fn what_is_dropped_or_refused_before_it_is_a_job_leaves_nothing() {
    let house = House::new("");
    let place = house.imports.place().expect("a place");
    fs::write(place.upload(FILE), FILM).expect("written");
    drop(place);
    let place = house.imports.place().expect("a place");
    fs::write(place.upload(FILE), "#EXTM3U").expect("written");
    let refused = house.imports.begin(place, wanted("anna"), false);
    assert!(refused.expect_err("text").to_string().contains("is text"));
    for id in ["../anna", "", "a/b", ".file"] {
        let error = house.begin(id).expect_err("no id");
        assert!(matches!(error, Error::Id { .. }), "{error}");
    }
    house.imports.end();
    assert_eq!(house.left(), ["avatars"]);
    assert!(house.imports.jobs().is_empty() && lock(&house.told).is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let house = House::new("");
    fs::remove_dir_all(house.folder.path().join("assets")).expect("it is ours");
    let error = house.imports.place().map(drop).expect_err("no folder");
    assert!(error.to_string().contains("can't write"), "{error}");
}

#[test]
fn jobs_that_are_over_are_forgotten_in_time() {
    let house = House::new("exit 1");
    for n in 0..MOST + REMEMBERED + 5 {
        let job = house.begin(&format!("n{n}")).expect("a place");
        house.ended(&job);
    }
    assert_eq!(house.imports.jobs().len(), MOST + REMEMBERED);
}

//! Input and output files of `wireproof`, and its errors when they cannot be read or written.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// No WireGuard: what is run here is soon over.
const PLAIN: &str = "title = \"plain\"\nengine = \"none\"\n[cluster]\nwireguard = false\n\
     [node.a]\npods = [\"p\"]\n[node.b]\n";

fn wireproof(here: &Path, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wireproof"));
    command.current_dir(here).args(arguments);
    command
}

/// Exit status, and standard error.
fn status_and_errors(output: &Output) -> (Option<i32>, String) {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

fn check(path: &Path) -> (Option<i32>, String) {
    let arguments = [OsStr::new("check"), path.as_os_str()];
    status_and_errors(&wireproof(Path::new("."), &arguments).output().unwrap())
}

#[test]
fn only_a_regular_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo.toml");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for (path, kind) in [
        (fifo.as_path(), "a FIFO"),
        (&link, "a device"),
        (Path::new("/dev/null"), "a device"),
    ] {
        let (status, errors) = check(path);
        let expected = format!("cannot read {}: it is {kind}, not a file\n", path.display());
        assert_eq!((status, errors), (Some(2), expected));
    }
}

#[test]
fn a_file_that_no_person_wrote_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let huge = folder.path().join("huge.toml");
    File::create(&huge).unwrap().set_len(5 << 40).unwrap();
    let (status, errors) = check(&huge);
    assert_eq!(status, Some(2));
    assert!(errors.contains("it is longer than 4 MiB"), "{errors}");

    let bytes = folder.path().join("bytes.toml");
    fs::write(&bytes, b"title = \"t\"\n# gr\xc3\xbcn \xff\n").unwrap();
    let (status, errors) = check(&bytes);
    assert_eq!(status, Some(2));
    assert!(
        errors.ends_with("line 2, column 8 is not UTF-8\n"),
        "{errors}"
    );
}

#[test]
fn control_characters_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let obeyed =
        |text: &str| text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}');
    let ask = |verb: &[&str], name: &str| {
        let path = folder.path().join(name);
        let arguments = verb.iter().map(OsStr::new).chain([path.as_os_str()]);
        let output = wireproof(Path::new("."), &arguments.collect::<Vec<_>>())
            .output()
            .unwrap();
        let text = [&output.stdout[..], &output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!obeyed(&text), "{verb:?} {name:?}: {text:?}");
        (output.status.code(), text)
    };
    // A file's name is foreign text as well, and stays on its line.
    let name = "two\nlines.toml";
    fs::write(folder.path().join(name), PLAIN).unwrap();
    let not_there = "not\nthere.toml";
    for (verb, name) in [
        (&["check"][..], name),
        (&["run", "--list"], name),
        (&["check"], not_there),
        (&["plan"], not_there),
        (&["judge"], not_there),
    ] {
        let (_, text) = ask(verb, name);
        let shown = name.replace('\n', "\\n");
        let shown = shown.trim_end_matches(".toml");
        assert!(text.contains(shown), "{verb:?}: {text}");
    }
    fs::write(folder.path().join("bad\n.toml"), "nodes = 1\n").unwrap();
    let (_, text) = ask(&["check"], "bad\n.toml");
    assert!(text.contains("bad\\n.toml:1:1]"), "{text}");
    let name = "two\nlines.toml";
    let runs = folder.path().join("runs");
    let runs = runs.to_str().unwrap();
    let (status, text) = ask(&["run", "--lane", "host", "--runs", runs], name);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("/two\\nlines/1\n"), "{text}");
    let name = "right\u{1b}[31m\u{202e}.toml";
    fs::write(folder.path().join(name), PLAIN).unwrap();
    let (status, text) = ask(&["check"], name);
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.contains("right\\u001b[31m\\u202e.toml: 2 nodes"),
        "{text}"
    );
    assert_eq!(ask(&["check"], "not\u{7}there.toml").0, Some(2));
    let title = PLAIN.replace("\"plain\"", "\"plain \\u202E\"");
    fs::write(folder.path().join("title.toml"), title).unwrap();
    let (status, text) = ask(&["check"], "title.toml");
    assert_eq!(status, Some(2));
    assert!(text.contains("`title` is not what it looks like"), "{text}");
    // What an engine is configured with may be anything.
    let value = format!("{PLAIN}[cluster.config]\nprefix = \"\\u202E\\u007F\"\n");
    fs::write(folder.path().join("value.toml"), value).unwrap();
    for format in ["text", "json"] {
        let (status, text) = ask(&["plan", "--format", format], "value.toml");
        assert_eq!(status, Some(0), "{text}");
    }
}

#[test]
fn a_folder_that_links_to_itself_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("one.toml"), PLAIN).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("again")).unwrap();
    let arguments = [OsStr::new("check"), folder.path().as_os_str()];
    let output = wireproof(Path::new("."), &arguments).output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!((output.status.code(), lines), (Some(0), 1));
}

#[test]
fn a_full_disk_on_output_is_an_error_and_a_closed_pipe_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("one.toml"), PLAIN).unwrap();
    let arguments = ["plan", "one.toml", "--format", "json"].map(OsStr::new);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = wireproof(folder.path(), &arguments)
        .stdout(full)
        .output()
        .unwrap();
    let (status, errors) = status_and_errors(&output);
    assert_eq!(status, Some(3));
    assert!(
        errors.starts_with("print on standard output: No space left on device"),
        "{errors}"
    );

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = wireproof(folder.path(), &arguments)
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(status_and_errors(&output), (Some(0), String::new()));

    // Nor does a full standard error end it in a panic.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let arguments = ["check", "none.toml"].map(OsStr::new);
    let status = wireproof(folder.path(), &arguments)
        .stdout(Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn every_run_is_below_the_folder_of_runs_and_no_two_scenarios_share_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (here, runs) = (folder.join("here"), folder.join("runs"));
    for place in ["a", "b", "scenarios/a"] {
        let place = here.join(place);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("mine.toml"), PLAIN).unwrap();
    }
    fs::write(folder.join("x.toml"), PLAIN).unwrap();
    let arguments = [
        "run",
        "../x.toml",
        "a/mine.toml",
        "b/mine.toml",
        "scenarios/a/mine.toml",
        "--lane",
        "host",
        "--runs",
        "../runs",
    ];
    let output = wireproof(&here, &arguments.map(OsStr::new))
        .output()
        .unwrap();
    assert_eq!(
        status_and_errors(&output).0,
        Some(0),
        "{}",
        status_and_errors(&output).1
    );
    let mut found = Vec::new();
    find(&runs, &mut found);
    found.sort();
    let whole = folder.join("x/1");
    let whole = whole.strip_prefix("/").unwrap().to_owned();
    let mut expected = ["a/mine/1", "b/mine/1", "scenarios/a/mine/1"]
        .map(PathBuf::from)
        .to_vec();
    expected.push(whole);
    expected.sort();
    assert_eq!(found, expected);
    let mut left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["here", "runs", "x.toml"],
        "nothing was left elsewhere"
    );

    /// The folders below `runs` that hold a plan.
    fn find(runs: &Path, found: &mut Vec<PathBuf>) {
        fn below(base: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
            if folder.join("plan.json").is_file() {
                found.push(folder.strip_prefix(base).unwrap().to_owned());
                return;
            }
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    below(base, &entry.path(), found);
                }
            }
        }
        below(runs, runs, found);
    }
}

#[test]
fn an_agent_whose_program_cannot_be_executed_is_reported_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let script = here.join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let text = here.join("text");
    fs::write(&text, "no program\n").unwrap();
    fs::write(
        here.join("plain.toml"),
        PLAIN.replace("engine = \"none\"\n", ""),
    )
    .unwrap();
    // Nothing waits for an agent that never tells when it is ready, in a cluster that does not encrypt.
    for (program, cause) in [
        (&script, "No such file or directory (os error 2)"),
        (&text, "Permission denied (os error 13)"),
    ] {
        let program = program.display();
        let engine = format!("title = \"x\"\nagent = [\"{program}\"]\nready = \"none\"\n");
        fs::write(here.join("engine.toml"), engine).unwrap();
        let arguments = [
            "run",
            "--runs",
            "runs",
            "--engine",
            "engine.toml",
            "plain.toml",
        ];
        let arguments = arguments.map(OsStr::new);
        let (status, errors) = status_and_errors(&wireproof(here, &arguments).output().unwrap());
        assert_eq!(status, Some(3), "{errors}");
        // Of a node that is told first.
        let expected = format!("): {program}: {cause}");
        assert!(
            errors.contains("start the engine (") && errors.contains(&expected),
            "{errors}"
        );
    }
}

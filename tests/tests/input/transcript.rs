//! Transcripts: cases of files, input, commands and their whole output.
//!
//! ```text
//! == what the case is about
//! --- today.csv          a file of this name, to the next mark
//! name,pop
//! < typed line           a line of the next command's input
//! $ fieldkey …           the command, its words split as a shell does, with its environment before it
//! error: …               all that it says, standard output first
//! = 2                    its exit code
//! ```
//!
//! In files and input, `\xNN` is a byte and `«TEXT*N»` is TEXT so many times over. `{HOME}` stands for where the program
//! keeps its files, and a long list of what could be written ends after two.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Set, transcripts are written anew with what the program says now, to be read by a person before they are kept.
const REWRITE: &str = "FIELDKEY_REWRITE";
/// What a transcript may hold that no program may say.
const SECRETS: [&str; 2] = ["s3cret", "S3CRET"];
/// Longest that a command may run, in seconds; none needs more than one, unless the machine has much else to do.
const PATIENCE: &str = "60";
/// The organisation profile of every case.
const PROFILE: &str = include_str!("profile.toml");

/// Plays all cases of a transcript and compares.
pub(crate) fn hold(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/input/{name}.txt"));
    let written = std::fs::read_to_string(&path).unwrap();
    let home = imported();
    let (mut played, mut leaks) = (String::new(), Vec::new());
    for case in cases(&written) {
        played.push_str(&play(&case, home.path(), &mut leaks));
    }
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &played).unwrap();
    }
    assert!(leaks.is_empty(), "a secret was shown:\n{}", leaks.concat());
    for (expected, found) in cases(&written).into_iter().zip(cases(&played)) {
        assert!(expected == found, "{name}: expected\n{expected}\nfound\n{found}");
    }
}

fn cases(text: &str) -> Vec<String> {
    let mut cases: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("== ") {
            cases.push(String::new());
        }
        cases
            .last_mut()
            .expect("a transcript begins with a case")
            .push_str(line);
    }
    cases
}

/// A home with the profile imported, to be copied for every case.
fn imported() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.toml");
    std::fs::write(&file, PROFILE).unwrap();
    let (said, exit) = run(folder.path(), &split("fieldkey profile import profile.toml"), &[]);
    assert_eq!(exit, 0, "{said}");
    folder
}

/// Plays a case; what it gives back is the case as it should have been written.
fn play(case: &str, home: &Path, leaks: &mut Vec<String>) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy(&home.join("home"), &folder.path().join("home"));
    let mut played = String::new();
    let mut file: Option<PathBuf> = None;
    let mut input = Vec::new();
    let mut said = false;
    for line in case.lines() {
        // What the program said is written anew.
        if said && !line.starts_with("= ") {
            continue;
        }
        if let Some(words) = line.strip_prefix("$ ") {
            let (output, exit) = run(
                folder.path(),
                &split(&as_text(words)),
                &std::mem::take(&mut input),
            );
            assert!(!output.contains("panicked"), "{output}");
            if SECRETS.iter().any(|secret| output.contains(secret)) {
                leaks.push(format!("{line}\n{output}"));
            }
            let _ = writeln!(played, "{line}\n{output}= {exit}");
            (said, file) = (true, None);
            continue;
        }
        if line.starts_with("= ") {
            said = false;
            continue;
        }
        let _ = writeln!(played, "{line}");
        if let Some(name) = line.strip_prefix("--- ") {
            let path = folder.path().join(name);
            if name.ends_with('/') {
                std::fs::create_dir(&path).unwrap();
            } else {
                std::fs::write(&path, "").unwrap();
            }
            file = Some(path);
        } else if let Some(typed) = line.strip_prefix("< ") {
            input.extend(bytes(typed));
            input.push(b'\n');
        } else if let Some(path) = file.as_ref().filter(|path| path.is_file()) {
            let mut content = std::fs::read(path).unwrap();
            content.extend(bytes(line));
            content.push(b'\n');
            std::fs::write(path, content).unwrap();
        }
    }
    assert!(!said, "the last command of a case has its exit code:\n{case}");
    played
}

/// Runs words such as `NAME=value fieldkey scan`.
fn run(folder: &Path, words: &[String], input: &[u8]) -> (String, i32) {
    let name = words.iter().position(|word| word == "fieldkey");
    let (environment, arguments) = words.split_at(name.expect("a command is of fieldkey"));
    // What was taken although it should not have been may run for ever.
    let mut child = Command::new("timeout")
        .args(["--signal=INT", PATIENCE])
        .arg(journeys::fieldkey())
        .args(&arguments[1..])
        .current_dir(folder)
        .env("FIELDKEY_HOME", folder.join("home"))
        .env_remove("FIELDKEY_LOG")
        .envs(environment.iter().filter_map(|word| word.split_once('=')))
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not wait for what is typed.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let mut said = String::from_utf8(output.stdout).unwrap();
    said.push_str(&String::from_utf8(output.stderr).unwrap());
    let folder = folder.join("home");
    let said = said.replace(&folder.display().to_string(), "{HOME}");
    let said: String = said.split_inclusive('\n').map(without_long_list).collect();
    (said, output.status.code().unwrap_or(-1))
}

/// A list of all that could stand somewhere, where it is long, ends after its first two: it grows with the program.
fn without_long_list(line: &str) -> String {
    const LIST: &str = "expected one of `";
    match line.split_once(LIST) {
        Some((before, list)) if list.matches("`, `").count() > 7 => {
            let first: Vec<&str> = list.splitn(3, "`, `").take(2).collect();
            let end = list.rsplit_once('`').unwrap().1;
            format!("{before}{LIST}{}`, …{end}", first.join("`, `"))
        }
        _ => line.to_owned(),
    }
}

/// A line of a transcript as it is meant.
fn bytes(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if let Some((inner, after)) = rest.strip_prefix('«').and_then(|rest| rest.split_once('»')) {
            let (text, times) = inner.rsplit_once('*').unwrap();
            bytes.extend(text.repeat(times.parse().unwrap()).bytes());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\x") {
            let (digits, after) = after.split_at(2);
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = after;
        } else {
            let (first, after) = rest.split_at(first.len_utf8());
            bytes.extend(first.bytes());
            rest = after;
        }
    }
    bytes
}

fn as_text(line: &str) -> String {
    String::from_utf8(bytes(line)).unwrap()
}

/// Words as a shell splits them; only single quotes quote.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

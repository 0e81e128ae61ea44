//! Bad input, met by the real program: every word that it says and how it ends, held against transcripts that stand
//! beside this file. A transcript reads like a terminal: files, what is typed, the command, and all that came of it.
//!
//! Not for: input that devices give (journeys), and codecs on their own (`commission`).
#![cfg(target_os = "linux")]

#[cfg(test)]
mod transcript;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::OpenOptions;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use crate::transcript::hold;

    fn fieldkey(arguments: &[&str], home: &Path) -> Command {
        let mut command = Command::new(journeys::fieldkey());
        command.args(arguments).env("FIELDKEY_HOME", home);
        command
    }

    fn said(arguments: &[&str], home: &Path) -> String {
        let output = fieldkey(arguments, home).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_bad_label_is_refused_by_what_is_wrong_with_it_and_never_repeated() {
        hold("labels");
    }

    #[test]
    fn a_bad_file_of_labels_is_refused_by_row_and_column() {
        hold("files");
    }

    #[test]
    fn a_bad_profile_is_refused_by_line_and_field() {
        hold("profiles");
    }

    #[test]
    fn a_bad_list_for_a_bulk_registration_is_refused_by_line_and_column() {
        hold("bulk");
    }

    #[test]
    fn a_bad_scenario_is_refused_by_line_and_field() {
        hold("scenarios");
    }

    #[test]
    fn a_bad_command_line_is_refused_by_the_argument() {
        hold("arguments");
    }

    #[test]
    fn what_cannot_be_written_is_no_success() {
        let home = tempfile::tempdir().unwrap();
        for arguments in [
            ["journal", "--verify"],
            ["completions", "bash"],
            ["--json", "man"],
        ] {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let output = fieldkey(&arguments, home.path()).stdout(full).output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(7), "{arguments:?}: {errors}");
            assert!(errors.contains("No space left") || errors.is_empty(), "{errors}");
        }
    }

    #[test]
    fn whoever_reads_the_first_line_only_gets_no_error() {
        let home = tempfile::tempdir().unwrap();
        for page in ["man", "completions"] {
            let arguments: &[&str] = if page == "man" {
                &["man"]
            } else {
                &["completions", "zsh"]
            };
            let mut child = fieldkey(arguments, home.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut first = String::new();
            let mut reader = BufReader::new(child.stdout.take().unwrap());
            reader.read_line(&mut first).unwrap();
            drop(reader);
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }

    #[test]
    fn the_manual_has_a_page_for_every_command_and_one_with_all_of_their_options() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("man1");
        said(&["man", "--out", &folder.display().to_string()], home.path());
        let pages: BTreeSet<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|page| page.unwrap().file_name().into_string().unwrap())
            .collect();
        let whole = said(&["man"], home.path());
        for (page, option) in [
            ("fieldkey.1", "adapter"),
            ("fieldkey-commission.1", "labels"),
            ("fieldkey-profile-import.1", "FILE"),
            ("fieldkey-sandbox-browse.1", "user"),
        ] {
            assert!(pages.contains(page), "{pages:?}");
            let text = std::fs::read_to_string(folder.join(page)).unwrap();
            assert!(text.contains(option) && whole.contains(option), "{page}: {text}");
        }
        // What a page refers to is there.
        for page in &pages {
            let text = std::fs::read_to_string(folder.join(page)).unwrap();
            for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "\\-()".contains(c))) {
                let word = word.replace('\\', "");
                if let Some(name) = word.strip_suffix("(1)") {
                    assert!(pages.contains(&format!("{name}.1")), "{page} names {name}(1)");
                }
            }
        }
    }

    /// The example of the README is what people begin from.
    #[test]
    fn the_profile_of_the_readme_can_be_imported_as_it_stands() {
        let readme = include_str!("../../../README.md");
        let example = readme
            .split("```toml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("organisation.toml");
        std::fs::write(&file, example).unwrap();
        said(&["profile", "import", &file.display().to_string()], home.path());
        let shown = said(&["profile", "show"], home.path());
        assert!(shown.contains("plant-iot"), "{shown}");
    }

    /// Codes are promised to programs; one that is not listed is promised to nobody.
    #[test]
    fn every_code_of_the_program_is_in_the_list_of_codes_and_none_besides() {
        let form = include_str!("../../../src-tauri/crates/cli/JSON.md");
        let list = form.split("## Codes\n").nth(1).unwrap();
        let listed: BTreeSet<&str> = list
            .lines()
            .filter(|line| line.starts_with("| `"))
            .filter_map(|line| line.split('`').nth(1))
            .collect();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src-tauri/crates");
        let mut used = BTreeSet::new();
        for file in [
            "commission/src/fault.rs",
            "engine/src/signin/error.rs",
            "engine/src/ports.rs",
        ] {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            collect(&text, "=> ", 0, &mut used);
        }
        for folder in ["cli/src", "cli/src/commands"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|ending| ending == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let product = text.split("#[cfg(test)]").next().unwrap();
                    collect(product, "Ended::new(", 1, &mut used);
                    collect(product, "Self::new(", 1, &mut used);
                    collect(product, ".warn(", 0, &mut used);
                }
            }
        }
        let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
        let missing: Vec<_> = used.difference(&listed).collect();
        let stale: Vec<_> = listed.difference(&used).collect();
        assert!(
            missing.is_empty() && stale.is_empty(),
            "missing {missing:?}, stale {stale:?}"
        );
    }

    /// What stands in quotes after so many arguments of each of these calls, where it looks like a code.
    fn collect(text: &str, call: &str, skip: usize, found: &mut BTreeSet<String>) {
        for after in text.split(call).skip(1) {
            let argument = after.split(',').nth(skip).unwrap_or_default();
            let quoted = argument
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            let is_code =
                |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            found.extend(quoted.filter(is_code).map(str::to_owned));
        }
    }
}

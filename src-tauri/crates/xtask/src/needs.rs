//! System packages: installed where this may be done without a password, named exactly where not.

use std::process::{Command, Stdio};

use crate::step::{Failed, run, say};

/// A Debian package and the file or program whose presence makes it unnecessary.
struct Need {
    package: &'static str,
    present: fn() -> bool,
}

/// To build and to run the product and its sandbox.
const BUILD: &[Need] = &[
    Need {
        package: "pkg-config",
        present: || program("pkg-config"),
    },
    Need {
        package: "libdbus-1-dev",
        present: || library("dbus-1"),
    },
    Need {
        package: "dbus",
        present: || program("dbus-daemon") && program("dbus-run-session"),
    },
    Need {
        package: "gnome-keyring",
        present: || program("gnome-keyring-daemon"),
    },
];

/// To build the program with the window.
const WINDOW: &[Need] = &[
    Need {
        package: "libwebkit2gtk-4.1-dev",
        present: || library("webkit2gtk-4.1"),
    },
    Need {
        package: "libsoup-3.0-dev",
        present: || library("libsoup-3.0"),
    },
    Need {
        package: "librsvg2-dev",
        present: || library("librsvg-2.0"),
    },
];

/// To open the window where there is no display, and to drive it as a person would.
const DESKTOP: &[Need] = &[
    Need {
        package: "xvfb",
        present: || program("Xvfb"),
    },
    Need {
        package: "webkit2gtk-driver",
        present: || program("WebKitWebDriver"),
    },
];

/// To check it against clients that nobody here wrote.
const CONFORMANCE: &[Need] = &[
    Need {
        package: "python3",
        present: || program("python3"),
    },
    Need {
        package: "python3-venv",
        present: || runs("python3", &["-c", "import venv, ensurepip"]),
    },
];

/// Makes sure that what building and running needs is there.
pub(crate) fn for_running() -> Result<(), Failed> {
    bring(BUILD)
}

/// Makes sure that what building all of the workspace needs is there.
pub(crate) fn for_testing() -> Result<(), Failed> {
    if !program("npm") {
        return Err(Failed(
            "the window's pages need Node.js 20 or newer, with npm; install it, then try again".into(),
        ));
    }
    bring(BUILD)?;
    bring(WINDOW)
}

/// Makes sure that the window can be driven where there is no display.
pub(crate) fn for_driving() -> Result<(), Failed> {
    for_testing()?;
    bring(DESKTOP)
}

/// Makes sure that there is a browser to test the window's pages in.
pub(crate) fn for_browsing() -> Result<(), Failed> {
    bring(&[Need {
        package: "chromium",
        present: || program("chromium"),
    }])
}

/// Makes sure that what the conformance clients need is there.
pub(crate) fn for_conformance() -> Result<(), Failed> {
    bring(CONFORMANCE)
}

fn bring(needs: &[Need]) -> Result<(), Failed> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !(need.present)())
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !program("apt-get") {
        return Err(Failed(format!(
            "this needs the Debian packages {names}, or your system's equivalents"
        )));
    }
    let Some(prefix) = right_to_install() else {
        return Err(Failed(format!(
            "system packages are missing; install them with: sudo apt-get install {names}"
        )));
    };
    say(&format!(
        "system packages are missing and will be installed: {names}"
    ));
    let apt = |arguments: &[&str]| {
        let mut words: Vec<&str> = prefix.to_vec();
        words.push("apt-get");
        words.extend_from_slice(arguments);
        let (program, rest) = words.split_first().unwrap_or((&"apt-get", &[]));
        let mut command = Command::new(program);
        command
            .args(rest)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    run("read the package lists", &mut apt(&["update", "-qq"]))?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend_from_slice(&missing);
    run("install system packages", &mut apt(&arguments))
}

/// The words before `apt-get`: none for root, `sudo` where it asks for no password.
fn right_to_install() -> Option<&'static [&'static str]> {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout.trim_ascii() == b"0");
    if root {
        Some(&[])
    } else if runs("sudo", &["-n", "true"]) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn program(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn library(name: &str) -> bool {
    runs("pkg-config", &["--exists", name])
}

fn runs(name: &str, arguments: &[&str]) -> bool {
    Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

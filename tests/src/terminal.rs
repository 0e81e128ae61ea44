//! The `fieldkey` program at a terminal of its own: what a person sees there, what they type, and whether it shows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest silence of a program; far more than any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal.
pub struct Terminal {
    child: Child,
    /// The person's end.
    person: File,
    shown: mpsc::UnboundedReceiver<Vec<u8>>,
    seen: Vec<u8>,
    /// How much of it was waited for.
    read: usize,
}

impl Terminal {
    /// Starts a command, which makes its standard input its controlling terminal.
    pub(crate) fn start(mut command: Command) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        let screen = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let child = command
            .stdin(screen.try_clone().unwrap())
            .stdout(screen.try_clone().unwrap())
            .stderr(screen)
            .env("TERM", "xterm")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // The command holds copies of its terminal's end, which would keep that open.
        drop(command);
        let person = File::from(person);
        let mut reader = person.try_clone().unwrap();
        let (show, shown) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = reader.read(&mut buffer) {
                if length == 0 || show.send(buffer.iter().take(length).copied().collect()).is_err() {
                    break;
                }
            }
        });
        let terminal = Self {
            child,
            person,
            shown,
            seen: Vec::new(),
            read: 0,
        };
        terminal.resize(100);
        terminal
    }

    /// Makes it so many columns wide.
    pub fn resize(&self, columns: u16) {
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.person, size).unwrap();
    }

    /// Waits until the terminal shows these words, after those that were waited for last.
    pub async fn until(&mut self, words: &str) {
        loop {
            let new = String::from_utf8_lossy(self.seen.get(self.read..).unwrap_or_default()).into_owned();
            if let Some(at) = new.find(words) {
                self.read += at + words.len();
                return;
            }
            if !self.more().await {
                panic!("it ended without {words:?}:\n{}", self.text());
            }
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Sends the program a signal, by name.
    pub async fn signal(&self, name: &str) {
        let process = self.child.id().unwrap_or(0).to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &process])
            .status()
            .await
            .unwrap();
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// Whether what is typed shows.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.person)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// Waits until the program has ended: all that was shown, and its exit code.
    pub async fn end(mut self) -> (String, Option<i32>) {
        while self.more().await {}
        let status = timeout(PATIENCE, self.child.wait()).await;
        let code = status.expect("it does not end").unwrap().code();
        assert!(self.echoes(), "it left the echo off");
        (self.text(), code)
    }

    async fn more(&mut self) -> bool {
        let next = timeout(PATIENCE, self.shown.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("it stands still after\n{}", self.text()));
        match next {
            Some(bytes) => {
                self.seen.extend(bytes);
                true
            }
            None => false,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

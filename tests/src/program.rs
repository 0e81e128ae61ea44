//! The `fieldkey` program as a child: its lines as they come, what is typed, signals, and how it ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest that a program may run; far more than any needs, so that only a standstill ends there.
const PATIENCE: Duration = Duration::from_secs(240);
const HOW: &str = "run the journeys with: cargo xtask test --only tests";

/// The program as cargo or xtask built it.
pub fn fieldkey() -> PathBuf {
    assert!(
        std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some(),
        "there is no session bus with a keyring; {HOW}"
    );
    let program = std::env::var_os("FIELDKEY_PROGRAM").map_or_else(
        || {
            let own = std::env::current_exe().unwrap();
            // A test lies in the folder `deps` below the programs.
            own.ancestors().nth(2).unwrap_or(Path::new("/")).join("fieldkey")
        },
        PathBuf::from,
    );
    assert!(program.is_file(), "there is no {}; {HOW}", program.display());
    program
}

/// A program that runs.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
    run: Run,
}

/// What a program said, and how it ended.
#[derive(Debug, Default)]
pub struct Run {
    /// Its lines of JSON.
    pub lines: Vec<Value>,
    /// Standard output as it was.
    pub stdout: String,
    /// Standard error as it was.
    pub stderr: String,
    /// Its exit code; none after a signal.
    pub exit: Option<i32>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: tokio::spawn(async move {
                let mut text = String::new();
                let _ = errors.read_to_string(&mut text).await;
                text
            }),
            child,
            run: Run::default(),
        }
    }

    /// Its process; zero once it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Types a line.
    pub async fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is closed");
        stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// Says that nothing more will be typed.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next line; none at the end.
    pub async fn line(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.stdout.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("it stands still after {}", self.run.stdout));
        let line = line.unwrap()?;
        self.run.stdout.push_str(&line);
        self.run.stdout.push('\n');
        let value: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        self.run.lines.push(value.clone());
        Some(value)
    }

    /// Waits for a line.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.line().await {
            if wanted(&line) {
                return line;
            }
        }
        panic!(
            "it ended without the line that was waited for:\n{}",
            self.run.stdout
        )
    }

    /// Waits for a device's happening.
    pub async fn until_event(&mut self, event: &str) -> Value {
        self.until(|line| line["type"] == "happening" && line["event"] == event)
            .await
    }

    /// Waits for a stage to begin.
    pub async fn until_stage(&mut self, stage: &str) -> Value {
        self.until(|line| line["event"] == "stage" && line["stage"] == stage)
            .await
    }

    /// Sends it a signal, by name.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .await
            .unwrap();
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// Waits until it has ended.
    pub async fn end(mut self) -> Run {
        while self.line().await.is_some() {}
        let status = timeout(PATIENCE, self.child.wait()).await;
        self.run.exit = status.expect("it does not end").unwrap().code();
        self.run.stderr = self.stderr.await.unwrap();
        self.run
    }
}

impl Run {
    /// The last line of this type.
    pub fn last(&self, kind: &str) -> &Value {
        self.lines
            .iter()
            .rfind(|line| line["type"] == kind)
            .unwrap_or_else(|| panic!("no line {kind}: {}\n{}", self.stdout, self.stderr))
    }

    /// A device's row of the summary, by its serial number as the label has it, or by its name.
    pub fn result(&self, device: &str) -> &Value {
        let results = self.last("summary")["results"].as_array().unwrap();
        results
            .iter()
            .find(|row| row["serial"] == device || row["name"] == device)
            .unwrap_or_else(|| panic!("no {device} in the summary: {}", self.stdout))
    }

    /// How a device ended and with which code.
    pub fn ended(&self, device: &str) -> (&str, &str) {
        let row = self.result(device);
        (
            row["state"].as_str().unwrap_or_default(),
            row["code"].as_str().unwrap_or_default(),
        )
    }

    /// All happenings of a kind.
    pub fn events(&self, event: &str) -> Vec<&Value> {
        let of = |line: &&Value| line["type"] == "happening" && line["event"] == event;
        self.lines.iter().filter(of).collect()
    }

    /// Demands an exit code.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.exit, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

//! Asking the person: at the terminal, or by lines on standard input where there is none.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::sync::Arc;

use commission::label::Label;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::exit::{Ended, Exit};
use crate::interrupt::{Interrupts, Terminal};
use crate::output::{Output, harmless};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The input is at its end.
    Over,
    /// Ctrl-C.
    Interrupted,
    /// What was typed is no text, so that it is not what anybody meant.
    NoText,
}

impl From<Silence> for Ended {
    /// For a question before anything was begun.
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Over => Self::usage(
                "the input ended before the question was answered",
                "Type the answer, or give it as a line on standard input; nothing was started.",
            ),
            Silence::Interrupted => Self::new(
                Exit::Interrupted,
                "interrupted",
                "stopped with Ctrl-C; nothing was started",
                "",
            ),
            Silence::NoText => Self::usage(
                "what was given on standard input is no text in UTF-8",
                "Type it, or give it as a line in UTF-8; nothing was started.",
            ),
        }
    }
}

/// What was typed.
type Said = Result<Zeroizing<String>, Silence>;

/// The person in front of the terminal, or the program that stands in for them.
#[derive(Clone)]
pub(crate) struct Person {
    output: Output,
    interrupts: Interrupts,
    screen: Terminal,
    terminal: bool,
    /// One question at a time: two prompts at once cannot be told apart.
    turn: Arc<Mutex<()>>,
}

impl Person {
    /// Whoever is at standard input.
    pub(crate) fn new(output: Output, interrupts: Interrupts, screen: Terminal) -> Self {
        let terminal = std::io::stdin().is_terminal() && !output.is_json();
        Self {
            output,
            interrupts,
            screen,
            terminal,
            turn: Arc::new(Mutex::new(())),
        }
    }

    /// Whether somebody sits there who can be asked again.
    pub(crate) fn is_at_terminal(&self) -> bool {
        self.terminal
    }

    /// A secret, unseen while typed.
    pub(crate) async fn secret(&self, prompt: &str) -> Said {
        self.ask(prompt.to_owned(), true).await
    }

    /// A line.
    pub(crate) async fn line(&self, prompt: &str) -> Said {
        self.ask(prompt.to_owned(), false).await
    }

    /// The label of the device with this name; `None` where nothing was typed.
    pub(crate) async fn label(&self, device: &str, unseen: bool) -> Result<Option<Label>, Ended> {
        let prompt = format!("Label of {device} (scan it, or type its proof of possession)");
        let text = match self.ask(prompt, unseen).await {
            Ok(text) if !text.is_empty() => text,
            Ok(_) | Err(Silence::Over) => return Ok(None),
            Err(silence) => return Err(silence.into()),
        };
        let label = Label::parse(&text).map_err(|error| {
            let advice = error.advice();
            Ended::usage(error, advice)
        })?;
        match &label.name {
            Some(name) if name != device => Err(Ended::usage(
                format!("the label is of {name}, not of {device}"),
                "Scan the label on this very device.",
            )),
            _ => Ok(Some(label)),
        }
    }

    async fn ask(&self, prompt: String, unseen: bool) -> Said {
        let _turn = self.turn.lock().await;
        let mut minding = self.interrupts.mind_too();
        if self.interrupts.came() {
            return Err(Silence::Interrupted);
        }
        if !self.terminal {
            // A program that is told to stop while it reads its answers stops as the command does.
            return tokio::select! {
                line = tokio::task::spawn_blocking(read_line) => line.unwrap_or(Err(Silence::Over)),
                () = minding.pressed() => Err(Silence::Interrupted),
            };
        }
        let prompt = harmless(&prompt);
        let screen = self.screen.clone();
        let _quiet = self.output.quiet();
        if unseen {
            // Here and not beside the reading: a prompt that is given up must change nothing after the program's end.
            screen.hush();
        }
        let asked = tokio::task::spawn_blocking(move || {
            if unseen {
                unseen_line(&prompt)
            } else {
                screen.aloud(|| {
                    show(&prompt);
                    read_line()
                })
            }
        });
        tokio::select! {
            line = asked => line.unwrap_or(Err(Silence::Over)),
            () = minding.pressed() => Err(Silence::Interrupted),
        }
    }
}

/// Shows a prompt where the person is, also where the program's words go elsewhere.
fn show(prompt: &str) {
    let words = format!("{prompt}: ");
    let shown = match std::fs::OpenOptions::new().write(true).open("/dev/tty") {
        Ok(mut terminal) => terminal.write_all(words.as_bytes()),
        Err(_) => anstream::stderr().write_all(words.as_bytes()),
    };
    if let Err(error) = shown.and_then(|()| std::io::stderr().flush()) {
        tracing::debug!(%error, "a prompt could not be shown");
    }
}

/// A line of the terminal, whose echo is off already. Read without a buffer that would keep it, and with Ctrl-C as the
/// signal that it is everywhere else.
#[cfg(unix)]
fn unseen_line(prompt: &str) -> Said {
    show(prompt);
    // The longest line that a terminal gives.
    let mut buffer = Zeroizing::new([0_u8; 4096]);
    let length = loop {
        match rustix::io::read(std::io::stdin(), buffer.as_mut_slice()) {
            Ok(0) => return Err(Silence::Over),
            Ok(length) => break length,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Err(Silence::Over),
        }
    };
    // The end of the line was not echoed either.
    let _ = writeln!(std::io::stderr());
    let line = buffer.get(..length).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Silence::NoText)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A line of the console without echo. Ctrl-C is a key there, which the library turns into the signal.
#[cfg(not(unix))]
fn unseen_line(prompt: &str) -> Said {
    match rpassword::prompt_password(format!("{prompt}: ")) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(Silence::Interrupted),
        Err(_) => Err(Silence::Over),
    }
}

fn read_line() -> Said {
    let mut line = Zeroizing::new(String::new());
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Silence::Over),
        Ok(_) => {
            let end = line.trim_end_matches(['\r', '\n']).len();
            line.truncate(end);
            Ok(line)
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(Silence::NoText),
        Err(_) => Err(Silence::Over),
    }
}

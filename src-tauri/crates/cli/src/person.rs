//! Asking the person: at the terminal, or by lines on standard input where there is none.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::output::{Output, harmless};

/// The person in front of the terminal, or the program that stands in for them.
#[derive(Clone)]
pub(crate) struct Person {
    output: Output,
    terminal: bool,
    /// One question at a time: two prompts at once cannot be told apart.
    turn: Arc<Mutex<()>>,
}

impl Person {
    /// Whoever is at standard input.
    pub(crate) fn new(output: Output) -> Self {
        let terminal = std::io::stdin().is_terminal() && !output.is_json();
        Self {
            output,
            terminal,
            turn: Arc::new(Mutex::new(())),
        }
    }

    /// A secret, unseen while typed; `None` at the end of the input.
    pub(crate) async fn secret(&self, prompt: &str) -> Option<Zeroizing<String>> {
        self.ask(prompt.to_owned(), true).await
    }

    /// A line; `None` at the end of the input.
    pub(crate) async fn line(&self, prompt: &str) -> Option<Zeroizing<String>> {
        self.ask(prompt.to_owned(), false).await
    }

    async fn ask(&self, prompt: String, unseen: bool) -> Option<Zeroizing<String>> {
        let _turn = self.turn.lock().await;
        let (output, terminal) = (self.output.clone(), self.terminal);
        let prompt = harmless(&prompt);
        let asked = tokio::task::spawn_blocking(move || {
            if !terminal {
                return read_line();
            }
            output.bars().suspend(|| {
                if unseen {
                    rpassword::prompt_password(format!("{prompt}: "))
                        .ok()
                        .map(Zeroizing::new)
                } else {
                    let mut out = anstream::stderr();
                    let _ = write!(out, "{prompt}: ");
                    let _ = out.flush();
                    read_line()
                }
            })
        });
        asked.await.ok().flatten()
    }
}

fn read_line() -> Option<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => {
            let end = line.trim_end_matches(['\r', '\n']).len();
            line.truncate(end);
            Some(line)
        }
    }
}

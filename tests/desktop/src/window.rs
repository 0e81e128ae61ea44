//! The window, through WebKit's driver.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::{Element, ElementRef};
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use journeys::Site;
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

use crate::display;
use crate::memory::Memory;

/// Longest that something may take to be seen; far more than it needs, so that only a standstill ends there.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between looks.
const LOOK: Duration = Duration::from_millis(50);
/// How WebDriver writes an element in JSON (W3C WebDriver, section 12.2).
const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The first element of a path that can be seen, whatever is scrolled.
const FIRST_SHOWN: &str = "\
    const found = document.evaluate(arguments[0], document, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null); \
    for (let n = 0; n < found.snapshotLength; n += 1) { \
        const it = found.snapshotItem(n); \
        if (it.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return it; \
    } \
    return null";
const HOW: &str = "run this with: cargo xtask test --only desktop";

/// A key that is no character, as WebDriver writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Key {
    /// Enter.
    Enter = 0xE006,
    /// Escape.
    Escape = 0xE00C,
    /// Tab.
    Tab = 0xE004,
}

/// The app, running at a site.
pub struct Window {
    client: Client,
    driver: Child,
    process: u32,
    opened: Instant,
}

impl Window {
    /// Starts the app at a site with these arguments, and waits until its page is there.
    pub async fn open(site: &Site, arguments: &[&OsStr]) -> Self {
        let program = std::env::var_os("FIELDKEY_APP")
            .map_or_else(|| panic!("FIELDKEY_APP names no program; {HOW}"), PathBuf::from);
        let port = free_port();
        let opened = Instant::now();
        let driver = Command::new("WebKitWebDriver")
            .arg(format!("--port={port}"))
            // The app is the driver's child, and has its environment.
            .envs(site.surroundings())
            .env("TAURI_AUTOMATION", "true")
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("WebKitWebDriver: {error}; {HOW}"));
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| argument.to_str().unwrap().to_owned())
            .collect();
        let options = json!({ "binary": program, "args": arguments });
        let wanted = Map::from_iter([("webkitgtk:browserOptions".to_owned(), options)]);
        let client = connect(port, wanted).await;
        let driver_id = driver.id().expect("the driver runs");
        let process = child_of(driver_id, &program);
        Self {
            client,
            driver,
            process,
            opened,
        }
    }

    /// When its start was asked for.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Memory that the app's own process has in use.
    pub fn resident(&self) -> Memory {
        let maps = std::fs::read_to_string(format!("/proc/{}/smaps", self.process)).expect("the app runs");
        Memory::of(&maps)
    }

    /// Presses the button of this name.
    pub async fn press(&self, name: &str) {
        self.click(&button(name)).await;
    }

    /// Presses the first button whose name starts like this.
    pub async fn press_first(&self, beginning: &str) {
        let text = quoted(beginning);
        self.click(&format!(
            "//button[starts-with(normalize-space(.), {text}) or starts-with(@aria-label, {text})]"
        ))
        .await;
    }

    /// Opens what stands under this summary.
    pub async fn unfold(&self, summary: &str) {
        self.click(&format!("//summary[normalize-space(.)={}]", quoted(summary)))
            .await;
    }

    /// Goes to a place by its name in the rail.
    pub async fn go(&self, place: &str) {
        let text = quoted(place);
        self.click(&format!("//nav//button[starts-with(normalize-space(.), {text})]"))
            .await;
    }

    /// Presses the option of a list that starts like this.
    pub async fn choose(&self, beginning: &str) {
        let text = quoted(beginning);
        self.click(&format!(
            "//*[@role='option' and (starts-with(normalize-space(.), {text}) or starts-with(@aria-label, {text}))]"
        ))
        .await;
    }

    /// Types into the field of this label, in place of what it has.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = field(label);
        for _ in 0..20 {
            let element = self.shown(&field).await;
            // The page may replace the field between the look and the typing.
            if element.clear().await.is_ok() && element.send_keys(text).await.is_ok() {
                return;
            }
        }
        panic!("{label} cannot be typed into");
    }

    /// Puts a text of several lines into the field of this label, as pasting does; keys would not bring the line ends.
    pub async fn paste(&self, label: &str, text: &str) {
        let element = self.shown(&field(label)).await;
        let element = serde_json::to_value(element).unwrap();
        self.client
            .execute(
                "const [field, text] = arguments; field.focus(); field.setRangeText(text); \
                 field.dispatchEvent(new InputEvent('input', { inputType: 'insertFromPaste', bubbles: true }))",
                vec![element, text.into()],
            )
            .await
            .expect("the text is taken");
    }

    /// Picks an option of the list of this label.
    pub async fn pick(&self, label: &str, option: &str) {
        let label = quoted(label);
        let path = format!("//select[@aria-label={label} or @id=//label[normalize-space(.)={label}]/@for]");
        let list = serde_json::to_value(self.shown(&path).await).unwrap();
        // Its options are not part of the page while it is closed.
        self.client
            .execute(
                "const [list, text] = arguments; \
                 list.value = [...list.options].find((it) => it.textContent.trim() === text).value; \
                 list.dispatchEvent(new Event('change', { bubbles: true }))",
                vec![list, option.into()],
            )
            .await
            .expect("the option is there");
    }

    /// Types a line as a hand scanner does, wherever the focus is: faster than keys can be sent from here, one at a
    /// time, to a computer that has other work.
    pub async fn scan(&self, text: &str) {
        self.client
            .execute(
                "for (const key of [...arguments[0], 'Enter']) { \
                    const target = document.activeElement ?? document.body; \
                    for (const kind of ['keydown', 'keyup']) { \
                        target.dispatchEvent(new KeyboardEvent(kind, { key, bubbles: true, cancelable: true })); \
                    } \
                }",
                vec![text.into()],
            )
            .await
            .expect("keys");
    }

    /// Types, wherever the focus is.
    pub async fn type_text(&self, text: &str) {
        self.strike(text.chars()).await;
    }

    /// Strikes a key.
    pub async fn key(&self, key: Key) {
        self.strike(char::from_u32(key as u32)).await;
    }

    async fn strike(&self, keys: impl IntoIterator<Item = char>) {
        let mut actions = KeyActions::new("keyboard".into());
        for value in keys {
            actions = actions
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.expect("keys");
    }

    /// Waits until this text can be seen.
    pub async fn see(&self, text: &str) {
        self.shown(&containing(text)).await;
    }

    /// Waits until a list's row of this name has this word.
    pub async fn see_row(&self, name: &str, word: &str) {
        let (name, word) = (quoted(name), quoted(word));
        self.shown(&format!(
            "//*[@role='option' and contains(normalize-space(.), {name}) and contains(normalize-space(.), {word})]"
        ))
        .await;
    }

    /// Waits until this text can be seen no longer.
    pub async fn see_no_more(&self, text: &str) {
        let path = containing(text);
        self.until(&format!("{text} to go"), async || {
            self.find(&path).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits until no device is in work.
    pub async fn until_idle(&self) {
        self.shown("//nav//button[normalize-space(.)='In work']").await;
    }

    /// Waits until something of the page, as a script finds it, is true.
    pub async fn until_true(&self, what: &str, script: &str) {
        self.until(what, async || {
            let value = self.client.execute(script, Vec::new()).await;
            value.is_ok_and(|value| value == Value::Bool(true)).then_some(())
        })
        .await;
    }

    /// What a script of the page returns.
    pub async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("an answer")
    }

    /// What a script of the page hands to the function that is its last argument.
    pub async fn ask_later(&self, script: &str) -> Value {
        self.client
            .execute_async(script, Vec::new())
            .await
            .expect("an answer")
    }

    /// Takes a picture of the page once nothing moves in it.
    pub async fn picture(&self, file: &Path) {
        self.until_true("a page at rest", "return document.getAnimations().every((it) => !(it instanceof CSSTransition) || it.playState !== 'running')")
            .await;
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// What axe finds wrong with the page as it stands, in words; nothing where all is well. A colour on its
    /// way to another theme is waited for.
    pub async fn shortcomings(&self, axe: &str) -> Vec<String> {
        self.ask(&format!("{axe}; window.axe = axe; return true")).await;
        let found = self
            .ask_later(
                "const done = arguments[arguments.length - 1]; \
                 const still = document.getAnimations().map((it) => it.finished.catch(() => {})); \
                 Promise.all(still).then(() => axe.run()).then((found) => done(found.violations.map((it) => \
                 `${it.id}: ${it.nodes.map((node) => node.html).join(' | ')}`)), (error) => done([String(error)]))",
            )
            .await;
        serde_json::from_value(found).expect("what axe says")
    }

    /// Waits for another start of the same program that has this word among its arguments; its process.
    pub async fn another_with(&self, argument: &str) -> u32 {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.process)).expect("the app runs");
        self.until(&format!("a second program with {argument}"), async || {
            let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            processes
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .find(|id: &u32| {
                    let same = std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == program);
                    let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                    same && words
                        .split(|byte| *byte == 0)
                        .any(|word| word == argument.as_bytes())
                })
        })
        .await
    }

    /// Asks the window to close, as its button does.
    pub async fn ask_to_close(&self) {
        let process = self.process;
        tokio::task::spawn_blocking(move || display::close_window(process))
            .await
            .unwrap();
    }

    /// Waits until the program has ended by itself.
    pub async fn gone(mut self) {
        display::gone(self.process).await;
        self.driver.kill().await.expect("the driver's end");
    }

    /// Closes it with nothing in work, and waits for its end.
    pub async fn close(self) {
        self.ask_to_close().await;
        self.gone().await;
    }

    /// Ends the program without notice, as a crash would.
    pub async fn crash(self) {
        let process = rustix::process::Pid::from_raw(i32::try_from(self.process).unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        self.gone().await;
    }

    async fn click(&self, path: &str) {
        self.until(&format!("a click on {path}"), async || {
            // What moves or is replaced under the pointer is looked for again, as a person would.
            self.find(path).await?.click().await.ok()
        })
        .await;
    }

    async fn shown(&self, path: &str) -> Element {
        self.until(path, async || self.find(path).await).await
    }

    /// The first of those that can be seen.
    async fn find(&self, path: &str) -> Option<Element> {
        let found = self.client.execute(FIRST_SHOWN, vec![path.into()]).await.ok()?;
        let id = found.get(ELEMENT_KEY)?.as_str()?.to_owned();
        Some(Element::from_element_id(
            self.client.clone(),
            ElementRef::from(id),
        ))
    }

    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                let page = self
                    .client
                    .execute("return document.body.innerText", Vec::new())
                    .await;
                panic!(
                    "waited in vain for {what}; the window shows:\n{}",
                    page_text(page)
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn page_text(page: Result<Value, CmdError>) -> String {
    match page {
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn button(name: &str) -> String {
    let text = quoted(name);
    format!("//button[not(@aria-disabled='true') and (normalize-space(.)={text} or @aria-label={text})]")
}

/// The field that a label names, around it or by its identifier.
fn field(label: &str) -> String {
    let label = quoted(label);
    format!(
        "//*[self::input or self::textarea][@aria-label={label} \
         or @id=//label[normalize-space(.)={label}]/@for or ancestor::label[contains(normalize-space(.), {label})]]"
    )
}

/// The innermost elements with this text.
fn containing(text: &str) -> String {
    let text = quoted(text);
    format!("//body//*[contains(normalize-space(.), {text})][not(*[contains(normalize-space(.), {text})])]")
}

/// A string of XPath 1.0, which has no escapes.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "{text} has a quotation mark");
    format!("\"{text}\"")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().unwrap().port()
}

async fn connect(port: u16, wanted: Map<String, Value>) -> Client {
    let begun = Instant::now();
    let address = format!("http://127.0.0.1:{port}");
    loop {
        // The driver does not listen yet at once.
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted.clone());
            return builder.connect(&address).await.expect("a session");
        }
        assert!(begun.elapsed() < PATIENCE, "WebKitWebDriver does not listen");
        tokio::time::sleep(LOOK).await;
    }
}

/// The app's process, which the driver started.
fn child_of(driver: u32, program: &Path) -> u32 {
    let children =
        std::fs::read_to_string(format!("/proc/{driver}/task/{driver}/children")).unwrap_or_default();
    let program = program.canonicalize().unwrap();
    children
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .find(|id: &u32| std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == program))
        .unwrap_or_else(|| panic!("the driver {driver} has not started {}", program.display()))
}

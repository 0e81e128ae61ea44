//! Start, memory and frames of the window at a display, against what they may be.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use desktop::{Key, Memory, Window};
use journeys::{PASSPHRASE, Site};
use sandbox::sandbox::LABELS_JSON_FILE;
use serde_json::{Value, json};

/// From the start to the first device in the list, beyond its first advertisement, which comes every tenth of a second.
const START_AIM: Duration = Duration::from_millis(1500);
/// Resident memory of the app's own process with fifty devices around and nothing to do, in kibibytes: 120 MB.
const IDLE_AIM: u64 = 120_000_000 / 1024;
/// The same with fifty devices in work.
const WORK_AIM: u64 = 160_000_000 / 1024;
/// How long each state is watched.
const WATCH: Duration = Duration::from_secs(5);
/// Starts; the median counts.
const STARTS: usize = 3;

/// Fifty devices that advertise ten times a second: the site's devices live twenty times faster than these words say.
const FIFTY: &str = "[[device]]\ncount = 50\nserial = \"D{n}\"\nkeep_link = true\ninterval_ms = 2000";

/// WebKit's own browser, below `/usr/lib` and the machine's folder in it; it comes with WebKit.
const EMPTY_WINDOW: &str = "webkit2gtk-4.1/MiniBrowser";

/// Measures and prints; ends well whether the aims are met or not.
pub(crate) async fn measure(file: Option<&Path>) {
    let site = Site::bare(FIFTY).await;
    Window::first_day(&site).await.close().await;

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let window = Window::open(&site, &[]).await;
        window
            .until_true(
                "a device",
                "return document.querySelector('[role=option]') !== null",
            )
            .await;
        starts.push(window.opened().elapsed());
        window.close().await;
    }
    starts.sort_unstable();
    let start = starts.get(STARTS / 2).copied().unwrap_or_default();

    let labels = site.sandbox.state_dir().join(LABELS_JSON_FILE);
    let window = Window::open(&site, &[OsStr::new("--labels"), labels.as_os_str()]).await;
    // Rows out of sight are not laid out, so they cannot be counted; the rail's number can.
    window.see("Forget all labels").await;
    window
        .until_true(
            "fifty devices",
            "return document.querySelector('nav').innerText.includes('50')",
        )
        .await;
    let (idle_frames, idle) = watch(&window).await;
    window.press("Select all").await;
    window.press("Commission 50 devices").await;
    window.fill("Passphrase", PASSPHRASE).await;
    window.key(Key::Enter).await;
    window.go("In work").await;
    let (work_frames, mut work) = watch(&window).await;
    let done = || site.status().shortcomings().is_empty();
    while !done() {
        work = work.most(window.resident());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // One that is in work yet would be asked about at the end.
    window
        .until_true(
            "all of them done",
            "return /Done\\s*50/.test(document.querySelector('nav').innerText)",
        )
        .await;
    window.go("Done").await;
    window.see("Safe to leave").await;
    window.close().await;

    let empty = empty_window(&site).await;
    let mut lines = vec![
        line("start to first device", ms(start), ms(START_AIM), "ms"),
        line(
            "memory, fifty around",
            mebibytes(idle.resident),
            mebibytes(IDLE_AIM),
            "MiB",
        ),
        whole(idle),
        line(
            "memory, fifty in work",
            mebibytes(work.resident),
            mebibytes(WORK_AIM),
            "MiB",
        ),
        whole(work),
        format!(
            "frames a second       {idle_frames:>8.1} around, {work_frames:.1} in work; aim 60, or updates that coalesce"
        ),
    ];
    if let Some(empty) = empty {
        let (all, renderer) = (mebibytes(empty.resident), mebibytes(empty.rasteriser));
        lines.push(format!(
            "an empty window       {all:>8.1} MiB, of it {renderer:.1} MiB of a software renderer: WebKit's own browser"
        ));
    }
    show(&lines);
    let figures: Value = json!({
        "startMs": ms(start), "startAimMs": ms(START_AIM),
        "idleMiB": memory(idle), "idleAimMiB": mebibytes(IDLE_AIM),
        "workMiB": memory(work), "workAimMiB": mebibytes(WORK_AIM),
        "framesAround": idle_frames, "framesInWork": work_frames,
        "emptyWindowMiB": empty.map(memory),
    });
    if let Some(file) = file {
        std::fs::write(file, format!("{figures:#}\n")).expect("the file for the figures");
    }
}

/// What an empty window of the same WebKit has in memory, drawn as it is without a word from us; none where WebKit's own
/// browser is not installed.
async fn empty_window(site: &Site) -> Option<Memory> {
    let machines = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let browser = machines
        .map(|machine| machine.path().join(EMPTY_WINDOW))
        .find(|browser| browser.is_file())?;
    let mut running = tokio::process::Command::new(browser)
        .arg("about:blank")
        .envs(site.surroundings())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let smaps = format!("/proc/{}/smaps", running.id()?);
    let begun = Instant::now();
    let mut most = Memory::default();
    while begun.elapsed() < WATCH {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // It may have ended; then there is nothing to tell.
        most = most.most(Memory::of(&std::fs::read_to_string(&smaps).ok()?));
    }
    running.kill().await.ok()?;
    Some(most)
}

/// Frames a second and the most memory while nothing is touched.
async fn watch(window: &Window) -> (f64, Memory) {
    let script = format!(
        "const done = arguments[arguments.length - 1]; let frames = 0; const begun = performance.now(); \
         const count = () => {{ frames += 1; const past = performance.now() - begun; \
         if (past < {}) requestAnimationFrame(count); else done(frames * 1000 / past); }}; requestAnimationFrame(count)",
        WATCH.as_millis()
    );
    let frames = async { window.ask_later(&script).await.as_f64().expect("frames") };
    let memory = async {
        let begun = Instant::now();
        let mut most = Memory::default();
        while begun.elapsed() < WATCH {
            most = most.most(window.resident());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        most
    };
    tokio::join!(frames, memory)
}

fn line(what: &str, is: f64, aim: f64, unit: &str) -> String {
    let verdict = if is <= aim { "met" } else { "missed" };
    format!("{what:<22}{is:>8.1} {unit}; aim at most {aim:.0}: {verdict}")
}

/// What the line before is made of.
fn whole(memory: Memory) -> String {
    format!(
        "{:<22}of it {:.1} MiB of a software renderer; its share of pages that others have too: {:.1} MiB",
        "",
        mebibytes(memory.rasteriser),
        mebibytes(memory.share),
    )
}

fn memory(memory: Memory) -> Value {
    json!({
        "softwareRenderer": mebibytes(memory.rasteriser),
        "resident": mebibytes(memory.resident),
        "share": mebibytes(memory.share),
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 kibibytes")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn show(lines: &[String]) {
    println!("The window");
    for line in lines {
        println!("  {line}");
    }
}

//! `simulation`: lives histories and says which rules they broke.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use simulation::{History, RULES, Rule, search, shorten};

const USAGE: &str = "simulation [--histories N] [--from SEED] [--seed SEED] [--teeth] [--stop-after N] [--shown N] [--without RULE]…";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut histories, mut from, mut seed, mut stop_after, mut shown) = (20_000, 1, None, 5, 5);
    let (mut ignored, mut teeth) = (Vec::new(), false);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            arguments
                .next()
                .and_then(|text| text.replace('_', "").parse().ok())
        };
        let taken = match argument.as_str() {
            "--histories" => number().map(|value| histories = value),
            "--from" => number().map(|value| from = value),
            "--seed" => number().map(|value| seed = Some(value)),
            "--stop-after" => number().map(|value: u64| stop_after = usize::try_from(value).unwrap_or(1)),
            "--shown" => number().map(|value: u64| shown = usize::try_from(value).unwrap_or(5)),
            "--teeth" => {
                teeth = true;
                Some(())
            }
            "--without" => arguments
                .next()
                .and_then(|name| RULES.iter().find(|rule| format!("{rule:?}") == name).copied())
                .map(|rule| ignored.push(rule)),
            _ => None,
        };
        if taken.is_none() {
            say(USAGE);
            return ExitCode::FAILURE;
        }
    }
    if teeth {
        return bite(from, histories);
    }
    match seed {
        Some(seed) => tell(seed, &ignored),
        None => look(from, histories, stop_after, shown, &ignored),
    }
}

fn say(words: &str) {
    // Whoever reads it may have gone away.
    let _ = writeln!(std::io::stdout(), "{words}");
}

fn tell(seed: u64, ignored: &[Rule]) -> ExitCode {
    let (history, lived) = History::recorded(seed, ignored);
    let Some(broken) = lived.broken else {
        say(&history.tell(ignored).story);
        say(&format!("seed {seed} breaks no rule"));
        return ExitCode::SUCCESS;
    };
    let short = shorten(&history, broken.rule, ignored);
    let told = short.tell(ignored);
    say(&format!("seed {seed} breaks {:?}\n", broken.rule));
    say(&format!("{:#?}", short.scene.devices));
    say(&format!("{:?}", short.scene.clouds));
    say(&format!(
        "{:?}, prefetch {}",
        short.scene.identity, short.scene.prefetch
    ));
    for order in &short.scene.orders {
        say(&format!("order   {order:?}"));
    }
    for mishap in &short.mishaps {
        say(&format!("mishap  {mishap:?}"));
    }
    say(&format!("\n{}", told.story));
    if let Some(broken) = told.broken {
        say(&format!("BROKEN  {:?}: {}", broken.rule, broken.how));
    }
    ExitCode::FAILURE
}

/// Takes each mending out in turn, and says after how many histories it is missed.
#[cfg(feature = "teeth")]
fn bite(from: u64, histories: u64) -> ExitCode {
    use commission::mending::{KINDS, is_asked, take_out};
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    say(&format!(
        "{:<18} {:>10}  {}",
        "taken out", "histories", "missed by"
    ));
    let base = search(from, histories, threads, usize::MAX, &[]);
    let known: Vec<u64> = base.broken.iter().map(|(seed, _)| *seed).collect();
    if !known.is_empty() {
        say(&format!(
            "{} histories break a rule with nothing taken out, and are passed over",
            known.len()
        ));
    }
    let mut all = known.is_empty();
    for kind in KINDS {
        take_out(Some(kind));
        let found = search(from, histories, threads, known.len() + 1, &[]);
        let missed = found
            .broken
            .iter()
            .find(|(seed, _)| !known.contains(seed))
            .map_or_else(
                || {
                    all = false;
                    let why = if is_asked(kind) {
                        "NOTHING"
                    } else {
                        "nothing; no code asks for it"
                    };
                    format!("{:>10}  {why}", found.histories)
                },
                |(seed, broken)| format!("{:>10}  {:?}: {}", seed - from + 1, broken.rule, broken.how),
            );
        say(&format!("{:<18} {missed}", format!("{kind:?}")));
    }
    take_out(None);
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "teeth"))]
fn bite(_: u64, _: u64) -> ExitCode {
    say("built without the feature `teeth`, so that nothing can be taken out");
    ExitCode::FAILURE
}

fn look(from: u64, histories: u64, stop_after: usize, shown: usize, ignored: &[Rule]) -> ExitCode {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let found = search(from, histories, threads, stop_after, ignored);
    let took = began.elapsed().as_secs_f64();
    let tally = &found.tally;
    say(&format!(
        "{} histories, {} steps, {} crashes, {} lost answers, {} sleeps, {} lost links in {took:.1} s",
        found.histories, tally.steps, tally.crashes, tally.lost_answers, tally.sleeps, tally.lost_links
    ));
    say(&format!(
        "{} jobs begun, {} taken up: {} done, {} failed and undone, {} failed otherwise, {} unknown",
        tally.jobs[0], tally.jobs[1], tally.ends[0], tally.ends[1], tally.ends[2], tally.ends[3]
    ));
    let mishaps: u64 = found.mishaps.values().sum();
    say(&format!(
        "{mishaps} troubles, {} kinds of them at their places",
        found.mishaps.len()
    ));
    for (rule, checked) in RULES.iter().zip(found.checked) {
        let broken = found
            .broken
            .iter()
            .filter(|(_, broken)| broken.rule == *rule)
            .count();
        let broken = if broken > 0 {
            format!("  BROKEN {broken} times")
        } else {
            String::new()
        };
        say(&format!("  {checked:>12}  {rule:?}{broken}"));
    }
    for rule in RULES {
        let broken = found.broken.iter().filter(|(_, broken)| broken.rule == rule);
        for (seed, broken) in broken.take(shown) {
            say(&format!("seed {seed}: {rule:?}: {}", broken.how));
        }
    }
    if found.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

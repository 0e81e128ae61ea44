//! Whole histories of a hostile world, lived in memory: the search for what nobody thought of.

use crate::step::{Failed, cargo, root, run};

/// Histories that the tests live, which is a matter of seconds.
const SHORT: u64 = 20_000;

/// Which histories are lived.
#[derive(clap::Args)]
pub(crate) struct Histories {
    /// How many.
    #[arg(long, default_value_t = SHORT, value_name = "N")]
    histories: u64,
    /// The first of their seeds.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    from: u64,
    /// Only this one, shortened and told where it breaks a rule.
    #[arg(long, value_name = "SEED", conflicts_with = "from")]
    seed: Option<u64>,
    /// Takes each mending out in turn, and says after how many histories it is missed.
    #[arg(long, conflicts_with = "seed")]
    teeth: bool,
}

/// Lives them.
pub(crate) fn live(wanted: &Histories) -> Result<(), Failed> {
    let mut arguments = vec!["--histories".into(), wanted.histories.to_string()];
    arguments.extend(["--from".into(), wanted.from.to_string()]);
    if let Some(seed) = wanted.seed {
        arguments.extend(["--seed".into(), seed.to_string()]);
    }
    if wanted.teeth {
        arguments.push("--teeth".into());
    }
    let features: &[&str] = if wanted.teeth {
        &["--features", "teeth"]
    } else {
        &[]
    };
    run(
        "the simulation",
        cargo()
            .current_dir(root())
            .args(["run", "--quiet", "--package", "simulation"])
            .args(features)
            .arg("--")
            .args(arguments),
    )
}

/// The short search that every test run makes.
pub(crate) fn check() -> Result<(), Failed> {
    live(&Histories {
        histories: SHORT,
        from: 1,
        seed: None,
        teeth: false,
    })
}

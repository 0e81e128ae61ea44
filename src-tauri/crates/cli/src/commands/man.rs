//! `fieldkey man`: the manual, made from the same words as `--help`.

use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Arguments;
use crate::exit::{Ended, Exit};
use crate::setup::Base;

/// Prints the manual, or writes a page for each command.
pub(crate) fn run(base: &Base, folder: Option<&Path>) -> Result<(), Ended> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = folder else {
        let page = whole(&command).map_err(|error| Ended::new(Exit::Local, "manual", error, ""))?;
        let text = String::from_utf8_lossy(&page);
        let line = serde_json::json!({ "page": "fieldkey.1", "text": text });
        base.out.text("manual", &line, &text);
        return Ok(());
    };
    let unwritten = |error: std::io::Error| {
        Ended::new(
            Exit::Local,
            "manual",
            format!("{}: {error}", folder.display()),
            "Name a folder that is yours to write, on a disk with room.",
        )
    };
    std::fs::create_dir_all(folder).map_err(unwritten)?;
    let mut names = Vec::new();
    for command in all(&command) {
        let man = Man::new(command.clone());
        names.push(man.get_filename());
        drop(man.generate_to(folder).map_err(unwritten)?);
    }
    base.out.both(
        "manual-written",
        &serde_json::json!({ "folder": folder.display().to_string(), "pages": names }),
        format!("{} pages are in {}.", names.len(), folder.display()),
    );
    Ok(())
}

/// A command and all below it.
fn all(command: &clap::Command) -> Vec<&clap::Command> {
    let inner = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(inner).collect()
}

/// The page of the program, followed by what each command does and takes: whoever prints one page has all.
fn whole(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for inner in all(command).into_iter().skip(1) {
        let words = inner.get_bin_name().unwrap_or(inner.get_name()).to_uppercase();
        page.extend(format!(".SH {words}\n").bytes());
        let man = Man::new(inner.clone());
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        // One level down: sections of a page become sections of the command.
        page.extend(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").bytes());
    }
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

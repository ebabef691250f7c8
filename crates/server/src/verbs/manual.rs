//! `completion` and `man`: the command line, for shells and for readers.

use std::path::Path;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output::Out;

pub(crate) fn completion(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "magistrate", &mut script);
    std::io::Write::write_all(&mut anstream::stdout(), &script)?;
    Ok(Exit::Ok)
}

pub(crate) fn pages(out: Out, directory: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create `{}`", directory.display()))?;
    let mut root = Cli::command();
    root.build();
    let mut count = 0;
    write(&root, "magistrate", directory, &mut count)?;
    out.line(&format!("{count} manual pages are in {}", directory.display()))?;
    Ok(Exit::Ok)
}

/// The page of a command and those of the commands below it, `magistrate-policy-lint.1` and the like.
fn write(command: &Command, name: &str, directory: &Path, count: &mut usize) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(name.to_owned())
        .render(&mut page)
        .with_context(|| format!("cannot write the page of `{name}`"))?;
    std::fs::write(&path, page).with_context(|| format!("cannot write `{}`", path.display()))?;
    *count += 1;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write(below, &format!("{name}-{}", below.get_name()), directory, count)?;
    }
    Ok(())
}

//! What is made from the table of subcommands: completions for shells, and man pages.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use crate::exit::{Exit, Failure, Outcome};
use crate::terminal::{pass_on, say};

/// Print completions for a shell
///
/// Example: tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print the man page, or write all of them to a folder
///
/// Example: tidegate man | man -l -
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write a page for each subcommand to this folder
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(crate) fn completions(args: Completions, mut of: Command) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut of, "tidegate", &mut text);
    pass_on(&text);
    Ok(Exit::Done)
}

pub(crate) fn man(args: Man, of: Command) -> Outcome {
    match args.to {
        None => {
            let mut text = Vec::new();
            Page::new(of).render(&mut text)?;
            pass_on(&text);
        }
        Some(folder) => {
            clap_mangen::generate_to(of, &folder)
                .map_err(|e| Failure::new(format_args!("{}: {e}", folder.display())))?;
            say(format_args!("man pages are in {}", folder.display()));
        }
    }
    Ok(Exit::Done)
}

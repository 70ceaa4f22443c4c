//! `netmoth tune`: shows what would make an interface fit for capture, does it, and puts it back.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tuning::apply::{self, Outcome};
use tuning::device::Device;
use tuning::plan::{Plan, Step, Wishes, plan};
use tuning::state;

use super::{Failure, configuration};
use crate::sink::RowPrinter;

/// Show how an interface and its host should be set for capture; set them so, or put them back
///
/// Without --apply or --undo nothing is changed. What was is remembered on the disk before each change.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    netmoth tune eth1                     what would be changed, why, and what it costs the host\n  \
    sudo netmoth tune eth1 --apply        change it; the values from before are remembered\n  \
    sudo netmoth tune eth1 --undo         put them back, also after a reboot or a kill\n\n\
    Exit status: 0 done, 1 where a setting did not take, 2 where the usage or the configuration is wrong.")]
pub(super) struct Arguments {
    /// Interface
    #[arg(value_name = "IFACE")]
    interface: String,
    /// Change what the plan lists
    #[arg(long, conflicts_with = "undo")]
    apply: bool,
    /// Put back what --apply changed
    #[arg(long)]
    undo: bool,
    /// Workers that will run, instead of the configuration's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    format: Output,
    /// Configuration file [default: /etc/netmoth/config_ebpf.yml where it exists]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where values from before are remembered [default: $STATE_DIRECTORY or /var/lib/netmoth, tune-IFACE.json]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned lines for a person
    Table,
    /// One JSON object
    Json,
}

pub(super) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = configuration(arguments.config)?;
    let now = state::read(&arguments.interface)?;
    let configured = config.number_of_rings.min(config.max_cores).min(now.cpus.len()).max(1) as u32;
    let wishes = Wishes { workers: arguments.workers.unwrap_or(configured), busy_poll: config.busy_poll > 0 };
    let file = arguments.state.unwrap_or_else(|| memory(&arguments.interface));
    let mut device = Device::open(&arguments.interface)?;
    let plan = plan(&now, wishes);
    let outcomes = if arguments.apply {
        Some(apply::apply(&mut device, &plan, &now.identity, &file)?)
    } else if arguments.undo {
        Some(apply::undo(&mut device, &now.identity, &file)?.unwrap_or_default())
    } else {
        None
    };
    let mut out = io::stdout().lock();
    let colour = RowPrinter::<io::StdoutLock<'_>>::colour_wanted(out.is_terminal());
    let printed = match (arguments.format, &outcomes) {
        (Output::Json, None) => writeln!(out, "{}", serde_json::to_string_pretty(&plan)?),
        (Output::Json, Some(outcomes)) => writeln!(out, "{}", serde_json::to_string_pretty(outcomes)?),
        (Output::Table, None) => show(&mut out, &plan, colour),
        (Output::Table, Some(outcomes)) => report(&mut out, outcomes, arguments.undo, colour),
    };
    match printed.and_then(|()| out.flush()) {
        // Whoever read has seen enough; the exit status still tells.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    let failed = outcomes.iter().flatten().any(|outcome| outcome.failed.is_some());
    Ok(ExitCode::from(u8::from(failed)))
}

fn memory(interface: &str) -> PathBuf {
    let folder = std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from("/var/lib/netmoth"), PathBuf::from);
    folder.join(format!("tune-{interface}.json"))
}

fn paint(word: &str, code: &str, colour: bool) -> String {
    if colour { format!("\x1b[{code}m{word:<6}\x1b[0m") } else { format!("{word:<6}") }
}

fn show(out: &mut impl Write, plan: &Plan, colour: bool) -> io::Result<()> {
    let width = plan.steps.iter().map(|step| step.setting.to_string().len()).max().unwrap_or(0);
    for step in &plan.steps {
        let Step { setting, current, wanted, otherwise: _, why, cost, unsupported } = step;
        let text = |value: &Option<tuning::setting::Value>| value.as_ref().map_or("-".into(), ToString::to_string);
        if let Some(reason) = unsupported {
            writeln!(out, "{}  {setting:<width$}  {}: {reason}", paint("can't", "31", colour), text(current))?;
        } else if step.is_done() {
            writeln!(out, "{}  {setting:<width$}  {}", paint("ok", "32", colour), text(current))?;
        } else {
            writeln!(
                out,
                "{}  {setting:<width$}  {} -> {}",
                paint("change", "33", colour),
                text(current),
                text(wanted)
            )?;
            writeln!(out, "        {:width$}  why: {why}; cost: {cost}", "")?;
        }
    }
    for note in &plan.notes {
        writeln!(out, "{}  {note}", paint("note", "33", colour))?;
    }
    let due = plan.steps.iter().filter(|step| step.is_due()).count();
    writeln!(out, "\n{due} to change{}", if due > 0 { "; --apply does it, --undo puts it back" } else { "" })
}

fn report(out: &mut impl Write, outcomes: &[Outcome], undo: bool, colour: bool) -> io::Result<()> {
    let width = outcomes.iter().map(|outcome| outcome.setting.to_string().len()).max().unwrap_or(0);
    for Outcome { setting, now, changed, failed } in outcomes {
        let now = now.as_ref().map_or("-".into(), ToString::to_string);
        match failed {
            Some(why) => writeln!(out, "{}  {setting:<width$}  {now}: {why}", paint("FAILED", "31", colour))?,
            None if *changed => writeln!(out, "{}  {setting:<width$}  {now}", paint("set", "32", colour))?,
            None if undo => {
                writeln!(out, "{}  {setting:<width$}  {now}, already as before", paint("ok", "32", colour))?
            }
            None => writeln!(out, "{}  {setting:<width$}  {now}, already", paint("ok", "32", colour))?,
        }
    }
    let nothing = if undo { "nothing is remembered: nothing to put back" } else { "nothing to change" };
    if outcomes.is_empty() { writeln!(out, "{nothing}") } else { Ok(()) }
}

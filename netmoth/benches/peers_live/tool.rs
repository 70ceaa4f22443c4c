//! The sensors that take turns, and what each says that it saw.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::program::{installed, number_behind};
use crate::common::sink::Sink;
use crate::support::command::{Running, SHORT, command, run};
use crate::support::lab::Wire;
use crate::support::sensor::{NETMOTH, Sensor, Settings};

/// Who listens on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Nobody: what the sender alone costs.
    Nobody,
    /// `netmoth run`, with these lines of configuration beside the defaults.
    Netmoth(&'static str),
    Softflowd,
    Nfpcapd,
    Suricata,
}

/// What a sensor says of itself at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    /// Packets that it worked on.
    pub(crate) seen: Option<u64>,
    /// Packets that it knows to have been dropped before it.
    pub(crate) dropped: Option<u64>,
    /// Time in which it had packets in hand, by its own account.
    pub(crate) busy: Option<Duration>,
}

/// A sensor at work.
pub(crate) enum Watching {
    Nobody,
    Netmoth(Sensor),
    Other(Tool, Running, Option<Sink>),
}

impl Tool {
    /// All of them, nobody first.
    pub(crate) const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Netmoth(""),
        Self::Netmoth("coalesce: 100"),
        Self::Netmoth("coalesce: 800, ring_size: 32768"),
        Self::Netmoth("strategy: afpacket"),
        Self::Softflowd,
        Self::Nfpcapd,
        Self::Suricata,
    ];

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Nobody | Self::Netmoth(_) => None,
            Self::Softflowd => Some("softflowd"),
            Self::Nfpcapd => Some("nfpcapd"),
            Self::Suricata => Some("suricata"),
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        self.program().is_none_or(|program| installed(program).is_some())
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Nobody => "the sender alone".into(),
            Self::Netmoth("") => "netmoth run".into(),
            Self::Netmoth(more) => format!("netmoth run, {more}"),
            _ => self.program().unwrap_or_default().into(),
        }
    }

    /// Its command line, where FOLDER is empty and PORT that of a collector that counts datagrams.
    pub(crate) fn command_line(self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::Netmoth(more) => format!(
                "netmoth run -i tap0 --store sqlite:FOLDER/flows.db -c FOLDER/netmoth.yml with one worker; {}",
                if more.is_empty() { "everything else at its default" } else { more }
            ),
            _ => format!("{} {}", self.program().unwrap_or_default(), self.arguments("FOLDER", "PORT").join(" ")),
        }
    }

    fn arguments(self, folder: &str, port: &str) -> Vec<String> {
        let text = match self {
            Self::Nobody | Self::Netmoth(_) => String::new(),
            Self::Softflowd => {
                format!("-d -i tap0 -m 2000000 -v 9 -n 127.0.0.1:{port} -c {folder}/control -p {folder}/pid")
            }
            Self::Nfpcapd => format!("-i tap0 -w {folder}"),
            Self::Suricata => format!(
                "-c /etc/suricata/suricata.yaml -S /dev/null -l {folder} --runmode single --af-packet=tap0 -k none"
            ),
        };
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Starts it on the first core, and waits until it listens.
    pub(crate) fn start(self, wire: &Wire, folder: &Path) -> Watching {
        let mut pinned = wire.at_tap("taskset");
        pinned.args(["--cpu-list", "0"]);
        match self {
            Self::Nobody => Watching::Nobody,
            Self::Netmoth(more) => {
                pinned.arg(NETMOTH);
                let mut settings = Settings::workers(1);
                settings.more = format!("status_interval: 0\n{}", more.replace(", ", "\n"));
                Watching::Netmoth(Sensor::start(pinned, folder, &settings))
            }
            _ => self.start_other(pinned, wire, folder),
        }
    }

    fn start_other(self, mut pinned: Command, wire: &Wire, folder: &Path) -> Watching {
        let sink = (self == Self::Softflowd).then(|| Sink::start(Some(wire.file("tap"))));
        let port = sink.as_ref().map_or(0, |sink| sink.port).to_string();
        let program = installed(self.program().unwrap_or_default()).expect("it is installed");
        let arguments = self.arguments(&folder.display().to_string(), &port);
        // Some say on standard output that they are ready, some on standard error.
        pinned.args(["sh", "-c", r#"exec "$0" "$@" 1>&2"#]).arg(program).args(arguments);
        let running = Running::start(&mut pinned);
        let ready = match self {
            Self::Softflowd => "Exporting flows from",
            Self::Nfpcapd => "Startup nfpcapd",
            _ => "ngine started",
        };
        running.wait_for(ready, Duration::from_secs(60));
        // What stands behind the words that were waited for: opening the interface.
        std::thread::sleep(Duration::from_millis(300));
        Watching::Other(self, running, sink)
    }
}

impl Watching {
    /// Its process.
    pub(crate) fn id(&self) -> Option<u32> {
        match self {
            Self::Nobody => None,
            Self::Netmoth(sensor) => Some(sensor.process().id()),
            Self::Other(_, running, _) => Some(running.id()),
        }
    }

    /// Ends it, and asks what it saw.
    pub(crate) fn stop(self, folder: &Path) -> Said {
        match self {
            Self::Nobody => Said::default(),
            Self::Netmoth(sensor) => {
                let outcome = sensor.stop();
                outcome.assert_sums();
                Said {
                    seen: Some(outcome.sum("received")),
                    dropped: Some(outcome.sum("kernel_drops")),
                    busy: Some(Duration::from_nanos(outcome.sum("busy_ns"))),
                }
            }
            Self::Other(tool, running, sink) => {
                let statistics = if tool == Tool::Softflowd { softflowd(folder) } else { String::new() };
                running.signal("TERM");
                let text = statistics + &running.wait(SHORT).stderr;
                sink.map(Sink::stop);
                tool.said(&text)
            }
        }
    }
}

/// What softflowd answers over its control socket; at its end it says nothing.
fn softflowd(folder: &Path) -> String {
    let mut ask = command("softflowctl");
    run(ask.arg("-c").arg(folder.join("control")).arg("statistics"), SHORT).expect_success().stdout
}

impl Tool {
    fn said(self, text: &str) -> Said {
        let (seen, dropped) = match self {
            Self::Nobody | Self::Netmoth(_) => return Said::default(),
            Self::Softflowd => ("Packets processed", "dropped by libpcap"),
            Self::Nfpcapd => ("Total: Processed", "dropped by OS/Buffer"),
            Self::Suricata => ("packets", "drops"),
        };
        Said { seen: number_behind(text, seen), dropped: number_behind(text, dropped), busy: None }
    }
}

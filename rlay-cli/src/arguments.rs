//! The arguments of the command: what `rlay --help` shows.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The relay between Gymnasium and any software.
///
/// Exit codes: 0 good; 1 a check failed; 2 the arguments make no sense; 3 there is no session with the peer; 130
/// Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "rlay", version, disable_version_flag = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge whether a program that hosts environments follows docs/wire.md.
    Check(CheckArguments),
    /// Show what is hosted at an address: spaces, metadata, details, attributes.
    Inspect(InspectArguments),
    /// Measure steps per second and latency, beside a ping and an echo over the same transport.
    ///
    /// A ping is a request that the peer refuses without its environment. The wire has none that the peer's transport
    /// would answer by itself. So an echo is a round trip of bare frames, as long as those of a step, between two
    /// threads of this machine over a connection of their own. It is measured where the address is of this machine: a
    /// loopback address, unix, shm or zmq+ipc.
    Bench(BenchArguments),
    /// Host environments for agents (in the Python package alone).
    #[command(disable_help_flag = true)]
    Serve {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
    /// Print the fingerprint of a certificate, as in ?pin=sha256:…
    Pin {
        /// The certificate, in PEM form.
        file: PathBuf,
    },
    /// Print the version.
    Version,
}

/// How the peer is reached and what it is asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerArguments {
    /// The address where the peer listens, such as tcp://127.0.0.1:5005.
    #[arg(required_unless_present = "listen")]
    pub(crate) address: Option<String>,
    /// Listen at this address instead, for a peer that dials.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "address")]
    pub(crate) listen: Option<String>,
    /// A file with the token; by default the environment variable RLAY_TOKEN, if it is set.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Which environment, where the peer offers several.
    #[arg(long, value_name = "ID")]
    pub(crate) env_id: Option<String>,
    /// Keyword arguments of the environment, as JSON: {"size": 5}.
    #[arg(long, value_name = "JSON")]
    pub(crate) env_kwargs: Option<String>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3")]
    pub(crate) timeout: Duration,
    /// How long to wait for the peer to be there.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub(crate) connect_timeout: Duration,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
    /// Run the checks of this level; may be given several times. All, unless said otherwise.
    #[arg(long, value_name = "NAME")]
    pub(crate) level: Vec<Level>,
    /// Print one JSON object in place of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
    /// Print one JSON object in place of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
    /// How long to measure.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub(crate) duration: Duration,
    /// Print one JSON object in place of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A group of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Which dialers are admitted, and how the others are refused.
    Handshake,
    /// Every message in every state.
    Conversation,
    /// Spaces, and what crosses the wire of them.
    Spaces,
    /// Equal seeds and actions give equal rows.
    Determinism,
    /// Connections that are cut, resumed, slow or silent.
    Resilience,
    /// What Gymnasium asks of an environment.
    Contract,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, such as 2.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "give a number of seconds from 0 on".to_owned())
}

//! The log of this process, for tests of log lines.

use std::{
    fmt,
    sync::{Mutex, OnceLock},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

use super::eventually;

/// The lines of this process, of all its tests: each test selects its lines by an address of its own.
pub(crate) struct Log(Mutex<Vec<(Level, String)>>);

impl Log {
    /// Records what is logged from now on.
    pub(crate) fn keep() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            tracing::subscriber::set_global_default(Registry::default().with(Recorder)).expect("no test sets another");
            Self(Mutex::default())
        })
    }

    /// The lines of this level, or of a more serious one, that hold each of these texts.
    pub(crate) fn lines(&self, level: Level, texts: &[&str]) -> Vec<String> {
        let lines = self.0.lock().expect("no one panics here");
        let is_it = |line: &&(Level, String)| line.0 <= level && texts.iter().all(|text| line.1.contains(text));
        lines.iter().filter(is_it).map(|(_, line)| line.clone()).collect()
    }

    /// The first such line, once there is one.
    pub(crate) fn find(&self, level: Level, texts: &[&str]) -> String {
        eventually(&format!("{texts:?} is logged"), || !self.lines(level, texts).is_empty());
        self.lines(level, texts).remove(0)
    }
}

struct Recorder;

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        Log::keep().0.lock().expect("no one panics here").push((*event.metadata().level(), text.0));
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

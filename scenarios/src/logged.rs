//! Listens to what the node logs: an `error!` is a bug, so it fails the run.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

thread_local! {
    /// A world lives in one thread, so this is the log of one world.
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Starts listening, once for the process.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Another subscriber would mean that errors go unheard, so that is fatal.
        tracing::subscriber::set_global_default(registry().with(ErrorListener))
            .expect("nothing else in these tests listens to the log");
    });
}

/// Fails the run if an error was logged in this thread.
///
/// # Panics
/// With what was logged.
pub fn fail_on_error() {
    ERRORS.with_borrow_mut(|errors| {
        if !errors.is_empty() {
            panic!("logged as an error: {}", std::mem::take(errors).join("; "));
        }
    });
}

struct ErrorListener;

impl<S: Subscriber> Layer<S> for ErrorListener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut text = Fields(event.metadata().target().to_owned());
            event.record(&mut text);
            ERRORS.with_borrow_mut(|errors| errors.push(text.0));
        }
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a bug was here")]
    fn an_error_fails_the_run() {
        listen();
        tracing::error!("a bug was here");
        fail_on_error();
    }

    #[test]
    fn a_warning_does_not() {
        listen();
        tracing::warn!("odd but fine");
        fail_on_error();
    }
}

//! The arguments of the examples: `--name value` and `--flag`, with nothing but the standard library.

/// The value that follows `--name` on the command line.
pub(crate) fn value(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

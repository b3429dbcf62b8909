//! Printable: texts of peers and environments as they may stand in errors, logs and on terminals, and how long.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// Most bytes of a text in an error, such as a traceback. A failure has two such texts, and fits the smallest frame
/// limit.
pub const LONGEST: usize = 16 << 10;
/// Most bytes of what a peer says of itself.
pub const SENTENCE: usize = 500;
/// What the lines after the first begin with, in a log.
const INDENT: &str = "\n  ";
/// Room for the mark where a text was cut.
const MARK: usize = 64;

/// The text of an error, in which a terminal takes nothing for a command. Newlines and tabs stay, other control
/// characters and those that change the direction of writing are shown as Python's `repr` shows them. Of more than
/// [`LONGEST`] bytes the beginning and the end are left, with a mark between them.
///
/// ```
/// assert_eq!(rlay::printable::text("\x1b[31mred\n"), "\\x1b[31mred\n");
/// assert!(rlay::printable::text(&"x".repeat(100_000)).contains("… (83680 bytes left out) …"));
/// ```
pub fn text(text: &str) -> Cow<'_, str> {
    filter(text, LONGEST, |c| c != '\n' && c != '\t' && acts(c))
}

/// The same on one line, of at most [`SENTENCE`] bytes: what a peer says of itself, or why it leaves.
///
/// ```
/// assert_eq!(rlay::printable::sentence("bye\nWARNING: forged"), "bye\\nWARNING: forged");
/// ```
pub fn sentence(text: &str) -> Cow<'_, str> {
    filter(text, SENTENCE, acts)
}

/// An entry of a log, one line: further lines may follow if they are indented by two spaces, so that none is taken for
/// an entry of its own. Anything else that looks like a further line is shown as `\n`.
///
/// ```
/// assert_eq!(rlay::printable::log_entry("gone\nWARNING: forged\n  detail"), "gone\\nWARNING: forged\n  detail");
/// ```
pub fn log_entry(text: &str) -> Cow<'_, str> {
    if !text.contains(INDENT) {
        return filter(text, LONGEST, acts);
    }
    let text = self::text(text);
    let lines: Vec<_> = text.split(INDENT).map(|line| filter(line, LONGEST, acts)).collect();
    Cow::Owned(lines.join(INDENT))
}

/// A text of several lines, such as a traceback, to stand below a log's line.
///
/// ```
/// assert_eq!(rlay::printable::indented("in step\nin draw\n"), "\n  in step\n  in draw");
/// ```
pub fn indented(text: &str) -> String {
    self::text(text).lines().flat_map(|line| [INDENT, line]).collect()
}

/// Writes a character that cannot be seen as Python's `repr` does.
pub(crate) fn escape(f: &mut impl Write, character: char) -> fmt::Result {
    match character {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        _ => match character as u32 {
            code @ 0..0x100 => write!(f, "\\x{code:02x}"),
            code @ 0x100..0x10000 => write!(f, "\\u{code:04x}"),
            code => write!(f, "\\U{code:08x}"),
        },
    }
}

/// Whether terminals, or log readers that work line by line, do anything with `c` other than show it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}' | '\u{200f}' // direction marks
                | '\u{2028}'..='\u{202e}' // line separators, direction overrides
                | '\u{2066}'..='\u{2069}' // direction isolates
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}' // tags
        )
}

fn filter(text: &str, most: usize, is_shown: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.len() <= most && !text.chars().any(&is_shown) {
        return Cow::Borrowed(text);
    }
    let width = |c: char| {
        if !is_shown(c) {
            return c.len_utf8();
        }
        let mut shown = String::new();
        let _ = escape(&mut shown, c);
        shown.len()
    };
    // Counts how many bytes of the text fit `room` as they are shown.
    let fitting = |characters: &mut dyn Iterator<Item = char>, mut room: usize| {
        let fits = |c: &char| {
            let left = room.checked_sub(width(*c));
            room = left.unwrap_or_default();
            left.is_some()
        };
        characters.take_while(fits).map(char::len_utf8).sum::<usize>()
    };
    let mut shown = String::new();
    let mut show = |part: &str| {
        for c in part.chars() {
            let _ = if is_shown(c) { escape(&mut shown, c) } else { shown.write_char(c) };
        }
    };
    if text.len() <= most && fitting(&mut text.chars(), most) == text.len() {
        show(text);
        return Cow::Owned(shown);
    }
    // The subject of a text is at its beginning; the cause of a failure, at the end of a traceback.
    let room = (most - MARK) / 2;
    let (head, tail) = (fitting(&mut text.chars(), room), fitting(&mut text.chars().rev(), room));
    show(&text[..head]);
    show(&format!("… ({} bytes left out) …", text.len() - head - tail));
    show(&text[text.len() - tail..]);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        let acting = "a\x1b]0;title\x07\r\u{9b}31m\u{202e}\u{2028}\u{2066}\u{e0041}\0\x7f";
        let shown = "a\\x1b]0;title\\x07\\r\\x9b31m\\u202e\\u2028\\u2066\\U000e0041\\x00\\x7f";
        for filter in [text, sentence, log_entry] {
            assert_eq!(filter(acting), shown);
            assert_eq!(filter(shown), shown, "once is enough");
            assert_eq!(filter("früher: 日本語 👩‍🚀 'x' \\"), "früher: 日本語 👩‍🚀 'x' \\");
        }
        assert_eq!((&*text("a\n\tb"), &*sentence("a\n\tb")), ("a\n\tb", "a\\n\\tb"));
    }

    #[test]
    fn what_is_long_is_cut_in_the_middle() {
        let is_cut = |cut: &str, most: usize| {
            assert!(cut.len() <= most && cut.len() > most - 2 * MARK, "{}", cut.len());
        };
        for long in ["x".repeat(60 << 20), "\x1b".repeat(LONGEST / 2), "日\u{202e}".repeat(LONGEST)] {
            is_cut(&text(&long), LONGEST);
            is_cut(&sentence(&long), SENTENCE);
            is_cut(&log_entry(&long), LONGEST);
            assert_eq!(text(&text(&long)), text(&long), "once is enough");
        }
        let traceback = format!("Traceback\n{}ValueError: last\n", "  in step\n".repeat(LONGEST));
        let cut = text(&traceback);
        assert!(cut.starts_with("Traceback\n  in step") && cut.ends_with("ValueError: last\n"), "{cut}");
        assert!(cut.contains(" bytes left out) …"), "{cut}");
    }

    #[test]
    fn no_line_of_a_log_is_forged() {
        let entry = log_entry("a\nb\r\n  c\n\n    d\n e");
        assert_eq!(entry, "a\\nb\\r\n  c\\n\n    d\\n e");
        assert_eq!(log_entry(&entry), entry);
        let traceback = format!("failed{}", indented("Traceback:\n  in step\n\x1b[0mforged\n"));
        assert_eq!(traceback, "failed\n  Traceback:\n    in step\n  \\x1b[0mforged");
        assert_eq!(log_entry(&traceback), traceback);
    }
}

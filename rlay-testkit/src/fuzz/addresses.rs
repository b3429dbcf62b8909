//! Addresses: any text is an address that prints as it reads, or a refusal.

use rlay_core::Address;

/// Takes `data` for an address and, behind `exec:`, for a command.
///
/// # Panics
/// If an address or command prints as text that reads otherwise.
pub fn addresses(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(address) = text.parse::<Address>() {
        let printed = address.to_string();
        assert_eq!(printed.parse::<Address>().as_ref().ok(), Some(&address), "{text:?} prints as {printed:?}");
        assert!(text.starts_with(address.scheme()) && text.contains(address.rest()), "{text:?} is no {address:?}");
        assert_eq!(address.no_options().is_ok(), address.options().next().is_none(), "{text:?}");
    }
    #[cfg(unix)]
    commands(text);
}

#[cfg(unix)]
fn commands(text: &str) {
    use rlay_core::endpoint::command;

    let is_command = !matches!(command(text), Ok(None));
    assert_eq!(is_command, text.starts_with("exec:"), "{text:?}");
    if let Ok(Some(words)) = command(&format!("exec:{text}")) {
        // As a shell takes them literally (POSIX, 2.2.2): nothing is special between single quotes but their end.
        let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let quoted = format!("exec:{}", quoted.join(" "));
        assert_eq!(command(&quoted).ok().flatten().as_ref(), Some(&words), "{text:?} splits into {quoted}");
    }
}

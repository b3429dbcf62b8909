//! Command: the words of a program that is to be launched, and why it cannot be.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::{
    error::{Error, ErrorKind, Result},
    net::why,
};

/// What stands before a command where an address is expected.
const EXEC: &str = "exec:";
/// What runs scripts whose names end so.
const INTERPRETERS: [(&str, &str); 6] =
    [("py", "python3"), ("sh", "sh"), ("rb", "ruby"), ("pl", "perl"), ("js", "node"), ("lua", "lua")];

/// The command behind `exec:`, split into arguments as a shell would, without one: nothing is expanded.
///
/// ```
/// use rlay::endpoint::command;
///
/// assert_eq!(command("exec:./game --level 'the first'")?.unwrap(), ["./game", "--level", "the first"]);
/// assert_eq!(command("tcp://127.0.0.1:5005")?, None);
/// # Ok::<(), rlay::Error>(())
/// ```
pub fn command(address: &str) -> Result<Option<Vec<String>>> {
    let Some(text) = address.strip_prefix(EXEC) else { return Ok(None) };
    let bad = |why: &str| Error::new(ErrorKind::Address, format!("{address:?}{why}"));
    match shlex::split(text) {
        Some(words) if !words.is_empty() => Ok(Some(words)),
        Some(_) => Err(bad(" names no command, as in exec:./game")),
        None => Err(bad(
            ": a quotation mark or backslash is not closed; close it, put a backslash before one that stands for \
             itself, or give the words one by one to launch",
        )),
    }
}

/// Refuses a script that does not say what runs it: the C library would have a shell try.
pub(in crate::endpoint) fn check_script(name: &str) -> Result<(), String> {
    let path = Path::new(name);
    let (true, Some(interpreter)) = (name.contains('/'), interpreter(path)) else { return Ok(()) };
    if interpreter == "sh" || !is_executable(path) || first_line(path).is_none_or(|line| line.starts_with("#!")) {
        return Ok(());
    }
    Err(format!(
        "its first line does not say what runs it; launch it by that, as in {interpreter} {name}, or let it begin with \
         #!/usr/bin/env {interpreter}"
    ))
}

/// What to do about a program that could not be started.
pub(in crate::endpoint) fn why_not(name: &str, error: &io::Error) -> String {
    let path = Path::new(name);
    match error.kind() {
        io::ErrorKind::NotFound if !name.contains('/') => {
            let advice = match path.exists() {
                true => format!("the one in the working directory is ./{name}"),
                false => "install it, or give its path".to_owned(),
            };
            format!("command not found; none of the directories in PATH has it: {advice}")
        }
        io::ErrorKind::NotFound if path.exists() => match first_line(path).filter(|line| line.starts_with("#!")) {
            Some(line) => {
                format!("its first line, {line:?}, names an interpreter that is not there; correct that line")
            }
            None => "its loader is not there; it was made for another system, so get the one for this".to_owned(),
        },
        io::ErrorKind::NotFound if path.is_symlink() => "it is a link to what is not there; correct that".to_owned(),
        io::ErrorKind::NotFound if path.is_relative() => {
            let here = std::env::current_dir().unwrap_or_default();
            format!("there is no such file in the working directory, {}; give the whole path", here.display())
        }
        io::ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        io::ErrorKind::PermissionDenied if path.is_dir() => {
            format!("it is a directory; name the program in it, as in {}/game", name.trim_end_matches('/'))
        }
        io::ErrorKind::PermissionDenied if path.is_file() && !is_executable(path) => {
            let by = interpreter(path).map(|by| format!(", or launch it by its interpreter, as in {by} {name}"));
            format!("it is not executable; chmod +x {name}{}", by.unwrap_or_default())
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error}; check the permissions of the directories above it, and that they are not mounted noexec")
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            let by = interpreter(path).map(|by| format!("launch it by its interpreter, as in {by} {name}"));
            format!("{error}; {}", by.unwrap_or_else(|| "get the program for this system and processor".to_owned()))
        }
        _ => why(error),
    }
}

fn interpreter(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?;
    INTERPRETERS.iter().find(|(known, _)| *known == extension).map(|(_, interpreter)| *interpreter)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The beginning of a file as text, if it can be read.
fn first_line(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(128).read_to_end(&mut bytes).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(String::from_utf8_lossy(line).into_owned())
}

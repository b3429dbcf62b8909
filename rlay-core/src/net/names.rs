//! Names: where `host:port` leads. The system's resolver may take half a minute, so a dialer leaves it to a thread.

use std::{
    io, mem,
    net::{SocketAddr, ToSocketAddrs},
    process,
    sync::{Arc, Mutex, MutexGuard, TryLockError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::lost;
use crate::{
    address::Address,
    bridge,
    error::{Error, Result},
};

/// A new attempt takes the earlier answer within this time. Names move, so the answer is not kept for longer.
const KEPT: Duration = Duration::from_secs(2);

/// The resolver's answer, and when it came: the sockets, or why there are none.
type Answer = (Instant, Found);
type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;
type Resolver = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// The sockets behind `host:port`, never none, for a listener. Takes as long as the system's resolver does.
pub fn resolve(address: &Address) -> Result<Vec<SocketAddr>> {
    told(address, ask_system(address.rest()).map_err(Arc::new))
}

/// The same for a dialer inside tokio.
///
/// # Cancel safety
///
/// Cancel-safe. The resolver's thread continues, and the next call for this name, within two seconds of the answer,
/// takes the same answer.
pub async fn look_up(address: &Address) -> Result<Vec<SocketAddr>> {
    look_up_with(address, ask_system).await
}

/// The same for a dialer that may block, until its deadline.
pub fn look_up_blocking(address: &Address, deadline: Option<Instant>) -> Result<Vec<SocketAddr>> {
    match literal(address) {
        Some(found) => Ok(found),
        None => bridge::wait(deadline, look_up(address)),
    }
}

/// The error of a dialer at its deadline, if the resolver is what takes so long.
pub(crate) fn unheard(address: &Address) -> Option<Error> {
    let registry = registry()?;
    let mut asked = registry.names.iter().filter(|(name, _)| name == address.rest());
    asked.any(|(_, answer)| answer.borrow().is_none()).then(|| {
        let why = "its host is still being looked up; is the name server reachable? An IP address needs none";
        lost(format_args!("cannot connect to {address}"), why)
    })
}

async fn look_up_with(address: &Address, resolver: Resolver) -> Result<Vec<SocketAddr>> {
    if let Some(found) = literal(address) {
        return Ok(found);
    }
    let mut answer = ask(address.rest(), resolver)?;
    let heard = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
    let (_, answer) =
        heard.unwrap_or_else(|| (Instant::now(), Err(Arc::new(io::Error::other("the system's resolver failed")))));
    told(address, answer)
}

/// The socket of an address that holds no name.
fn literal(address: &Address) -> Option<Vec<SocketAddr>> {
    address.rest().parse().ok().map(|socket| vec![socket])
}

fn ask_system(name: &str) -> io::Result<Vec<SocketAddr>> {
    name.to_socket_addrs().map(Iterator::collect)
}

fn told(address: &Address, answer: Found) -> Result<Vec<SocketAddr>> {
    let scheme = address.scheme();
    match answer {
        Ok(found) if found.is_empty() => Err(address.error("the host has no address")),
        Ok(found) => Ok(found),
        Err(why) => Err(address
            .error(format_args!("{why}; a {scheme} address holds host and port, such as {scheme}://127.0.0.1:5005"))
            .with_shared_source(why)),
    }
}

/// Names that were asked for, and the process that asks.
struct Asked {
    pid: u32,
    names: Vec<(String, watch::Receiver<Option<Answer>>)>,
}

/// `None` in a forked child if the parent held the lock at the fork: the thread that would release it is not there.
fn registry() -> Option<MutexGuard<'static, Asked>> {
    static ASKED: Mutex<Asked> = Mutex::new(Asked { pid: 0, names: vec![] });
    for _ in 0..100 {
        let mut asked = match ASKED.try_lock() {
            Ok(asked) => asked,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // The holder of the lock starts a thread at most.
                thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        if mem::replace(&mut asked.pid, process::id()) != process::id() {
            // The names are the parent's, and so are the threads that might hold a lock of theirs.
            mem::forget(mem::take(&mut asked.names));
        }
        asked.names.retain(|(_, answer)| match &*answer.borrow() {
            Some((at, _)) => at.elapsed() < KEPT,
            None => answer.has_changed().is_ok(),
        });
        return Some(asked);
    }
    None
}

/// Returns where the answer is or will be. Asks the resolver unless it was asked before.
fn ask(name: &str, resolver: Resolver) -> Result<watch::Receiver<Option<Answer>>> {
    let mut registry = registry();
    if let Some(registry) = &registry
        && let Some((_, answer)) = registry.names.iter().find(|(other, _)| other == name)
    {
        return Ok(answer.clone());
    }
    let (tell, answer) = watch::channel(None);
    let asked = name.to_owned();
    let run = move || {
        let answer = resolver(&asked).map_err(Arc::new);
        tell.send_replace(Some((Instant::now(), answer)));
    };
    let spawned = thread::Builder::new().name("rlay-names".into()).spawn(run);
    spawned.map_err(Error::no_thread)?;
    if let Some(registry) = &mut registry {
        registry.names.push((name.to_owned(), answer.clone()));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error as _,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use tokio::time;

    use super::*;
    use crate::error::ErrorKind;

    const SLOW: Duration = Duration::from_millis(1000);

    #[tokio::test]
    async fn a_slow_resolver_is_asked_once_and_keeps_nobody() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let slow = |_: &str| {
            ASKED.fetch_add(1, SeqCst);
            thread::sleep(SLOW);
            Ok(vec![([127, 0, 0, 9], 5).into()])
        };
        let address = "tcp://slow.example:5".parse().unwrap();
        let began = Instant::now();
        let mut attempts = 0;
        let found = loop {
            match time::timeout(SLOW / 5, look_up_with(&address, slow)).await {
                Ok(found) => break found.unwrap(),
                Err(_) => {
                    // The answer may arrive just now.
                    let error = unheard(&address).map(|error| error.to_string());
                    assert!(error.is_none_or(|error| error.contains("still being looked up")));
                    attempts += 1;
                }
            }
            // The answer may also arrive while no call waits.
            time::sleep(SLOW / 5).await;
            assert!(began.elapsed() < SLOW * 30, "the answer never comes");
        };
        assert_eq!(found, [([127, 0, 0, 9], 5).into()]);
        assert!(attempts > 0, "somebody was kept");
        assert!(unheard(&address).is_none());
        assert_eq!(ASKED.load(SeqCst), 1);
        // Names move.
        time::sleep(KEPT).await;
        let found = look_up_with(&address, |_| Ok(vec![([127, 0, 0, 8], 5).into()])).await.unwrap();
        assert_eq!(found, [([127, 0, 0, 8], 5).into()]);
    }

    #[tokio::test]
    async fn what_the_resolver_says_is_passed_on() {
        let told = async |name: &str, resolver: Resolver| {
            let error = look_up_with(&format!("tcp://{name}.example:5").parse().unwrap(), resolver).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Address, "{error}");
            assert!(name == "empty" || error.source().is_some_and(|source| source.is::<io::Error>()), "{error}");
            error.to_string()
        };
        let unknown = told("unknown", |_| Err(io::Error::other("Name or service not known"))).await;
        assert!(unknown.contains("Name or service not known"), "{unknown}");
        let empty = told("empty", |_| Ok(vec![])).await;
        assert!(empty.contains("the host has no address"), "{empty}");
        let broken = told("broken", |_| panic!("a broken resolver")).await;
        assert!(broken.contains("the system's resolver failed"), "{broken}");
    }

    #[test]
    fn who_may_block_is_told_the_same() {
        let found = look_up_blocking(&"tcp://localhost:5".parse().unwrap(), None).unwrap();
        assert!(found.iter().all(|socket| socket.ip().is_loopback() && socket.port() == 5), "{found:?}");
        let literal = "tcp://[::1]:5".parse().unwrap();
        assert_eq!(look_up_blocking(&literal, Some(Instant::now())).unwrap(), ["[::1]:5".parse().unwrap()]);
    }
}

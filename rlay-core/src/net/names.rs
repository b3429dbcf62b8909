//! Names: where `host:port` leads. The system's resolver may take half a minute, so a dialer leaves it to a thread.

use std::{
    mem,
    net::{SocketAddr, ToSocketAddrs},
    process,
    sync::{Mutex, TryLockError},
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time};

use super::lost;
use crate::{
    address::Address,
    bridge,
    error::{Error, ErrorKind, Result},
};

/// One attempt to dial waits no longer for a name; the next one waits for the same answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the resolver says: the sockets, or why there are none.
type Answer = Result<Vec<SocketAddr>, String>;
type Resolver = fn(&str) -> Answer;

/// The sockets behind `host:port`, never none, for a listener. Takes as long as the system's resolver does.
pub fn resolve(address: &Address) -> Result<Vec<SocketAddr>> {
    told(address, ask_system(address.rest()))
}

/// The same for a dialer inside tokio: an error of kind [`ConnectionLost`](ErrorKind::ConnectionLost) if the resolver
/// takes longer than a second. It is asked once, however often this is called until it has answered.
pub async fn look_up(address: &Address) -> Result<Vec<SocketAddr>> {
    look_up_with(address, ask_system).await
}

/// The same for a dialer that may block, with its deadline.
pub fn look_up_blocking(address: &Address, deadline: Option<Instant>) -> Result<Vec<SocketAddr>> {
    match literal(address) {
        Some(found) => Ok(found),
        None => bridge::wait(deadline, look_up(address)).map_err(|e| match e.kind() {
            ErrorKind::Timeout => unheard(address),
            _ => e,
        }),
    }
}

async fn look_up_with(address: &Address, resolver: Resolver) -> Result<Vec<SocketAddr>> {
    if let Some(found) = literal(address) {
        return Ok(found);
    }
    let mut answer = ask(address.rest(), resolver)?;
    let heard = time::timeout(PATIENCE, answer.wait_for(Option::is_some)).await.map_err(|_| unheard(address))?;
    let answer = heard.ok().and_then(|answer| answer.clone());
    told(address, answer.unwrap_or_else(|| Err("the system's resolver failed".into())))
}

/// The socket of an address that holds no name.
fn literal(address: &Address) -> Option<Vec<SocketAddr>> {
    address.rest().parse().ok().map(|socket| vec![socket])
}

fn ask_system(name: &str) -> Answer {
    name.to_socket_addrs().map(Iterator::collect).map_err(|e| e.to_string())
}

fn told(address: &Address, answer: Answer) -> Result<Vec<SocketAddr>> {
    let scheme = address.scheme();
    match answer {
        Ok(found) if found.is_empty() => Err(address.error("the host has no address")),
        Ok(found) => Ok(found),
        Err(why) => Err(address
            .error(format_args!("{why}; a {scheme} address holds host and port, such as {scheme}://127.0.0.1:5005"))),
    }
}

fn unheard(address: &Address) -> Error {
    lost(
        format_args!("cannot connect to {address}"),
        "its host is still being looked up; is the name server reachable? An IP address needs none",
    )
}

/// Names that are being looked up, and the process that does it.
struct UnderWay {
    pid: u32,
    names: Vec<(String, watch::Receiver<Option<Answer>>)>,
}

static UNDER_WAY: Mutex<UnderWay> = Mutex::new(UnderWay { pid: 0, names: vec![] });

/// Where the answer will be: that to a question under way, if there is one.
fn ask(name: &str, resolver: Resolver) -> Result<watch::Receiver<Option<Answer>>> {
    let mut under_way = match UNDER_WAY.try_lock() {
        Ok(under_way) => Some(under_way),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        // In a forked child the lock may be held by a thread that is not there. Then one asks alone.
        Err(TryLockError::WouldBlock) => None,
    };
    if let Some(under_way) = &mut under_way {
        if mem::replace(&mut under_way.pid, process::id()) != process::id() {
            // They are the parent's. A lock of theirs may be held by a thread that is not there, too.
            mem::forget(mem::take(&mut under_way.names));
        }
        under_way.names.retain(|(_, answer)| answer.has_changed().is_ok() && answer.borrow().is_none());
        if let Some((_, answer)) = under_way.names.iter().find(|(other, _)| other == name) {
            return Ok(answer.clone());
        }
    }
    let (tell, answer) = watch::channel(None);
    let asked = name.to_owned();
    thread::Builder::new()
        .name("rlay-names".into())
        .spawn(move || tell.send_replace(Some(resolver(&asked))))
        .map_err(|e| Error::new(ErrorKind::Usage, format!("cannot start a thread: {e}")))?;
    if let Some(under_way) = &mut under_way {
        under_way.names.push((name.to_owned(), answer.clone()));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[tokio::test]
    async fn a_slow_resolver_is_asked_once_and_keeps_nobody() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let slow = |_: &str| {
            ASKED.fetch_add(1, SeqCst);
            thread::sleep(PATIENCE * 3);
            Ok(vec![([127, 0, 0, 9], 5).into()])
        };
        let address = "tcp://slow.example:5".parse().unwrap();
        let mut attempts = 0;
        let found = loop {
            match look_up_with(&address, slow).await {
                Ok(found) => break found,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
                    assert!(error.to_string().contains("still being looked up"), "{error}");
                }
            }
            attempts += 1;
            assert!(attempts < 30, "the answer never comes");
        };
        assert_eq!(found, [([127, 0, 0, 9], 5).into()]);
        assert!(attempts >= 1, "each waited for the answer");
        assert_eq!(ASKED.load(SeqCst), 1);
        // What was answered is not kept: names move.
        assert_eq!(
            look_up_with(&address, |_| Ok(vec![([127, 0, 0, 8], 5).into()])).await.unwrap()[0].ip().to_string(),
            "127.0.0.8"
        );
    }

    #[tokio::test]
    async fn what_the_resolver_says_is_passed_on() {
        let address = "tcp://nowhere.example:5".parse().unwrap();
        let error = look_up_with(&address, |_| Err("Name or service not known".into())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Address);
        assert!(error.to_string().contains("Name or service not known"), "{error}");
        let error = look_up_with(&address, |_| Ok(vec![])).await.unwrap_err();
        assert!(error.to_string().contains("the host has no address"), "{error}");
        let error = look_up_with(&address, |_| panic!("a broken resolver")).await.unwrap_err();
        assert!(error.to_string().contains("the system's resolver failed"), "{error}");
    }

    #[test]
    fn who_may_block_waits_until_its_deadline() {
        let address = "tcp://localhost:5".parse().unwrap();
        let found = loop {
            match look_up_blocking(&address, Some(Instant::now() + PATIENCE)) {
                Ok(found) => break found,
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}"),
            }
        };
        assert!(found.iter().all(|socket| socket.ip().is_loopback() && socket.port() == 5), "{found:?}");
        let literal = "tcp://[::1]:5".parse().unwrap();
        assert_eq!(look_up_blocking(&literal, Some(Instant::now())).unwrap(), ["[::1]:5".parse().unwrap()]);
    }
}

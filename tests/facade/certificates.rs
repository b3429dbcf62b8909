//! Which peers the ends of a TLS connection trust, over `tls` and `quic`: certificates good and bad, at either end, and
//! files that change while a listener lives.

use std::{
    fs,
    time::{Duration, Instant},
};

use rlay::{
    CancelToken, ClientEnv, Env, ErrorKind, Result, Value,
    endpoint::{Acceptor, Wait, dial},
    wire::Role,
};

use crate::support::{
    Authority, Folder, PATIENCE,
    Years::{Expired, Good, NotYet},
    bounded, counting, eventually, patient,
};

/// A listener, and its address without the pin that it prints.
struct Listener {
    acceptor: Acceptor,
    bare: String,
}

impl Listener {
    fn new(scheme: &str, options: &str) -> Self {
        let address = format!("{scheme}://127.0.0.1:0?{options}").parse().expect("an address");
        let acceptor = Acceptor::bind(&address, Role::Env, &rlay::connection_options()).expect("listens");
        let bare = format!("{scheme}://{}", acceptor.address().rest());
        Self { acceptor, bare }
    }

    /// A dialer with these options is admitted.
    fn lets_in(&self, what: &str, options: &str) {
        let address = format!("{}?{options}", self.bare);
        shake(&address).unwrap_or_else(|e| panic!("{what}: {e}"));
        self.acceptor.next(&mut Wait::new(Some(PATIENCE))).expect("admitted");
    }

    /// A dialer with these options gets an error that contains `text`, and the listener keeps listening.
    fn refuses(&self, what: &str, options: &str, text: &str) {
        let error = shake(&format!("{}?{options}", self.bare)).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{what}: {error}");
        assert!(error.to_string().contains(text), "{what}: {error}");
        in_plain_words(&error.to_string());
    }

    /// Waits until the listener notes `text`.
    fn notes(&self, text: &str) {
        let mut noted = String::new();
        eventually(&format!("{text:?} is noted"), || {
            noted += &self.acceptor.notices().join("\n");
            noted.contains(text)
        });
        in_plain_words(&noted);
    }
}

/// Fails if the text shows how Rust prints a type.
#[track_caller]
fn in_plain_words(text: &str) {
    for debug in ["DnsName", "IpAddress(", "Other", "Refusal", "InvalidCertificate", "Some(", " { ", "[\""] {
        assert!(!text.contains(debug), "{debug}: {text}");
    }
}

/// The result of a handshake.
fn shake(address: &str) -> Result<()> {
    let mut wait = Wait::new(Some(PATIENCE));
    dial(&address.parse()?, Role::Agent, &rlay::connection_options(), &mut wait).map(drop)
}

/// All transports with TLS.
fn each(test: fn(&str)) {
    let run = move |scheme: &'static str| bounded(move || test(scheme));
    run("tls");
    #[cfg(feature = "quic")]
    run("quic");
    #[cfg(feature = "ws")]
    run("wss");
}

#[test]
fn a_pinned_listener_is_believed_and_no_other() {
    each(|scheme| {
        let (folder, authority) = (Folder::new(), Authority::new("ours"));
        let own = Listener::new(scheme, "");
        let pin = own.acceptor.address().options().next().expect("it prints its pin").1.to_owned();
        own.lets_in("its own certificate", &format!("pin={pin}"));

        let other = authority.vouch(&folder, "other.pem", "127.0.0.1", Good);
        own.refuses("another's pin", &format!("pin={}", other.pin), &format!("is {pin}, not {}", other.pin));
        own.lets_in("whoever it is", "insecure_skip_verification=yes");

        let from_files = Listener::new(scheme, &format!("cert={}", other.path()));
        assert_eq!(from_files.acceptor.address().to_string(), format!("{}?pin={}", from_files.bare, other.pin));
        from_files.lets_in("a certificate from files", &format!("pin={}", other.pin));
        // A pin identifies the certificate; how long it is valid is up to the person who gave the pin.
        let old = authority.vouch(&folder, "old.pem", "127.0.0.1", Expired);
        Listener::new(scheme, &format!("cert={}", old.path())).lets_in("an old one", &format!("pin={}", old.pin));
    });
}

#[test]
fn a_listener_is_believed_if_the_ca_vouches_for_it() {
    each(|scheme| {
        let (folder, ours, theirs) = (Folder::new(), Authority::new("ours"), Authority::new("theirs"));
        let ca = format!("ca={}", folder.write("ca.pem", &ours.pem()).display());
        let listener = |authority: &Authority, name: &str, years| {
            let paper = authority.vouch(&folder, "listener.pem", name, years);
            (Listener::new(scheme, &format!("cert={}", paper.path())), paper)
        };

        let (good, paper) = listener(&ours, "127.0.0.1", Good);
        good.lets_in("good", &ca);
        good.lets_in("with its pin", &format!("{ca}&pin={}", paper.pin));
        let (other, _) = listener(&theirs, "127.0.0.1", Good);
        other.refuses("unknown CA", &ca, "signed by none of those in ca=FILE");
        other.refuses("another's pin", &format!("{ca}&pin={}", paper.pin), "use the address that the listener prints");
        listener(&ours, "127.0.0.1", Expired).0.refuses("expired", &ca, "has expired");
        listener(&ours, "127.0.0.1", NotYet).0.refuses("not yet valid", &ca, "not valid yet");
        let own = Listener::new(scheme, &format!("cert={}", ours.own(&folder).path()));
        own.refuses("a CA's own", &ca, "let the CA sign one for it");
        let (named, _) = listener(&ours, "learner.test", Good);
        named.refuses("wrong name", &ca, "is for ");
        named.refuses("wrong name", &ca, "learner.test");
        named.refuses("another wrong name", &format!("{ca}&name=game.test"), "not for game.test");
        named.lets_in("the right name", &format!("{ca}&name=learner.test"));
        named.notes("certificate");
    });
}

#[test]
fn a_dialer_is_let_in_if_it_is_listed() {
    each(|scheme| {
        let (folder, authority) = (Folder::new(), Authority::new("ours"));
        let paper = |file: &str, years| authority.vouch(&folder, file, "game", years);
        let (listed, old, unknown) = (paper("a.pem", Good), paper("b.pem", Expired), paper("c.pem", Good));
        let list = format!("# those at the office\n\n{} the game\n  {} an old one", listed.pin, old.pin);
        let clients = folder.write("clients", &list);

        let listener = Listener::new(scheme, &format!("clients={}", clients.display()));
        let with = |file| format!("insecure_skip_verification=yes&cert={file}");
        listener.lets_in("listed", &with(listed.path()));
        listener.lets_in("listed, whatever else it says", &with(old.path()));
        listener.refuses("unknown", &with(unknown.path()), "refuses this end's certificate");
        listener.notes(&unknown.pin);
        // A dialer without a certificate in its options shows its own, so that the listener can say which line is
        // missing.
        listener.refuses("its own", "insecure_skip_verification=yes", "refuses this end's certificate");
        listener.notes("add that as a line");

        // The list changes while the listener lives.
        fs::write(&clients, format!("{}\n", unknown.pin)).expect("writes");
        listener.lets_in("listed now", &with(unknown.path()));
        listener.refuses("taken off the list", &with(listed.path()), "refuses this end's certificate");
        // A file that cannot be used changes nothing.
        fs::write(&clients, "sha256:these are not the pins you are looking for").expect("writes");
        listener.lets_in("still listed", &with(unknown.path()));
        fs::remove_file(&clients).expect("removes");
        listener.lets_in("still listed", &with(unknown.path()));
    });
}

#[test]
fn a_dialer_is_let_in_if_the_ca_vouches_for_it() {
    each(|scheme| {
        let (folder, ours, theirs) = (Folder::new(), Authority::new("ours"), Authority::new("theirs"));
        let ca = folder.write("ca.pem", &ours.pem());
        let listener = Listener::new(scheme, &format!("ca={}", ca.display()));
        let with = |authority: &Authority, years| {
            let paper = authority.vouch(&folder, "dialer.pem", "game", years);
            format!("insecure_skip_verification=yes&cert={}", paper.path())
        };
        listener.lets_in("good", &with(&ours, Good));
        listener.refuses("unknown CA", &with(&theirs, Good), "does not know who signed");
        listener.notes("signed by none of those in ca=FILE");
        listener.refuses("expired", &with(&ours, Expired), "has expired or is not valid yet");
        listener.notes("its certificate has expired");
        listener.refuses("not yet valid", &with(&ours, NotYet), "has expired or is not valid yet");

        // Both are required, if both are configured.
        let good = ours.vouch(&folder, "good.pem", "game", Good);
        let clients = folder.write("clients", &format!("{}\n", good.pin));
        let strict = Listener::new(scheme, &format!("ca={}&clients={}", ca.display(), clients.display()));
        strict.lets_in("listed and vouched for", &format!("insecure_skip_verification=yes&cert={}", good.path()));
        strict.refuses("vouched for but not listed", &with(&ours, Good), "refuses this end's certificate");
    });
}

#[test]
fn a_certificate_is_rotated_without_a_restart() {
    each(|scheme| {
        let (folder, authority) = (Folder::new(), Authority::new("ours"));
        let first = authority.vouch(&folder, "first.pem", "127.0.0.1", Good);
        let second = authority.vouch(&folder, "second.pem", "127.0.0.1", Good);
        let (cert, key) = (folder.write("cert.pem", &first.pem), folder.write("key.pem", &first.key));
        let files = format!("{scheme}://127.0.0.1:0?cert={}&key={}", cert.display(), key.display());
        let (backend, address) = counting(&files).expect("serves");
        let with = |pin: &str| format!("{}?pin={pin}", address.split_once('?').expect("a pin").0);
        let connect = |pin: &str| ClientEnv::connect(&with(pin), patient());

        let mut env = connect(&first.pin).expect("the first certificate");
        env.reset(None, &Value::None).expect("resets");
        // Half of a rotation: the certificate is there, its key is not.
        fs::write(&cert, &second.pem).expect("writes");
        connect(&first.pin).expect("still the first one");
        fs::write(&key, &second.key).expect("writes");
        connect(&second.pin).expect("the second one");
        let error = connect(&first.pin).expect_err("the first one is gone");
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        env.step(Value::Int(1)).expect("a session under way stays");
        env.close().expect("closes");
        backend.close();
    });
}

#[test]
fn a_file_that_cannot_be_read_keeps_nobody_waiting() {
    each(|scheme| {
        let (folder, authority) = (Folder::new(), Authority::new("ours"));
        let own = authority.vouch(&folder, "own.pem", "127.0.0.1", Good);
        let dialer = authority.vouch(&folder, "dialer.pem", "dialer", Good);
        let (cert, key) = (folder.write("cert.pem", &own.pem), folder.write("key.pem", &own.key));
        let (ca, clients) = (folder.write("ca.pem", &authority.pem()), folder.write("clients", &dialer.pin));
        let options = [("cert", &cert), ("key", &key), ("ca", &ca), ("clients", &clients)];
        let options = options.map(|(option, file)| format!("{option}={}", file.display())).join("&");
        let listener = Listener::new(scheme, &options);
        let with = format!("pin={}&cert={}", own.pin, dialer.path());
        listener.lets_in("all is well", &with);
        for file in [&cert, &key, &ca, &clients] {
            let good = fs::read_to_string(file).expect("a file");
            fs::remove_file(file).expect("it is there");
            assert!(std::process::Command::new("mkfifo").arg(file).status().expect("a command").success());
            for time in ["a FIFO", "a FIFO still"] {
                listener.lets_in(&format!("{}: {time}", file.display()), &with);
            }
            fs::remove_file(file).expect("it is there");
            // The file takes no room on the disk.
            fs::File::create(file).and_then(|long| long.set_len(1 << 42)).expect("a long file");
            listener.lets_in(&format!("{}: too long", file.display()), &with);
            fs::remove_file(file).expect("it is there");
            fs::write(file, good).expect("writes");
            listener.lets_in("all is well again", &with);
        }
        fs::write(&clients, "").expect("writes");
        listener.refuses("it was taken off the list", &with, "refuses this end's certificate");
    });
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    each(|scheme| {
        let folder = Folder::new();
        let (empty, missing) = (folder.write("empty", ""), folder.write("there", "").with_file_name("missing"));
        let fifo = missing.with_file_name("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("a command").success());
        let (empty, missing, fifo) = (empty.display(), missing.display(), fifo.display());
        let pin = format!("pin=sha256:{}", "0".repeat(64));
        for (options, text) in [
            (String::new(), "whose certificate is expected?"),
            (format!("{pin}&insecure_skip_verification=yes"), "one too many"),
            ("pin=sha256:0".into(), "64 hexadecimal digits"),
            (format!("{pin}&clients={empty}"), "an option of listeners"),
            (format!("{pin}&insecure_allow_remote=yes"), "an option of listeners"),
            (format!("{pin}&key={empty}"), "key without cert"),
            (format!("{pin}&cert={missing}"), "No such file"),
            (format!("{pin}&cert={empty}"), "no certificate in PEM form"),
            (format!("ca={empty}"), "no certificate in PEM form"),
            (format!("ca={fifo}"), "it is no regular file"),
            (format!("{pin}&cert={fifo}"), "it is no regular file"),
            (format!("{pin}&name=two words"), "no name"),
            (format!("{pin}&colour=blue"), "there is no option colour=blue"),
            ("pin=".into(), "pin is empty"),
        ] {
            let error = shake(&format!("{scheme}://127.0.0.1:1?{options}")).expect_err(&options);
            assert!(error.to_string().contains(text), "{options}: {error}");
            assert!(matches!(error.kind(), ErrorKind::Address | ErrorKind::Usage), "{options}: {error:?}");
        }
        for (options, text) in [
            ("insecure_skip_verification=yes".to_owned(), "an option of dialers"),
            ("name=learner.test".into(), "an option of dialers"),
            (format!("clients={missing}"), "No such file"),
            (format!("clients={fifo}"), "it is no regular file"),
            (format!("clients={}", folder.write("clients", "sha256:00").display()), "line 1"),
            (pin.clone(), "the certificate here is"),
        ] {
            let address = format!("{scheme}://127.0.0.1:0?{options}").parse().expect("an address");
            let error = Acceptor::bind(&address, Role::Env, &rlay::connection_options()).expect_err(&options);
            assert!(error.to_string().contains(text), "{options}: {error}");
        }
    });
}

#[test]
fn other_machines_may_dial_where_somebody_is_authenticated() {
    each(|scheme| {
        let folder = Folder::new();
        let bind = |options: &str| {
            let address = format!("{scheme}://0.0.0.0:0{options}").parse().expect("an address");
            Acceptor::bind(&address, Role::Env, &rlay::connection_options())
        };
        let refused = bind("").expect_err("nobody is authenticated").to_string();
        assert!(refused.contains("RLAY_TOKEN") && refused.contains("clients=FILE"), "{refused}");
        bind(&format!("?clients={}", folder.write("clients", "").display())).expect("by their certificates");
        bind("?insecure_allow_remote=yes").expect("it says so");
    });
}

#[test]
fn a_dialer_whose_handshake_hangs_can_be_stopped() {
    bounded(|| {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("tls://{}?insecure_skip_verification=yes", silent.local_addr().expect("bound"));
        let stop = CancelToken::default();
        let stopper = stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            stopper.cancel();
        });
        let start = Instant::now();
        let mut wait = Wait::new(Some(PATIENCE)).with_cancel(&stop);
        let error = dial(&address.parse().expect("an address"), Role::Agent, &rlay::connection_options(), &mut wait);
        assert_eq!(error.expect_err("nobody answers").kind(), ErrorKind::Closed);
        assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    });
}

#[test]
fn tls_and_plain_tcp_tell_each_other_apart() {
    bounded(|| {
        let tls = Listener::new("tls", "");
        let plain = Listener::new("tcp", "");
        let within = |connect_timeout, address: &str| {
            let options = rlay::connection_options().connect_timeout(connect_timeout);
            let mut wait = Wait::new(Some(connect_timeout));
            dial(&address.parse().expect("an address"), Role::Agent, &options, &mut wait).map(drop)
        };
        let error = within(PATIENCE, &tls.bare.replace("tls://", "tcp://")).expect_err("no TLS").to_string();
        assert!(error.contains("a TLS peer on"), "{error}");
        tls.notes("not a TLS peer");
        // This dialer retries.
        let address = format!("{}?insecure_skip_verification=yes", plain.bare.replace("tcp://", "tls://"));
        let error = within(Duration::from_secs(1), &address);
        let error = error.expect_err("TLS").to_string();
        assert!(error.contains("is the peer's address a tls:// one?"), "{error}");
        plain.notes("a TLS peer on");
    });
}

//! A custom transport: `abstract://name`, Unix sockets without a file (Linux). See docs/custom-transport.md.
#![allow(clippy::print_stdout)]

use async_trait::async_trait;
use rlay::net::{bind_error, lost_by};
use rlay::{Address, Channel, Incoming, Listener, Result, StreamChannel, Transport, TransportOptions};
use tokio::net::{UnixListener, UnixStream};

#[derive(Debug)]
pub(crate) struct Abstract;

#[derive(Debug)]
struct AbstractListener(UnixListener, Address, TransportOptions);

fn name(address: &Address) -> String {
    format!("\0{}", address.rest())
}

#[async_trait]
impl Transport for Abstract {
    fn schemes(&self) -> &'static [&'static str] {
        &["abstract"]
    }
    fn works_in_background(&self) -> bool {
        true // what a listener accepts lives on the listener's runtime
    }
    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        let (read, write) = UnixStream::connect(name(address)).await.map_err(|e| lost_by(address, e))?.into_split();
        Ok(Box::new(StreamChannel::new(read, write, address.rest(), options)))
    }
    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        let listener = UnixListener::bind(name(address)).map_err(|e| bind_error(address, e))?;
        Ok(Box::new(AbstractListener(listener, address.clone(), options.clone())))
    }
}

#[async_trait]
impl Listener for AbstractListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        let (read, write) = self.0.accept().await.map_err(|e| lost_by(&self.1, e))?.0.into_split();
        Ok(Box::new(StreamChannel::new(read, write, self.1.rest(), &self.2)))
    }
    fn address(&self) -> &Address {
        &self.1
    }
}

#[allow(dead_code)] // the tests have a main of their own
fn main() -> std::result::Result<(), rlay::EnvError> {
    use rlay::{AgentOptions, ClientEnv, Env, HostOptions, ServerBackend};
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // what RLay logs
    let counting = |_: &_| Ok(rlay_testkit::CountingEnv::new(None));
    let backend = ServerBackend::bind(counting, "abstract://rlay-example", HostOptions::over(Abstract))?;
    backend.start()?;
    let mut env = ClientEnv::connect("abstract://rlay-example", AgentOptions::over(Abstract))?;
    println!("{:?}", env.reset(Some(7), &rlay::Value::None)?.observation);
    backend.close();
    env.close()
}

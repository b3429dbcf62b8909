//! The facade's promises, over every transport and in both paradigms, with real processes where there are two.

#[path = "../../examples/cartpole/mod.rs"]
#[allow(dead_code)]
mod cartpole;
#[path = "../../examples/cartpoles/mod.rs"]
mod cartpoles;
mod support;

mod addresses;
mod admission;
mod arenas;
mod attributes;
mod bounds;
mod causes;
#[cfg(feature = "tls")]
mod certificates;
mod connect_order;
mod engines;
mod equality;
#[cfg(target_os = "linux")]
mod exhaustion;
mod failures;
mod first_ready;
mod foreign_peers;
mod goodbyes;
mod host_threads;
mod hosting;
#[cfg(target_os = "linux")]
mod launching;
mod limits;
mod on_loss;
mod options;
mod policies;
mod process_death;
mod reconnecting;
mod rendering;
mod rows;
mod sessions;
mod texts;
mod timeouts;
mod tokens;
mod tokio_listening;
mod tokio_reconnecting;
mod tokio_threads;
mod tokio_vectors;
mod vector;
mod vector_env;
mod version_mismatch;
mod words;
mod workspace;

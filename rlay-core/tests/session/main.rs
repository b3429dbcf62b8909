//! The two sessions: alone, cell by cell of the tables in `docs/wire.md`; together, in every order a network allows.

#[path = "../common/rows.rs"]
mod rows;

mod agent_calls;
mod agent_messages;
mod alignment;
mod autoreset;
mod env_tables;
mod fixtures;
mod handshake;
mod random;
mod several_slots;
mod table;
mod wire;
mod world;

//! Every class of space, typed and dynamic: what it samples it contains, and nothing is lost on the way to bytes and back.

mod dynamic;
mod random;
mod refuse;
mod typed;
mod words;

//! Every class of space, typed and dynamic: contains its samples, and loses nothing on the way to bytes and back.

mod dynamic;
mod random;
mod refuse;
mod typed;
mod words;

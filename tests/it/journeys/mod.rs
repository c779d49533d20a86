//! What an administrator and a partner live through together.

mod crash;
#[cfg(feature = "faults")]
mod faults;
mod live;
mod stop;

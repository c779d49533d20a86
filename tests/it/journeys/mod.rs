//! What an administrator and a partner live through together.

mod crash;
#[cfg(feature = "faults")]
mod faults;
mod https;
mod live;
#[cfg(feature = "faults")]
mod sent_faults;
mod stop;

//! What an administrator and a partner live through together.

mod api;
mod crash;
#[cfg(feature = "faults")]
mod faults;
mod flows;
#[cfg(feature = "faults")]
mod held_faults;
mod https;
mod live;
mod order;
#[cfg(feature = "faults")]
mod sent_faults;
mod stop;
mod webhooks;

//! What an administrator and a partner live through together.

mod actions;
mod api;
mod commands;
mod crash;
#[cfg(feature = "faults")]
mod faults;
mod flows;
mod gone_on_with;
#[cfg(feature = "faults")]
mod held_faults;
mod https;
mod live;
mod mail;
mod order;
mod renames;
#[cfg(feature = "faults")]
mod sent_faults;
mod stop;
mod webhooks;

//! Floor 3: the door, shared by FTP and web: who may come in, how many, and what they may do.

pub mod acme;
pub mod admission;
pub mod automation;
pub mod backup;
pub mod certificate;
pub mod connecting;
pub mod gate;
pub mod guard;
pub mod hosts;
pub mod lacking;
pub mod mail;
pub mod outbound;
pub mod passive;
pub mod password;
pub mod programs;
pub mod reading_in;
pub mod restart;
pub mod second_factor;
pub mod secrets;
pub mod test_pass;
pub mod trial;
pub mod usable;

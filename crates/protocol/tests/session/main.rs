//! Client and server session joined in memory, with a clock that only the tests move.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod close;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod inbound;
#[cfg(test)]
mod keepalive;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod server;
#[cfg(test)]
mod streams;

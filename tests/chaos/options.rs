//! What is asked for on the command line.

use std::path::PathBuf;

/// How much is played, and where from.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    /// How many disks a guest has, and so how many moments each disturbance is tried at.
    pub(crate) disks: u8,
    /// How many guests there are at a time, each on a daemon of its own.
    pub(crate) lanes: usize,
    /// After so many minutes no scene is begun any more.
    pub(crate) minutes: Option<u64>,
    /// Scenes with these words in their names, if any are given.
    pub(crate) only: Vec<String>,
    /// Every scene is kept, surprising or not.
    pub(crate) every: bool,
    /// Where they are kept.
    pub(crate) keep: PathBuf,
}

impl Options {
    /// Understands the words of a command line.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 1,
            seed: fresh_seed(),
            disks: 10,
            lanes: 4,
            minutes: None,
            every: false,
            only: Vec::new(),
            keep: PathBuf::from("target/chaos"),
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--rounds" => options.rounds = number(&value()?)?,
                "--seed" => options.seed = number(&value()?)?,
                "--disks" => options.disks = number(&value()?)?,
                "--lanes" => options.lanes = number(&value()?)?,
                "--minutes" => options.minutes = Some(number(&value()?)?),
                "--only" => options.only.push(value()?),
                "--keep-every" => options.every = true,
                "--keep" => options.keep = value()?.into(),
                other => return Err(format!("what is {other}?")),
            }
        }
        if !(1..=20).contains(&options.disks) || options.lanes == 0 {
            return Err("a guest has 1 to 20 disks, and there is one lane at least".to_owned());
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("{word} is no such number"))
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.unwrap_or_default().subsec_nanos())
}

//! The same commands on two daemons, and what they say.

use crate::served::virsh;

/// What virsh says to each of a list of commands.
pub(crate) type Transcript = Vec<(String, String)>;

/// Runs a script, a command a line, and compares what it says on the real daemon with what it
/// says on the simulated one.
pub(crate) async fn same_on_both(real: &str, simulated: &str, script: &str) {
    let (real, simulated) = tokio::join!(transcript(real, script), transcript(simulated, script));
    let mut different = String::new();
    for ((command, real), (_, simulated)) in real.into_iter().zip(simulated) {
        if real != simulated {
            different += &format!("$ {command}\n--- real\n{real}--- simulated\n{simulated}\n");
        }
    }
    assert!(different.is_empty(), "\n{different}");
}

async fn transcript(uri: &str, script: &str) -> Transcript {
    let mut transcript = Vec::new();
    for command in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = command.split_whitespace().collect();
        let output = virsh(uri, &words).await;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let of_pool = command.starts_with("pool-");
        let lines = text.lines().filter(|line| !is_of_the_host(line, of_pool));
        let text = lines.map(|line| mask(line) + "\n").collect();
        transcript.push((command.to_owned(), text));
    }
    transcript
}

/// Whether a line of XML tells of the host's disk or clock, or of chance.
fn is_of_the_host(line: &str, of_pool: bool) -> bool {
    let line = line.trim_start();
    let is_one_of = |names: &[&str]| names.iter().any(|name| line.starts_with(name));
    is_one_of(&["<atime", "<mtime", "<ctime", "<btime", "<uuid", "CPU time:"])
        || of_pool && is_one_of(&["<capacity", "<allocation", "<available"])
}

/// Blots out made-up UUIDs.
fn mask(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.len() {
        36 if word.matches('-').count() == 4 => "UUID",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

//! What calls and events cost the client's process.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What the columns of a [`Comparison`] are.
pub const HEADINGS: &str =
    "                                               µs     CPU µs  allocations";

/// The cost of one call, or of one event, on average.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Cost {
    /// Microseconds from one to the next.
    pub wall: f64,
    /// Microseconds of processor time of this process, in user space and in the kernel.
    pub cpu: f64,
    /// Allocations of this thread.
    pub allocations: f64,
}

impl Cost {
    /// How many times as much as `floor` this is.
    fn over(&self, floor: &Self) -> Self {
        Self {
            wall: self.wall / floor.wall,
            cpu: self.cpu / floor.cpu,
            allocations: self.allocations / floor.allocations,
        }
    }
}

/// What `run` costs, divided by the `calls` it makes. It has to do its work on this thread.
///
/// # Errors
///
/// Those of `run`.
pub fn measure<E>(calls: usize, run: impl FnOnce() -> Result<(), E>) -> Result<Cost, E> {
    let mut outcome = Ok(());
    let cpu = processor_time();
    let wall = Instant::now();
    let allocated = allocation_counter::measure(|| outcome = run());
    let wall = wall.elapsed();
    let cpu = processor_time().saturating_sub(cpu);
    outcome?;
    let per_call = 1.0 / calls as f64;
    Ok(Cost {
        wall: wall.as_secs_f64() * 1e6 * per_call,
        cpu: cpu.as_secs_f64() * 1e6 * per_call,
        allocations: allocated.count_total as f64 * per_call,
    })
}

/// What floor and client cost, round by round.
#[derive(Debug)]
pub struct Comparison {
    what: String,
    floors: Vec<Cost>,
    clients: Vec<Cost>,
}

impl Comparison {
    /// Without a round yet.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            floors: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// Adds a round.
    pub fn add(&mut self, floor: Cost, client: Cost) {
        self.floors.push(floor);
        self.clients.push(client);
    }

    /// How many times the floor the client costs. Round by round, for what disturbs one of the two
    /// likely disturbs both.
    fn ratio(&self) -> Cost {
        let rounds = self.clients.iter().zip(&self.floors);
        let ratios: Vec<Cost> = rounds.map(|(client, floor)| client.over(floor)).collect();
        median(&ratios)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        let (floor, client) = (median(&self.floors), median(&self.clients));
        let Cost { wall, cpu, .. } = self.ratio();
        writeln!(f, "{:38} {floor}", format!("{what}: floor"))?;
        write!(f, "{:38} {client}", format!("{what}: virtwire"))?;
        write!(f, "   {wall:.2} × µs, {cpu:.2} × CPU")
    }
}

/// The middle of each column, which a disturbed round does not move.
fn median(rounds: &[Cost]) -> Cost {
    let middle = |column: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(column).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Cost {
        wall: middle(|cost| cost.wall),
        cpu: middle(|cost| cost.cpu),
        allocations: middle(|cost| cost.allocations),
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wall,
            cpu,
            allocations,
        } = self;
        write!(f, "{wall:10.3} {cpu:10.3} {allocations:12.2}")
    }
}

/// The processor time that this process has used.
#[must_use]
pub fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

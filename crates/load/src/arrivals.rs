//! When the questions of an open loop are meant to be sent, whatever the server does.

use std::time::Duration;

use clap::ValueEnum;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// How far apart questions are meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spacing {
    /// As independent callers ask: exponentially distributed distances
    Poisson,
    /// Even distances
    Fixed,
}

/// The times at which questions are meant to be sent, counted from the beginning. Without an end: take as many as
/// are wanted.
#[derive(Debug)]
pub(crate) struct Arrivals {
    spacing: Spacing,
    mean: f64,
    random: ChaCha8Rng,
    count: u64,
    at: f64,
}

impl Arrivals {
    /// So many a second. The same seed gives the same times.
    pub(crate) fn new(spacing: Spacing, per_second: f64, seed: u64) -> Self {
        let mean = 1.0 / per_second.max(f64::MIN_POSITIVE);
        Self { spacing, mean, random: ChaCha8Rng::seed_from_u64(seed), count: 0, at: 0.0 }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        match self.spacing {
            Spacing::Fixed => {
                #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
                let at = self.count as f64 * self.mean;
                self.count += 1;
                Some(Duration::from_secs_f64(at))
            }
            Spacing::Poisson => {
                let chance: f64 = self.random.random();
                // 1 - chance is never 0.
                self.at -= (1.0 - chance).ln() * self.mean;
                Some(Duration::from_secs_f64(self.at))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_questions_are_meant_at_even_distances() {
        let at: Vec<Duration> = Arrivals::new(Spacing::Fixed, 1_000.0, 1).take(5_001).collect();
        assert_eq!((at[0], at[1], at[5_000]), (Duration::ZERO, Duration::from_millis(1), Duration::from_secs(5)));
    }

    #[test]
    fn independent_questions_keep_the_rate_and_follow_the_seed() {
        let at = |seed| Arrivals::new(Spacing::Poisson, 1_000.0, seed).take(20_000).collect::<Vec<_>>();
        let (first, again, other) = (at(1), at(1), at(2));
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert!(first.is_sorted());
        let seconds = first.last().unwrap().as_secs_f64();
        assert!((19.0..21.0).contains(&seconds), "20,000 questions at 1,000 a second took {seconds} s");
        // The distances of independent events spread as far as their mean: even ones would not spread at all.
        let distances: Vec<f64> = first.windows(2).map(|pair| pair[1].as_secs_f64() - pair[0].as_secs_f64()).collect();
        let mean = distances.iter().sum::<f64>() / 19_999.0;
        let variance = distances.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 19_999.0;
        assert!((0.9..1.1).contains(&(variance.sqrt() / mean)));
    }
}
